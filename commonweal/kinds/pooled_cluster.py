"""PooledCluster: what a member pledges to the pool, and what it delivered."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from commonweal.kinds.meta import (
    BasisPoints,
    Column,
    Count,
    Country,
    Definition,
    GridZone,
    Model,
    Resource,
    Scope,
    Status,
    cel,
    keyed_by,
)
from commonweal.metering import Scope as MeterScope


class PledgeCondition(StrEnum):
    """Condition types of a PooledCluster."""

    READY = "Ready"
    USE_AGREED = "UseAgreed"


class UseReason(StrEnum):
    """Why what a member gave and received is, or is not, agreed."""

    AGREED = "Agreed"
    DISPUTED = "Disputed"
    REFUSED = "Refused"
    OWN_USE_UNSIGNED = "OwnUseUnsigned"


class PledgeReason(StrEnum):
    """Why a PooledCluster is, or is not, Ready."""

    DELIVERED = "Delivered"
    AWAITING_FIRST_PERIOD = "AwaitingFirstPeriod"
    MEMBER_NOT_READY = "MemberNotReady"
    ABOVE_ALLOCATABLE = "AboveAllocatable"
    SHORT = "Short"
    METER_SILENT = "MeterSilent"
    READING_REFUSED = "ReadingRefused"


def _refuse_negative(schema: dict[str, Any]) -> None:
    """Let CEL refuse a negative pledge, because only CEL can also name the remedy."""
    schema.pop("minimum", None)
    schema.update(cel("self >= 0", "below 0; pledge 0 to withdraw a resource"))


PledgedCount = Annotated[int, Field(ge=0, le=2**53, json_schema_extra=_refuse_negative)]


class Pledge(Model):
    """Capacity pledged for every accounting period: thousandths of a core, MiB, GPU devices."""

    cpu_millis: PledgedCount = 0
    """Thousandths of a core."""
    memory_mib: PledgedCount = 0
    """MiB of memory."""
    gpus: PledgedCount = 0
    """GPU devices."""


class Location(Model):
    """Where the machines stand; the grid zone is that of the hourly generation mix (as CA-QC, KR, KE)."""

    country: Country
    """ISO 3166-1 alpha-2 code."""
    grid_zone: GridZone
    """Zone of the electricity grid, as CA-QC."""


class PowerKind(StrEnum):
    """Where power comes from, by the technology that generates it."""

    BIOMASS = "biomass"
    COAL = "coal"
    GAS = "gas"
    GEOTHERMAL = "geothermal"
    HYDRO = "hydro"
    NUCLEAR = "nuclear"
    SOLAR = "solar"
    WIND = "wind"


class PowerSource(Model):
    """One source and its share of the site's supply, in basis points."""

    kind: PowerKind
    """Technology."""
    share_bp: BasisPoints
    """Share of the site's supply in basis points."""


MeterUuid = Annotated[
    str, StringConstraints(min_length=8, max_length=80, pattern=r"^(GPU|MIG|NODE|FACILITY)-[A-Za-z0-9-]+$")
]


class Meter(Model):
    """A device whose register the ledger accepts; a simulated one says so."""

    uuid: MeterUuid
    """UUID that NVML reports for the device; of a meter around devices, NODE- or FACILITY- and a name."""
    simulated: bool = False
    """True where no such hardware stands behind it."""
    scope: MeterScope = MeterScope.GPU
    """What the register covers; a node's or a facility's bounds what is inside it and earns nothing."""
    within: MeterUuid | None = None
    """The meter around this one, which must read no less."""
    max_watts: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """The enforced power limit in W, where it is below what any such device may draw."""


PowerSources = Annotated[
    tuple[PowerSource, ...],
    Field(
        default=(),
        max_length=8,
        json_schema_extra={
            **keyed_by("kind"),
            **cel("size(self) == 0 || self.map(s, s.shareBp).sum() == 10000", "shareBp must sum to 10000"),
        },
    ),
]
Meters = Annotated[
    tuple[Meter, ...],
    Field(
        default=(),
        max_length=1024,
        json_schema_extra=keyed_by("uuid"),
    ),
]


class PooledClusterSpec(Model):
    """The pledge."""

    pledge: Pledge
    """Capacity pledged for every accounting period."""
    location: Location
    """Where the machines stand."""
    power_sources: PowerSources
    """Where the power comes from; the shares sum to 10000 or the list is empty."""
    meters: Meters
    """Devices whose readings the ledger accepts; empty accepts those that the member signs."""


class PeriodResult(Model):
    """One closed accounting period, start inclusive, end exclusive, in GPU-seconds and millijoules."""

    start: datetime
    """Start of the period, inclusive."""
    end: datetime
    """End of the period, exclusive."""
    pledged_gpu_seconds: Count
    """Pledged devices times the period."""
    delivered_gpu_seconds: Count
    """Metered device time."""
    shortfall_gpu_seconds: Count
    """Pledged and not delivered."""
    beyond_pledge_gpu_seconds: Count
    """Delivered and not pledged."""
    energy_mj: Count
    """Metered energy in millijoules."""
    simulated: bool
    """True where any reading came from a simulated device."""


class PooledClusterStatus(Status):
    """What the last closed period delivered."""

    last_period: PeriodResult | None = None
    """The last closed period."""
    meters_healthy: Count | None = None
    """Devices that reported in the last closed period."""


class PooledCluster(Resource):
    """A member's pledge."""

    definition: ClassVar[Definition] = Definition(
        kind="PooledCluster",
        plural="pooledclusters",
        short_names=("pledge",),
        scope=Scope.NAMESPACED,
        columns=(
            Column(name="GPUs", json_path=".spec.pledge.gpus", type="integer"),
            Column(name="Zone", json_path=".spec.location.gridZone"),
            Column(name="Delivered", json_path=".status.lastPeriod.deliveredGpuSeconds", type="integer", priority=1),
            Column(name="Meters", json_path=".status.metersHealthy", type="integer", priority=1),
            Column(name="Shortfall", json_path=".status.lastPeriod.shortfallGpuSeconds", type="integer", priority=1),
        ),
    )

    kind: str = "PooledCluster"
    spec: PooledClusterSpec
    status: PooledClusterStatus | None = None
