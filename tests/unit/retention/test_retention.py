"""Which rows have ended on which day, and which hold forbids to destroy them."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from commonweal.agreements import negotiate_all
from commonweal.grants import Allowed, Ask, compile_policy, dataset_faults, decide
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.retention import LegalHold, Retention
from commonweal.kinds.visibility import RowRule
from commonweal.retention import Hold, changes, first_kept, first_kept_day, held, in_force, row_rule
from data_trusts.queries import CompiledQuestion, Dialect, compile_question
from tests.unit.grants.samples import CUSTOMS, NOON, PURPOSE, grant, site, trust

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds are naive
RETENTIONS = st.builds(Retention, column=st.just("day"), days=st.integers(1, 36_525))


def made(name: str, datasets: set[str], until: datetime | None) -> LegalHold:
    return LegalHold(name=name, reason="Case 7", declared_by="ca", datasets=tuple(sorted(datasets)), until=until)


HOLDS = st.builds(
    made,
    st.sampled_from(["court", "audit", "inquiry"]),
    st.sets(st.sampled_from(["customs_rows", "other"]), max_size=2),
    st.none() | INSTANTS,
)


def keeping(column: str = "day", days: int = 326, **spec: object) -> DataTrust:
    return trust({"datasets": [{**CUSTOMS, "retention": {"column": column, "days": days}}], **spec})


def compiled(of: DataTrust, now: datetime, dialect: Dialect = Dialect.TRINO) -> CompiledQuestion:
    policy = compile_policy(
        of, negotiate_all(of, [grant({"datasets": ["customs_rows"]}, of=of)], NOON), {"ca": site("ca")}, "ca"
    )
    asked = Ask(
        trust="trade", dataset="customs_rows", purpose=PURPOSE, grant="steel", beneficiary="steel-pilot", member="ca"
    )
    decision = decide(policy, asked, now)
    assert isinstance(decision, Allowed), decision
    question = compile_question("SELECT count(*) FROM customs_rows", "trade", decision.dataset, dialect)
    assert isinstance(question, CompiledQuestion)
    return question


@given(retention=RETENTIONS, now=INSTANTS)
def test_a_row_is_kept_for_its_days_and_not_one_more(retention: Retention, now: datetime) -> None:
    first = first_kept_day(retention, now)
    assert first + timedelta(days=retention.days) == now.date()
    assert first_kept_day(retention, now + timedelta(days=1)) == first + timedelta(days=1)


@given(retention=RETENTIONS, now=INSTANTS, later=st.timedeltas(timedelta(0), timedelta(days=900)))
def test_a_row_that_has_ended_never_comes_back(retention: Retention, now: datetime, later: timedelta) -> None:
    assert first_kept_day(retention, now) <= first_kept_day(retention, now + later)


@given(retention=RETENTIONS, now=INSTANTS, hours=st.integers(-12, 14))
def test_the_day_is_utc_wherever_the_clock_stands(retention: Retention, now: datetime, hours: int) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=hours)))
    assert first_kept_day(retention, elsewhere) == first_kept_day(retention, now)


def test_instants_end_at_midnight_utc() -> None:
    retention = Retention(column="cleared_at", days=1)
    assert first_kept(retention, "timestamptz", NOON) == datetime(2026, 11, 23, tzinfo=UTC)
    assert first_kept(retention, "date", NOON) == date(2026, 11, 23)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(("column", "written"), [("day", "2026-01-02"), ("cleared_at", "2026-01-02")])
def test_a_question_sees_no_ended_row_before_any_run(dialect: Dialect, column: str, written: str) -> None:
    question = compiled(keeping(column), NOON, dialect)
    assert written in question.sql
    assert any(said.startswith("retention: ") for said in question.filters)


def test_all_questions_of_a_day_see_the_same_rows() -> None:
    at_night = NOON.replace(hour=23, minute=59, second=59)
    assert compiled(keeping(), NOON) == compiled(keeping(), at_night)
    assert compiled(keeping(), NOON) != compiled(keeping(), at_night + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("date", "retention.column: there is no column date; name a column of the dataset"),
        ("product_nc", "retention.column: product_nc is string; name a date or timestamptz column"),
    ],
)
def test_a_retention_that_fits_no_column_keeps_the_dataset_out_of_the_policy(column: str, said: str) -> None:
    of = keeping(column)
    assert dataset_faults(of.spec.datasets[0]) == [said]
    assert compile_policy(of, (), {"ca": site("ca")}, "ca").datasets == ()


def test_a_measure_dates_no_row() -> None:
    measure = {"name": "seen", "type": "date", "role": "measure"}
    columns: list[Any] = [*CUSTOMS["columns"], measure]  # type: ignore[misc]
    of = trust({"datasets": [{**CUSTOMS, "columns": columns, "retention": {"column": "seen", "days": 1}}]})
    assert dataset_faults(of.spec.datasets[0]) == [
        "retention.column: seen is a measure; name a dimension or hidden column"
    ]


@pytest.mark.parametrize("days", [0, -1, 36_526])
def test_days_without_sense_are_refused(days: int) -> None:
    with pytest.raises(ValidationError, match="days"):
        Retention(column="day", days=days)


@given(holds=st.lists(HOLDS, max_size=6), now=INSTANTS)
def test_rows_are_held_exactly_while_a_hold_on_them_is_in_force(holds: list[LegalHold], now: datetime) -> None:
    ours = [each for each in holds if not each.datasets or "customs_rows" in each.datasets]
    expected = [each for each in ours if each.until is None or each.until > now]
    why = held("customs_rows", holds, now)
    assert (why is not None) == bool(expected)
    assert why is None or all(each.name in why and each.declared_by in why for each in expected)


@given(holds=st.lists(HOLDS, max_size=6), now=INSTANTS, later=st.timedeltas(timedelta(0), timedelta(days=9000)))
def test_a_hold_that_is_over_never_comes_back_by_itself(
    holds: list[LegalHold], now: datetime, later: timedelta
) -> None:
    assert set(in_force(holds, now + later)) <= set(in_force(holds, now))


@given(before=st.lists(HOLDS, max_size=5, unique=True), after=st.lists(HOLDS, max_size=5, unique=True))
def test_what_came_and_what_ended_turns_the_one_into_the_other(before: list[LegalHold], after: list[LegalHold]) -> None:
    old, new = ([Hold(trust="trade", dataset="d", hold=each) for each in holds] for holds in (before, after))
    came, ended = changes(old, new)
    assert {*old, *came} - set(ended) == set(new)
    assert not set(came) & set(old)
    assert not set(ended) & set(new)


def test_a_policy_carries_the_holds_that_speak_of_its_datasets() -> None:
    hold = {"name": "court", "reason": "Case 7", "declaredBy": "ke"}
    of = keeping(legalHolds=[hold, {**hold, "name": "other", "datasets": ["elsewhere"]}])
    [dataset] = compile_policy(of, (), {"ca": site("ca")}, "ca").datasets
    assert [each.name for each in dataset.holds] == ["court"]
    assert held("customs_rows", dataset.holds, NOON) == (
        "customs_rows is under legal hold: court of ke until released (Case 7); "
        "the trust's trustees release it in spec.legalHolds"
    )


def test_retention_is_a_rule_like_any_other() -> None:
    rule = row_rule(Retention(column="day", days=10), "date", NOON)
    assert RowRule.model_validate(rule.wire()) == rule
