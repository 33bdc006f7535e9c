"""DataTrust: which datasets lie where, what may be asked of them, and by which rules releases leave."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, StringConstraints

from commonweal.kinds.federation import FEDERATION_FITS, FederationRules
from commonweal.kinds.licence import LICENCES_FIT, Licence, RowLicences, SourceLicence
from commonweal.kinds.meta import (
    PLAIN_NAME,
    Column,
    Definition,
    MemberName,
    Model,
    Resource,
    Scope,
    SqlName,
    Status,
    Text,
    both,
    keyed_by,
)
from commonweal.kinds.retention import HOLDS_FIT, LegalHolds, Retention
from commonweal.kinds.visibility import MASK_SIZE, Mask, RowRules

EMERGENCY_MAX_HOURS = 168  # a week: whatever lasts longer can be asked for as a grant
EMERGENCY_PREFIX = "emergency-"  # no DataGrant may begin so: a question names either kind as its grant


class Purpose(StrEnum):
    """The closed vocabulary of purposes; a trust declares which of them it serves."""

    TRADE_EMBEDDED_EMISSIONS = "trade-embedded-emissions"
    NATURE_VALUATION = "nature-valuation"
    BIOSECURITY_EARLY_WARNING = "biosecurity-early-warning"
    PUBLIC_STATISTICS = "public-statistics"


class TrustReason(StrEnum):
    """Why a DataTrust is, or is not, Ready."""

    SERVING = "Serving"
    SOURCE_UNKNOWN = "SourceUnknown"
    SOURCE_NOT_READY = "SourceNotReady"
    POLICY_PENDING = "PolicyPending"
    RULE_UNUSABLE = "RuleUnusable"
    POLICY_TOO_LARGE = "PolicyTooLarge"
    NO_EMERGENCY = "NoEmergency"
    NOTHING_TO_REVIEW = "NothingToReview"


class ColumnRole(StrEnum):
    """What a question may do with a column: group by it, aggregate it, or nothing."""

    DIMENSION = "dimension"
    MEASURE = "measure"
    HIDDEN = "hidden"


# Primitive types of the Iceberg specification that every engine here reads alike.
IcebergType = Annotated[
    str,
    StringConstraints(
        max_length=32,
        pattern=r"^(boolean|int|long|double|string|date|timestamptz|decimal\([0-9]{1,2}, ?[0-9]{1,2}\))$",
    ),
]


class DatasetColumn(Model):
    """A column with its Iceberg primitive type, its unit and its role in questions."""

    name: SqlName
    """Name in SQL."""
    type: IcebergType
    """Iceberg primitive type."""
    role: ColumnRole
    """dimension may be grouped and filtered by, measure may be aggregated, hidden may not be named."""
    unit: Annotated[str, StringConstraints(max_length=32)] | None = None
    """Unit of the values."""
    description: Annotated[str, StringConstraints(max_length=512)] | None = None
    """What it means."""
    mask: Annotated[Mask | None, Field(json_schema_extra=MASK_SIZE)] = None
    """What a question sees instead of the value, wherever it names the column."""


class Dataset(Model):
    """A table of the trust; its rows lie at the members in `sources` and nowhere else."""

    model_config = ConfigDict(json_schema_extra=both(FEDERATION_FITS, LICENCES_FIT))

    name: SqlName
    """Table name in SQL."""
    description: Text
    """What the rows are."""
    licence: Licence
    """SPDX identifier of the rows' licence, where neither the source nor the row has another."""
    source_licences: Annotated[
        tuple[SourceLicence, ...],
        Field(
            default=(),
            max_length=64,
            json_schema_extra=keyed_by("member"),
        ),
    ]
    """Sources whose rows have another licence."""
    row_licences: RowLicences | None = None
    """Rows that name their own licence; then neither of the others counts."""
    synthetic: bool = False
    """True where a generator made the rows."""
    minimum_group_size: Annotated[int, Field(ge=1, le=1_000_000)]
    """A released group stands on at least this many rows."""
    columns: Annotated[
        tuple[DatasetColumn, ...],
        Field(
            min_length=1,
            max_length=128,
            json_schema_extra=keyed_by("name"),
        ),
    ]
    """The schema."""
    sources: Annotated[
        tuple[MemberName, ...], Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Members where rows of this dataset lie."""
    row_rules: RowRules = ()
    """Rows that questions see; all rules hold together, and without any every row is seen."""
    federation: FederationRules | None = None
    """How one answer is made of all sources' rows; unset, each source answers for itself only."""
    retention: Retention | None = None
    """How long rows are kept; unset, until somebody erases them."""


class DataTrustSpec(Model):
    """The trust's deed."""

    model_config = ConfigDict(json_schema_extra=HOLDS_FIT)

    title: Text
    """The trust's name for people."""
    trustees: Annotated[
        tuple[MemberName, ...], Field(min_length=1, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Members that decide on grants."""
    quorum: Annotated[int, Field(ge=1, le=64)]
    """How many trustees must approve a grant."""
    purposes: Annotated[
        tuple[Purpose, ...], Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Purposes that this trust serves."""
    datasets: Annotated[
        tuple[Dataset, ...],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra=keyed_by("name"),
        ),
    ]
    """What can be asked about."""
    legal_holds: LegalHolds = ()
    """Orders to keep rows, which stop retention and erasure."""
    emergency_hours: Annotated[int, Field(ge=0, le=EMERGENCY_MAX_HOURS)] | None = None
    """The most hours that an EmergencyAccess of this trust may last; unset or 0, there is none."""


class DataTrustStatus(Status):
    """Which members serve the trust now."""

    serving: Annotated[tuple[MemberName, ...], Field(max_length=64)] = ()
    """Members whose gateway holds the current policy."""


class DataTrust(Resource):
    """A governed data trust."""

    definition: ClassVar[Definition] = Definition(
        kind="DataTrust",
        plural="datatrusts",
        short_names=("dt",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="Purposes", json_path=".spec.purposes", priority=1),
            Column(name="Serving", json_path=".status.serving"),
        ),
        rules=(
            PLAIN_NAME,
            {
                "rule": "self.spec.quorum <= size(self.spec.trustees)",
                "message": "spec.quorum: above the number of trustees; lower it or name more trustees",
            },
        ),
    )

    kind: str = "DataTrust"
    spec: DataTrustSpec
    status: DataTrustStatus | None = None
