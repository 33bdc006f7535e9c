"""The books as Iceberg tables: what stock readers see adds up to what was published, however often it is exported."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from commonweal.ledger import Unit
from commonweal.receipts import Side
from operators.cli import warehouse
from operators.cli.terminal import CommandError
from operators.hub.books import Books, BooksError
from operators.hub.periods import Observed, ended, statement
from tests.unit.hub.test_periods import MINUTE, NOON, charter, observed, reading
from tests.unit.hub.test_uses import usage


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books.open(tmp_path / "state")
    yield made
    made.close()


def close_period(books: Books, minute: int) -> None:
    """A period of two members' readings, one of which used the other's machines an hour before."""
    start = NOON + minute * MINUTE
    readings = tuple(
        reading(member, start, energy_mj=10**15 + minute).model_copy(update={"sequence": minute + 1})
        for member in ("ca", "kr")
    )
    for one in readings:
        books.accept(one, b"signature")
    for side in Side:
        for unit in (Unit.GPU_SECONDS, Unit.CORE_SECONDS):
            told = usage(40, unit=unit)
            shifted = {"period_start": start - 60 * MINUTE, "period_end": start - 59 * MINUTE}
            books.accept_use(side, told.model_copy(update=shifted), b"signature")
    accounting = charter().accounting.model_copy(update={"audit_seconds": 60, "dispute_seconds": 120})
    it: Observed = observed(
        *readings,
        charter=charter().model_copy(update={"accounting": accounting}),
        use=books.unsettled_use(before=start),
        last=books.last_statement(),
    )
    use = ended(it, start + MINUTE)
    spec, record, brought = statement(it, (start, start + MINUTE), readings, use)
    books.settle(f"statement-{start:%Y%m%d-%H%M%S}", spec, readings, record, use=use, brought=brought)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """As anyone reads them, with stock PyIceberg."""
    catalog = SqlCatalog("commonweal", uri=f"sqlite:///{folder / 'catalog.db'}")
    return list(catalog.load_table(f"accounting.{table}").scan().to_arrow().to_pylist())


def test_sums_over_the_tables_are_the_published_amounts(books: Books, tmp_path: Path) -> None:
    for minute in range(3):
        close_period(books, minute)
    assert warehouse.export(books.path, tmp_path) == {"readings": 6, "uses": 12, "postings": 18, "statements": 6}
    postings = SqlCatalog("commonweal", uri=f"sqlite:///{tmp_path / 'catalog.db'}").load_table("accounting.postings")
    with duckdb.connect() as engine:
        engine.register("postings", postings.scan().to_arrow())
        sums = dict(
            engine.execute(
                "SELECT (statement, debit, credit, unit), sum(amount)::BIGINT FROM postings GROUP BY ALL"
            ).fetchall()
        )
    for row in rows(tmp_path, "statements"):
        given = (row["statement"], "pool", f"member/{row['member']}/delivered")
        assert sums[*given, "gpu_seconds"] == row["delivered_gpu_seconds"]
        assert sums[*given, "energy_mj"] == row["energy_mj"] == 10**15 + int(row["statement"][-4:-2])
        taken = (row["statement"], f"member/{row['member']}/used/kr", "pool")
        assert sums.get((*taken, "gpu_seconds"), 0) == row["used_gpu_seconds"] == (40 if row["member"] == "ca" else 0)
        assert sums.get((*taken, "core_seconds"), 0) == row["used_core_seconds"]


def test_an_export_adds_what_is_new_and_nothing_twice(books: Books, tmp_path: Path) -> None:
    close_period(books, 0)
    warehouse.export(books.path, tmp_path)
    close_period(books, 1)
    assert warehouse.export(books.path, tmp_path) == {"readings": 2, "uses": 4, "postings": 6, "statements": 2}
    assert set(warehouse.export(books.path, tmp_path).values()) == {0}
    ids = [row["id"] for row in rows(tmp_path, "postings")]
    assert len(ids) == len(set(ids)) == 12


@pytest.mark.parametrize("rows_a_commit", [1, 4])
def test_an_export_that_stops_in_the_middle_goes_on_there(books: Books, tmp_path: Path, rows_a_commit: int) -> None:
    for minute in range(3):
        close_period(books, minute)
    books.connection.execute("DROP TRIGGER postings_update")
    altered = "UPDATE postings SET amount = amount + ? WHERE rowid = (SELECT MAX(rowid) FROM postings)"
    books.connection.execute(altered, (1,))
    with pytest.raises(BooksError, match="the books were altered"):
        warehouse.export(books.path, tmp_path, rows_a_commit=rows_a_commit)
    assert len(rows(tmp_path, "postings")) == 12
    books.connection.execute(altered, (-1,))
    added = warehouse.export(books.path, tmp_path, rows_a_commit=rows_a_commit)
    assert added == {"readings": 0, "uses": 0, "postings": 6, "statements": 6}
    assert len({row["id"] for row in rows(tmp_path, "postings")}) == 18


def test_what_was_signed_is_in_the_tables_as_it_was_signed(books: Books, tmp_path: Path) -> None:
    close_period(books, 0)
    warehouse.export(books.path, tmp_path)
    assert rows(tmp_path, "readings")[0]["payload"] == reading("ca", energy_mj=10**15).payload()
    assert {row["period_start"] for row in rows(tmp_path, "uses")} == {NOON - timedelta(hours=1)}
    assert all(
        type(value) is not float for name in warehouse.SOURCES for row in rows(tmp_path, name) for value in row.values()
    )


def test_tables_of_another_form_are_refused_by_their_column(books: Books, tmp_path: Path) -> None:
    close_period(books, 0)
    warehouse.export(books.path, tmp_path)
    table = SqlCatalog("commonweal", uri=f"sqlite:///{tmp_path / 'catalog.db'}").load_table("accounting.readings")
    with table.update_schema(allow_incompatible_changes=True) as change:
        change.delete_column("epoch")
    with pytest.raises(CommandError, match=r"accounting\.readings has no column epoch"):
        warehouse.export(books.path, tmp_path)
