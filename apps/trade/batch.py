"""Millions of customs rows to totals by year, good and origin, each with its interval, in bounded memory.

The file is read in slices and grouped; only groups are kept, and each is assessed by the rule for one consignment. A
row that is wrong is named by number, field and remedy. Nobody calls this but `batch_commands.py`.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from apps.trade.assessment import KG_PER_T, Book, Consignment, Disclosed, UnassessableError, assess
from apps.trade.emissions import LEGAL, ZERO
from apps.trade.files import whole
from apps.trade.intervals import METHOD, Part, interval_t, part_of
from apps.trade.problems import problem_of
from apps.trade.questions import AnswerError, read_disclosures

IMPORT = "1"
SLICE_ROWS = 1 << 19
ENGINE: dict[str, str | bool | int | float | list[str]] = {"threads": 2, "memory_limit": "1GB"}
PLACES = Decimal("1e-9")  # a microgram of a tonne; DECIMAL(38, 9) then holds 10^29 t
WRONG = "!"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a text of a row must match once `said` (SQL) is done to it, what of it groups rows (SQL), and the remedy."""

    name: str
    pattern: str
    remedy: str
    said: str = "{name}"
    kept: str = "{name}"
    absent: str | None = None  # what a file without the column means; None where it must be there


# Months become their year and makers that disclosed nothing become none, so that groups stay few whatever a file holds.
RULES = (
    Rule(
        name="product_nc",
        pattern="[0-9]{8}",
        said="replace({name}, ' ', '')",
        kept="replace({name}, ' ', '')",
        remedy="give 8 digits of the Combined Nomenclature",
    ),
    Rule(name="partner", pattern="[A-Z]{2}", remedy="give two capital letters, ISO 3166-1"),
    Rule(name="flow", pattern="[12]", remedy="give 1 for import or 2 for export"),
    Rule(
        name="period",
        pattern="20[0-9]{2}(0[1-9]|1[0-2])",
        kept="{name}[:4]",
        remedy="give year and month, as 202603",
    ),
    Rule(
        name="installation_id",
        pattern="|[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        said="coalesce({name}, '')",
        kept="CASE WHEN {name} IN (SELECT maker FROM makers) THEN {name} END",
        remedy="give up to 64 letters, digits, . _ -",
        absent="",
    ),
    Rule(name="unit", pattern="kg", remedy="convert the quantity to kg", absent="kg"),
)
TEXTS = tuple(rule.name for rule in RULES)
QUANTITY = ("quantity_in_kg", "give kilograms above 0")
REQUIRED = (*(rule.name for rule in RULES if rule.absent is None), QUANTITY[0])
Key = tuple[str | None, ...]


class BatchError(ValueError):
    """A file that cannot be totalled; the message names file, field and remedy."""


@dataclass
class Grouped:
    """Rows and kilograms by what RULES keep of a row; `wrong` counts rows that break one or have no mass above 0."""

    rows: int = 0
    wrong: int = 0
    groups: dict[Key, tuple[int, int]] = field(default_factory=dict)


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


def group(path: Path, makers: Iterable[str], progress: Callable[[int, int], None]) -> Grouped:
    """Group a file of customs rows; `makers` disclosed something, and `progress` hears rows done and rows in all.

    Raises:
        BatchError: the file is not Parquet, or lacks a column.

    """
    found = Grouped()
    with duckdb.connect(config=ENGINE) as connection:
        connection.register("makers", pa.table({"maker": pa.array(sorted(makers), pa.string())}))
        for start, total, rows in slices(path):
            connection.register("rows", rows)
            for *key, count, mass_kg, wrong in connection.execute(_grouping(rows.column_names)).fetchall():
                found.wrong += int(wrong)
                if WRONG in key:
                    found.wrong += int(count)
                else:
                    known = found.groups.get(tuple(key), (0, 0))
                    found.groups[tuple(key)] = (known[0] + int(count), known[1] + int(mass_kg or 0))
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
        file = pq.ParquetFile(path, read_dictionary=[name for name in TEXTS if name in names])
    except (OSError, pa.ArrowException) as error:
        raise BatchError(f"{path}: {error}; give a Parquet file of customs rows") from error
    with file:
        start, total = 0, file.metadata.num_rows
        waiting: list[pa.RecordBatch] = []
        for batch in file.iter_batches(SLICE_ROWS, columns=names):
            waiting.append(batch)
            rows = sum(each.num_rows for each in waiting)
            if rows >= SLICE_ROWS or start + rows == total:
                yield start, total, pa.Table.from_batches(waiting)
                start += rows
                waiting = []


