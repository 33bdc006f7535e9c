"""The groups of a federated question: the asker names each that it wants to see, by value or by range."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import isnan, prod
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from commonweal.differencing import Part
from commonweal.grants import PolicyColumn, PolicyDataset, Rule
from commonweal.visibility import mask_words, value_of
from data_trusts.grammar import RefusedError
from data_trusts.releases import is_number

MAX_GROUPS = 1024
Label = StrictBool | StrictInt | StrictStr | None


class Cells(BaseModel):
    """The groups wanted of one column: single values, or the edges of a histogram's half-open ranges.

    Decimals, dates and instants are text, as in answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: Annotated[tuple[Label, ...], Field(max_length=MAX_GROUPS)] = ()
    edges: Annotated[tuple[StrictInt | StrictStr, ...], Field(max_length=MAX_GROUPS + 1)] = ()


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One grouping column: its labels in order, and the edges between them where it is a histogram."""

    column: PolicyColumn
    labels: tuple[Label, ...]
    keys: tuple[Any, ...]
    edges: tuple[Any, ...] = ()

    def place(self, value: Any) -> int | None:  # noqa: ANN401 -- of the column's type
        """Where a row's value stands, None where its group is not wanted."""
        if not self.edges:
            return self.keys.index(value) if value in self.keys else None
        if value is None or (isinstance(value, float) and isnan(value)):
            return None
        place = bisect_right(self.edges, value) - 1
        return place if 0 <= place < len(self.labels) else None

    def parts(self) -> Iterator[Part]:
        """The labels as differencing compares them; under another mask a label means other rows."""
        cells = "value" if not self.edges else "edges " + ",".join(map(str, self.edges))
        domain = f"{mask_words(self.column.name, self.column.masks)}, {cells}" if self.column.masks else cells
        for label in self.labels:
            yield Part(column=self.column.name, domain=domain, labels=(str(label),))


def axes_of(names: Sequence[str], groups: Mapping[str, Cells], dataset: PolicyDataset) -> tuple[Axis, ...]:
    """The axes of the columns in GROUP BY.

    Raises:
        RefusedError: a column's groups are not named, are of another type, or are too many.
    """
    astray = sorted(set(groups) ^ set(names))
    if astray:
        known = "is not in GROUP BY" if astray[0] in groups else "is in GROUP BY, but its groups are not named"
        raise RefusedError(
            Rule.GROUPS, f"groups.{astray[0]}: {known}", "Name the values or edges of each column in GROUP BY"
        )
    axes = []
    for name in names:
        column = dataset.column(name)
        if column is not None:
            axes.append(_axis(column, groups[name]))
    if prod(len(axis.labels) for axis in axes) > MAX_GROUPS:
        raise RefusedError(Rule.GROUPS, f"groups: more than {MAX_GROUPS} in all", "Name fewer, or ask more than once")
    return tuple(axes)


def _axis(column: PolicyColumn, cells: Cells) -> Axis:
    where = f"groups.{column.name}"
    if bool(cells.values) == bool(cells.edges):
        raise RefusedError(Rule.GROUPS, f"{where}: give values or edges", "Give one of them, not both or none")
    if cells.values:
        if column.type == "double":
            raise RefusedError(Rule.GROUPS, f"{where}: doubles are rarely equal", "Give edges")
        keys = tuple(_typed(label, column) for label in cells.values)
        if len(set(keys)) != len(keys):
            raise RefusedError(Rule.GROUPS, f"{where}: a value stands twice", "Name each value once")
        return Axis(column=column, labels=cells.values, keys=keys)
    edges = tuple(_typed(edge, column) for edge in cells.edges)
    if column.type in ("string", "boolean") or len(edges) < 2 or any(not a < b for a, b in pairwise(edges)):
        raise RefusedError(
            Rule.GROUPS, f"{where}: edges do not rise, or {column.type} has none", "Give two or more rising edges"
        )
    labels = tuple(f"[{low}, {high})" for low, high in pairwise(cells.edges))
    return Axis(column=column, labels=labels, keys=labels, edges=edges)


def _typed(label: object, column: PolicyColumn) -> Any:  # noqa: ANN401 -- of the column's type
    """A label as the engine returns a value of the column's type; edges of a double are exact numbers."""
    if label is None:
        return None
    if isinstance(label, bool) is (column.type == "boolean"):
        whole = column.type in ("int", "long", "boolean")
        if isinstance(label, int) and (whole or is_number(column.type)):
            return label if whole else Decimal(label)
        if isinstance(label, str) and not whole:
            with suppress(ValueError):
                return value_of(label, column.type)
    raise RefusedError(
        Rule.GROUPS, f"groups.{column.name}: {label!r} is no value of type {column.type}", "Write it as answers do"
    )
