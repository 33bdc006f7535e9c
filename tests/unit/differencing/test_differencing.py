from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from commonweal.differencing import Part, Release, objection, row_sets

ALL = ("ca", "ke", "kr", "uy")
K, MEMBERS = 3, 3


def flow(label: int) -> Part:
    return Part(column="flow", domain="value", labels=(str(label),))


def day(label: int) -> Part:
    return Part(column="day", domain="value", labels=(str(label),))


def release(groups: Mapping[tuple[Part, ...], int | None], where: str = "", members: tuple[str, ...] = ALL) -> Release:
    return Release(members=members, sets=row_sets(where, groups.items()))


def refused(new: Release, *earlier: Release) -> str | None:
    return objection(new, earlier, K, MEMBERS)


def test_a_condition_that_takes_one_row_away_is_refused() -> None:
    """The tracker of the textbook: the total, then the total without one."""
    whole = release({(): 100})
    reason = refused(release({(): 99}, "day <> '2026-01-01'"), whole)
    assert reason is not None
    assert "all rows where day <> '2026-01-01'" in reason
    assert "fewer than 3 rows" in reason


def test_two_conditions_that_each_drop_another_row_are_refused_although_they_count_alike() -> None:
    assert refused(release({(): 99}, "id <> 'a'"), release({(): 99}, "id <> 'b'"))


def test_a_left_out_group_cannot_be_had_by_subtracting_the_others_from_the_whole() -> None:
    whole = release({(flow(1),): 100})
    by_day = release({(flow(1), day(1)): 60, (flow(1), day(2)): 39})  # a third day has one row and is left out
    assert refused(by_day, whole)
    assert refused(whole, by_day)


def test_the_same_question_may_be_repeated() -> None:
    asked = release({(flow(1),): 100, (flow(2),): 50})
    assert refused(asked, asked) is None


def test_the_same_question_after_one_more_row_is_refused() -> None:
    assert refused(release({(flow(1),): 101}), release({(flow(1),): 100}))
    assert refused(release({(flow(1),): 103}), release({(flow(1),): 100})) is None


def test_groups_that_cannot_share_a_row_are_not_compared() -> None:
    assert refused(release({(flow(1),): 100}), release({(flow(2),): 101})) is None
    assert refused(release({(flow(1),): 4, (flow(2),): 9}), release({(flow(3),): 4, (flow(4),): 9})) is None


def test_a_question_about_other_enough_rows_is_allowed() -> None:
    assert refused(release({(): 60}, "flow = 1"), release({(): 100})) is None


def test_a_member_more_or_less_is_refused_with_noise_too() -> None:
    reason = refused(release({(): None}, members=ALL[:3]), release({(): None}))
    assert reason is not None
    assert "the part of uy alone" in reason
    assert refused(release({(flow(1),): None}, members=ALL[:3]), release({(flow(2),): None})) is None


def test_counts_with_noise_say_nothing_of_sizes() -> None:
    assert refused(release({(): None}, "id <> 'a'"), release({(): None})) is None


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=60),
    st.sets(st.integers(0, 59), max_size=2),
)
def test_no_pair_of_totals_that_differ_by_few_rows_ever_passes(rows: list[tuple[int, int]], dropped: set[int]) -> None:
    """Whatever the rows, and whichever few a condition takes away, grouped or not."""
    kept = [row for place, row in enumerate(rows) if place not in dropped]
    if len(kept) == len(rows) or not kept:
        return
    earlier, new = grouped(rows, "flow"), grouped(kept, "day")
    assert refused(
        release({(day(label),): count for label, count in new.items()}, "id NOT IN ('a', 'b')"),
        release({(flow(label),): count for label, count in earlier.items()}),
    )


def grouped(rows: list[tuple[int, int]], by: str) -> dict[int, int]:
    labels = [row[0 if by == "flow" else 1] for row in rows]
    return {label: labels.count(label) for label in labels}


def test_margins_are_sets_too() -> None:
    sets = row_sets("", [((flow(1), day(1)), 5), ((flow(1), day(2)), 7), ((flow(2), day(1)), 9)])
    assert sorted(each.rows or 0 for each in sets if each.over) == [12, 14, 21]
    assert [each.rows for each in sets if not each.over] == [5, 7, 9]
