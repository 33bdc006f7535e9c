"""Data earns while another member may ask for it and it is kept as promised, and not by being told in pieces."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.stewardship import Kept, StewardshipError, row_seconds

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PERIOD = (NOON, NOON + timedelta(hours=1))


def kept(begin_s: int = 0, end_s: int = 3600, **changes: object) -> Kept:
    values: dict[str, Any] = {
        "steward": "ke",
        "dataset": "forest-plots",
        "rows": 1000,
        "begin": NOON + timedelta(seconds=begin_s),
        "end": NOON + timedelta(seconds=end_s),
        "granted_to": frozenset({"ca"}),
    }
    return Kept(**(values | changes))


spans = st.tuples(st.integers(-500, 3700), st.integers(1, 900)).map(lambda it: (it[0], it[0] + it[1]))
records = st.lists(st.builds(lambda span, rows: kept(*span, rows=rows), spans, st.integers(0, 10**6)), max_size=6)


def test_rows_that_others_may_ask_for_count_for_as_long_as_they_are_kept() -> None:
    assert row_seconds([kept(0, 1800), kept(2400, 3600)], PERIOD) == {"ke": 1000 * 3000}


def test_what_nobody_else_may_ask_for_earns_nothing() -> None:
    assert row_seconds([kept(granted_to=frozenset()), kept(granted_to=frozenset({"ke"}))], PERIOD) == {}


def test_a_dataset_told_as_two_halves_counts_the_same() -> None:
    halves = [kept(dataset="plots-north", rows=400), kept(dataset="plots-south", rows=600)]
    assert row_seconds(halves, PERIOD) == row_seconds([kept()], PERIOD)


@given(records, st.randoms())
def test_order_and_repetition_change_nothing(told: list[Kept], random: Any) -> None:  # noqa: ANN401 - hypothesis' own
    again = [*told, *told]
    random.shuffle(again)
    assert row_seconds(again, PERIOD) == row_seconds(told, PERIOD)


@given(spans, st.data())
def test_a_span_told_as_two_counts_as_one(span: tuple[int, int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(*span))
    halves = [kept(begin, end) for begin, end in ((span[0], cut), (cut, span[1])) if begin < end]
    assert row_seconds(halves, PERIOD) == row_seconds([kept(*span)], PERIOD)


@given(records)
def test_no_dataset_counts_more_than_its_most_rows_for_the_whole_period(told: list[Kept]) -> None:
    most = max((one.rows for one in told), default=0)
    assert sum(row_seconds(told, PERIOD).values()) <= most * 3600


@pytest.mark.parametrize(("changes", "words"), [({"rows": -1}, "rows: -1 is below 0"), ({"end": NOON}, "is not after")])
def test_what_no_dataset_is_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StewardshipError, match=words):
        kept(**changes)
