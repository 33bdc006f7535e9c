"""Millions of customs rows to totals by year, good and origin, each with its interval, in bounded memory.

The file is read in slices and grouped; only groups are kept, and each is assessed by the rule for one consignment. A
row that is wrong is named by number, field and remedy. Nobody calls this but `batch_commands.py`.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from apps.trade.assessment import KG_PER_T, Book, Consignment, Disclosed, UnassessableError, assess
from apps.trade.emissions import LEGAL, ZERO
from apps.trade.files import whole
from apps.trade.intervals import METHOD, Part, interval_t, part_of
from apps.trade.questions import AnswerError, read_disclosures

KEYS = ("product_nc", "partner", "flow", "period", "installation_id", "unit")
OPTIONAL = {"installation_id": "NULL", "unit": "'kg'"}  # what a file without the column means
REQUIRED = (*(name for name in KEYS if name not in OPTIONAL), "quantity_in_kg")
IMPORT = "1"
SLICE_ROWS = 1 << 19
ENGINE: dict[str, str | bool | int | float | list[str]] = {"threads": 2, "memory_limit": "1GB"}
PLACES = Decimal("1e-9")  # a microgram of a tonne; DECIMAL(38, 9) then holds 10^29 t
MONTH = re.compile(r"20[0-9]{2}(0[1-9]|1[0-2])")
# Field, what its value in a group must be, and the remedy.
RULES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("product_nc", re.compile(r"[0-9]{8}"), "give 8 digits of the Combined Nomenclature"),
    ("partner", re.compile(r"[A-Z]{2}"), "give two capital letters, ISO 3166-1"),
    ("flow", re.compile(r"[12]"), "give 1 for import or 2 for export"),
    ("period", re.compile(r"20[0-9]{2}"), "give year and month, as 202603"),
    ("installation_id", re.compile(r"|[A-Za-z0-9][A-Za-z0-9._-]{0,63}"), "give up to 64 letters, digits, . _ -"),
    ("unit", re.compile(r"kg"), "convert the quantity to kg"),
)
QUANTITY = ("quantity_in_kg", "give kilograms above 0")
Key = tuple[Any, ...]


class BatchError(ValueError):
    """A file that cannot be totalled; the message names file, field and remedy."""


@dataclass
class Grouped:
    """Rows and mass by the values of KEYS; `wrong_quantities` counts rows whose mass is not above 0."""

    rows: int = 0
    wrong_quantities: int = 0
    groups: dict[Key, tuple[int, int]] = field(default_factory=dict)

    def wrong_keys(self) -> set[Key]:
        """Groups with a value that breaks a rule."""
        return {key for key in self.groups if wrong_field(key) is not None}


@dataclass
class Cell:
    """Totals of one year, good and origin: what was counted, and the mass that could not be assessed, with reasons."""

    rows: int = 0
    mass_kg: int = 0
    unassessed_rows: int = 0
    unassessed_kg: int = 0
    reasons: set[str] = field(default_factory=set)
    tonnes_counted: Decimal = ZERO
    tonnes_default: Decimal = ZERO
    parts: list[Part] = field(default_factory=list)
    rule_packs: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)


def wrong_field(key: Key) -> tuple[str, str] | None:
    """The first field of a group that breaks a rule, and the remedy."""
    for (name, pattern, remedy), value in zip(RULES, (key[KEYS.index(rule[0])] for rule in RULES), strict=True):
        if not pattern.fullmatch("" if value is None and name == "installation_id" else str(value)):
            return name, remedy
    return None


def group(path: Path, progress: Callable[[int, int], None]) -> Grouped:
    """Group a file of customs rows; `progress` hears rows done and rows in all.

    Raises:
        BatchError: the file is not Parquet, or lacks a column.

    """
    found = Grouped()
    with duckdb.connect(config=ENGINE) as connection:
        for start, total, rows in slices(path):
            connection.register("rows", rows)
            for *key, count, mass_kg, wrong in connection.execute(_grouping(rows.column_names)).fetchall():
                known = found.groups.get(tuple(key), (0, 0))
                found.groups[tuple(key)] = (known[0] + count, known[1] + int(mass_kg or 0))
                found.wrong_quantities += wrong
            found.rows = start + rows.num_rows
            progress(found.rows, total)
    return found


def slices(path: Path) -> Iterator[tuple[int, int, pa.Table]]:
    """Rows before the slice, rows in all, and the slice, for the columns that count.

    Raises:
        BatchError: as `group`.

    """
    try:
        names = _checked(path, pq.read_schema(path))
        # Texts repeat by the million: kept as dictionaries they are decoded once.
        file = pq.ParquetFile(path, read_dictionary=[name for name in KEYS if name in names])
    except (OSError, pa.ArrowException) as error:
        raise BatchError(f"{path}: {error}; give a Parquet file of customs rows") from error
    with file:
        start = 0
        for batch in file.iter_batches(SLICE_ROWS, columns=names):
            yield start, file.metadata.num_rows, pa.Table.from_batches([batch])
            start += batch.num_rows


def _checked(path: Path, schema: pa.Schema) -> list[str]:
    """The columns that count, after looking at their types."""
    for name in REQUIRED:
        if name not in schema.names:
            raise BatchError(f"{path}: column {name} is missing; the columns are {', '.join(REQUIRED)}")
    if not pa.types.is_integer(kind := schema.field("quantity_in_kg").type):
        raise BatchError(f"{path}: quantity_in_kg is {kind}, not whole kilograms; convert it")
    texts = [name for name in KEYS if name in schema.names]
    for name in texts:
        if schema.field(name).type not in {pa.string(), pa.large_string()}:
            raise BatchError(f"{path}: {name} is {schema.field(name).type}, not text; convert it")
    return [*texts, "quantity_in_kg"]


def _grouping(columns: list[str]) -> str:
    """Months become their year, so that groups stay few, and codes lose their spaces; `_value` does the same."""
    said = {
        "product_nc": "replace(product_nc, ' ', '')",
        "period": f"CASE WHEN regexp_full_match(period, '{MONTH.pattern}') THEN period[:4] ELSE '!' || period END",
        **{name: value for name, value in OPTIONAL.items() if name not in columns},
    }
    keys = ", ".join(f"{said.get(name, name)} AS {name}" for name in KEYS)
    return (
        f"SELECT {keys}, count(*) FILTER (quantity_in_kg > 0), "  # noqa: S608 - names of our own
        "sum(quantity_in_kg) FILTER (quantity_in_kg > 0), count(*) FILTER (coalesce(quantity_in_kg, 0) <= 0) "
        "FROM rows GROUP BY ALL"
    )


def refused_rows(path: Path, grouped: Grouped) -> Iterator[tuple[int, str, object, str]]:
    """Number (from 1), field, value and remedy of every wrong row. Reads the file again, and only where some are wrong.

    Raises:
        BatchError: as `group`.

    """
    wrong = grouped.wrong_keys()
    if not wrong and not grouped.wrong_quantities:
        return
    for start, _, rows in slices(path):
        columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
        for number in range(rows.num_rows):
            key = tuple(_value(columns, name, number) for name in KEYS)
            mass_kg = columns["quantity_in_kg"][number]
            if key in wrong and (found := wrong_field(key)) is not None:
                yield start + number + 1, found[0], columns[found[0]][number], found[1]
            elif mass_kg is None or mass_kg <= 0:
                yield start + number + 1, QUANTITY[0], mass_kg, QUANTITY[1]


def _value(columns: Mapping[str, list[Any]], name: str, number: int) -> object:
    if name not in columns:
        return "kg" if name == "unit" else None
    value = columns[name][number]
    if value is None:
        return None
    if name == "period":
        return value[:4] if MONTH.fullmatch(value) else f"!{value}"
    return value.replace(" ", "") if name == "product_nc" else value


def totals(grouped: Grouped, book: Book) -> dict[tuple[int, str, str], Cell]:
    """Imports by year, good and origin, each group assessed as one consignment; wrong rows are left out."""
    cells: dict[tuple[int, str, str], Cell] = {}
    together: dict[tuple[int, str, str, str | None], tuple[int, int]] = {}
    for key, (rows, mass_kg) in grouped.groups.items():
        code, partner, flow, period, installation, _ = key
        if flow == IMPORT and rows and wrong_field(key) is None:
            known_maker = installation if installation and book.of_installation(installation) else None
            makers = (int(period), code, partner, known_maker)
            known = together.get(makers, (0, 0))
            together[makers] = (known[0] + rows, known[1] + mass_kg)
    with localcontext(LEGAL):
        for (year, code, partner, installation), (rows, mass_kg) in sorted(together.items(), key=str):
            cell = cells.setdefault((year, code, partner), Cell())
            asked = Consignment(
                cn_code=code,
                country=partner,
                installation_id=installation,
                net_mass_kg=Decimal(mass_kg),
                import_year=year,
            )
            _count(cell, asked, rows, mass_kg, book)
    return cells


def _count(cell: Cell, asked: Consignment, rows: int, mass_kg: int, book: Book) -> None:
    cell.rows += rows
    cell.mass_kg += mass_kg
    try:
        assessment = assess(asked, book)
    except UnassessableError as error:
        cell.unassessed_rows += rows
        cell.unassessed_kg += mass_kg
        cell.reasons.add(str(error))
        return
    tonnes = assessment.tonnes_counted
    cell.tonnes_counted += tonnes
    cell.tonnes_default += tonnes * assessment.default_share
    cell.parts.append(part_of(assessment))
    cell.rule_packs.add(assessment.pack.id)
    cell.labels.add(assessment.pack.label)


def read_disclosed(path: Path) -> list[Disclosed]:
    """Rows of the table facility_disclosures.

    Raises:
        BatchError: the file is not Parquet, lacks a column or holds what is no number.

    """
    try:
        table = pq.read_table(path)
        columns = table.to_pydict()
        return read_disclosures(Held(rows=list(zip(*columns.values(), strict=True)), columns=list(columns)))
    except (OSError, pa.ArrowException, AnswerError) as error:
        raise BatchError(f"--disclosures: {path}: {error}; give a Parquet file of facility_disclosures") from error


@dataclass(frozen=True, kw_only=True)
class Held:
    """Rows that lie here, in the form of a member's answer."""

    columns: list[str]
    rows: list[tuple[object, ...]]
    member: str = "here"


