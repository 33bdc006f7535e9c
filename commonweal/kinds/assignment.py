"""Assignment: what one member should run for one owner; the hub writes it, the member's agent reports on it."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from commonweal.kinds.meta import Column, Count, Definition, Model, Name, Resource, Scope, Status, Url


class AssignmentCondition(StrEnum):
    """Condition types of an Assignment."""

    READY = "Ready"
    APPLIED = "Applied"


class AssignmentReason(StrEnum):
    """Why an Assignment is, or is not, Applied or Ready."""

    APPLIED = "Applied"
    RUNNING = "Running"
    OBJECT_REFUSED = "ObjectRefused"
    PROGRESSING = "Progressing"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CRASHING = "Crashing"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason
    SECRET_NOT_ALLOWED = "SecretNotAllowed"  # noqa: S105 - a reason


class OwnerKind(StrEnum):
    """Kinds on the hub that assign work to members."""

    PILOT_APP = "PilotApp"
    DATA_TRUST = "DataTrust"


class Owner(Model):
    """The object on the hub that this work is for; `uid` tells a re-created owner from its predecessor."""

    kind: OwnerKind
    """Kind of the owner."""
    name: Name
    """Name of the owner."""
    uid: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """UID of the owner."""
    generation: Count
    """Generation of the owner that this work was made from."""


Manifest = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra={
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        }
    ),
]


class AssignmentSpec(Model):
    """Complete Kubernetes objects; the agent applies only kinds and namespaces on its own allow list."""

    owner: Owner
    """What this work is for."""
    objects: Annotated[tuple[Manifest, ...], Field(max_length=16)]
    """Complete objects to apply at the member."""


class AssignmentStatus(Status):
    """What the member runs."""

    ready_replicas: Count | None = None
    """Replicas that answer."""
    endpoints: Annotated[tuple[Url, ...], Field(default=(), max_length=16)]
    """Addresses at this member."""


class Assignment(Resource):
    """Work for one member."""

    definition: ClassVar[Definition] = Definition(
        kind="Assignment",
        plural="assignments",
        short_names=("asg",),
        scope=Scope.NAMESPACED,
        columns=(
            Column(name="Owner", json_path=".spec.owner.kind"),
            Column(name="For", json_path=".spec.owner.name"),
            Column(name="Running", json_path=".status.readyReplicas", type="integer"),
        ),
    )

    kind: str = "Assignment"
    spec: AssignmentSpec
    status: AssignmentStatus | None = None
