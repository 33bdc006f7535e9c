"""The SQL of row rules and column masks: a question sees no more rows and no finer values than they show.

The rules stand in the statement's WHERE beside the question's own condition, which compares masked values, so that an
engine skips at once what either leaves out. Where a masked column is selected, aggregated, grouped or ordered by, the
question stands over a subquery that holds the columns which are wanted, masked.
"""

from collections.abc import Iterable

from sqlglot import exp

from commonweal.grants import PolicyColumn, PolicyDataset, Rule
from commonweal.kinds.visibility import Comparison, Mask, MaskKind, Operator, RowRule
from commonweal.visibility import compare_alike, value_of
from data_trusts.grammar import RefusedError, written
from data_trusts.releases import quoted


def source(
    trust: str, dataset: PolicyDataset, wanted: Iterable[str], condition: exp.Expression | None
) -> tuple[exp.Expression, list[exp.Expression]]:
    """What a question over some columns of a dataset selects from, and where: nothing where a subquery says it.

    Args:
        trust: the namespace of the table.
        dataset: its rules and masks.
        wanted: the columns that the question selects, aggregates, groups or orders by.
        condition: the rows that it asks for, in terms of `compared` columns.

    Raises:
        RefusedError: a rule cannot be applied, so nothing is shown.
    """
    table = exp.table_(dataset.name, db=trust, quoted=True)
    rules = [shown(rule, dataset) for rule in dataset.row_rules]
    # The condition first: it leaves out more than rules do, and engines need not judge the rest of those rows.
    asked = [] if condition is None else [exp.paren(condition, copy=False) if rules else condition]
    where = [*asked, *rules]
    columns = [column for column in dataset.columns if column.name in wanted]
    if not any(column.masks for column in columns):
        return table, where
    seen = [exp.alias_(masked(column), column.name, quoted=True, copy=False) for column in columns]
    query = exp.select(*seen, copy=False).from_(table, copy=False).where(*where, copy=False)
    return query.subquery(exp.to_identifier(dataset.name, quoted=True), copy=False), []


def compared(column: PolicyColumn, literals: Iterable[exp.Expression]) -> exp.Expression:
    """A column as a condition compares it with literals: masked, or as it is where that says the same."""
    texts = [literal.name for literal in literals]
    return quoted(column.name) if compare_alike(column.masks, texts) else masked(column)


def masked(column: PolicyColumn) -> exp.Expression:
    """What a question sees of a column: each mask over what the one before it leaves."""
    seen: exp.Expression = quoted(column.name)
    for mask in column.masks:
        seen = _mask(seen, mask, column.type)
    return seen


def _mask(seen: exp.Expression, mask: Mask, of_type: str) -> exp.Expression:
    size = exp.Literal.number(mask.size or 0)
    match mask.kind:
        case MaskKind.NULL:
            return exp.cast(exp.Null(), of_type)
        case MaskKind.PREFIX:
            return _prefix(seen, size)
        case MaskKind.BUCKET:
            # Towards zero: the remainder has the sign of the value, so that no value leaves the range of its type.
            rest = exp.paren(exp.Mod(this=seen.copy(), expression=size), copy=False)
            return exp.paren(exp.Sub(this=seen, expression=rest), copy=False)
        case MaskKind.YEAR | MaskKind.MONTH:
            return _period(seen, mask.kind.lower(), of_type)


def _prefix(seen: exp.Expression, size: exp.Expression) -> exp.Expression:
    """The first characters. Short texts are passed on as they are: cutting them takes DuckDB longer than to count."""
    cut = exp.Anonymous(this="SUBSTR", expressions=[seen, exp.Literal.number(1), size])
    length = exp.Anonymous(this="LENGTH", expressions=[seen.copy()])
    return exp.case().when(exp.LTE(this=length, expression=size.copy()), seen.copy(), copy=False).else_(cut, copy=False)


def _period(seen: exp.Expression, unit: str, of_type: str) -> exp.Expression:
    """The start of a value's year or month, in UTC."""
    utc = exp.Literal.string("UTC")
    instant = exp.AtTimeZone(this=seen, zone=utc) if of_type == "timestamptz" else seen
    start = exp.Anonymous(this="DATE_TRUNC", expressions=[exp.Literal.string(unit), instant])
    return exp.AtTimeZone(this=start, zone=utc.copy()) if of_type == "timestamptz" else exp.cast(start, "date")


def shown(rule: RowRule, dataset: PolicyDataset) -> exp.Expression:
    """The condition under which a rule shows a row.

    Raises:
        RefusedError: the rule names a column that is not there, a value of another type, or an unbound claim.
    """
    return exp.paren(
        exp.or_(*(_compared(comparison, rule, dataset) for comparison in rule.any_of), copy=False), copy=False
    )


def _compared(comparison: Comparison, rule: RowRule, dataset: PolicyDataset) -> exp.Expression:
    column = dataset.column(comparison.column)
    if column is None or comparison.claim is not None:
        raise _unusable(rule)
    node = quoted(column.name)
    try:
        values = [written(value_of(text, column.type)) for text in comparison.values]
    except ValueError:
        raise _unusable(rule) from None
    match comparison.operator:
        case Operator.IN:
            return exp.In(this=node, expressions=values)
        case Operator.NOT_IN:
            return exp.Not(this=exp.In(this=node, expressions=values))
        case Operator.AT_LEAST:
            return exp.GTE(this=node, expression=values[0])
        case Operator.BELOW:
            return exp.LT(this=node, expression=values[0])
        case Operator.IS_NULL:
            return exp.Is(this=node, expression=exp.Null())
        case Operator.IS_NOT_NULL:
            return exp.Not(this=exp.Is(this=node, expression=exp.Null()))


def _unusable(rule: RowRule) -> RefusedError:
    return RefusedError(
        Rule.ROW_RULE,
        f"the row rule {rule.name} cannot be applied here, so no row is shown",
        "Tell the trust's trustees; the rule must name a column of the dataset and values of its type",
    )
