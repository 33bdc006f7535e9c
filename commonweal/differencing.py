"""When a release would say, by its difference to an earlier one, what neither says alone.

Two sums whose rows differ by a few give away the sum of those few (Denning and Schlörer's trackers, 1980). Whether two
conditions select almost the same rows cannot be read off them, but sets that differ by fewer than k rows have sizes
that differ by fewer than k. So any two sets of so similar a size are taken to be such a pair, unless they are the same
set or cannot meet. That is too careful where sizes coincide, and never too careless for a pair; sums over more than two
releases are beyond it, which is what noise is for.

The same holds of members: two sums that differ by one member's rows give away that member's part, noise or no noise.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one column of a group's name may be: `labels` of a `domain`, of which no two share a row."""

    column: str
    domain: str
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RowSet:
    """Rows that one released value stands on, or the sum of several.

    Attributes:
        condition: the WHERE, in one spelling.
        parts: the group's name.
        over: which groups were added up, empty for a single group.
        rows: how many there are; None where the count has noise, so that sizes say nothing exact.
    """

    condition: str
    parts: tuple[Part, ...]
    over: str
    rows: int | None

    def same_as(self, other: "RowSet") -> bool:
        """Whether both are, by how they were asked for, the same rows."""
        return (self.condition, self.parts, self.over) == (other.condition, other.parts, other.over)

    def apart_from(self, other: "RowSet") -> bool:
        """Whether no row can be in both."""
        labels = {(part.column, part.domain): part.labels for part in self.parts}
        return any(
            not {*labels[part.column, part.domain]} & {*part.labels}
            for part in other.parts
            if (part.column, part.domain) in labels
        )


@dataclass(frozen=True, kw_only=True)
class Release:
    """What one beneficiary got of one dataset at once."""

    members: tuple[str, ...]
    sets: tuple[RowSet, ...]


def row_sets(condition: str, groups: Iterable[tuple[tuple[Part, ...], int | None]]) -> tuple[RowSet, ...]:
    """Every set of rows whose sum follows from one release: each shown group, and each margin over shown groups.

    Args:
        condition: the WHERE, in one spelling.
        groups: the shown groups, named by the same columns in the same order, with their rows.
    """
    shown = list(groups)
    width = len(shown[0][0]) if shown else 0
    sets = [RowSet(condition=condition, parts=parts, over="", rows=rows) for parts, rows in shown]
    for kept in (kept for size in range(width) for kept in combinations(range(width), size)):
        margins: dict[tuple[Part, ...], list[tuple[tuple[Part, ...], int | None]]] = {}
        for parts, rows in shown:
            margins.setdefault(tuple(parts[place] for place in kept), []).append((parts, rows))
        sets += [_margin(condition, added) for added in margins.values() if len(added) > 1]
    return tuple(sets)


def _margin(condition: str, added: list[tuple[tuple[Part, ...], int | None]]) -> RowSet:
    names = [tuple(label for part in parts for label in part.labels) for parts, _ in added]
    counts = [rows for _, rows in added if rows is not None]
    return RowSet(
        condition=condition,
        parts=tuple(
            replace(column[0], labels=tuple(sorted({label for part in column for label in part.labels})))
            for column in zip(*(parts for parts, _ in added), strict=True)
        ),
        over=repr(sorted(names)),
        rows=sum(counts) if len(counts) == len(added) else None,
    )


def objection(new: Release, earlier: Iterable[Release], minimum_rows: int, minimum_members: int) -> str | None:
    """Say why a release must not leave after the earlier ones to the same beneficiary, or None.

    Args:
        new: what would leave.
        earlier: what left, of the same dataset, for any purpose: the beneficiary is one.
        minimum_rows: k; smaller differences are a group too small to be released.
        minimum_members: sums of fewer members are not released, so neither are differences of fewer.
    """
    for old in earlier:
        apart = sorted({*new.members} ^ {*old.members})
        if 0 < len(apart) < minimum_members and _meet(new, old):
            return (
                f"an earlier release stands on {', '.join(old.members)}; its difference to one on"
                f" {', '.join(new.members)} would be the part of {', '.join(apart)} alone"
            )
        found = _close(new, old, minimum_rows)
        if found is not None:
            mine, theirs = found
            return (
                f"{_name(mine)} and {_name(theirs)} of an earlier release may differ by fewer than {minimum_rows} rows,"
                " and the difference of the two would be the value of those rows"
            )
    return None


def _meet(new: Release, old: Release) -> bool:
    """Whether a row may be in both; if one may, then in a single group of each."""
    return any(not a.apart_from(b) for a in new.sets if not a.over for b in old.sets if not b.over)


def _close(new: Release, old: Release, minimum_rows: int) -> tuple[RowSet, RowSet] | None:
    counted = sorted(((each.rows, place) for place, each in enumerate(old.sets) if each.rows is not None))
    sizes = [rows for rows, _ in counted]
    for mine in new.sets:
        if mine.rows is None:
            continue
        near = slice(bisect_right(sizes, mine.rows - minimum_rows), bisect_left(sizes, mine.rows + minimum_rows))
        for rows, place in counted[near]:
            theirs = old.sets[place]
            repeated = rows == mine.rows and mine.same_as(theirs) and new.members == old.members
            if not repeated and not mine.apart_from(theirs):
                return mine, theirs
    return None


def _name(of: RowSet) -> str:
    named = ", ".join(f"{part.column} {' or '.join(part.labels)}" for part in of.parts) or "all rows"
    return f"{named} where {of.condition}" if of.condition else named
