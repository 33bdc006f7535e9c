"""Under which licences the rows stand that an answer speaks of.

What an answer says is never too little: it names every licence that its rows may have by source, row rules and grant.
It is not read from the rows, because which licences a small group has would tell of its rows.
"""

from collections.abc import Iterable, Iterator, Mapping

from commonweal.kinds.data_trust import ColumnRole, Dataset
from commonweal.kinds.visibility import Comparison, Narrowing, Operator, RowRule

RULE = "licences"  # the name of the row rule that a grant's list of licences becomes


def by_source(dataset: Dataset) -> Mapping[str, tuple[str, ...]]:
    """The licences that rows at each source may have, sorted."""
    if dataset.row_licences is not None:
        return dict.fromkeys(dataset.sources, tuple(sorted(dataset.row_licences.licences)))
    others = {each.member: each.licence for each in dataset.source_licences}
    return {member: (others.get(member, dataset.licence),) for member in dataset.sources}


def expression(licences: Iterable[str]) -> str:
    """The SPDX expression of all of them together: whoever uses the answer obeys each."""
    several = sorted(set(licences))
    return several[0] if len(several) == 1 else " AND ".join(f"({each})" if " " in each else each for each in several)


def faults(dataset: Dataset) -> Iterator[str]:
    """Why a dataset cannot say the licence of its rows, one sentence a fault."""
    if dataset.row_licences is None:
        return
    name = dataset.row_licences.column
    column = next((each for each in dataset.columns if each.name == name), None)
    if column is None or column.type != "string" or column.role is not ColumnRole.DIMENSION or column.mask is not None:
        yield f"rowLicences.column: {name} is no dimension of type string without a mask; name such a column"


def narrowing_faults(narrowing: Narrowing, dataset: Dataset) -> Iterator[str]:
    """Licences of a grant that no row of the dataset can have."""
    known = {licence for each in by_source(dataset).values() for licence in each}
    for licence in sorted(set(narrowing.licences) - known):
        yield f"licences[{licence}]: no row has it; rows have {', '.join(sorted(known))}"


def covers(narrowing: Narrowing, licences: Iterable[str]) -> bool:
    """Whether a grant that is bound to licences can show any row that is under one of these."""
    return not narrowing.licences or not set(narrowing.licences).isdisjoint(licences)


def as_rule(narrowing: Narrowing, column: str | None) -> Narrowing:
    """A grant's list of licences as the row rule that enforces it, where rows name their own."""
    if column is None or not narrowing.licences:
        return narrowing
    comparison = Comparison(column=column, operator=Operator.IN, values=tuple(sorted(narrowing.licences)))
    rule = RowRule(name=RULE, any_of=(comparison,))
    return narrowing.model_copy(update={"row_rules": (*narrowing.row_rules, rule)})


def shown(licences: Iterable[str], column: str | None, rules: Iterable[RowRule]) -> tuple[str, ...]:
    """The licences of rows that all of these rules can show; claims must be bound before."""
    bound = tuple(rules)
    return tuple(
        licence
        for licence in licences
        if column is None or all(any(_may_hold(c, column, licence) for c in rule.any_of) for rule in bound)
    )


def _may_hold(comparison: Comparison, column: str, licence: str) -> bool:
    """Whether a row under this licence can satisfy a comparison; what other columns hold is not known."""
    if comparison.column != column:
        return True
    match comparison.operator:
        case Operator.IN:
            return licence in comparison.values
        case Operator.NOT_IN:
            return licence not in comparison.values
        case Operator.IS_NULL:
            return False
        case _:
            return True
