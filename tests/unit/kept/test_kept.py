"""What a member claims to have kept is what its table's own history says, at its fewest."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.table import Table

from commonweal.kinds import Contribution
from data_trusts.catalog import Warehouse
from data_trusts.kept import KeptError, contribution, fewest_rows, main, printed, versions_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_the_fewest_rows_of_a_span_count() -> None:
    history = [(NOON - HOUR, 10), (NOON + HOUR, 4), (NOON + 2 * HOUR, 30)]
    assert fewest_rows(history, NOON, NOON + HOUR) == 10
    assert fewest_rows(history, NOON, NOON + 2 * HOUR) == 4
    assert fewest_rows(history, NOON + 2 * HOUR, NOON + 3 * HOUR) == 30


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 100)), min_size=1), st.integers(0, 50), st.integers(1, 9))
def test_no_part_of_a_span_had_fewer(told: list[tuple[int, int]], begin: int, hours: int) -> None:
    history = [(NOON + HOUR * at, rows) for at, rows in dict(told).items()]
    history.append((NOON - HOUR, 50))
    fewest = fewest_rows(history, NOON + HOUR * begin, NOON + HOUR * (begin + hours))
    for hour in range(begin, begin + hours):
        assert fewest <= max(each for each in history if each[0] <= NOON + HOUR * hour)[1]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([], "snapshots begin never"),
        ([(NOON + HOUR, 5)], "snapshots begin 2026-11-24T13:00:00Z; ask for a later span"),
        ([(NOON, 5), (NOON + timedelta(minutes=30), 0)], "had no rows for a part of the span"),
    ],
)
def test_what_the_table_does_not_say_is_not_claimed(history: list[tuple[datetime, int]], words: str) -> None:
    with pytest.raises(KeptError, match=words):
        fewest_rows(history, NOON, NOON + HOUR)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """One row, and a moment later three."""
    warehouse = Warehouse(tmp_path)
    warehouse.catalog.create_namespace("trade")
    rows = pa.table({"n": [1]})
    made = warehouse.catalog.create_table(("trade", "customs_rows"), rows.schema)
    made.append(rows)
    made.append(pa.table({"n": [2, 3]}))
    warehouse.close()
    return made


def run(folder: Path, begin: datetime, end: datetime) -> int:
    span = ["--begin", f"{begin:%FT%TZ}", "--end", f"{end:%FT%TZ}"]
    where = ["--member", "ca", "--data", str(folder)]
    return main(["--trust", "trade", "--dataset", "customs_rows", *span, *where])


def test_snapshots_say_how_many_rows_there_were_and_since_when(table: Table) -> None:
    first, second = versions_of(table)
    assert (first[1], second[1]) == (1, 3)
    assert first[0] <= second[0]


def test_a_span_before_the_first_snapshot_is_refused_in_words(
    table: Table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = versions_of(table)[0][0] - HOUR
    assert run(tmp_path, begin, begin + timedelta(minutes=1)) == 1
    assert "ask for a later span" in capsys.readouterr().err


def test_what_is_claimed_survives_the_wire() -> None:
    made = contribution("ca", "trade", "customs_rows", 3, (NOON, NOON + HOUR))
    assert Contribution.read(json.loads(printed(made))) == made
    assert (made.metadata.name, made.metadata.namespace) == ("kept-customs-rows-20261124120000", "member-ca")
