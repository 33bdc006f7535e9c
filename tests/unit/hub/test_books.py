"""The books are all or nothing, append-only, and the same after every restart."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commonweal.contributions import Decided, Past, bring
from commonweal.green import Load
from commonweal.kinds.equity_statement import CategoryAmounts, EquityEntry, EquityStatementSpec, LogPosition
from commonweal.ledger import Unit, transfers_of
from commonweal.metering import Reading, adopt
from commonweal.receipts import Side, Terms, Usage, settle
from commonweal.transparency import leaf_hash, root
from operators.hub.books import PERMANENT, Books, BooksError, posted
from tests.strategies import measurement
from tests.unit.contributions.samples import certificate, claim, work

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
USAGE = Usage(
    provider="kr",
    consumer="ca",
    job="trade",
    unit=Unit.GPU_SECONDS,
    amount=60,
    period_start=NOON,
    period_end=NOON + timedelta(minutes=1),
)
NOTHING = CategoryAmounts(compute=0, energy=0, talent=0)


def reading(sequence: int = 1, previous: Reading | None = None) -> Reading:
    start = NOON + timedelta(minutes=sequence)
    return adopt(measurement(sequence, meter="GPU-ca-0000", start=start, energy_mj=5), member="ca", previous=previous)


def spec(minute: int = 0) -> EquityStatementSpec:
    entry = EquityEntry(
        member="ca",
        pledged_gpu_seconds=60,
        delivered_gpu_seconds=60,
        used_gpu_seconds=0,
        self_used_gpu_seconds=0,
        used_core_seconds=0,
        energy_mj=5,
        green_energy_mj=0,
        talent_seconds=0,
        credit=NOTHING,
        stock=NOTHING,
        equity_bp=10_000,
    )
    start = NOON + timedelta(minutes=minute)
    return EquityStatementSpec(
        period_start=start,
        period_end=start + timedelta(minutes=1),
        charter_sha256="0" * 64,
        simulated=True,
        entries=(entry,),
        log=LogPosition(tree_size=0, root_sha256="0" * 64),
    )


def test_recording_twice_is_recording_once(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    for _ in range(2):
        books.accept(reading(), b"signature")
    assert books.position().tree_size == 1
    assert books.unsettled() == (reading(),)
    assert books.last_reading("GPU-ca-0000") == reading()


def test_what_was_posted_is_read_back_under_its_statement_while_the_books_are_in_use(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    books.settle("statement-1", spec(), [reading()], b"record")
    assert list(posted(books.path)) == [("statement-1", each) for each in transfers_of(reading())]


def test_a_posting_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    books.settle("statement-1", spec(), [reading()], b"record")
    books.connection.execute("DROP TRIGGER postings_update")
    books.connection.execute("UPDATE postings SET amount = amount + 1")
    with pytest.raises(BooksError, match="is not the hash of its content; the books were altered"):
        list(posted(books.path))


def test_a_file_that_is_no_book_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("nothing of the kind")
    for name in ("other", "none"):
        with pytest.raises(BooksError, match=r"give a hub's books\.sqlite3"):
            list(posted(tmp_path / name))


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    final = books.settle("statement-1", spec(), [reading()], b"record")
    position = books.position()
    books.close()
    again = Books.open(tmp_path)
    assert again.position() == position == final.log
    assert again.last_statement() == ("statement-1", final)
    assert again.settled_in("statement-1") == (reading(),)
    assert again.unsettled() == ()


def test_the_root_is_that_of_the_leaves(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    books.settle("statement-1", spec(), [reading()], b"record")
    leaves = [leaf for (leaf,) in books.connection.execute("SELECT leaf FROM log ORDER BY position")]
    assert books.position().root_sha256 == root([leaf_hash(leaf) for leaf in leaves]).hex()
    assert leaves[-1] == b"record"


def test_a_failed_transaction_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    books.settle("statement-1", spec(), [reading()], b"record")
    before = books.position()
    with pytest.raises(sqlite3.IntegrityError):
        books.settle("statement-1", spec(1), [], b"other")
    assert books.position() == before
    books.accept(reading(2, reading()), b"signature")
    assert books.position().tree_size == before.tree_size + 1


@pytest.mark.parametrize("table", PERMANENT)
def test_what_is_written_cannot_be_changed(tmp_path: Path, table: str) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    books.accept_use(Side.CLAIM, USAGE, b"signature")
    use = settle([USAGE], [], terms=Terms(period_s=60), now=NOON)
    whole = claim(certificates=[certificate()], work=[work()])
    books.record_claim(whole, NOON)
    books.refuse_claim(claim(work=[work(0, 0)]), "end: is not after")
    drawn = Load(member="ca", zone="CA-QC", hour=NOON, mj=10**9)
    brought = bring([Decided(claim=whole, counts=True)], Past(), [drawn], NOON)
    books.settle("statement-1", spec(), [reading()], b"record", use=use, brought=brought)
    books.refuse("ca", "GPU-ca-0000", "energy_mj: too much", b"{}", in_chain=reading(2))
    column = books.connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]  # noqa: S608
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"):  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            books.connection.execute(statement)


def test_a_complaint_lasts_until_the_next_good_reading(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.refuse("ca", "GPU-ca-0000", "energy_mj: too much", b"{}")
    assert books.complaint("ca") == "GPU-ca-0000: energy_mj: too much"
    books.complain("ca", "GPU-ca-0001", "scope: module")
    assert books.complaint("ca") == "GPU-ca-0000: energy_mj: too much; and 1 more of its meters"
    assert books.complaint("kr") == ""
    books.accept(reading(), b"signature")
    assert books.complaint("ca") == "GPU-ca-0001: scope: module"


def test_a_refused_reading_is_the_last_until_one_after_it_is_accepted(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    books.accept(reading(), b"signature")
    assert books.last_refused("GPU-ca-0000") is None
    second = reading(2, reading())
    books.refuse("ca", "GPU-ca-0000", "energy_mj: too much", second.payload(), in_chain=second)
    assert (books.last_reading("GPU-ca-0000"), books.last_refused("GPU-ca-0000")) == (reading(), second)
    books.accept(reading(3, second), b"signature")
    assert books.last_refused("GPU-ca-0000") is None


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BooksError, match="give --state-dir a folder"):
        Books.open(tmp_path / "file")
