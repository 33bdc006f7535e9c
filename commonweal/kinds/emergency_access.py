"""EmergencyAccess: two trustees open, for a few hours, what no grant allows; it ends by itself and is reviewed."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from commonweal.kinds.data_grant import Beneficiary
from commonweal.kinds.data_trust import EMERGENCY_MAX_HOURS, EMERGENCY_PREFIX, Purpose
from commonweal.kinds.meta import (
    Column,
    Definition,
    MemberName,
    Model,
    Name,
    Resource,
    Scope,
    SqlName,
    Status,
    Text,
    cel,
    immutable,
    keyed_by,
)

_NEW = "open a new one"


class EmergencyReason(StrEnum):
    """Why an EmergencyAccess is, or is not, Ready."""

    OPEN = "Open"
    AWAITING_TRUSTEES = "AwaitingTrustees"
    ENDED = "Ended"
    CLOSED = "Closed"
    NOT_ALLOWED = "NotAllowed"
    TOO_LONG = "TooLong"
    UNKNOWN_TRUST = "UnknownTrust"
    UNKNOWN_DATASET = "UnknownDataset"
    UNDECLARED_PURPOSE = "UndeclaredPurpose"


class ReviewReason(StrEnum):
    """Why a review of an EmergencyAccess is, or is not, due."""

    NEVER_OPENED = "NeverOpened"
    STILL_OPEN = "StillOpen"
    AWAITING_REVIEW = "AwaitingReview"
    REVIEWED = "Reviewed"


class Finding(StrEnum):
    """What a trustee found afterwards."""

    JUSTIFIED = "Justified"
    UNJUSTIFIED = "Unjustified"


class Opening(Model):
    """A trustee's yes, and the person who said it; nobody else may add it."""

    trustee: MemberName
    """The trustee for which the person speaks."""
    person: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """The user name with which the person is known to the hub, as `kubectl auth whoami` shows it."""


class Review(Model):
    """What a trustee says of it afterwards; nobody else may add it."""

    trustee: MemberName
    """The trustee that looked at what was asked."""
    finding: Finding
    """Whether the emergency justified it."""
    words: Text
    """Why, and what follows from it."""


class EmergencyAccessSpec(Model):
    """Who may ask what, for how long and why; the hours begin when the object is created."""

    trust: Annotated[Name, Field(json_schema_extra=immutable("trust", _NEW))]
    """The DataTrust."""
    beneficiary: Annotated[Beneficiary, Field(json_schema_extra=immutable("beneficiary", _NEW))]
    """Who may ask."""
    purpose: Annotated[Purpose, Field(json_schema_extra=immutable("purpose", _NEW))]
    """What the answers may be used for."""
    datasets: Annotated[
        tuple[SqlName, ...],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "set", **immutable("datasets", _NEW)},
        ),
    ]
    """Which datasets may be asked about; what the trust hides, masks and leaves out stays so."""
    reason: Annotated[Text, Field(json_schema_extra=immutable("reason", _NEW))]
    """What happened, and why no grant can be waited for."""
    hours: Annotated[int, Field(ge=1, le=EMERGENCY_MAX_HOURS, json_schema_extra=immutable("hours", _NEW))]
    """For how many hours after its creation; the trust says how many are possible."""
    openings: Annotated[
        tuple[Opening, ...],
        Field(default=(), max_length=64, json_schema_extra=keyed_by("trustee")),
    ]
    """Trustees that opened it; two of different members, by two people, are needed."""
    closed: Annotated[
        bool, Field(json_schema_extra=cel("self || !oldSelf", "a closed access stays closed; open a new one"))
    ] = False
    """True ends it at once and for good."""
    reviews: Annotated[
        tuple[Review, ...],
        Field(default=(), max_length=64, json_schema_extra=keyed_by("trustee")),
    ]
    """What trustees say afterwards; a quorum of the trust must."""


class EmergencyAccessStatus(Status):
    """Whether it is open, and whether it was reviewed."""


class EmergencyAccess(Resource):
    """A right to ask beyond every grant, for hours, opened by two trustees."""

    definition: ClassVar[Definition] = Definition(
        kind="EmergencyAccess",
        plural="emergencyaccesses",
        short_names=("ea",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="Trust", json_path=".spec.trust"),
            Column(name="Beneficiary", json_path=".spec.beneficiary.pilotApp"),
            Column(name="Hours", json_path=".spec.hours", type="integer"),
            Column(name="Review", json_path='.status.conditions[?(@.type=="ReviewDue")].reason'),
        ),
        rules=(
            {
                "rule": f"self.metadata.name.matches('^{EMERGENCY_PREFIX}[a-z0-9]([-a-z0-9]{{0,51}}[a-z0-9])?$')",
                "message": f"metadata.name: use {EMERGENCY_PREFIX}, which no grant has, and at most 53 of a-z, 0-9 "
                "and -",
            },
        ),
    )

    kind: str = "EmergencyAccess"
    spec: EmergencyAccessSpec
    status: EmergencyAccessStatus | None = None
