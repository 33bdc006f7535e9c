"""Postings in a columnar file: written from the hub's books, summed by an embedded engine for a replay.

A posting has no name in the file: its name is the hash of its content, so one that is there twice, in one file or in
two, is one posting, of the first statement that has it. The engine drops repeats and sums; every rule is elsewhere
(commonweal.ledger, commonweal.replay).
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from commonweal.ledger import Flow, Transfer, Unit
from operators.cli.terminal import CommandError

SCHEMA = pa.schema(
    [
        pa.field("debit", pa.string(), nullable=False),
        pa.field("credit", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("amount", pa.int64(), nullable=False),
        pa.field("period_start_unix_s", pa.int64(), nullable=False),
        pa.field("evidence_sha256", pa.binary(), nullable=False),
        pa.field("statement", pa.string(), nullable=False),
    ]
)
CONTENT = ("debit", "credit", "unit", "amount", "period_start_unix_s", "evidence_sha256")
ROWS_A_GROUP = 100_000  # an increment reads only the groups whose statements and periods it needs
MEMORY_LIMIT = "4GB"  # beyond it the engine spills to disk, so the size of a history is not bounded by memory


def write(path: Path, postings: Iterable[tuple[str, Transfer]]) -> int:
    """Write postings with the names of their statements; return how many."""
    count = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        rows = (_row(name, transfer) for name, transfer in postings)
        while group := list(islice(rows, ROWS_A_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            count += len(group)
    return count


def _row(statement: str, transfer: Transfer) -> dict[str, Any]:
    return {
        "debit": transfer.debit,
        "credit": transfer.credit,
        "unit": transfer.unit.value,
        "amount": transfer.amount,
        "period_start_unix_s": int(transfer.period_start.astimezone(UTC).timestamp()),
        "evidence_sha256": bytes.fromhex(transfer.evidence_sha256),
        "statement": statement,
    }


def summed(files: Sequence[Path], statements: Sequence[str], after: str) -> Mapping[str, tuple[tuple[Flow, ...], int]]:
    """Return, for each of the statements, its flows between accounts and how many postings they sum.

    `statements` rise by name and are all that follow `after` (empty: from the beginning).

    Raises:
        CommandError: a file or a row that no replay can take; names the file, the row and the remedy.
    """
    for file in files:
        _refuse_wrong_columns(file)
    try:
        with tempfile.TemporaryDirectory() as spill, duckdb.connect() as engine:
            engine.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET temp_directory = '{spill}'")
            source = engine.read_parquet([str(file) for file in files], filename=True, file_row_number=True)
            source.create_view("postings")
            _refuse_wrong_rows(engine, statements, after)
            sums = list(_sums(engine, after))
    except duckdb.Error as error:
        raise CommandError(f"--postings: {error}; export the file anew") from None
    found: dict[str, tuple[tuple[Flow, ...], int]] = dict.fromkeys(statements, ((), 0))
    for statement, debit, credit, unit, amount, count in sums:
        flow = Flow(debit=debit, credit=credit, unit=Unit(unit), amount=int(amount))
        flows, postings = found[statement]
        found[statement] = ((*flows, flow), postings + count)
    return found


def _refuse_wrong_columns(file: Path) -> None:
    if not file.is_file():
        raise CommandError(f"--postings: {file} does not exist; write it with `commonweal equity export`")
    try:
        found = pq.read_schema(file)
    except pa.ArrowInvalid as error:
        raise CommandError(f"--postings: {file} is not a Parquet file ({error}); write it with equity export") from None
    for field in SCHEMA:
        have = found.field(field.name).type if field.name in found.names else "missing"
        if have != field.type:
            raise CommandError(f"--postings: {file}: column {field.name} is {have}, not {field.type}; export it anew")


def _refuse_wrong_rows(engine: duckdb.DuckDBPyConnection, statements: Sequence[str], after: str) -> None:
    engine.execute("CREATE TABLE replayed AS SELECT unnest($1::VARCHAR[]) AS name", [list(statements)])
    engine.execute("CREATE TABLE units AS SELECT unnest($1::VARCHAR[]) AS name", [list(Unit)])
    nothing = " OR ".join(f"{name} IS NULL" for name in (*CONTENT, "statement"))
    row = engine.execute(
        f"""
        SELECT filename, file_row_number, CASE
            WHEN {nothing} THEN 'a column is empty; export the file anew'
            WHEN amount <= 0 THEN 'amount: ' || amount || ' is not above 0; swap debit and credit'
            WHEN debit = credit THEN 'credit: ' || credit || ' is also the debit; a transfer needs two accounts'
            WHEN unit NOT IN (SELECT name FROM units) THEN 'unit: ' || unit || ' is unknown; use this version''s units'
            WHEN statement NOT IN (SELECT name FROM replayed)
                THEN 'statement: ' || statement || ' is not among the statements; give it too, or replay from --since'
        END AS wrong
        FROM postings WHERE (statement > $1 OR statement IS NULL) AND wrong IS NOT NULL
        ORDER BY filename, file_row_number LIMIT 1
        """,  # noqa: S608 - only names of our own columns
        [after],
    ).fetchone()
    if row:
        raise CommandError(f"--postings: {row[0]}: row {row[1]}: {row[2]}")


def _sums(engine: duckdb.DuckDBPyConnection, after: str) -> Iterator[tuple[str, str, str, str, int, int]]:
    """Sum what follows `after`, each posting once; one that an earlier statement has is not there again.

    A posting's content holds its period, so a repeat can only be among postings of the same periods: the list lets
    the engine leave out all other row groups of an earlier file.
    """
    content = ", ".join(CONTENT)
    engine.execute(
        f"""
        CREATE TABLE once AS SELECT {content}, min(statement) AS statement
        FROM postings WHERE statement > $1 GROUP BY {content}
        """,  # noqa: S608 - only names of our own columns
        [after],
    )
    if after:
        periods = engine.execute("SELECT DISTINCT period_start_unix_s FROM once ORDER BY 1").fetchall()
        some = ", ".join(str(int(period)) for (period,) in periods) or "NULL"
        engine.execute(
            f"""
            DELETE FROM once WHERE ({content}) IN (
                SELECT ({content}) FROM postings WHERE statement <= $1 AND period_start_unix_s IN ({some}))
            """,  # noqa: S608 - only names of our own columns, and numbers
            [after],
        )
    yield from engine.execute(
        """
        SELECT statement, debit, credit, unit, sum(amount), count(*)
        FROM once GROUP BY statement, debit, credit, unit ORDER BY statement, debit, credit, unit
        """
    ).fetchall()
