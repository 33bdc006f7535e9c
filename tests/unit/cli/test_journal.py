"""A journal adds up to the books that wrote it, and a line that no book can take is named."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from commonweal.ledger import POOL, Event, Post, Transfer, Unit, Void, delivered, transfers_of
from commonweal.metering import adopt
from operators.cli.main import app
from operators.hub.books import Books
from tests.strategies import NOON, measurement
from tests.unit.hub.test_books import spec

MADE = Transfer(
    debit=POOL,
    credit=delivered("ca"),
    unit=Unit.GPU_SECONDS,
    amount=10,
    period_start=NOON,
    evidence_sha256="0" * 64,
)


def balances(folder: Path, events: list[Event], *more: str) -> Result:
    (folder / "journal").write_bytes(b"".join(event.record() + b"\n" for event in events))
    return CliRunner().invoke(app, ["ledger", "balances", str(folder / "journal"), *more])


def test_repeats_count_once(tmp_path: Path) -> None:
    found = json.loads(balances(tmp_path, [MADE, MADE, Post(MADE.id), MADE], "--json").stdout)
    assert found["events"] == 2
    assert found["balances"] == [
        [delivered("ca"), "gpu_seconds", 0, 0, 0, 10],
        [POOL, "gpu_seconds", 0, 0, 10, 0],
    ]
    assert "member/ca/delivered" in balances(tmp_path, [MADE]).stdout


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([Post(MADE.id), MADE], "line 1: transfer_id: {id} is unknown; record the transfer first"),
        ([MADE, Void(MADE.id, "late"), Post(MADE.id)], "line 3: transfer_id: {id} has a void already"),
    ],
)
def test_a_line_that_no_book_can_take_is_named(tmp_path: Path, events: list[Event], message: str) -> None:
    result = balances(tmp_path, events)
    assert result.exit_code == 1
    assert f"{tmp_path / 'journal'}: {message.format(id=MADE.id)}" in result.stderr
    assert result.stdout == ""


def test_what_is_no_event_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("{}\n")
    result = CliRunner().invoke(app, ["ledger", "balances", str(tmp_path / "journal")])
    assert "journal: line 1: event: cannot be read" in result.stderr


def test_the_hubs_own_journal_adds_up_to_what_it_posted(tmp_path: Path) -> None:
    books = Books.open(tmp_path)
    reading = adopt(measurement(1, start=NOON, period=timedelta(minutes=1), energy_mj=5), member="ca", previous=None)
    books.accept(reading, b"signature")
    books.settle("statement-1", spec(), [reading], b"{}")
    export = ["equity", "export", "--format", "journal", "--books", str(books.path), "--out", str(tmp_path / "out")]
    assert "wrote 4 events" in CliRunner().invoke(app, export).stdout
    found = json.loads(CliRunner().invoke(app, ["ledger", "balances", "--json", str(tmp_path / "out")]).stdout)
    accounts = [*export[:3], "beancount", *export[4:-1], str(tmp_path / "accounts")]
    assert CliRunner().invoke(app, accounts).exit_code == 0
    assert "Income:Ca:Delivered  -5 ENERGY_MJ" in (tmp_path / "accounts").read_text()
    posted = {(account, unit): given for account, unit, _, _, _, given in found["balances"] if account != POOL}
    assert posted == {(each.credit, each.unit): each.amount for each in transfers_of(reading)}
