"""EquityStatement: what one accounting period credited to whom, with the log position that proves it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from commonweal.kinds.meta import (
    BasisPoints,
    Column,
    Count,
    Definition,
    MemberName,
    Model,
    Resource,
    Scope,
    Sha256,
    Status,
    immutable,
    keyed_by,
)


class StatementReason(StrEnum):
    """Why an EquityStatement is Ready."""

    RECOMPUTED = "Recomputed"
    DIFFERS = "Differs"


class CategoryAmounts(Model):
    """One amount a category: GPU-seconds, millijoules, seconds of work, rows times seconds."""

    compute: Count
    """GPU-seconds."""
    energy: Count
    """Millijoules."""
    talent: Count
    """Seconds of approved work."""
    data: Count = 0
    """Rows times seconds, kept for others."""


class EquityEntry(Model):
    """One member's period: what went into the formula, in whole units, and the share that came out."""

    member: MemberName
    """The member."""
    pledged_gpu_seconds: Count
    """Pledged devices times the period."""
    delivered_gpu_seconds: Count
    """Metered device time."""
    used_gpu_seconds: Count
    """GPU time that its applications used anywhere."""
    self_used_gpu_seconds: Count
    """The part of it on its own machines, which earns nothing."""
    used_core_seconds: Count
    """Core time that its applications used."""
    energy_mj: Count
    """Metered energy in millijoules."""
    green_energy_mj: Count
    """Energy of this and earlier periods that certificates of its hour now cover, in millijoules."""
    talent_seconds: Count
    """Approved work."""
    kept_row_seconds: Count = 0
    """Rows kept for others, times seconds."""
    credit: CategoryAmounts
    """What the period earned."""
    stock: CategoryAmounts
    """What earlier periods left after decay, plus the credit; the next period starts from it."""
    unvested: CategoryAmounts | None = None
    """The part of the stock that does not count yet; left out where all of it counts."""
    share_ppb: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """Share in parts per billion, from which the next statement is smoothed; left out without smoothing."""
    equity_bp: BasisPoints
    """Share of the whole after this period, in basis points."""


class LogPosition(Model):
    """The Merkle log (RFC 9162) as it stood when the statement was made."""

    tree_size: Count
    """Number of entries."""
    root_sha256: Sha256
    """Merkle tree hash over them."""


class EquityStatementSpec(Model):
    """A closed period, start inclusive, end exclusive; never edited, only followed by the next."""

    period_start: datetime
    """Start of the period, inclusive."""
    period_end: datetime
    """End of the period, exclusive."""
    charter_sha256: Sha256
    """Hash of the charter's equity formula in force."""
    previous: Annotated[str, Field(max_length=63)] | None = None
    """Name of the statement before this one."""
    simulated: bool
    """True where any reading came from a simulated device."""
    entries: Annotated[
        tuple[EquityEntry, ...],
        Field(
            min_length=1,
            max_length=64,
            json_schema_extra=keyed_by("member"),
        ),
    ]
    """One entry a member."""
    log: LogPosition
    """Where the log stood, so that anyone can check."""


class EquityStatementStatus(Status):
    """Whether the hub's own recomputation agrees."""


class EquityStatement(Resource):
    """A period's equity."""

    definition: ClassVar[Definition] = Definition(
        kind="EquityStatement",
        plural="equitystatements",
        short_names=("eq",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="From", json_path=".spec.periodStart", type="string"),
            Column(name="Log", json_path=".spec.log.treeSize", type="integer"),
            Column(name="Simulated", json_path=".spec.simulated", type="boolean"),
        ),
        rules=(
            {
                "rule": "self.spec.entries.map(e, e.equityBp).sum() == 10000",
                "message": "spec.entries: equityBp must sum to 10000",
            },
        ),
    )

    kind: str = "EquityStatement"
    spec: Annotated[EquityStatementSpec, Field(json_schema_extra=immutable("a statement", "publish the next period"))]
    status: EquityStatementStatus | None = None
