"""How long a dataset's rows are kept, and what keeps them longer: parts of a DataTrust."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from commonweal.kinds.meta import MemberName, Model, Name, SqlName, Text, both, cel, keyed_by


class Retention(Model):
    """Rows end a number of days after the day that they carry themselves, in UTC."""

    column: SqlName
    """A date or timestamptz column, dimension or hidden, with a value in every row."""
    days: Annotated[int, Field(ge=1, le=36_525)]
    """A row is kept this many days after the day in its column, and then removed from every file."""


class LegalHold(Model):
    """Trustees forbid that rows are destroyed; what questions may see stays as it is."""

    name: Name
    """What refusals and the audit log call it."""
    reason: Text
    """Why the rows must be kept, as in the number of a court's case."""
    declared_by: MemberName
    """The trustee that answers for it."""
    datasets: Annotated[
        tuple[SqlName, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """Datasets whose rows are held; all of the trust's where none is named."""
    until: AwareDatetime | None = None
    """When it ends by itself; unset, it lasts until it is removed."""


LegalHolds = Annotated[
    tuple[LegalHold, ...],
    Field(
        max_length=16,
        json_schema_extra=keyed_by("name"),
    ),
]
HOLDS_FIT = both(
    cel(
        "!has(self.legalHolds) || self.legalHolds.all(h, h.declaredBy in self.trustees)",
        "spec.legalHolds: declaredBy is no trustee; name the trustee that answers for the hold",
    ),
    cel(
        "!has(self.legalHolds) || self.legalHolds.all(h, !has(h.datasets) || "
        "h.datasets.all(n, self.datasets.exists(d, d.name == n)))",
        "spec.legalHolds: the trust has no such dataset; name its datasets, or none for all",
    ),
)
