"""Short estates are divided as the Talmud does, and joining is worth what it adds on average."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.division import Coalition, DivisionError, coalitions, most_tempted, shapley, talmud

CLAIMS = {"a": 100, "b": 200, "c": 300}
claims = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**6), min_size=1)


def game(players: str, worth: Callable[[Coalition], int]) -> dict[Coalition, int | Fraction]:
    return {each: worth(each) for each in coalitions(players)}


def gloves(coalition: Coalition) -> int:
    """Pairs of a left glove (capital letters) and a right one."""
    left = sum(player.isupper() for player in coalition)
    return min(left, len(coalition) - left)


@pytest.mark.parametrize(
    ("estate", "expected"),
    [(100, (34, 33, 33)), (99, (33, 33, 33)), (200, (50, 75, 75)), (300, (50, 100, 150)), (600, (100, 200, 300))],
)
def test_the_talmuds_three_wives_get_what_it_says(estate: int, expected: tuple[int, ...]) -> None:
    assert tuple(talmud(estate, CLAIMS).values()) == expected


def test_a_contested_garment_is_split_where_both_claim_it() -> None:
    assert talmud(100, {"half": 50, "all": 100}) == {"all": 75, "half": 25}


@given(of=claims, data=st.data())
def test_an_estate_is_paid_out_wholly_and_no_claim_twice(of: dict[str, int], data: st.DataObject) -> None:
    estate = data.draw(st.integers(0, sum(of.values())))
    parts = talmud(estate, of)
    assert sum(parts.values()) == estate
    assert all(0 <= parts[each] <= of[each] for each in of)


@given(of=claims, data=st.data())
def test_claiming_more_never_gets_less_but_for_rounding(of: dict[str, int], data: st.DataObject) -> None:
    estate = data.draw(st.integers(0, sum(of.values())))
    name = data.draw(st.sampled_from(sorted(of)))
    more = of | {name: of[name] + data.draw(st.integers(0, 10**6))}
    assert talmud(estate, more)[name] >= talmud(estate, of)[name] - 1


@given(of=claims, data=st.data())
def test_gains_and_losses_are_divided_alike_but_for_rounding(of: dict[str, int], data: st.DataObject) -> None:
    total = sum(of.values())
    estate = data.draw(st.integers(0, total))
    gains, losses = talmud(estate, of), talmud(total - estate, of)
    assert all(abs(of[each] - losses[each] - gains[each]) <= 1 for each in of)


def test_an_estate_that_is_not_short_or_a_debt_is_refused() -> None:
    with pytest.raises(DivisionError, match="estate: 601 is not between 0 and the 600 claimed"):
        talmud(601, CLAIMS)
    with pytest.raises(DivisionError, match="claim: a=-1 is below 0"):
        talmud(0, {"a": -1})


def test_a_runway_is_paid_for_by_those_who_need_its_length() -> None:
    lengths = {"a": 8, "b": 11, "c": 13, "d": 18}
    assert shapley(game("abcd", lambda some: max(lengths[each] for each in some))) == {"a": 2, "b": 3, "c": 4, "d": 9}


@pytest.mark.parametrize(
    ("players", "left", "right"),
    [("Abc", Fraction(2, 3), Fraction(1, 6)), ("ABcde", Fraction(13, 20), Fraction(7, 30))],
)
def test_the_rarer_glove_is_worth_more(players: str, left: Fraction, right: Fraction) -> None:
    assert shapley(game(players, gloves)) == {each: left if each.isupper() else right for each in players}


@st.composite
def games(draw: st.DrawFn) -> dict[Coalition, int | Fraction]:
    return {each: draw(st.integers(-100, 100)) for each in coalitions("abcd"[: draw(st.integers(1, 4))])}


@given(worth=games())
def test_all_is_shared_and_a_player_that_adds_nothing_gets_nothing(worth: dict[Coalition, int | Fraction]) -> None:
    value = shapley(worth)
    assert sum(value.values()) == worth[frozenset(value)]
    idle = worth | {frozenset({"z"}): 0} | {each | {"z"}: amount for each, amount in worth.items()}
    assert shapley(idle) == value | {"z": 0}


@given(data=st.data())
def test_the_value_of_two_games_together_is_the_sum_of_their_values(data: st.DataObject) -> None:
    one, other = ({each: data.draw(st.integers(-100, 100)) for each in coalitions("abc")} for _ in range(2))
    both = shapley({each: one[each] + other[each] for each in one})
    first, second = shapley(dict(one)), shapley(dict(other))
    assert both == {each: first[each] + second[each] for each in both}


def test_players_that_add_the_same_get_the_same_and_nobody_gains_by_leaving() -> None:
    worth = game("abc", lambda some: (0, 0, 10, 24)[len(some)])
    value = shapley(worth)
    assert value == {"a": 8, "b": 8, "c": 8}
    assert most_tempted(worth, value)[1] == -6


def test_an_empty_core_tempts_a_pair_by_a_third() -> None:
    worth = game("abc", lambda some: (0, 0, 1, 1)[len(some)])
    pair, gain = most_tempted(worth, shapley(worth))
    assert (len(pair), gain) == (2, Fraction(1, 3))


def test_in_an_additive_game_each_gets_its_own() -> None:
    own = {"a": 2, "b": 3, "c": 5}
    worth = game("abc", lambda some: sum(own[each] for each in some))
    assert shapley(worth) == own
    assert most_tempted(worth, own)[1] == 0


def test_a_member_alone_has_nobody_to_leave() -> None:
    assert most_tempted({frozenset("a"): 5}, {"a": 5}) == (frozenset("a"), Fraction(0))


def test_a_game_that_is_not_stated_or_too_large_is_refused() -> None:
    with pytest.raises(DivisionError, match=r"worth: a\+b is missing; state the worth of every coalition"):
        shapley({frozenset("a"): 1, frozenset("b"): 1, frozenset("bc"): 2, frozenset("c"): 0})
    with pytest.raises(DivisionError, match="worth: 13 players are more than 12"):
        shapley({frozenset("abcdefghijklm"): 1})
