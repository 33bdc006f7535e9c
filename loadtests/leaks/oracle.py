"""What the right answer is, computed in plain Python from the rows; it shares no code and no SQL with the gateway."""

import json
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from loadtests.leaks.rows import MINIMUM, TYPES, Row

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Test:
    """One comparison of a column: an operator of `_ORDERS`, IN, BETWEEN or IS NULL."""

    column: str
    operator: str
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Not:
    """NOT."""

    inner: "Condition"


@dataclass(frozen=True)
class Both:
    """AND or OR."""

    word: str
    left: "Condition"
    right: "Condition"


Condition = Test | Not | Both


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question inside the grammar; an item is a column, or an aggregate and its column (`*` for all rows)."""

    dataset: str
    grant: str
    items: tuple[tuple[str, str], ...]
    where: Condition | None
    groups: tuple[str, ...]
    orders: tuple[tuple[str, bool], ...]
    limit: int | None

    @property
    def grouped(self) -> bool:
        """Whether groups are asked, rather than single rows."""
        return bool(self.groups) or any(aggregate for aggregate, _ in self.items)


def seen(rows: Iterable[Row], beneficiary: str, grant: str) -> list[Row]:
    """The rows that a grant shows, masked: the trust's deed and the grant's, written out by hand."""
    shown = [row for row in rows if row["flow"] in (1, 2) and row["owner"] in (None, beneficiary)]
    if grant == "narrow":
        shown = [row for row in shown if _since_2025(row)]
    return [_masked(row, grant) for row in shown]


def _since_2025(row: Row) -> bool:
    day, partner = row["day"], row["partner"]
    return (isinstance(day, date) and day.year >= 2025) or (partner is not None and partner not in ("KR", "CN"))


def _masked(row: Row, grant: str) -> Row:
    product, day, lot, price, at = (row[name] for name in ("product", "day", "lot", "price_cents", "cleared_at"))
    if grant == "narrow" and isinstance(at, datetime):
        at = at.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return {
        **row,
        "product": product[: 2 if grant == "narrow" else 4] if isinstance(product, str) else None,
        "day": day.replace(day=1) if isinstance(day, date) else None,
        "lot": int(lot / 100) * 100 if isinstance(lot, int) else None,
        "price_cents": price // 1000 * 1000 if isinstance(price, int) else None,
        "cleared_at": at,
        "sealed": None,
    }


def answer(question: Question, rows: Iterable[Row]) -> list[str]:
    """The right rows as JSON texts; in the order asked where there is one, else sorted."""
    kept = [row for row in rows if question.where is None or _holds(question.where, row) is True]
    lines = (
        _grouped(question, kept)
        if question.grouped
        else [([row[name] for _, name in question.items], row, 1) for row in kept]
    )
    for name, down in reversed(question.orders):
        present = [line for line in lines if line[1][name] is not None]
        present.sort(key=lambda line: line[1][name], reverse=down)
        lines = present + [line for line in lines if line[1][name] is None]
    texts = [json.dumps([*(_wire(value) for value in values), size]) for values, _, size in lines]
    return texts[: question.limit] if question.orders else sorted(texts)


def _holds(condition: Condition, row: Row) -> bool | None:
    """SQL's three values: None where it is not known."""
    if isinstance(condition, Not):
        inner = _holds(condition.inner, row)
        return None if inner is None else not inner
    if isinstance(condition, Both):
        decisive = condition.word == "OR"
        halves = (_holds(condition.left, row), _holds(condition.right, row))
        if decisive in halves:
            return decisive
        return None if None in halves else not decisive
    value = row[condition.column]
    if condition.operator == "IS NULL":
        return value is None
    return None if value is None else _compares(condition, value)


def _compares(test: Test, value: object) -> bool:
    if test.operator == "IN":
        return value in test.values
    if test.operator == "BETWEEN":
        low, high = test.values
        return _ORDERS["<="](low, value) and _ORDERS["<="](value, high)
    return _ORDERS[test.operator](value, test.values[0])


def _grouped(question: Question, rows: Sequence[Row]) -> list[tuple[list[object], Row, int]]:
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in question.groups)].append(row)
    return [
        ([_value(aggregate, column, members) for aggregate, column in question.items], members[0], len(members))
        for members in groups.values()
        if _large_enough(question, members)
    ]


def _large_enough(question: Question, members: Sequence[Row]) -> bool:
    minimum = MINIMUM[question.dataset]
    columns = {column for aggregate, column in question.items if aggregate and column != "*"} if minimum > 1 else set()
    return len(members) >= minimum and all(
        sum(row[column] is not None for row in members) >= minimum for column in columns
    )


def _value(aggregate: str, column: str, members: Sequence[Row]) -> object:
    if not aggregate:
        return members[0][column]
    if column == "*":
        return len(members)
    values = [row[column] for row in members if row[column] is not None]
    if aggregate == "count":
        return len(values)
    if not values:
        return None
    if aggregate in ("min", "max"):
        return min(values) if aggregate == "min" else max(values)
    total = sum(values)
    return total if aggregate == "sum" else _mean(total, len(values), TYPES[column])


def _mean(total: object, count: int, of_type: str) -> object:
    if of_type == "double":
        return float(str(total)) / count
    units = round(Fraction(str(total)) / count * 10**18)
    return Decimal(units).scaleb(-18)


def _wire(value: object) -> object:
    """As the gateway's JSON carries it."""
    if isinstance(value, Decimal):
        return f"{value:.18f}"
    return value.isoformat() if isinstance(value, date) else value
