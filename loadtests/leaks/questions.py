"""Random questions inside the grammar, as the oracle reads them and as an asker would write them."""

import random
from datetime import UTC, date, datetime
from decimal import Decimal

from loadtests.leaks.oracle import Both, Condition, Not, Question, Test
from loadtests.leaks.rows import CANARY, DIMENSIONS, GRANTS, GROUPED, LISTED, MEASURES, TYPES

_LITERALS: dict[str, tuple[object, ...]] = {
    "product": ("7201", "72", "7300", "", "7", f"7201-{CANARY}-7", "' OR 1=1 --"),
    "partner": ("KR", "CN", "Él", "el", f"{CANARY}-ROW-3", "%"),
    "flow": (1, 2, 3, 0, -1, 2**31 - 1),
    "day": (date(2025, 1, 1), date(2024, 6, 17), date(2026, 3, 1), date(2026, 3, 31)),
    "cleared_at": (datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 7, 1, 13, 30, tzinfo=UTC)),
    "declared": (True, False),
    "lot": (0, 100, -100, 37, -1, 300, 10**12),
}
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "=", "IN", "BETWEEN", "IS NULL")


def draw(randomly: random.Random) -> Question:
    """One question; with a LIMIT it is ordered by all its groups, so that there is one right answer."""
    dataset = randomly.choice([GROUPED, GROUPED, GROUPED, LISTED])
    where = _condition(randomly, 3) if randomly.random() < 0.75 else None
    grant = randomly.choice(GRANTS)
    if dataset == LISTED and randomly.random() < 0.5:
        columns = randomly.sample(DIMENSIONS + MEASURES, randomly.randint(1, 4))
        items = tuple(("", name) for name in columns)
        return Question(dataset=dataset, grant=grant, items=items, where=where, groups=(), orders=(), limit=None)
    groups = tuple(randomly.sample(DIMENSIONS, randomly.choice([0, 1, 1, 2, 3])))
    shown = groups[: randomly.randint(0, len(groups))]
    names = ["count", "sum", "avg"] + (["min", "max"] if dataset == LISTED else [])
    aggregates = {_aggregate(randomly, names) for _ in range(randomly.randint(1, 3))}
    ordered = bool(groups) and randomly.random() < 0.4
    return Question(
        dataset=dataset,
        grant=grant,
        items=(*(("", name) for name in shown), *sorted(aggregates)),
        where=where,
        groups=groups,
        orders=tuple((name, randomly.random() < 0.5) for name in groups) if ordered else (),
        limit=randomly.choice([1, 3, 10_000]) if ordered else None,
    )


def _aggregate(randomly: random.Random, names: list[str]) -> tuple[str, str]:
    return ("count", "*") if randomly.random() < 0.3 else (randomly.choice(names), randomly.choice(MEASURES))


def _condition(randomly: random.Random, depth: int) -> Condition:
    die = randomly.random() if depth else 1.0
    if die < 0.15:
        return Not(_condition(randomly, depth - 1))
    if die < 0.5:
        word = randomly.choice(["AND", "OR"])
        return Both(word, _condition(randomly, depth - 1), _condition(randomly, depth - 1))
    column, comparison = randomly.choice(DIMENSIONS), randomly.choice(_COMPARISONS)
    if TYPES[column] == "boolean":
        comparison = randomly.choice(["=", "<>", "IS NULL"])
    count = {"IS NULL": 0, "IN": randomly.randint(1, 4), "BETWEEN": 2}.get(comparison, 1)
    return Test(column, comparison, tuple(randomly.choice(_LITERALS[column]) for _ in range(count)))


def write(question: Question, randomly: random.Random) -> str:
    """The question as SQL, with the noise that people and tools add."""
    items = [_item(place, *item, randomly) for place, item in enumerate(question.items)]
    source = randomly.choice(["{}", "trade.{}", '"{}"', "trade . {}"]).format(question.dataset)
    sql = f"{randomly.choice(['SELECT', 'select', '/* x */ SELECT'])} {', '.join(items)} FROM {source}"
    if question.where is not None:
        sql += f"{randomly.choice([' ', chr(10)])}WHERE {_condition_sql(question.where, question.dataset, randomly)}"
    if question.groups:
        sql += f" GROUP BY {', '.join(_name(name, question.dataset, randomly) for name in question.groups)}"
    if question.orders:
        orders = [f"{name} {'DESC' if down else randomly.choice(['', 'ASC'])}" for name, down in question.orders]
        sql += f" ORDER BY {', '.join(orders)} LIMIT {question.limit}"
    return sql + randomly.choice(["", "", " -- as agreed", ";"])


def _item(place: int, aggregate: str, column: str, randomly: random.Random) -> str:
    if not aggregate:
        return column
    written = randomly.choice([aggregate, aggregate.upper()])
    return f"{written}({column}) AS a{place}"


def _name(column: str, dataset: str, randomly: random.Random) -> str:
    return randomly.choice([column, column.upper(), f'"{column}"', f"{dataset}.{column}", f"trade.{dataset}.{column}"])


def _condition_sql(condition: Condition, dataset: str, randomly: random.Random) -> str:
    if isinstance(condition, Not):
        return f"NOT ({_condition_sql(condition.inner, dataset, randomly)})"
    if isinstance(condition, Both):
        left, right = (_condition_sql(half, dataset, randomly) for half in (condition.left, condition.right))
        return f"({left}) {condition.word} ({right})"
    column = _name(condition.column, dataset, randomly)
    values = [_literal(value) for value in condition.values]
    if condition.operator == "IS NULL":
        return f"{column} IS NULL"
    if condition.operator == "IN":
        return f"{column} IN ({', '.join(values)})"
    return f"{column} {condition.operator} {' AND '.join(values)}"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return "'{}'".format(str(value).replace("'", "''"))
