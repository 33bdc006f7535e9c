"""Under which licences rows may be used, where a dataset mixes them: by source, or row by row."""

from typing import Annotated

from pydantic import Field, StringConstraints

from commonweal.kinds.meta import MemberName, Model, SqlName, cel

Licence = Annotated[str, StringConstraints(min_length=1, max_length=128)]

# For the dataset that carries them.
LICENCES_FIT = cel(
    "(!has(self.sourceLicences) || self.sourceLicences.all(l, l.member in self.sources))"
    " && (!has(self.rowLicences) || !has(self.sourceLicences) || size(self.sourceLicences) == 0)",
    "licences: sourceLicences name sources of the dataset, and stand where no row names its own licence",
)


class SourceLicence(Model):
    """The licence of one source's rows."""

    member: MemberName
    """The source."""
    licence: Licence
    """SPDX identifier."""


class RowLicences(Model):
    """Each row says its own licence."""

    column: SqlName
    """A dimension of type string, without a mask; no row may leave it empty."""
    licences: Annotated[
        tuple[Licence, ...], Field(min_length=1, max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """SPDX identifiers that rows may name; a row with another one is not taken in."""
