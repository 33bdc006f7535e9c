"""Which rows of a dataset a question sees, and how coarse their values: parts that DataTrust and DataGrant share.

Closed vocabularies throughout. A structural schema cannot nest without end, so rules are in conjunctive form: a row is
seen where every rule shows it, and a rule shows it where any one of its comparisons holds.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from commonweal.kinds.licence import Licence
from commonweal.kinds.meta import Model, Name, SqlName, cel, keyed_by


class Operator(StrEnum):
    """How a comparison compares; as in SQL, a column without a value satisfies `IsNull` alone."""

    IN = "In"
    NOT_IN = "NotIn"
    AT_LEAST = "AtLeast"
    BELOW = "Below"
    IS_NULL = "IsNull"
    IS_NOT_NULL = "IsNotNull"


class Claim(StrEnum):
    """What the gateway knows of the asker from a verified token and the grant; never what the asker says."""

    MEMBER = "member"
    BENEFICIARY = "beneficiary"
    PURPOSE = "purpose"


class MaskKind(StrEnum):
    """What stands in a column instead of its value."""

    NULL = "Null"
    YEAR = "Year"
    MONTH = "Month"
    PREFIX = "Prefix"
    BUCKET = "Bucket"


SETS = frozenset({Operator.IN, Operator.NOT_IN})
ORDERS = frozenset({Operator.AT_LEAST, Operator.BELOW})


class Comparison(Model):
    """One column against values, or against a claim of the asker."""

    column: SqlName
    """A dimension or hidden column."""
    operator: Operator
    """AtLeast and Below take one value; In and NotIn take values or a claim; IsNull and IsNotNull take nothing."""
    values: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=256)], ...],
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Values in the column's type, written as text."""
    claim: Claim | None = None
    """Compare with what is known of the asker."""

    @model_validator(mode="after")
    def _operands(self) -> Self:
        if len(self.values) != 1 and self.operator in ORDERS:
            raise ValueError(f"{self.column} {self.operator}: takes exactly one value")
        if bool(self.values) == (self.claim is not None) and self.operator in SETS:
            raise ValueError(f"{self.column} {self.operator}: takes either values or a claim")
        if self.claim is not None and self.operator not in SETS:
            raise ValueError(f"{self.column} {self.operator}: takes no claim")
        if self.values and self.operator not in SETS | ORDERS:
            raise ValueError(f"{self.column} {self.operator}: takes no value")
        return self


_OPERANDS = cel(
    "self.all(c, c.operator in ['AtLeast', 'Below'] ? size(c.values) == 1 && !has(c.claim) : "
    "c.operator in ['In', 'NotIn'] ? (size(c.values) > 0) != has(c.claim) : size(c.values) == 0 && !has(c.claim))",
    "anyOf: AtLeast and Below take one value, In and NotIn take values or a claim, IsNull and IsNotNull take nothing",
)


class RowRule(Model):
    """A row is seen only where at least one comparison of the rule holds."""

    name: Name
    """What `why` and the audit log call it."""
    any_of: Annotated[
        tuple[Comparison, ...],
        Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic", **_OPERANDS}),
    ]
    """Comparisons, of which one must hold."""


RowRules = Annotated[
    tuple[RowRule, ...],
    Field(
        max_length=16,
        json_schema_extra=keyed_by("name"),
    ),
]


class Mask(Model):
    """What a question sees of a column, wherever it names it: a function of the value that only ever forgets."""

    kind: MaskKind
    """Null; Year or Month of an instant or date; Prefix of a text; Bucket of a whole number."""
    size: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Characters that a Prefix keeps, or the width of a Bucket, which starts at the multiple nearer to zero."""

    @model_validator(mode="after")
    def _sized(self) -> Self:
        if (self.size is not None) != (self.kind in (MaskKind.PREFIX, MaskKind.BUCKET)):
            raise ValueError(f"{self.kind}: Prefix and Bucket take a size, the other masks take none")
        return self


MASK_SIZE = cel(
    "(self.kind in ['Prefix', 'Bucket']) == has(self.size)",
    "mask: Prefix and Bucket take a size, the other masks take none",
)


class ColumnMask(Model):
    """A mask by the name of its column."""

    column: SqlName
    """The column."""
    mask: Annotated[Mask, Field(json_schema_extra=MASK_SIZE)]
    """What a question sees instead."""


class Narrowing(Model):
    """What a grant takes away from what its trust would show."""

    dataset: SqlName
    """The dataset."""
    row_rules: RowRules = ()
    """Rules on top of the trust's own; all hold together."""
    masks: Annotated[
        tuple[ColumnMask, ...],
        Field(
            max_length=128,
            json_schema_extra=keyed_by("column"),
        ),
    ] = ()
    """Masks over what the trust's own masks leave."""
    licences: Annotated[
        tuple[Licence, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """Only rows under these licences; empty, rows under any."""
