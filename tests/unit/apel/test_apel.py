"""A month of use as grid accounting reads it: complete, counted once, rounded once."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from commonweal.apel import Site, messages
from commonweal.ledger import Transfer, Unit, transfer_of_use
from commonweal.receipts import Side
from operators.cli.main import app
from operators.hub.books import Books
from tests.strategies import transfers
from tests.unit.hub.test_uses import closing, take, usage

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
SITE = Site(member="kr", name="KR-ONE", submit_host="hub.example", benchmark=Fraction("21.69"), gpu_model="H100")


def use(consumer: str, amount: int, *, hour: int = 0, unit: Unit = Unit.CORE_SECONDS, provider: str = "kr") -> Transfer:
    start = NOVEMBER + timedelta(hours=hour)
    return transfer_of_use(consumer, provider, unit=unit, amount=amount, period_start=start, evidence="signed")


def fields(message: str) -> list[dict[str, str]]:
    """The records of a message, read as its receiver does: `key: value`, %% ends a record."""
    _, _, body = message.partition("\n")
    return [dict(line.split(": ", 1) for line in part.splitlines()) for part in body.split("%%\n")[:-1]]


def test_boincs_worked_example_is_rounded_once() -> None:
    [record] = fields(messages(SITE, NOVEMBER, [use("ca", 23_340), use("ca", 1, hour=1)]).summary)
    assert (record["WallDuration"], record["NormalisedWallDuration"]) == ("23341", "506266")
    assert (record["VO"], record["NumberOfJobs"], record["Month"], record["Year"]) == ("ca", "2", "11", "2026")


def test_the_sync_record_counts_what_the_summaries_speak_of() -> None:
    found = messages(SITE, NOVEMBER, [use("ca", 1), use("ke", 2), use("ke", 3, hour=1), use("ke", 9, hour=24 * 30)])
    assert found.sync == (
        "APEL-sync-message: v0.1\nSite: KR-ONE\nSubmitHost: hub.example\nMonth: 11\nYear: 2026\nNumberOfJobs: 3\n%%\n"
    )
    assert sum(int(record["NumberOfJobs"]) for record in fields(found.summary)) == found.jobs == 3


def test_devices_go_into_the_accelerator_message_and_no_device_is_said_to_be_busy() -> None:
    found = messages(SITE, NOVEMBER, [use("ca", 60, unit=Unit.GPU_SECONDS), use("ca", 60, provider="ke")])
    message = json.loads(found.accelerator)
    assert (message["Type"], message["Version"]) == ("APEL-accelerator-message", "0.1")
    [record] = message["UsageRecords"]
    assert (record["FQAN"], record["AvailableDuration"], record["Count"], record["Model"]) == ("ca", 60, 1, "H100")
    assert "ActiveDuration" not in record


@given(postings=transfers(("ca", "ke", "kr")), data=st.data())
def test_order_and_repetition_change_no_message(postings: list[Transfer], data: st.DataObject) -> None:
    month = datetime(2026, 11, 24, tzinfo=UTC)
    again = data.draw(st.permutations([*postings, *postings]))
    assert messages(SITE, month, again) == messages(SITE, month, postings)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books.open(tmp_path / "state")
    yield made
    made.close()


def run(books: Books, to: Path, **changes: str) -> tuple[int, str]:
    options = {
        "books": str(books.path),
        "member": "kr",
        "month": "2026-11",
        "site": "KR-ONE",
        "submit-host": "hub.example",
        "benchmark": "11.6",
        "gpu-model": "H100",
        "to": str(to),
    }
    words = [word for name, value in (options | changes).items() for word in (f"--{name}", value)]
    done = CliRunner().invoke(app, ["ledger", "apel", *words])
    return done.exit_code, done.stdout + done.stderr


def test_the_books_of_a_hub_become_three_files_once(books: Books, tmp_path: Path) -> None:
    for side in Side:
        take(books, side, usage(40, unit=Unit.CORE_SECONDS))
    closing(books)
    folder = tmp_path / "november"
    assert run(books, folder) == (0, f"wrote 1 jobs to {folder}\n")
    [record] = fields((folder / "summary.txt").read_text())
    assert (record["VO"], record["CpuDuration"], record["NormalisedCpuDuration"]) == ("ca", "40", "464")
    assert sorted(each.name for each in folder.iterdir()) == ["accelerator.json", "summary.txt", "sync.txt"]
    assert "a month is sent once" in run(books, folder)[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"month": "2026-13"}, "--month: 2026-13 is not a month"),
        ({"benchmark": "0"}, "--benchmark: 0 is not above 0"),
        ({"member": "ca"}, "--member: no use of ca was posted in 2026-11"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_nothing_is_written(
    books: Books, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    code, said = run(books, tmp_path / "out", **changes)
    assert code == 1
    assert words in said
    assert not (tmp_path / "out").exists()
