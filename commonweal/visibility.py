"""Which rows a question sees and how coarse their values: whether such rules can be applied, and to whom.

`commonweal.grants` compiles rules into the policy only where `rule_faults` and `mask_faults` find nothing, and binds
them to an asker before any SQL is written; `data_trusts.visible` writes them in an engine's SQL.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Protocol

from commonweal.kinds.data_trust import ColumnRole
from commonweal.kinds.visibility import Claim, Comparison, Mask, MaskKind, RowRule

Value = bool | int | Decimal | str | date | datetime
_WHOLE = re.compile(r"-?[0-9]{1,19}\Z")
_NUMBER = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,38})?\Z")
_MAX_NUMBER_CHARS = 39  # 38 digits, and a sign or a point
_BITS = {"int": 31, "long": 63}
_MASKED_TYPES = {
    MaskKind.YEAR: ("date", "timestamptz"),
    MaskKind.MONTH: ("date", "timestamptz"),
    MaskKind.PREFIX: ("string",),
    MaskKind.BUCKET: ("int", "long"),
}


class Typed(Protocol):
    """A column, as DataTrust declares it or as a policy carries it."""

    @property
    def name(self) -> str:
        """Its name in SQL."""

    @property
    def type(self) -> str:
        """Its Iceberg primitive type."""

    @property
    def role(self) -> ColumnRole:
        """What a question may do with it."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """What claims of a rule are compared with."""

    member: str
    beneficiary: str
    purpose: str

    def claim(self, claim: Claim) -> str:
        """The value that stands for a claim."""
        return {Claim.MEMBER: self.member, Claim.BENEFICIARY: self.beneficiary, Claim.PURPOSE: self.purpose}[claim]


def value_of(text: str, of_type: str) -> Value:
    """A value of an Iceberg primitive type, from its text; instants come back in UTC.

    Raises:
        ValueError: the text is no such value, or does not fit the type.
    """
    if of_type == "string":
        return text
    if of_type == "boolean":
        return {"true": True, "false": False}[text] if text in ("true", "false") else _no_value(text, of_type)
    if of_type == "date":
        return date.fromisoformat(text)
    if of_type == "timestamptz":
        return _instant(text)
    if of_type in _BITS:
        fits = _WHOLE.match(text) and -(2 ** _BITS[of_type]) <= int(text) < 2 ** _BITS[of_type]
        return int(text) if fits else _no_value(text, of_type)
    fits = _NUMBER.match(text) and len(text) <= _MAX_NUMBER_CHARS
    return Decimal(text) if fits else _no_value(text, of_type)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is before year 1 or after year 9999 in UTC") from None


def _no_value(text: str, of_type: str) -> Value:
    raise ValueError(f"{text!r} is no {of_type}")


def rule_faults(rules: Iterable[RowRule], columns: Iterable[Typed]) -> list[str]:
    """Why rules cannot be applied to a schema, one sentence a fault; empty where they can."""
    known = {column.name: column for column in columns}
    return [
        f"rowRules[{rule.name}].anyOf[{place}]: {fault}"
        for rule in rules
        for place, comparison in enumerate(rule.any_of)
        for fault in _comparison_faults(comparison, known)
    ]


def _comparison_faults(comparison: Comparison, known: Mapping[str, Typed]) -> Iterator[str]:
    column = known.get(comparison.column)
    if column is None:
        yield f"there is no column {comparison.column}; name a column of the dataset"
        return
    if column.role is ColumnRole.MEASURE:
        yield f"{column.name} is a measure; compare dimension or hidden columns"
    if comparison.claim is not None and column.type != "string":
        yield f"{column.name} is {column.type}, and claims are text; compare a string column"
    for text in comparison.values:
        try:
            value_of(text, column.type)
        except ValueError:
            yield f"{text[:80]!r} is no {column.type}, which {column.name} is; write a value of that type"


def mask_faults(masks: Iterable[tuple[str, Mask]], columns: Iterable[Typed]) -> list[str]:
    """Why masks, by the name of their column, cannot be applied to a schema, one sentence a fault."""
    known = {column.name: column for column in columns}
    return [fault for name, mask in masks for fault in _mask_faults(name, mask, known)]


def _mask_faults(name: str, mask: Mask, known: Mapping[str, Typed]) -> Iterator[str]:
    column = known.get(name)
    if column is None:
        yield f"masks[{name}]: there is no column {name}; name a column of the dataset"
    elif column.role is ColumnRole.HIDDEN:
        yield f"masks[{name}]: {name} is hidden, so no question sees it; remove the mask"
    elif mask.kind is not MaskKind.NULL and column.type not in _MASKED_TYPES[mask.kind]:
        allowed = " or ".join(_MASKED_TYPES[mask.kind])
        yield f"masks[{name}]: {mask.kind} masks {allowed}, and {name} is {column.type}; use Null, or hide the column"


def bound(rules: Iterable[RowRule], asker: Asker) -> tuple[RowRule, ...]:
    """The rules with what is known of the asker in place of each claim."""
    return tuple(
        rule.model_copy(update={"any_of": tuple(_bound(comparison, asker) for comparison in rule.any_of)})
        for rule in rules
    )


def _bound(comparison: Comparison, asker: Asker) -> Comparison:
    if comparison.claim is None:
        return comparison
    return comparison.model_copy(update={"values": (asker.claim(comparison.claim),), "claim": None})


def compare_alike(masks: Iterable[Mask], texts: Iterable[str]) -> bool:
    """Whether masked values compare with these texts, in every order and in equality, exactly as the values do.

    So it is where every text ends before a prefix does: two texts are ordered by the first letter in which they differ,
    or by which one ends first, and neither lies beyond the shorter text's end.
    """
    longest = max((len(text) for text in texts), default=0)
    return all(mask.kind is MaskKind.PREFIX and mask.size is not None and longest < mask.size for mask in masks)


def empties(masks: Iterable[Mask]) -> bool:
    """Whether a masked column has no value where the column has one."""
    return any(mask.kind is MaskKind.NULL for mask in masks)


def rule_words(rule: RowRule) -> str:
    """A rule as `why` and the audit log show it."""
    alternatives = (
        " ".join([comparison.column, comparison.operator, *sorted(comparison.values)]) for comparison in rule.any_of
    )
    return f"{rule.name}: {' or '.join(alternatives)}"


def mask_words(column: str, masks: Iterable[Mask]) -> str:
    """A column's masks as `why` and the audit log show them, in the order in which they are applied."""
    steps = (mask.kind if mask.size is None else f"{mask.kind}({mask.size})" for mask in masks)
    return f"{column}: {' then '.join(steps)}"
