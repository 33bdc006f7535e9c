"""What an aggregate becomes in an engine's SQL, and how the engine's rows become the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from sqlglot import exp

from commonweal.grants import Aggregate, PolicyColumn
from commonweal.transparency import Json

GROUP_ROWS = "group_rows"
_AVERAGE_SCALE = 18


class NotFiniteError(ArithmeticError):
    """A row that did not come by `ingest` holds NaN or an infinity, or a sum of doubles is too large."""

    def __init__(self) -> None:
        super().__init__("the engine returned a number that is not finite")


@dataclass(frozen=True, kw_only=True)
class OutputColumn:
    """A column of the answer; `type` as in the policy, `unit` empty where the column has none."""

    name: str
    type: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class CompiledQuestion:
    """What the engine runs, and what its columns mean. The last column of the answer is always `group_rows`.

    `averages` maps the place of an average to the place of its count, which the engine returns after the answer.
    `filters` and `masks` are the rules under which the rows were seen, in words.
    """

    sql: str
    columns: tuple[OutputColumn, ...]
    reads: tuple[str, ...]
    filters: tuple[str, ...]
    masks: tuple[str, ...]
    averages: Mapping[int, int]
    minimum_group_size: int
    row_limit: int

    def entry(self) -> dict[str, Json]:
        """What the audit log keeps of it before it runs."""
        said: dict[str, Json] = {"kind": "asked", "statement": self.sql, "reads": list(self.reads)}
        return {**said, "filters": list(self.filters), "masks": list(self.masks)}


def finish(question: CompiledQuestion, rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Turn the engine's rows into the answer's: averages are divided here, exactly, so that all engines agree."""
    width = len(question.columns)
    return [
        [
            average(row[index], row[question.averages[index]], question.columns[index].type)
            if index in question.averages
            else row[index]
            for index in range(width)
        ]
        for row in rows
    ]


def average(total: object, count: object, of_type: str) -> object:
    """The mean of `count` values, exact for exact numbers; None where there is none."""
    if total is None or not isinstance(count, int) or count < 1:
        return None
    if isinstance(total, float):
        return total / count
    if not isinstance(total, int | Decimal):
        raise TypeError(f"the engine returned a sum of type {type(total).__name__}; it must be a number")
    scale = scale_of(of_type)
    units = round(Fraction(total) / count * 10**scale)  # half to even
    return Decimal((int(units < 0), tuple(int(digit) for digit in str(abs(units))), -scale))


def released_type(aggregate: Aggregate, of_type: str) -> str:
    """The type of an aggregate over a column of `of_type`; the same on every engine."""
    if aggregate is Aggregate.COUNT:
        return "long"
    if aggregate in (Aggregate.MIN, Aggregate.MAX) or of_type == "double":
        return of_type
    if aggregate is Aggregate.SUM:
        return f"decimal(38,{scale_of(of_type)})" if of_type.startswith("decimal") else "long"
    return f"decimal(38,{max(scale_of(of_type), _AVERAGE_SCALE)})"


def scale_of(of_type: str) -> int:
    """The decimal digits of a type after the point; 0 for whole numbers."""
    return int(of_type.rstrip(")").split(",")[1]) if of_type.startswith("decimal") else 0


def released(aggregate: Aggregate, column: PolicyColumn) -> exp.Expression:
    """The engine's expression; an average asks for its sum, which `finish` divides."""
    node = quoted(column.name)
    if aggregate is Aggregate.COUNT:
        return count(column.name)
    if aggregate in (Aggregate.MIN, Aggregate.MAX):
        return exp.Min(this=node) if aggregate is Aggregate.MIN else exp.Max(this=node)
    # Engines widen sums differently; the cast makes the type one, and a sum that does not fit an error.
    of_type = released_type(Aggregate.SUM, column.type)
    return exp.cast(exp.Sum(this=node), "bigint" if of_type == "long" else of_type)


def quoted(name: str) -> exp.Column:
    """A column, quoted, so that no engine takes it for a keyword."""
    return exp.column(name, quoted=True)


def count_rows() -> exp.Expression:
    """The rows that a group stands on."""
    return exp.Count(this=exp.Star(), big_int=True)


def count(name: str) -> exp.Expression:
    """The values that are not NULL."""
    return exp.Count(this=quoted(name), big_int=True)


def one() -> exp.Expression:
    """What a single row stands on: itself."""
    return exp.cast(exp.Literal.number(1), "bigint")


def is_number(of_type: str) -> bool:
    """Whether values of the type can be added."""
    return of_type in ("int", "long", "double") or of_type.startswith("decimal")
