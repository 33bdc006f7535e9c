"""The hub's books as Iceberg tables, for whoever analyses them with an engine that is not ours.

Namespace `accounting`: `readings` and `uses` as they were signed, `postings`, and `statements`, a row a member. Each
table says in its property `commonweal.through` how far it goes, committed with the rows, so that an export may stop
anywhere and be repeated. Amounts are whole numbers; the signed bytes go along.
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from commonweal.kinds.equity_statement import CategoryAmounts, EquityEntry, EquityStatementSpec
from commonweal.metering import Reading
from commonweal.receipts import Usage
from operators.cli.terminal import CommandError
from operators.hub.books import posted, read

NAMESPACE = "accounting"
THROUGH = "commonweal.through"
ROWS_A_COMMIT = 200_000  # what one commit holds in memory; it ends where a mark does
TYPES = {
    int: pa.int64(),
    str: pa.string(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us", tz="UTC"),
}

Row = dict[str, Any]
Marked = Iterator[tuple[str, Row]]  # rows with how far the table goes once every row of the mark is in it


@dataclass(frozen=True, kw_only=True)
class Source:
    """One table: its columns by type, and what the books hold after a mark, in the order of marks."""

    columns: Mapping[str, type]
    after: Callable[[Path, str], Marked]

    @property
    def schema(self) -> pa.Schema:
        """The columns as Arrow has them; none may be empty."""
        return pa.schema([pa.field(name, TYPES[kind], nullable=False) for name, kind in self.columns.items()])


def _readings(books: Path, mark: str) -> Marked:
    query = "SELECT position, payload, signature FROM readings WHERE position > ? ORDER BY position"
    for position, payload, signature in read(books, query, (int(mark or -1),)):
        reading = Reading.model_validate_json(payload)
        row = reading.model_dump(include=set(READINGS)) | {
            "scope": reading.scope.value,
            "flags": ",".join(reading.flags),
        }
        yield str(position), row | {"position": position, "payload": payload, "signature": signature}


READINGS: Mapping[str, type] = {
    "position": int,
    "member": str,
    "meter": str,
    "sequence": int,
    "period_start": datetime,
    "period_end": datetime,
    "energy_mj": int,
    "estimated_mj": int,
    "device_seconds": int,
    "gpu_count": int,
    "scope": str,
    "epoch": int,
    "flags": str,
    "simulated": bool,
    "payload": bytes,
    "signature": bytes,
}


def _uses(books: Path, mark: str) -> Marked:
    query = "SELECT position, side, payload, signature FROM uses WHERE position > ? ORDER BY position"
    for position, side, payload, signature in read(books, query, (int(mark or -1),)):
        usage = Usage.model_validate_json(payload)
        row = usage.model_dump() | {"unit": usage.unit.value, "side": side}
        yield str(position), row | {"position": position, "payload": payload, "signature": signature}


USES: Mapping[str, type] = {
    "position": int,
    "side": str,
    "consumer": str,
    "provider": str,
    "job": str,
    "unit": str,
    "amount": int,
    "period_start": datetime,
    "period_end": datetime,
    "payload": bytes,
    "signature": bytes,
}


def _postings(books: Path, mark: str) -> Marked:
    for statement, transfer in posted(books, after=mark):
        yield (
            statement,
            {
                "id": transfer.id,
                "statement": statement,
                "debit": transfer.debit,
                "credit": transfer.credit,
                "unit": transfer.unit.value,
                "amount": transfer.amount,
                "period_start": transfer.period_start,
                "evidence_sha256": transfer.evidence_sha256,
            },
        )


POSTINGS: Mapping[str, type] = {
    "id": str,
    "statement": str,
    "debit": str,
    "credit": str,
    "unit": str,
    "amount": int,
    "period_start": datetime,
    "evidence_sha256": str,
}


def _statements(books: Path, mark: str) -> Marked:
    query = "SELECT name, spec FROM statements WHERE name > ? ORDER BY name"
    for name, text in read(books, query, (mark,)):
        spec = EquityStatementSpec.model_validate_json(text)
        of_all = {
            "statement": name,
            "period_start": spec.period_start,
            "period_end": spec.period_end,
            "charter_sha256": spec.charter_sha256,
            "simulated": spec.simulated,
            "log_tree_size": spec.log.tree_size,
            "log_root_sha256": spec.log.root_sha256,
        }
        for entry in spec.entries:
            yield name, of_all | _flat(entry)


AMOUNTS = tuple(name for name, field in EquityEntry.model_fields.items() if field.annotation is int)
CATEGORIES = tuple(CategoryAmounts.model_fields)


def _flat(entry: EquityEntry) -> Row:
    """An entry's whole numbers; what only the next statement needs is in the statement itself."""
    amounts = {name: getattr(entry, name) for name in AMOUNTS}
    for category in CATEGORIES:
        amounts[f"credit_{category}"] = getattr(entry.credit, category)
        amounts[f"stock_{category}"] = getattr(entry.stock, category)
    return {"member": entry.member} | amounts


STATEMENTS: Mapping[str, type] = {
    "statement": str,
    "period_start": datetime,
    "period_end": datetime,
    "charter_sha256": str,
    "simulated": bool,
    "log_tree_size": int,
    "log_root_sha256": str,
    "member": str,
    **dict.fromkeys(AMOUNTS, int),
    **{f"{kind}_{category}": int for category in CATEGORIES for kind in ("credit", "stock")},
}

SOURCES: Mapping[str, Source] = {
    "readings": Source(columns=READINGS, after=_readings),
    "uses": Source(columns=USES, after=_uses),
    "postings": Source(columns=POSTINGS, after=_postings),
    "statements": Source(columns=STATEMENTS, after=_statements),
}


def export(books: Path, folder: Path, *, rows_a_commit: int = ROWS_A_COMMIT) -> dict[str, int]:
    """Append what the tables lack; return how many rows each got. Run again, it appends nothing.

    Raises:
        BooksError: the books cannot be read.
        CommandError: the folder holds tables of another form.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        catalog = SqlCatalog(
            "commonweal",
            uri=f"sqlite:///{folder.resolve() / 'catalog.db'}",
            warehouse=(folder.resolve() / "warehouse").as_uri(),
        )
        catalog.create_namespace_if_not_exists(NAMESPACE)
        tables = {
            name: catalog.create_table_if_not_exists(f"{NAMESPACE}.{name}", source.schema)
            for name, source in SOURCES.items()
        }
        return {name: _append(tables[name], source, books, rows_a_commit) for name, source in SOURCES.items()}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One export at a time: two that begin at one mark would both append what follows it."""
    with (folder / "export.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _append(table: Table, source: Source, books: Path, rows_a_commit: int) -> int:
    if have := set(source.columns) - set(table.schema().column_names):
        raise CommandError(
            f"--to: table {'.'.join(table.name())} has no column {min(have)}; give a folder that this version made"
        )
    count = 0
    rows: list[Row] = []
    mark = table.properties.get(THROUGH, "")
    for through, row in source.after(books, mark):
        if len(rows) >= rows_a_commit and through != mark:
            count += _commit(table, source, rows, mark)
            rows = []
        rows.append(row)
        mark = through
    return count + (_commit(table, source, rows, mark) if rows else 0)


def _commit(table: Table, source: Source, rows: list[Row], mark: str) -> int:
    with table.transaction() as transaction:
        transaction.append(pa.Table.from_pylist(rows, schema=source.schema))
        transaction.set_properties({THROUGH: mark})
    return len(rows)
