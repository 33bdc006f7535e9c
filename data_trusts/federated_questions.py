"""One question about all members' rows: what each member runs, and what the sum says.

The asker names every group that it wants to see, so that the shape of an answer says nothing of the rows; rows of other
groups are not counted. Sums are integers: whole numbers as they are, decimals in their last digit, doubles in the 18th
digit after the point; with noise, every row's value is clamped to the trust's bounds and rounded to a grid first.

Pure; the gateway calls `compile_federated` and runs its statement, members pass rows to `words`, the combiner reads the
total with `Layout`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import isfinite, prod

import sqlglot
from sqlglot import exp

from commonweal.differencing import Part
from commonweal.grants import Aggregate, Federation, PolicyColumn, PolicyDataset, Refusal, Rule
from commonweal.kinds.federation import MeasureBounds
from data_trusts.federated_groups import Axis, Cells, axes_of
from data_trusts.grammar import RefusedError
from data_trusts.queries import Dialect, compile_question
from data_trusts.releases import CompiledQuestion, NotFiniteError, OutputColumn, average, scale_of

_DOUBLE_SCALE = 18
_GRID = (
    10**9
)  # with noise, the greatest value of a row is at most so many steps of the grid, where it has digits to lose


@dataclass(frozen=True, kw_only=True)
class Value:
    """One integer of every group: rows (no column), values of a column, or their sum in steps of 10**-scale."""

    aggregate: Aggregate
    column: PolicyColumn | None = None
    scale: int = 0
    bounds: MeasureBounds | None = None

    def sensitivity(self, rows_per_unit: int) -> int:
        """The most that one unit's rows move it, over all groups together."""
        return max(1, rows_per_unit * (self.bounds.magnitude * 10**self.scale if self.bounds else 1))


@dataclass(frozen=True, kw_only=True)
class Item:
    """A column of the answer: a label of an axis, or a value, or one value divided by another."""

    output: OutputColumn
    axis: int | None = None
    value: int | None = None
    divisor: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the words of a sum mean. The first word counts members; then, group by group, stand its values."""

    axes: tuple[Axis, ...]
    values: tuple[Value, ...]
    items: tuple[Item, ...]
    condition: str  # what the rows are that groups divide: row rules, masks and WHERE, in one spelling
    bits: int

    @property
    def groups(self) -> int:
        """How many groups are wanted."""
        return prod(len(axis.labels) for axis in self.axes)

    def group_parts(self) -> list[tuple[Part, ...]]:
        """Every group's name, in order."""
        return list(product(*(tuple(axis.parts()) for axis in self.axes)))

    def column(self, total: Sequence[int], value: int) -> tuple[int, ...]:
        """One value of all groups."""
        return tuple(total[1 + value :: len(self.values)])

    def counts(self, total: Sequence[int]) -> dict[int, int]:
        """By group, the fewest rows that one of its counts stands on."""
        counted = [place for place, value in enumerate(self.values) if value.aggregate is Aggregate.COUNT]
        return dict(enumerate(map(min, zip(*(self.column(total, place) for place in counted), strict=True))))

    def row(self, total: Sequence[int], group: int) -> list[object]:
        """One line of the answer."""
        labels = list(product(*(axis.labels for axis in self.axes)))[group]
        numbers = total[1 + group * len(self.values) : 1 + (group + 1) * len(self.values)]
        return [labels[item.axis] if item.axis is not None else self._number(item, numbers) for item in self.items]

    def _number(self, item: Item, numbers: Sequence[int]) -> object:
        place = item.value or 0
        value = _exact(numbers[place], self.values[place].scale, self.values[place].column)
        if item.divisor is None:
            return value
        return average(value, numbers[item.divisor], item.output.type)


@dataclass(frozen=True, kw_only=True)
class FederatedQuestion:
    """A question that may be asked of every source: what each runs, and how the answers add up."""

    statement: CompiledQuestion
    layout: Layout


def compile_federated(
    sql: str, groups: Mapping[str, Cells], trust: str, dataset: PolicyDataset, dialect: Dialect
) -> FederatedQuestion | Refusal:
    """Check a question against a dataset's rules and say what each member runs for it."""
    federation = dataset.federation
    if federation is None:
        return Refusal(
            rule=Rule.NOT_FEDERATED,
            reason=f"{dataset.name} has no federation rules",
            remedy="Ask each member by /v1/query",
        )
    checked = compile_question(sql, trust, dataset, dialect)
    if isinstance(checked, Refusal):
        return checked
    [statement] = sqlglot.parse(sql, dialect="trino")  # checked above: one SELECT
    try:
        select = _whole(statement)
        layout = _layout(select, checked, groups, dataset, federation)
    except RefusedError as refused:
        return refused.refusal
    compiled = _member_statement(select, layout, trust, dataset, dialect)
    return compiled if isinstance(compiled, Refusal) else FederatedQuestion(statement=compiled, layout=layout)


