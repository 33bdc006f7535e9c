"""Contribution: what a member brings that no meter reads, which other members approve.

The member writes `record` once; each other member adds its own approval, or its objection with the reason.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, StringConstraints

from commonweal.kinds.meta import (
    Column,
    Definition,
    GridZone,
    MemberName,
    Model,
    Name,
    Resource,
    Scope,
    SqlName,
    Status,
    Text,
    both,
    cel,
    immutable,
    keyed_by,
)
from commonweal.kinds.pooled_cluster import PowerKind

Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ContributionReason(StrEnum):
    """Why a Contribution is, or is not, Ready."""

    APPROVED = "Approved"
    COUNTED = "Counted"
    AWAITING_APPROVAL = "AwaitingApproval"
    DISPUTED = "Disputed"
    REFUSED = "Refused"
    LAPSED = "Lapsed"


ONCE = immutable("record", "make another Contribution")
FILLED = cel(
    "size(self.certificates) + size(self.work) + size(self.data) > 0",
    "record is empty; name certificates, work or data",
)


class EnergyCertificate(Model):
    """What a registry says that one generator delivered to its zone within one hour."""

    registry: Label
    """Who issued it."""
    id: Label
    """Its number in that registry; a number backs one claim."""
    zone: GridZone
    """Zone of the electricity grid, as CA-QC."""
    hour: AwareDatetime
    """Start of the hour in UTC."""
    wh: Annotated[int, Field(ge=1, le=10**12)]
    """Whole watt-hours, rounded down."""
    source: PowerKind
    """Technology; only carbon-free ones count."""
    simulated: bool = False
    """True where no such generator stands behind it."""


class Work(Model):
    """A span of one person's work for the consortium."""

    person: Label
    """A pseudonym that the member keeps stable."""
    task: Text
    """What was done, for those who approve it."""
    begin: AwareDatetime
    """Start, inclusive, in whole seconds."""
    end: AwareDatetime
    """End, exclusive, in whole seconds."""


class KeptData(Model):
    """A span in which a dataset answered, as fresh as its trust promises."""

    trust: Name
    """The DataTrust."""
    dataset: SqlName
    """The dataset, of which this member holds rows."""
    rows: Annotated[int, Field(ge=1, le=10**8)]
    """The fewest rows that it had in the span."""
    begin: AwareDatetime
    """Start, inclusive, in whole seconds."""
    end: AwareDatetime
    """End, exclusive, in whole seconds."""


class ContributionRecord(Model):
    """What is claimed; set once, so that nobody approves one thing and gets another."""

    certificates: Annotated[tuple[EnergyCertificate, ...], Field(max_length=168)] = ()
    """Green energy; matched with what this member's meters read in the same zone and hour."""
    work: Annotated[tuple[Work, ...], Field(max_length=64)] = ()
    """Work; of each person every second counts once."""
    data: Annotated[tuple[KeptData, ...], Field(max_length=64)] = ()
    """Data kept for others; of each dataset every second counts once."""


class ContributionApproval(Model):
    """A member's yes; only that member's own identity may add it, or take it back."""

    member: MemberName
    """The member that approves."""


class Objection(Model):
    """A member's no; it opens a dispute, and only that member's own identity may add it, or take it back."""

    member: MemberName
    """The member that objects."""
    reason: Text
    """What is wrong with the record."""


class ContributionSpec(Model):
    """A claim and what others say of it."""

    record: Annotated[ContributionRecord, Field(json_schema_extra=both(ONCE, FILLED))]
    """What is claimed."""
    approvals: Annotated[
        tuple[ContributionApproval, ...],
        Field(
            max_length=64,
            json_schema_extra=keyed_by("member"),
        ),
    ] = ()
    """Members that said yes."""
    objections: Annotated[
        tuple[Objection, ...],
        Field(
            max_length=64,
            json_schema_extra=keyed_by("member"),
        ),
    ] = ()
    """Members that said no."""


class ContributionStatus(Status):
    """Where the claim stands, with its clock."""


class Contribution(Resource):
    """Certificates, work or kept data that a member wants counted."""

    definition: ClassVar[Definition] = Definition(
        kind="Contribution",
        plural="contributions",
        short_names=("contrib",),
        scope=Scope.NAMESPACED,
        columns=(Column(name="Approvals", json_path=".spec.approvals[*].member"),),
    )

    kind: str = "Contribution"
    spec: ContributionSpec
    status: ContributionStatus | None = None
