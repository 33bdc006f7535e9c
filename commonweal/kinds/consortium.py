"""Consortium: the charter as data. One object, named `charter`, written by hub administrators."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from commonweal.kinds.meta import (
    BasisPoints,
    Column,
    Count,
    Country,
    Definition,
    GridZone,
    Model,
    Name,
    Resource,
    Scope,
    Status,
    Text,
    cel,
    keyed_by,
)


class ConsortiumReason(StrEnum):
    """Why the charter is, or is not, Ready."""

    IN_FORCE = "InForce"
    INVALID = "Invalid"


class Accounting(Model):
    """How long one accounting period is, and how long its use may be questioned: shorter in a demo."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.auditSeconds <= self.disputeSeconds",
            "disputeSeconds must be at least auditSeconds; a dispute outlasts the audit",
        ),
    )

    period_seconds: Annotated[int, Field(ge=60, le=3600)] = 3600
    """Length of one accounting period in seconds; periods start at whole multiples in UTC."""
    audit_seconds: Annotated[int, Field(ge=60, le=31_536_000)] = 604_800
    """For so long after a period a receipt may come, and agreed use stays pending."""
    dispute_seconds: Annotated[int, Field(ge=60, le=31_536_000)] = 1_209_600
    """So long after a period the lesser amount of a dispute stands."""
    approval_quorum: Annotated[int, Field(ge=1, le=64)] = 2
    """How many other members approve what no meter reads, before it counts."""


class EquityWeights(Model):
    """How much each category of contribution counts, in basis points of the whole."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.computeBp + self.energyBp + self.talentBp + (has(self.dataBp) ? self.dataBp : 0) == 10000",
            "computeBp, energyBp, talentBp and dataBp must sum to 10000",
        ),
    )

    compute_bp: BasisPoints
    """Weight of GPU time delivered."""
    energy_bp: BasisPoints
    """Weight of energy that is green, metered and within the cap."""
    talent_bp: BasisPoints
    """Weight of approved work."""
    data_bp: BasisPoints | None = None
    """Weight of data kept for others; without it, none."""


class EquityFormula(Model):
    """The equity formula; see commonweal/equity.py for what it computes."""

    weights: EquityWeights
    """What each category of contribution counts."""
    basic_share_bp: BasisPoints
    """Part of the whole that members share equally, in basis points."""
    cap_bp: Annotated[int, Field(ge=1, le=10_000)]
    """The most that one member may hold, in basis points; the excess goes to the others."""
    beyond_pledge_bp: BasisPoints
    """What delivery beyond the pledge counts, in basis points of pledged delivery."""
    energy_cap_milliwatts: Annotated[int, Field(ge=0, le=10_000_000)]
    """The most power that a credited GPU may have drawn, in milliwatts; energy above it earns nothing."""
    decay_half_life_periods: Annotated[int, Field(ge=1, le=1_000_000)]
    """After how many periods a past contribution counts half."""
    vesting_half_life_periods: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """After how many periods half of a credit counts; without it a credit counts at once."""
    smoothing_periods: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """A statement moves shares one part in so many of the way from the last one's; without it, all of the way."""


class JoinRules(Model):
    """How long an agent's certificate lasts; it is renewed at three quarters of that."""

    certificate_seconds: Annotated[int, Field(ge=600, le=604_800)] = 86_400
    """Life of an agent's certificate in seconds."""


class HeartbeatRules(Model):
    """When silence becomes a condition. Nothing is evicted on silence."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.intervalSeconds < self.silentAfterSeconds && self.silentAfterSeconds < self.unreachableAfterSeconds",
            "intervalSeconds, silentAfterSeconds and unreachableAfterSeconds must rise in this order",
        ),
    )

    interval_seconds: Annotated[int, Field(ge=1, le=300)] = 10
    """How often an agent renews its lease."""
    silent_after_seconds: Annotated[int, Field(ge=2, le=3600)] = 40
    """After how long a silent agent is reported."""
    unreachable_after_seconds: Annotated[int, Field(ge=3, le=86_400)] = 300
    """After how long a silent member gets no new work; nothing is evicted."""


class ServiceClass(Model):
    """A promise that a PilotApp can name, and that a load test can hold it to."""

    name: Name
    """The name that a PilotApp refers to."""
    availability_bp: BasisPoints
    """Share of requests that must be answered, in basis points."""
    latency_p95_ms: Annotated[int, Field(ge=1, le=600_000)]
    """95th percentile of latency in milliseconds, from the intended start of a request."""
    error_share_bp: BasisPoints
    """The most errors allowed, in basis points of requests."""


ServiceClasses = Annotated[
    tuple[ServiceClass, ...],
    Field(
        min_length=1,
        max_length=16,
        json_schema_extra=keyed_by("name"),
    ),
]


# A registry and path without tag: what stands below it may be run by tag, because its makers derive tags from content.
ImageSource = Annotated[
    str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$")
]
AllowedCountries = Annotated[tuple[Country, ...], Field(default=(), max_length=64)]
AllowedZones = Annotated[tuple[GridZone, ...], Field(default=(), max_length=256)]
ImageSources = Annotated[tuple[ImageSource, ...], Field(default=(), max_length=64)]


class Overhead(Model):
    """What the pods of a site itself may request in sum; they have no GPUs."""

    cpu_millis: Count
    """Thousandths of a core."""
    memory_mib: Count
    """MiB of memory."""


class SiteRules(Model):
    """What the charter asks of every member's site; commonweal/site_policy.py holds sites to it."""

    countries: AllowedCountries
    """Countries in which a site may stand; an empty list allows every country."""
    grid_zones: AllowedZones
    """Zones of the electricity grid in which a site may stand, as CA-QC; an empty list allows every zone."""
    image_sources: ImageSources
    """Registries, with path, whose images may be run by tag; all others are named by digest."""
    overhead: Overhead | None = None
    """The most that a site's own pods may request beside the pledge; unset, it is not bounded."""


class ConsortiumSpec(Model):
    """The charter."""

    title: Text
    """The consortium's name for people."""
    accounting: Accounting = Accounting()
    """How contributions are cut into periods."""
    equity: EquityFormula
    """How contributions become shares."""
    join: JoinRules = JoinRules()
    """How members join."""
    heartbeat: HeartbeatRules = HeartbeatRules()
    """When silence counts."""
    service_classes: ServiceClasses
    """The promises that applications can make."""
    sites: SiteRules = SiteRules()
    """What a member's site must keep."""


class ConsortiumStatus(Status):
    """Whether the charter is in force, and how many members it binds."""

    members: Count | None = None
    """Number of accepted members."""


class Consortium(Resource):
    """The charter of the consortium."""

    definition: ClassVar[Definition] = Definition(
        kind="Consortium",
        plural="consortiums",
        short_names=("cons",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="Title", json_path=".spec.title"),
            Column(name="Members", json_path=".status.members", type="integer"),
        ),
        rules=(
            {
                "rule": "self.metadata.name == 'charter'",
                "message": "a consortium has one charter; name it charter",
            },
        ),
    )

    kind: str = "Consortium"
    spec: ConsortiumSpec
    status: ConsortiumStatus | None = None
