"""The smallest parts of a question: names, literals, and how a part outside the grammar is refused."""

import re
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal

from sqlglot import exp

from commonweal.grants import PolicyColumn, Refusal, Rule
from commonweal.visibility import Value, value_of
from data_trusts.releases import GROUP_ROWS, is_number

WHOLE = re.compile(r"[0-9]{1,19}\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_TEMPORAL = {
    "date": (exp.DataType.Type.DATE,),
    "timestamptz": (exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMP),
}

_AS_IN = {
    "date": ", as in DATE '2026-01-31'",
    "timestamptz": ", as in TIMESTAMP '2026-01-31 12:00:00+01:00': with its offset from UTC, not the name of a zone",
}


class RefusedError(Exception):
    """Leaves the checks at the first part that breaks a rule; `refusal` says which."""

    def __init__(self, rule: Rule, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.refusal = Refusal(rule=rule, reason=reason, remedy=remedy)


def outside_grammar(reason: str) -> RefusedError:
    """For what no rule on columns speaks of."""
    return RefusedError(Rule.GRAMMAR, reason, "Ask one SELECT over one dataset; docs/data-trusts.md has the grammar")


def only(node: exp.Expression, *known: str) -> None:
    """Refuse a node that carries a part outside the grammar, rather than to drop the part in silence."""
    unknown = sorted(name for name, value in node.args.items() if value not in (None, [], False) and name not in known)
    if unknown:
        raise outside_grammar(f"{node.key.upper()} with {unknown[0].strip('_')} is outside the grammar")


def identifier(node: exp.Expression) -> str:
    """The name as the engines compare it: folded to lower case unless quoted."""
    if type(node) is not exp.Identifier:
        raise outside_grammar(f"{spell(node)} is not a name")
    return node.name if node.args.get("quoted") else node.name.lower()


def output_name(node: exp.Expression) -> str:
    """The name that the asker gives a column of the answer."""
    name = identifier(node)
    if not _NAME.match(name) or name == GROUP_ROWS:
        raise outside_grammar(f"AS {name[:80]!r}: use a to z, 0 to 9 and _, and not {GROUP_ROWS}")
    return name


def literal(node: exp.Expression, column: PolicyColumn) -> exp.Expression:
    """A literal that has the column's type, written anew."""
    negative = type(node) is exp.Neg
    if negative:
        only(node, "this")
    inner = node.this if negative else node
    if type(inner) is exp.Cast and type(inner.this) is exp.Literal and not negative:
        only(inner, "this", "to")  # DATE '...' and TIMESTAMP '...'
        if inner.args["to"].this in _TEMPORAL.get(column.type, ()):
            inner = inner.this
    if type(inner) is exp.Boolean and not negative and column.type == "boolean":
        return exp.Boolean(this=bool(inner.this))
    expects_text = not is_number(column.type) and column.type != "boolean"
    if type(inner) is exp.Literal and inner.is_string == expects_text and not (expects_text and negative):
        with suppress(ValueError):
            return written(value_of(("-" if negative else "") + inner.name, column.type))
    raise RefusedError(
        Rule.FILTER,
        f"{spell(node)} is not a literal of {column.name}'s type {column.type}",
        f"Compare {column.name} with a literal of type {column.type}{_AS_IN.get(column.type, '')}",
    )


def written(value: Value) -> exp.Expression:
    """A value as a literal that every engine reads alike."""
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        return exp.Literal.string(value)
    if isinstance(value, datetime):
        return exp.cast(exp.Literal.string(value.strftime("%Y-%m-%d %H:%M:%S.%f+00:00")), "timestamptz")
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(value.isoformat()), "date")
    return exp.Literal.number(f"{value:f}" if isinstance(value, Decimal) else str(value))


def spell(node: exp.Expression) -> str:
    """A part of the question as the asker wrote it, cut to what fits a message."""
    return node.sql(dialect="trino", comments=False)[:80]
