"""Work counts when others approved it, and no second of a person counts twice, however it is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.talent import WorkError, WorkRecord, approved_seconds, refusal

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PERIOD = (NOON, NOON + timedelta(hours=1))
MEMBERS = ["ca", "ke", "kr"]


def record(begin_s: int = 0, end_s: int = 600, **changes: object) -> WorkRecord:
    values: dict[str, Any] = {
        "member": "ca",
        "person": "p-1",
        "task": "reviewed the charter",
        "begin": NOON + timedelta(seconds=begin_s),
        "end": NOON + timedelta(seconds=end_s),
        "approved_by": frozenset({"ke", "kr"}),
    }
    return WorkRecord(**(values | changes))


def seconds(*records: WorkRecord) -> dict[str, int]:
    return approved_seconds(records, quorum=2, period=PERIOD)


spans = st.tuples(st.integers(0, 3500), st.integers(1, 100)).map(lambda it: (it[0], it[0] + it[1]))
records = st.lists(
    st.builds(
        lambda span, member, person, by: record(*span, member=member, person=person, approved_by=frozenset(by)),
        spans,
        st.sampled_from(MEMBERS),
        st.sampled_from(["p-1", "p-2"]),
        st.sets(st.sampled_from(MEMBERS)),
    ),
    max_size=8,
)


def test_approved_work_counts_in_seconds() -> None:
    assert seconds(record(), record(600, 900), record(person="p-2")) == {"ca": 1500}


@pytest.mark.parametrize("by", [set(), {"kr"}, {"ca", "kr"}, {"ca"}])
def test_a_member_cannot_approve_its_own_work(by: set[str]) -> None:
    assert seconds(record(approved_by=frozenset(by))) == {}
    assert "ask for" in refusal(record(approved_by=frozenset(by)), quorum=2, period=PERIOD)


def test_a_span_that_leaves_the_period_is_refused() -> None:
    assert seconds(record(3000, 3601)) == {}
    assert "cut the span at its ends" in refusal(record(3000, 3601), quorum=2, period=PERIOD)


@given(records, st.randoms())
def test_order_and_repetition_change_nothing(told: list[WorkRecord], random: Any) -> None:  # noqa: ANN401 - hypothesis' own
    again = [*told, *told]
    random.shuffle(again)
    assert seconds(*again) == seconds(*told)


@given(records, spans, st.data())
def test_a_span_told_as_two_counts_as_one(told: list[WorkRecord], span: tuple[int, int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(*span))
    halves = [record(begin, end) for begin, end in ((span[0], cut), (cut, span[1])) if begin < end]
    assert sum(seconds(*told, *halves).values()) == sum(seconds(*told, record(*span)).values())


@given(records)
def test_nobody_works_more_than_there_is_time(told: list[WorkRecord]) -> None:
    assert sum(seconds(*told).values()) <= 2 * 3600


@given(records)
def test_leaving_a_record_out_never_raises_what_the_member_has(told: list[WorkRecord]) -> None:
    for each in told:
        rest = [one for one in told if one != each]
        assert seconds(*rest).get(each.member, 0) <= seconds(*told).get(each.member, 0)


def test_a_records_name_is_what_was_reported_and_not_who_approved_it() -> None:
    assert record().id == record(approved_by=frozenset()).id != record(end_s=601).id


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": ""}, "task: empty"),
        ({"end": NOON}, "is not after"),
        ({"begin": NOON.replace(tzinfo=None)}, "begin: .* is not a whole second in UTC"),
    ],
)
def test_a_span_that_nobody_worked_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(WorkError, match=words):
        record(**changes)
