"""The smallest parts of a question: names, literals, and how a part outside the grammar is refused."""

import re
from datetime import UTC, date, datetime

from sqlglot import exp

from commonweal.grants import PolicyColumn, Refusal, Rule
from data_trusts.releases import GROUP_ROWS, is_number

WHOLE = re.compile(r"[0-9]{1,19}\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_NUMBER = re.compile(r"[0-9]{1,38}(\.[0-9]{1,38})?\Z")
_TEMPORAL = {
    "date": (exp.DataType.Type.DATE,),
    "timestamptz": (exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMP),
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
    if type(inner) is exp.Literal:
        text = ("-" if negative else "") + inner.name
        written = _quoted_literal(text, column.type) if inner.is_string and not negative else None
        if not inner.is_string:
            written = _number_literal(text, column.type)
        if written is not None:
            return written
    raise RefusedError(
        Rule.FILTER,
        f"{spell(node)} is not a literal of {column.name}'s type {column.type}",
        f"Compare {column.name} with a literal of type {column.type}",
    )


def _number_literal(text: str, of_type: str) -> exp.Expression | None:
    whole = WHOLE.match(text.lstrip("-"))
    if of_type in ("int", "long"):
        bits = 31 if of_type == "int" else 63
        fits = whole and -(2**bits) < int(text) < 2**bits
    else:
        fits = is_number(of_type) and _NUMBER.match(text.lstrip("-")) and len(text) <= 39
    return exp.Literal.number(text) if fits else None


def _quoted_literal(text: str, of_type: str) -> exp.Expression | None:
    if of_type == "string":
        return exp.Literal.string(text)
    try:
        if of_type == "date":
            return exp.cast(exp.Literal.string(date.fromisoformat(text).isoformat()), "date")
        instant = datetime.fromisoformat(text) if of_type == "timestamptz" else None
    except ValueError:
        return None
    if instant is None or instant.tzinfo is None:
        return None
    utc = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
    return exp.cast(exp.Literal.string(utc), "timestamptz")


def spell(node: exp.Expression) -> str:
    """A part of the question as the asker wrote it, cut to what fits a message."""
    return node.sql(dialect="trino", comments=False)[:80]
