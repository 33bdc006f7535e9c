"""Which rows of a dataset have ended, and what forbids to destroy rows.

`commonweal.grants` compiles retention and legal holds into the policy and puts `row_rule` before every question, so
that ended rows are unseen whether or not they are gone yet. A member's gateway removes them
(data_trusts/retention.py), and asks `held` before it destroys anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from commonweal.kinds.data_trust import ColumnRole
from commonweal.kinds.retention import LegalHold, Retention
from commonweal.kinds.visibility import Comparison, Operator, RowRule
from commonweal.visibility import Typed

RULE_NAME = "retention"
_DATED = ("date", "timestamptz")


def first_kept_day(retention: Retention, now: datetime) -> date:
    """The oldest day, in UTC, whose rows are still kept; it moves once a day, so that questions of a day agree."""
    return now.astimezone(UTC).date() - timedelta(days=retention.days)


def first_kept(retention: Retention, of_type: str, now: datetime) -> date | datetime:
    """The least value of the retention column that is still kept: a date, or the midnight at which that day begins."""
    day = first_kept_day(retention, now)
    return datetime.combine(day, time(), UTC) if of_type == "timestamptz" else day


def row_rule(retention: Retention, of_type: str, now: datetime) -> RowRule:
    """The rule that shows only rows that have not ended; a row without a date is not shown: its age is unknown."""
    value = first_kept(retention, of_type, now).isoformat()
    return RowRule(
        name=RULE_NAME,
        any_of=(Comparison(column=retention.column, operator=Operator.AT_LEAST, values=(value,)),),
    )


def retention_faults(retention: Retention | None, columns: Iterable[Typed]) -> list[str]:
    """Why a retention cannot be applied to a schema, one sentence a fault; empty where it can."""
    if retention is None:
        return []
    column = next((each for each in columns if each.name == retention.column), None)
    if column is None:
        return [f"retention.column: there is no column {retention.column}; name a column of the dataset"]
    if column.type not in _DATED:
        return [f"retention.column: {column.name} is {column.type}; name a date or timestamptz column"]
    if column.role is ColumnRole.MEASURE:
        return [f"retention.column: {column.name} is a measure; name a dimension or hidden column"]
    return []


def holds_on(dataset: str, holds: Iterable[LegalHold]) -> tuple[LegalHold, ...]:
    """The holds that speak of a dataset, whether they are in force or over."""
    return tuple(hold for hold in holds if not hold.datasets or dataset in hold.datasets)


def in_force(holds: Iterable[LegalHold], now: datetime) -> tuple[LegalHold, ...]:
    """The holds that have not ended by themselves."""
    return tuple(hold for hold in holds if hold.until is None or now < hold.until)


def held(dataset: str, holds: Iterable[LegalHold], now: datetime) -> str | None:
    """Why no row of a dataset may be destroyed now, naming each hold; None where none forbids it."""
    forbidding = in_force(holds_on(dataset, holds), now)
    if not forbidding:
        return None
    named = ", ".join(f"{hold.name} of {hold.declared_by} {_until(hold)} ({hold.reason})" for hold in forbidding)
    return f"{dataset} is under legal hold: {named}; the trust's trustees release it in spec.legalHolds"


def _until(hold: LegalHold) -> str:
    return "until released" if hold.until is None else f"until {hold.until.isoformat()}"


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A hold as it stands on one dataset of one trust."""

    trust: str
    dataset: str
    hold: LegalHold


def changes(before: Sequence[Hold], after: Sequence[Hold]) -> tuple[tuple[Hold, ...], tuple[Hold, ...]]:
    """The holds that came into force, and those that ended; one that was changed ended and came anew."""
    return tuple(each for each in after if each not in before), tuple(each for each in before if each not in after)