def _whole(statement: exp.Expr | None) -> exp.Select:
    if not isinstance(statement, exp.Select) or statement.args.get("order") or statement.args.get("limit"):
        raise RefusedError(
            Rule.GRAMMAR,
            "a federated question has no ORDER BY or LIMIT",
            "Leave them out; groups come in the order in which they are named",
        )
    return statement


def _layout(
    select: exp.Select,
    checked: CompiledQuestion,
    groups: Mapping[str, Cells],
    dataset: PolicyDataset,
    federation: Federation,
) -> Layout:
    group = select.args.get("group")
    names = list(dict.fromkeys(_name(node) for node in group.expressions)) if group else []
    axes = axes_of(names, groups, dataset)
    values: list[Value] = [Value(aggregate=Aggregate.COUNT)]
    items = [
        Item(output=output, axis=names.index(name))
        if (name := _grouped(node, names)) is not None
        else _item(_bare(node), output, values, dataset, federation)
        for node, output in zip(select.expressions, checked.columns, strict=False)
    ]
    if all(item.axis is not None for item in items):
        raise RefusedError(Rule.AGGREGATE, "the question asks no aggregate", "Ask count, sum or avg")
    where = select.args.get("where")
    asked = () if where is None else (where.this.sql(dialect="trino", comments=False),)
    whole = federation.noise is not None or all(value.scale == 0 for value in values)
    return Layout(
        axes=axes,
        values=tuple(values),
        items=(*items, Item(output=checked.columns[-1], value=0)),
        condition="; ".join((*checked.filters, *checked.masks, *asked)),
        bits=64 if whole else 128,
    )


def _bare(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.Alias) else node


def _grouped(node: exp.Expression, names: Sequence[str]) -> str | None:
    """The grouping column that an item is, None where it is an aggregate.

    Raises:
        RefusedError: a column outside GROUP BY, which is a single row's.
    """
    node = _bare(node)
    if not isinstance(node, exp.Column):
        return None
    if _name(node) not in names:
        raise RefusedError(Rule.AGGREGATE, f"{_name(node)} is not in GROUP BY", "Ask aggregates; rows never leave")
    return _name(node)


def _item(
    node: exp.Expression, output: OutputColumn, values: list[Value], dataset: PolicyDataset, federation: Federation
) -> Item:
    """One aggregate of the answer; what it needs of each group is added to `values`."""
    if isinstance(node.this, exp.Star):
        return Item(output=output, value=0)
    column = dataset.column(_name(node.this))
    if column is None or not isinstance(node, exp.Count | exp.Sum | exp.Avg):
        raise RefusedError(Rule.AGGREGATE, f"{output.name}: no sum over members gives it", "Ask count, sum or avg")
    # A measure has a value in every row; with noise, counting its values apart would cost budget and say nothing.
    count = 0 if federation.noise else _place(values, Value(aggregate=Aggregate.COUNT, column=column))
    if isinstance(node, exp.Count):
        return Item(output=output, value=count)
    total = _place(values, _sum(column, federation))
    return Item(output=output, value=total, divisor=count if isinstance(node, exp.Avg) else None)


def _sum(column: PolicyColumn, federation: Federation) -> Value:
    scale = _DOUBLE_SCALE if column.type == "double" else scale_of(column.type)
    if federation.noise is None:
        return Value(aggregate=Aggregate.SUM, column=column, scale=scale)
    bounds = federation.noise.bounds_of(column.name)
    if bounds is None:
        raise RefusedError(
            Rule.RELEASE,
            f"the trust gives no bounds for {column.name}, so no noise hides one row in its sum",
            "Use count",
        )
    while scale > 0 and bounds.magnitude * 10**scale > _GRID:
        scale -= 1
    return Value(aggregate=Aggregate.SUM, column=column, scale=scale, bounds=bounds)


def _place(values: list[Value], wanted: Value) -> int:
    if wanted not in values:
        values.append(wanted)
    return values.index(wanted)


def _name(node: exp.Expression) -> str:
    """A column's name as checked before: folded to lower case unless quoted."""
    inner = node.this
    return str(inner.name if inner.args.get("quoted") else inner.name.lower())