def _checked(path: Path, schema: pa.Schema) -> list[str]:
    """The columns that count, after looking at their types."""
    for name in REQUIRED:
        if name not in schema.names:
            raise BatchError(f"{path}: column {name} is missing; the columns are {', '.join(REQUIRED)}")
    if not pa.types.is_integer(kind := schema.field("quantity_in_kg").type):
        raise BatchError(f"{path}: quantity_in_kg is {kind}, not whole kilograms; convert it")
    texts = [name for name in TEXTS if name in schema.names]
    for name in texts:
        if schema.field(name).type not in {pa.string(), pa.large_string()}:
            raise BatchError(f"{path}: {name} is {schema.field(name).type}, not text; convert it")
    return [*texts, "quantity_in_kg"]


def _grouping(columns: list[str]) -> str:
    """Rows are first grouped as they are, so that rules look at a group once and not at every row."""
    texts = ", ".join(rule.name for rule in RULES if rule.name in columns)
    keys = ", ".join(_kept(rule) if rule.name in columns else f"'{rule.absent}' AS {rule.name}" for rule in RULES)
    alike = (
        f"SELECT {texts}, count(*) FILTER (quantity_in_kg > 0) AS held, "  # noqa: S608 - names of our own
        "sum(quantity_in_kg) FILTER (quantity_in_kg > 0) AS kg, "
        "count(*) FILTER (coalesce(quantity_in_kg, 0) <= 0) AS wrong FROM rows GROUP BY ALL"
    )
    return f"SELECT {keys}, sum(held), sum(kg), sum(wrong) FROM ({alike}) GROUP BY ALL"  # noqa: S608 - as above


def _kept(rule: Rule) -> str:
    said, kept = rule.said.format(name=rule.name), rule.kept.format(name=rule.name)
    return f"CASE WHEN regexp_full_match({said}, '{rule.pattern}') THEN {kept} ELSE '{WRONG}' END AS {rule.name}"


def refused_rows(path: Path) -> Iterator[tuple[int, str, object, str]]:
    """Number (from 1), field, value and remedy of every wrong row, by the same rules; the first broken one is named.

    Raises:
        BatchError: as `group`.

    """
    patterns = {rule.name: re.compile(rule.pattern) for rule in RULES}
    for start, _, rows in slices(path):
        columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
        checked = [rule for rule in RULES if rule.name in columns]
        for number in range(rows.num_rows):
            for rule in checked:
                value = columns[rule.name][number]
                if not _matches(rule, patterns[rule.name], value):
                    yield start + number + 1, rule.name, value, rule.remedy
                    break
            else:
                mass_kg = columns[QUANTITY[0]][number]
                if mass_kg is None or mass_kg <= 0:
                    yield start + number + 1, QUANTITY[0], mass_kg, QUANTITY[1]


def _matches(rule: Rule, pattern: re.Pattern[str], value: str | None) -> bool:
    if value is None:
        return rule.absent == ""
    return pattern.fullmatch(value.replace(" ", "") if rule.name == "product_nc" else value) is not None


def totals(grouped: Grouped, book: Book) -> dict[tuple[int, str, str], Cell]:
    """Imports by year, good and origin, each group assessed as one consignment; wrong rows are left out."""
    cells: dict[tuple[int, str, str], Cell] = {}
    with localcontext(LEGAL):
        for (code, partner, flow, period, installation, _), (rows, mass_kg) in sorted(grouped.groups.items(), key=str):
            if flow == IMPORT and rows:
                year = int(period or 0)
                cell = cells.setdefault((year, str(code), str(partner)), Cell())
                cell.rows += rows
                cell.mass_kg += mass_kg
                asked = {
                    "cn_code": code,
                    "country": partner,
                    "installation_id": installation or None,
                    "net_mass_kg": mass_kg,
                    "import_year": year,
                }
                _count(cell, asked, rows, mass_kg, book)
    return cells


def _count(cell: Cell, asked: Mapping[str, object], rows: int, mass_kg: int, book: Book) -> None:
    try:
        assessment = assess(Consignment.model_validate(asked), book)
    except (UnassessableError, ValidationError) as error:
        cell.unassessed_rows += rows
        cell.unassessed_kg += mass_kg
        cell.reasons.add(problem_of(error, Consignment).detail)
        return
    cell.tonnes_counted += assessment.tonnes_counted
    cell.tonnes_default += assessment.tonnes_counted * assessment.default_share
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