SCHEMA = pa.schema(
    [
        ("year", pa.int32()),
        ("cn_code", pa.string()),
        ("country", pa.string()),
        ("rows", pa.int64()),
        ("mass_t", pa.decimal128(38, 9)),
        ("tonnes_counted", pa.decimal128(38, 9)),
        ("low_t", pa.float64()),
        ("high_t", pa.float64()),
        ("default_share", pa.float64()),
        ("unassessed_rows", pa.int64()),
        ("unassessed_mass_t", pa.decimal128(38, 9)),
        ("unassessed_because", pa.string()),
        ("rule_pack", pa.string()),
        ("label", pa.string()),
        ("interval_method", pa.string()),
    ]
)


def write_totals(cells: Mapping[tuple[int, str, str], Cell], out: Path) -> None:
    """Write one row a cell, all or nothing; tonnes are null where nothing of a cell could be assessed.

    Raises:
        OSError: the folder cannot be written.

    """
    with localcontext(LEGAL):
        rows = [_row(*key, cell) for key, cell in sorted(cells.items())]
    with whole(out) as unfinished:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), unfinished)


def _row(year: int, cn_code: str, country: str, cell: Cell) -> dict[str, object]:
    interval = interval_t(cell.parts)
    return {
        "year": year,
        "cn_code": cn_code,
        "country": country,
        "rows": cell.rows,
        "mass_t": (cell.mass_kg / KG_PER_T).quantize(PLACES),
        "tonnes_counted": cell.tonnes_counted.quantize(PLACES) if cell.parts else None,
        "low_t": interval[0] if interval else None,
        "high_t": interval[1] if interval else None,
        "default_share": float(cell.tonnes_default / cell.tonnes_counted) if cell.tonnes_counted else None,
        "unassessed_rows": cell.unassessed_rows,
        "unassessed_mass_t": (cell.unassessed_kg / KG_PER_T).quantize(PLACES),
        "unassessed_because": "; ".join(sorted(cell.reasons)) or None,
        "rule_pack": ", ".join(sorted(cell.rule_packs)) or None,
        "label": ", ".join(sorted(cell.labels)) or None,
        "interval_method": METHOD if interval else None,
    }


def write_refused(refused: Iterator[tuple[int, str, object, str]], out: Path) -> int:
    """Write every wrong row as CSV, all or nothing; returns how many there are.

    Raises:
        OSError: the folder cannot be written.

    """
    count = 0
    with whole(out) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "field", "value", "remedy"))
        for row in refused:
            count += 1
            writer.writerow(row)
    return count
