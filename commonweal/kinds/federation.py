"""How sums over all sources of a dataset leave a DataTrust: who combines, how many must take part, which noise."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from commonweal.kinds.meta import MemberName, Model, SqlName, Text, cel, immutable, keyed_by

TRILLION = 10**12
_EXACT = 2**53  # exact in every JSON reader
_DELTA = "deltaPerTrillion: discrete-gaussian needs it above 0, discrete-laplace spends none; set it accordingly"
_BOUNDS = "maximum: below minimum; give the range of one row's value"


# For the dataset that carries the rules.
FEDERATION_FITS = cel(
    "!has(self.federation) || (self.federation.combiner in self.sources"
    " && self.federation.minimumMembers <= size(self.sources))",
    "federation: the combiner must be a source, and there must be at least minimumMembers sources",
)


class Mechanism(StrEnum):
    """How noise is drawn; both are discrete, so that no float of a machine betrays a value."""

    DISCRETE_LAPLACE = "discrete-laplace"
    DISCRETE_GAUSSIAN = "discrete-gaussian"


class MeasureBounds(Model):
    """The range to which a row's value of one measure is clamped before it is summed."""

    model_config = ConfigDict(json_schema_extra=cel("self.minimum <= self.maximum", _BOUNDS))

    column: SqlName
    """The measure column."""
    minimum: Annotated[int, Field(ge=-_EXACT, le=_EXACT)]
    """The least value that counts, in the column's unit."""
    maximum: Annotated[int, Field(ge=-_EXACT, le=_EXACT)]
    """The greatest value that counts, in the column's unit."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(_BOUNDS)
        return self

    @property
    def magnitude(self) -> int:
        """The most that one row adds to, or takes from, a sum."""
        return max(abs(self.minimum), abs(self.maximum))


class NoiseRules(Model):
    """Differential privacy: what is protected, by which noise, and how much may be asked in all."""

    model_config = ConfigDict(
        json_schema_extra=cel("(self.mechanism == 'discrete-gaussian') == (self.deltaPerTrillion > 0)", _DELTA)
    )

    mechanism: Annotated[Mechanism, Field(json_schema_extra=immutable("mechanism", "declare a new dataset"))]
    """discrete-laplace spends epsilon, discrete-gaussian spends zero-concentrated privacy (rho)."""
    budget_micro_epsilon: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """What all releases to one beneficiary for one purpose may cost, in millionths of epsilon."""
    delta_per_trillion: Annotated[int, Field(ge=0, le=TRILLION // 10)] = 0
    """The chance, in trillionths, with which the promise may fail; 0 for discrete-laplace."""
    unit: Text
    """Whose presence is hidden, as one consignment or one patient."""
    rows_per_unit: Annotated[int, Field(ge=1, le=1_000_000)]
    """The most rows, at all members together, that one such unit has."""
    bounds: Annotated[
        tuple[MeasureBounds, ...],
        Field(
            default=(),
            max_length=128,
            json_schema_extra=keyed_by("column"),
        ),
    ]
    """Measures whose sums may be asked with noise; one without bounds may not."""

    @model_validator(mode="after")
    def _delta_fits(self) -> Self:
        if (self.mechanism is Mechanism.DISCRETE_GAUSSIAN) != (self.delta_per_trillion > 0):
            raise ValueError(_DELTA)
        return self

    def bounds_of(self, column: str) -> MeasureBounds | None:
        """The bounds of a measure, None where the trust gives none."""
        return next((each for each in self.bounds if each.column == column), None)


class FederationRules(Model):
    """How one answer is made of all members' rows while each member's own part stays unseen."""

    combiner: MemberName
    """The source whose gateway combines the masked parts, adds noise and leaves out small groups."""
    minimum_members: Annotated[int, Field(ge=3, le=64)]
    """A release stands on at least so many members; of two, each could subtract its own part."""
    noise: NoiseRules | None = None
    """The noise; unset, sums leave exactly and only group size and differencing protect rows."""
