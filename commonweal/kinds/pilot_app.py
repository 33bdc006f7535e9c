"""PilotApp: an application that runs in the pool and asks data trusts through its grants."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from commonweal.kinds.member import Engine
from commonweal.kinds.meta import (
    PLAIN_NAME,
    Column,
    Count,
    Country,
    Definition,
    MemberName,
    Model,
    Name,
    Resource,
    Resources,
    Scope,
    Status,
    Text,
    Url,
    keyed_by,
)

PILOT_LABEL = "commonweal.dev/pilot"  # on every pod of an application; its value is the application's name


class PilotCondition(StrEnum):
    """Condition types of a PilotApp."""

    READY = "Ready"
    PLACED = "Placed"


class PilotReason(StrEnum):
    """Why a PilotApp is, or is not, Ready or Placed."""

    SERVING = "Serving"
    PLACED = "Placed"
    UNPLACEABLE = "Unplaceable"
    GRANT_NOT_READY = "GrantNotReady"
    PROGRESSING = "Progressing"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNKNOWN_SPONSOR = "UnknownSponsor"
    UNKNOWN_SERVICE_CLASS = "UnknownServiceClass"
    OBJECT_REFUSED = "ObjectRefused"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason
    SECRET_NOT_ALLOWED = "SecretNotAllowed"  # noqa: S105 - a reason


# What a member's agent says no with, in its own words on the Assignment and in the hub's on the PilotApp.
REFUSALS = frozenset({PilotReason.OBJECT_REFUSED, PilotReason.SECRET_MISSING, PilotReason.SECRET_NOT_ALLOWED})


class EnvironmentVariable(Model):
    """A plain setting; secrets never travel in a PilotApp, only their names do (`Component.secrets`)."""

    name: Annotated[str, StringConstraints(max_length=128, pattern=r"^[A-Z][A-Z0-9_]*$")]
    """Name."""
    value: Annotated[str, StringConstraints(max_length=1024)]
    """Value, in plain sight."""


class Component(Model):
    """What runs: a container that serves HTTP on `port` and answers /healthz and /readyz."""

    image: Annotated[str, StringConstraints(min_length=3, max_length=512)]
    """Container image, by digest in production."""
    args: Annotated[tuple[Annotated[str, StringConstraints(max_length=512)], ...], Field(default=(), max_length=64)]
    """Arguments of the container."""
    port: Annotated[int, Field(ge=1024, le=65_535)]
    """Port that it serves HTTP on."""
    env: Annotated[
        tuple[EnvironmentVariable, ...],
        Field(
            default=(),
            max_length=64,
            json_schema_extra=keyed_by("name"),
        ),
    ]
    """Plain settings."""
    secrets: Annotated[
        tuple[Name, ...], Field(default=(), max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Secrets that each member holds itself, in `commonweal-apps` and labelled `commonweal.dev/pilot: <this app>`; each
    is mounted read-only at /etc/commonweal-secrets/<secret>."""


class PlacementRules(Model):
    """Where it may run; an empty list allows all."""

    members: Annotated[
        tuple[MemberName, ...], Field(default=(), max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Only these members; empty allows all."""
    countries: Annotated[
        tuple[Country, ...], Field(default=(), max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Only members of these countries; empty allows all."""
    engines: Annotated[
        tuple[Engine, ...], Field(default=(), max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Only members with one of these engines; empty allows all."""
    min_members: Annotated[int, Field(ge=1, le=64)] = 1
    """Spread over at least this many members."""


class PilotAppSpec(Model):
    """The application; `resources` are for one replica."""

    description: Text
    """What it is for."""
    sponsor: MemberName
    """The member to whose account its use is booked."""
    component: Component
    """What runs."""
    resources: Resources
    """What one replica needs."""
    replicas: Annotated[int, Field(ge=0, le=64)]
    """How many replicas in the whole pool."""
    placement: PlacementRules = PlacementRules()
    """Where it may run."""
    grants: Annotated[
        tuple[Name, ...], Field(default=(), max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """DataGrants that it asks through."""
    service_class: Name
    """A service class of the charter."""


class PilotPlacement(Model):
    """What runs at one member, and under which addresses."""

    member: MemberName
    """The member."""
    replicas: Count
    """Replicas assigned to it."""
    ready_replicas: Count
    """Replicas that answer."""
    endpoints: Annotated[tuple[Url, ...], Field(default=(), max_length=16)]
    """Addresses at this member."""


class PilotAppStatus(Status):
    """Where it runs, and the one address that serves it."""

    replicas: Count | None = None
    """Replicas assigned."""
    ready_replicas: Count | None = None
    """Replicas that answer."""
    selector: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Label selector of its pods, for the scale subresource."""
    placements: Annotated[
        tuple[PilotPlacement, ...],
        Field(
            default=(),
            max_length=64,
            json_schema_extra=keyed_by("member"),
        ),
    ]
    """What runs where."""
    address: Url | None = None
    """The one address that serves it."""


class PilotApp(Resource):
    """A pilot application."""

    definition: ClassVar[Definition] = Definition(
        kind="PilotApp",
        plural="pilotapps",
        short_names=("pilot",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="Sponsor", json_path=".spec.sponsor"),
            Column(name="Wanted", json_path=".spec.replicas", type="integer"),
            Column(name="Running", json_path=".status.readyReplicas", type="integer"),
            Column(name="Address", json_path=".status.address"),
        ),
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
        rules=(
            PLAIN_NAME,
            {
                "rule": "self.spec.replicas == 0 || self.spec.replicas >= self.spec.placement.minMembers",
                "message": "spec.replicas: fewer than placement.minMembers; raise replicas or lower minMembers",
            },
        ),
    )

    kind: str = "PilotApp"
    spec: PilotAppSpec
    status: PilotAppStatus | None = None
