"""What every source shares: rows with provenance and licence, errors that name row and field, and one table layout.

A model is the schema: from it come the check of every row, the Parquet file and the dataset that a trust declares.
"""

import csv
import io
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from apps.trade.files import whole
from apps.trade.goods import Strict

ICEBERG: dict[object, str] = {
    str: "string",
    int: "long",
    bool: "boolean",
    Decimal: "decimal(38, 18)",
    datetime: "timestamptz",
}
ARROW: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    Decimal: pa.decimal128(38, 18),
    datetime: pa.timestamp("us", tz="UTC"),
}


class IngestError(ValueError):
    """A file that is not taken; names row and field, or the column, and the remedy."""


@dataclass(frozen=True)
class Measure:
    """Marks a field that may be aggregated; every row needs a value."""

    unit: str


@dataclass(frozen=True)
class Hidden:
    """Marks a field that no question may name."""


def _utc(value: object) -> object:
    """An instant without offset is refused: summer time and UTC differ by the hour that nobody notices."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("not an ISO 8601 instant; write it as 2026-01-31T23:00:00+00:00") from error
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("has no offset from UTC; add +00:00 or +01:00")
    return value.astimezone(UTC) if isinstance(value, datetime) else value


Instant = Annotated[AwareDatetime, BeforeValidator(_utc)]
Text = Annotated[str, Field(min_length=1, max_length=512)]
# The tables hold 20 digits before and 18 after the point.
Amount = Annotated[Decimal, Field(ge=0, max_digits=38, decimal_places=18, allow_inf_nan=False)]


class Row(Strict):
    """A row of evidence: where it comes from, under which licence, and whether a generator made it."""

    provenance: Text
    licence: Text
    synthetic: bool


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What every row of one file says of its origin."""

    provenance: str
    licence: str
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Rows taken, and how many were left out for which reason; a reason is a rule of the source, never an error."""

    rows: Sequence[Row]
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind of evidence: its table, how a file of it is read, and how a synthetic one is made."""

    dataset: str
    description: str
    model: type[Row]
    read: Callable[[bytes, Stamp], Reading]
    generate: Callable[[int], bytes]


def parsed(model: type[R], number: int, fields: Mapping[str, object], stamp: Stamp) -> R:
    """One row, checked. `number` counts from 1, without the heading.

    Raises:
        IngestError: a field is wrong, missing or unknown.

    """
    origin = {"provenance": stamp.provenance, "licence": stamp.licence, "synthetic": stamp.synthetic}
    try:
        return model.model_validate({**fields, **origin})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "row"
        given = "" if first["type"] == "missing" or not first["loc"] else f", not {first['input']!r}"
        raise IngestError(f"row {number}, field {name}: {first['msg']}{given}; correct the row") from error


def csv_rows(content: bytes, columns: Sequence[str], encoding: str = "utf-8") -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells of every row of a CSV file with exactly these columns; empty cells are left out.

    Raises:
        IngestError: the file is no CSV in this encoding, or its columns differ.

    """
    try:
        lines = csv.reader(io.StringIO(content.decode(encoding), newline=""), strict=True)
        heading = next(lines, [])
        if sorted(heading) != sorted(columns):
            missing = ", ".join(sorted(set(columns) - set(heading))) or "none"
            raise IngestError(f"heading: missing {missing}; the columns are {', '.join(columns)}")
        for number, cells in enumerate(lines, start=1):
            if len(cells) != len(heading):
                raise IngestError(f"row {number}: {len(cells)} cells under {len(heading)} columns; correct the row")
            yield number, {name: cell.strip() for name, cell in zip(heading, cells, strict=True) if cell.strip()}
    except (UnicodeDecodeError, csv.Error) as error:
        raise IngestError(f"file: {error}; give CSV in {encoding}") from error


def distinct(rows: Iterable[tuple[int, R]], key: Callable[[R], object], named: str) -> list[R]:
    """The rows, after looking for two of one key.

    Raises:
        IngestError: two rows say the same, or different things, of one key.

    """
    seen: dict[object, int] = {}
    held = []
    for number, row in rows:
        if (first := seen.setdefault(key(row), number)) != number:
            raise IngestError(f"row {number}, field {named}: the same as row {first}; remove one")
        held.append(row)
    return held


def columns_of(model: type[Row]) -> list[dict[str, str]]:
    """The columns of a source's table, as a trust declares them."""
    found = []
    for name, info in model.model_fields.items():
        marks = {type(mark): mark for mark in info.metadata}
        column = {"name": name, "type": ICEBERG[_plain(info.annotation)], "role": "dimension"}
        if Hidden in marks:
            column["role"] = "hidden"
        if Measure in marks:
            column |= {"role": "measure", "unit": marks[Measure].unit}
        found.append(column)
    return found


def write_parquet(model: type[Row], rows: Sequence[Row], out: Path) -> None:
    """Write rows with the types of the source's table, all or nothing.

    Raises:
        OSError: the folder cannot be written.

    """
    schema = pa.schema([(name, ARROW[_plain(info.annotation)]) for name, info in model.model_fields.items()])
    table = pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema)
    with whole(out) as unfinished:
        pq.write_table(table, unfinished)


def written_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> bytes:
    """Rows as CSV with a heading: how generators write."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def _plain(annotation: object) -> object:
    """The Python type behind Annotated, Literal and `| None`; a Literal's values are all of one type."""
    while (origin := get_origin(annotation)) is not None:
        inner = [each for each in get_args(annotation) if each is not type(None)]
        annotation = inner[0] if origin in {Union, types.UnionType, Annotated} else type(inner[0])
    return datetime if annotation is AwareDatetime else annotation
