"""When a question is refused, and the SQL that runs when it is not.

The asker's SQL never reaches an engine. It is parsed, each part is checked against the closed grammar below, and a new
statement is built from the checked parts alone; whatever the grammar does not name cannot be in it. It stands over the
rows and values that the asker may see (`data_trusts.visible`). The grammar:

    SELECT dimension | aggregate [AS name], ... FROM [trust.]dataset
    [WHERE dimension compared with literals, AND, OR, NOT, IN, BETWEEN, IS NULL]
    [GROUP BY dimension, ...] [ORDER BY dimension [ASC | DESC], ...] [LIMIT n]

Pure; called by the gateway, which knows who asks, and by nothing that holds rows.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from commonweal.grants import Aggregate, PolicyColumn, PolicyDataset, Refusal, Rule
from commonweal.kinds.data_trust import ColumnRole
from commonweal.visibility import empties, mask_words, rule_words
from data_trusts.grammar import (
    WHOLE,
    RefusedError,
    identifier,
    literal,
    only,
    output_name,
    outside_grammar,
    spell,
)
from data_trusts.releases import (
    GROUP_ROWS,
    CompiledQuestion,
    OutputColumn,
    count,
    count_rows,
    is_number,
    one,
    quoted,
    released,
    released_type,
)
from data_trusts.visible import compared, source

__all__ = ["MAX_ROWS", "CompiledQuestion", "Dialect", "OutputColumn", "compile_question"]

MAX_SQL_CHARS = 10_000
MAX_TOKENS = 1_000  # some texts take the parser time that grows with the square of their length
MAX_ROWS = 10_000


class Dialect(StrEnum):
    """The engines' SQL. Values are sqlglot's names."""

    TRINO = "trino"
    DUCKDB = "duckdb"


@dataclass(frozen=True, kw_only=True)
class _Item:
    expression: exp.Expression
    output: OutputColumn
    column: PolicyColumn | None
    aggregate: Aggregate | None


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """A question after all checks; `minimum` is None where single rows are asked."""

    items: tuple[_Item, ...]
    conditions: Sequence[exp.Expression]
    groups: tuple[str, ...]
    orders: tuple[tuple[str, bool], ...]
    row_limit: int
    minimum: int | None
    complete: frozenset[str]


def compile_question(
    sql: str,
    trust: str,
    dataset: PolicyDataset,
    dialect: Dialect,
    complete: Callable[[], Collection[str]] = tuple,
) -> CompiledQuestion | Refusal:
    """Check a question against a dataset's rules and write it anew in the engine's dialect.

    Counting the values of a column that is `complete`, with a value in every row, is counting rows, which Trino does
    once for all columns; it is asked only of a question that aggregates a column there and may be asked. At most
    `MAX_ROWS + 1` rows come back: the one more tells a full answer from a cut one.
    """
    try:
        return _compile(_parse(sql), trust, dataset, dialect, complete)
    except RefusedError as refused:
        return refused.refusal
    except RecursionError:
        return outside_grammar("sql nests too deeply").refusal


def _parse(sql: str) -> exp.Select:
    if len(sql) > MAX_SQL_CHARS:
        raise outside_grammar(f"sql has {len(sql)} characters, more than {MAX_SQL_CHARS}")
    if "\x00" in sql:
        raise outside_grammar("sql holds a NUL character")
    try:
        asked_in = sqlglot.Dialect.get_or_raise("trino")
        tokens = asked_in.tokenize(sql)
        if len(tokens) > MAX_TOKENS:
            raise outside_grammar(f"sql has {len(tokens)} words and signs, more than {MAX_TOKENS}")
        statements = asked_in.parser().parse(tokens, sql)
    except (SqlglotError, ValueError) as error:
        raise outside_grammar(f"sql cannot be parsed: {str(error).splitlines()[0]}") from error
    if len(statements) != 1:
        raise outside_grammar(f"sql has {len(statements)} statements, not one")
    statement = statements[0]
    if type(statement) is not exp.Select:
        raise outside_grammar(f"sql is {'empty' if statement is None else statement.key.upper()}, not a SELECT")
    return statement


def _compile(
    select: exp.Select, trust: str, dataset: PolicyDataset, dialect: Dialect, complete: Callable[[], Collection[str]]
) -> CompiledQuestion:
    only(select, "expressions", "from_", "where", "group", "order", "limit")
    _check_source(select, trust, dataset)
    checked = _Checked(trust=trust, dataset=dataset)
    items = tuple(checked.item(item) for item in select.expressions)
    groups = checked.groups(select.args.get("group"))
    grouped = bool(groups) or any(item.aggregate is not None for item in items)
    checked.forbid_ungrouped(items, groups, grouped=grouped)
    orders = tuple(checked.orders(select.args.get("order"), groups, grouped=grouped))
    wanted, where = frozenset(checked.reads), select.args.get("where")
    condition = None if where is None else checked.condition(where.this)
    table, conditions = source(trust, dataset, wanted, condition)
    row_limit = _limit(select.args.get("limit"))
    outputs = (*(item.output for item in items), OutputColumn(name=GROUP_ROWS, type="long", unit="rows"))
    _forbid_repeated_names(outputs)
    # DuckDB counts values as fast as rows, so the table need not be read for it.
    told = dialect is Dialect.TRINO and any(item.aggregate and item.column for item in items)
    known = complete() if told else ()
    parts = _Parts(
        items=items,
        conditions=conditions,
        groups=groups,
        orders=orders,
        row_limit=row_limit,
        minimum=dataset.minimum_group_size if grouped else None,
        complete=frozenset(each.name for each in dataset.columns if each.name in known and not empties(each.masks)),
    )
    averaged = [index for index, item in enumerate(items) if item.aggregate is Aggregate.AVG]
    reads = checked.reads
    return CompiledQuestion(
        sql=_write(parts, averaged, table).sql(dialect=dialect.value, copy=False),
        columns=outputs,
        averages={index: len(outputs) + place for place, index in enumerate(averaged)},
        reads=tuple(sorted(reads)),
        filters=tuple(rule_words(rule) for rule in dataset.row_rules),
        masks=tuple(mask_words(each.name, each.masks) for each in dataset.columns if each.masks and each.name in reads),
        minimum_group_size=dataset.minimum_group_size,
        row_limit=row_limit,
    )


def _write(parts: _Parts, averaged: Sequence[int], table: exp.Expression) -> exp.Select:
    """Build the statement from checked parts.

    Its columns are named by place, `0$`, `1$`: engines let an alias stand for a column in HAVING and ORDER BY, and a
    name that no column can have cannot be used to turn the group-size check to another column. Every node is new, so
    sqlglot need not copy the tree at each step, which took most of the time of a decision.
    """
    selected = [item.expression for item in parts.items]
    selected.append(one() if parts.minimum is None else count_rows())
    selected.extend(
        count_rows() if column.name in parts.complete else count(column.name)
        for index in averaged
        if (column := parts.items[index].column)
    )
    named = (exp.alias_(node, f"{place}$", quoted=True, copy=False) for place, node in enumerate(selected))
    query = exp.select(*named, copy=False).from_(table, copy=False).where(*parts.conditions, copy=False)
    if parts.groups:
        query.group_by(*(quoted(name) for name in parts.groups), copy=False)
    if parts.minimum is not None:
        query.having(*_group_size(parts.minimum, parts), copy=False)
    if parts.orders:
        orders = (exp.Ordered(this=quoted(name), desc=down, nulls_first=False) for name, down in parts.orders)
        query.order_by(*orders, copy=False)
    return query.limit(parts.row_limit, copy=False)


def _check_source(select: exp.Select, trust: str, dataset: PolicyDataset) -> None:
    source = select.args.get("from_")
    if source is None:
        raise outside_grammar("the SELECT has no FROM")
    only(source, "this")
    table = source.this
    if type(table) is not exp.Table or type(table.this) is not exp.Identifier:
        raise outside_grammar("FROM may name one dataset, and no subquery or function")
    only(table, "this", "db")
    name = identifier(table.this)
    namespace = identifier(table.args["db"]) if table.args.get("db") else trust
    if (namespace, name) != (trust, dataset.name):
        raise RefusedError(
            Rule.SOURCE,
            f"FROM names {namespace}.{name}, but the question was asked of {trust}.{dataset.name}",
            f"Ask FROM {dataset.name}, or name the other dataset in the request",
        )


def _forbid_repeated_names(outputs: tuple[OutputColumn, ...]) -> None:
    names = [output.name for output in outputs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise outside_grammar(f"the answer would have two columns named {repeated[0]}; rename one with AS")


class _Checked:
    """Parts of one question, each checked; `reads` gathers the columns that they use."""

    def __init__(self, *, trust: str, dataset: PolicyDataset) -> None:
        self._trust = trust
        self._dataset = dataset
        self.reads: set[str] = set()

    def item(self, node: exp.Expression) -> _Item:
        name: str | None = None
        if type(node) is exp.Alias:
            only(node, "this", "alias")
            name = output_name(node.args["alias"])
            node = node.this
        if type(node) is exp.Column:
            column = self._column(node)
            output = OutputColumn(name=name or column.name, type=column.type, unit=column.unit)
            return _Item(expression=quoted(column.name), output=output, column=column, aggregate=None)
        return self._aggregate(node, name)

    def _aggregate(self, node: exp.Expression, name: str | None) -> _Item:
        aggregate = _AGGREGATES.get(type(node))
        if aggregate is None:
            raise RefusedError(
                Rule.AGGREGATE,
                f"{spell(node)} is not an aggregate that may be asked",
                "Use count, sum, avg, min or max of one measure column",
            )
        only(node, "this", "big_int")
        if aggregate is Aggregate.COUNT and type(node.this) is exp.Star:
            only(node.this)
            output = OutputColumn(name=name or "count", type="long", unit="rows")
            return _Item(expression=count_rows(), output=output, column=None, aggregate=aggregate)
        if type(node.this) is not exp.Column:
            raise RefusedError(
                Rule.AGGREGATE,
                f"{aggregate} may stand on one column only, not on {spell(node.this)}",
                "Ask the aggregates apart and combine the answers",
            )
        column = self._column(node.this)
        self._forbid_release(aggregate, column)
        output = OutputColumn(
            name=name or f"{aggregate}_{column.name}",
            type=released_type(aggregate, column.type),
            unit="rows" if aggregate is Aggregate.COUNT else column.unit,
        )
        return _Item(expression=released(aggregate, column), output=output, column=column, aggregate=aggregate)

    def _forbid_release(self, aggregate: Aggregate, column: PolicyColumn) -> None:
        if column.role is not ColumnRole.MEASURE:
            raise RefusedError(
                Rule.AGGREGATE, f"{column.name} is a {column.role}, not a measure", "Aggregate measure columns only"
            )
        if aggregate not in column.releases:
            allowed = ", ".join(sorted(column.releases)) or "no aggregate"
            raise RefusedError(
                Rule.RELEASE,
                f"{aggregate} of {column.name} is not released by the trust",
                f"The trust allows {allowed}",
            )
        if aggregate in (Aggregate.SUM, Aggregate.AVG) and not is_number(column.type):
            raise RefusedError(Rule.AGGREGATE, f"{column.name} is {column.type}, which has no {aggregate}", "Use count")

    def groups(self, group: exp.Expression | None) -> tuple[str, ...]:
        if group is None:
            return ()
        only(group, "expressions")
        names: list[str] = []
        for node in group.expressions:
            if type(node) is not exp.Column:
                raise outside_grammar(f"GROUP BY {spell(node)}: group by dimension columns, by name")
            names.append(self._dimension(node, "GROUP BY").name)
        return tuple(dict.fromkeys(names))

    def forbid_ungrouped(self, items: tuple[_Item, ...], groups: tuple[str, ...], *, grouped: bool) -> None:
        plain = [item.column for item in items if item.aggregate is None and item.column is not None]
        if not grouped:
            if self._dataset.minimum_group_size > 1:
                raise RefusedError(
                    Rule.GROUP_SIZE,
                    f"{self._dataset.name} releases no row, only groups of {self._dataset.minimum_group_size} or more",
                    "Ask an aggregate, with GROUP BY over dimension columns",
                )
            return
        for column in plain:
            if column.role is not ColumnRole.DIMENSION or column.name not in groups:
                raise outside_grammar(f"{column.name} stands outside an aggregate and is not in GROUP BY")

    def orders(
        self, order: exp.Expression | None, groups: tuple[str, ...], *, grouped: bool
    ) -> Iterator[tuple[str, bool]]:
        if order is None:
            return
        only(order, "expressions")
        for node in order.expressions:
            only(node, "this", "desc", "nulls_first")
            if type(node.this) is not exp.Column:
                raise outside_grammar(f"ORDER BY {spell(node.this)}: order by dimension columns, by name")
            column = self._dimension(node.this, "ORDER BY")
            if grouped and column.name not in groups:
                raise outside_grammar(f"ORDER BY {column.name}: the column is not in GROUP BY")
            yield column.name, bool(node.args.get("desc"))

    def condition(self, node: exp.Expression) -> exp.Expression:
        kind = type(node)
        if kind in (exp.And, exp.Or):
            only(node, "this", "expression")
            return kind(
                this=exp.paren(self.condition(node.this), copy=False),
                expression=exp.paren(self.condition(node.args["expression"]), copy=False),
            )
        if kind in (exp.Not, exp.Paren):
            only(node, "this")
            inner = exp.paren(self.condition(node.this), copy=False)
            return exp.Not(this=inner) if kind is exp.Not else inner
        if kind in _COMPARISONS:
            only(node, "this", "expression")
            column = self._operand(node.this)
            value = literal(node.args["expression"], column)
            return kind(this=compared(column, [value]), expression=value)
        return self._membership(node)

    def _membership(self, node: exp.Expression) -> exp.Expression:
        if type(node) is exp.In:
            only(node, "this", "expressions")
            column = self._operand(node.this)
            values = [literal(each, column) for each in node.expressions]
            return exp.In(this=compared(column, values), expressions=values)
        if type(node) is exp.Between:
            only(node, "this", "low", "high")
            column = self._operand(node.this)
            low, high = (literal(node.args[end], column) for end in ("low", "high"))
            return exp.Between(this=compared(column, [low, high]), low=low, high=high)
        if type(node) is exp.Is and type(node.args["expression"]) is exp.Null:
            only(node, "this", "expression")
            return exp.Is(this=compared(self._operand(node.this), []), expression=exp.Null())
        raise RefusedError(
            Rule.FILTER,
            f"WHERE {spell(node)} is outside the grammar",
            "Compare a dimension column with literals: =, <>, <, <=, >, >=, IN, BETWEEN, IS NULL",
        )

    def _operand(self, node: exp.Expression) -> PolicyColumn:
        if type(node) is not exp.Column:
            raise RefusedError(
                Rule.FILTER, f"WHERE compares {spell(node)}, not a column", "Write the dimension column on the left"
            )
        return self._dimension(node, "WHERE")

    def _dimension(self, node: exp.Expression, where: str) -> PolicyColumn:
        column = self._column(node)
        if column.role is not ColumnRole.DIMENSION:
            raise RefusedError(
                Rule.FILTER,
                f"{where} {column.name}: it is a {column.role} column",
                f"{where} takes dimension columns only",
            )
        return column

    def _column(self, node: exp.Expression) -> PolicyColumn:
        only(node, "this", "table", "db")
        if type(node.this) is not exp.Identifier:
            raise outside_grammar(f"{spell(node)} is not a column; name the columns that you ask for")
        table = identifier(node.args["table"]) if node.args.get("table") else self._dataset.name
        namespace = identifier(node.args["db"]) if node.args.get("db") else self._trust
        name = identifier(node.this)
        column = self._dataset.column(name)
        if column is None or (namespace, table) != (self._trust, self._dataset.name):
            raise RefusedError(
                Rule.COLUMN,
                f"{self._dataset.name} has no column {name if table == self._dataset.name else f'{table}.{name}'}",
                f"Its columns are {', '.join(each.name for each in self._dataset.visible_columns())}",
            )
        if column.role is ColumnRole.HIDDEN:
            raise RefusedError(Rule.HIDDEN_COLUMN, f"{column.name} is hidden by the trust", "Ask without this column")
        self.reads.add(column.name)
        return column


def _group_size(minimum: int, parts: _Parts) -> Iterator[exp.Expression]:
    """Each aggregate must stand on enough values itself: a sum over one value among NULLs is that value."""
    yield exp.GTE(this=count_rows(), expression=exp.Literal.number(minimum))
    if minimum > 1:
        for name in dict.fromkeys(item.column.name for item in parts.items if item.aggregate and item.column):
            if name not in parts.complete:
                yield exp.GTE(this=count(name), expression=exp.Literal.number(minimum))


def _limit(limit: exp.Expression | None) -> int:
    if limit is None:
        return MAX_ROWS + 1
    only(limit, "expression")
    count = limit.args.get("expression")
    if type(limit) is not exp.Limit or not isinstance(count, exp.Literal) or not WHOLE.match(count.name):
        raise outside_grammar("LIMIT takes one whole number")
    if int(count.name) > MAX_ROWS:
        raise outside_grammar(f"LIMIT {count.name} is more than {MAX_ROWS}")
    return int(count.name)


_AGGREGATES: dict[type, Aggregate] = {
    exp.Count: Aggregate.COUNT,
    exp.Sum: Aggregate.SUM,
    exp.Avg: Aggregate.AVG,
    exp.Min: Aggregate.MIN,
    exp.Max: Aggregate.MAX,
}
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