def _member_statement(
    select: exp.Select, layout: Layout, trust: str, dataset: PolicyDataset, dialect: Dialect
) -> CompiledQuestion | Refusal:
    """What a member runs: the same rows and groups, and the values of the layout. Small groups are kept, since they
    may be large together; they leave the member only under a mask.
    """
    wanted = [exp.column(axis.column.name, quoted=True) for axis in layout.axes]
    query = exp.select(*wanted, *(_asked(place, value) for place, value in enumerate(layout.values)))
    query = query.from_(exp.table_(dataset.name, db=trust, quoted=True))
    if select.args.get("where"):
        query.set("where", select.args["where"].copy())
    if wanted:
        query = query.group_by(*wanted)
    inner = dataset.model_copy(update={"minimum_group_size": 1})
    compiled = compile_question(query.sql(dialect="trino"), trust, inner, dialect)
    if isinstance(compiled, Refusal):
        return compiled
    return _on_grid(compiled, layout, dialect)


def _asked(place: int, value: Value) -> exp.Expr:
    inner = exp.Star() if value.column is None else exp.column(value.column.name, quoted=True)
    node = exp.Sum(this=inner) if value.aggregate is Aggregate.SUM else exp.Count(this=inner, big_int=True)
    return exp.alias_(node, f"v{place}")


def _on_grid(compiled: CompiledQuestion, layout: Layout, dialect: Dialect) -> CompiledQuestion:
    """Clamp and round each row's value before it is summed, where a sum has bounds.

    Engines agree on CASE for NULL and on integer sums; they do not on GREATEST and on sums of doubles.
    """
    if all(value.bounds is None for value in layout.values):
        return compiled
    [statement] = sqlglot.parse(compiled.sql, dialect=dialect.value)
    if not isinstance(statement, exp.Select):
        raise TypeError(f"{compiled.sql} is no SELECT")
    for place, value in enumerate(layout.values):
        total = statement.expressions[len(layout.axes) + place].find(exp.Sum)
        if value.bounds is not None and total is not None:
            clamped = exp.Sum(this=_clamped(total.this, value, value.bounds))
            statement.expressions[len(layout.axes) + place].set("this", exp.cast(clamped, "bigint"))
    return replace(compiled, sql=statement.sql(dialect=dialect.value))


def _clamped(row: exp.Expression, value: Value, bounds: MeasureBounds) -> exp.Expression:
    low, high = (_literal(end) for end in (bounds.minimum, bounds.maximum))
    inside = (
        exp.Case()
        .when(exp.LT(this=row.copy(), expression=low), low.copy())
        .when(exp.GT(this=row.copy(), expression=high), high.copy())
        .else_(row.copy())
    )
    if value.scale == 0 and value.column is not None and value.column.type in ("int", "long"):
        return exp.cast(inside, "bigint")
    steps = exp.Mul(this=exp.cast(inside, "double"), expression=exp.Literal.number(10**value.scale))
    return exp.cast(exp.func("ROUND", steps), "bigint")


def _literal(number: int) -> exp.Expression:
    literal = exp.Literal.number(abs(number))
    return exp.paren(exp.Neg(this=literal)) if number < 0 else literal


def words(rows: Iterable[Sequence[object]], layout: Layout) -> list[int]:
    """A member's integers, from the rows that its engine returned for the statement.

    Raises:
        NotFiniteError: a sum has no finite value, so no integer stands for it.
        TypeError: the engine returned something that is no number where one was asked.
    """
    width, axes = len(layout.values), len(layout.axes)
    filled = [1] + [0] * (layout.groups * width)
    for row in rows:
        group = 0
        for axis, label in zip(layout.axes, row, strict=False):
            place = axis.place(_plain(label))
            if place is None:
                break
            group = group * len(axis.labels) + place
        else:
            for place, value in enumerate(layout.values):
                filled[1 + group * width + place] += _steps(row[axes + place], value)
    return filled


def _plain(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _steps(number: object, value: Value) -> int:
    """A number in steps of the value's scale; a sum over no value is no step."""
    if number is None:
        return 0
    if not isinstance(number, int | float | Decimal):
        raise TypeError(f"the engine returned a {type(number).__name__} where a number was asked")
    if not isfinite(number):
        raise NotFiniteError
    if value.bounds is not None:
        return int(number)  # on the grid already
    return round(Fraction(number) * Fraction(10**value.scale))


def _exact(steps: int, scale: int, column: PolicyColumn | None) -> int | float | Decimal:
    if column is not None and column.type == "double":
        return float(Fraction(steps, 10**scale))
    if column is not None and column.type.startswith("decimal"):
        return Decimal((int(steps < 0), tuple(int(digit) for digit in str(abs(steps))), -scale))
    return steps
