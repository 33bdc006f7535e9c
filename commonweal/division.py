"""Who gets how much where there is less than was claimed, and what each member's joining is worth.

Both rules are exact: fractions until the last step, where parts are rounded to sum to the whole.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import combinations
from math import factorial

from commonweal.apportion import largest_remainder

MOST_PLAYERS = 12  # every coalition is looked at: 4096 of them

Coalition = frozenset[str]


class DivisionError(ValueError):
    """Claims or worths that cannot be divided; the message names the field and the remedy."""


def talmud(estate: int, claims: Mapping[str, int]) -> dict[str, int]:
    """Divide an estate that is short of its claims as the Talmud does (Aumann and Maschler, 1985).

    Nobody gets more than half of its claim before everyone has half, or has as much as the others; beyond that, losses
    are shared as gains were. Each pair of claimants divides what both get as the contested garment is divided.

    Raises:
        DivisionError: a claim or the estate is below 0, or the estate is more than is claimed.
    """
    for member, claim in claims.items():
        if claim < 0:
            raise DivisionError(f"claim: {member}={claim} is below 0; leave out who claims nothing")
    total = sum(claims.values())
    if not 0 <= estate <= total:
        raise DivisionError(
            f"estate: {estate} is not between 0 and the {total} claimed; pay the claims and keep the rest"
        )
    halves = {member: Fraction(claim, 2) for member, claim in claims.items()}
    if 2 * estate <= total:
        exact = _equal_up_to(Fraction(estate), halves)
    else:
        losses = _equal_up_to(Fraction(total - estate), halves)
        exact = {member: claim - losses[member] for member, claim in claims.items()}
    return largest_remainder(estate, exact)


def _equal_up_to(amount: Fraction, limits: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Give all the same, but nobody more than its limit."""
    given, left = dict[str, Fraction](), amount
    for count, member in enumerate(sorted(limits, key=lambda each: (limits[each], each))):
        given[member] = min(limits[member], left / (len(limits) - count))
        left -= given[member]
    return given


def coalitions(players: Iterable[str]) -> list[Coalition]:
    """Return every coalition of the players but the empty one, smaller ones first."""
    names = sorted(players)
    return [frozenset(some) for size in range(1, len(names) + 1) for some in combinations(names, size)]


def shapley(worth: Mapping[Coalition, int | Fraction]) -> dict[str, Fraction]:
    """Return what each player adds on average over every order of joining; `worth` has every coalition but the empty.

    Raises:
        DivisionError: too many players, or a coalition without a worth.
    """
    players = sorted(frozenset().union(*worth))
    if len(players) > MOST_PLAYERS:
        raise DivisionError(f"worth: {len(players)} players are more than {MOST_PLAYERS}; join some of them first")
    for coalition in coalitions(players):
        if coalition not in worth:
            raise DivisionError(f"worth: {'+'.join(sorted(coalition))} is missing; state the worth of every coalition")
    value = dict.fromkeys(players, Fraction(0))
    for coalition in coalitions(players):
        others = len(coalition) - 1
        orders = Fraction(factorial(others) * factorial(len(players) - len(coalition)), factorial(len(players)))
        for player in coalition:
            value[player] += orders * (worth[coalition] - worth.get(coalition - {player}, 0))
    return value


def most_tempted(
    worth: Mapping[Coalition, int | Fraction], parts: Mapping[str, int | Fraction]
) -> tuple[Coalition, Fraction]:
    """Return the coalition that would gain most by leaving with its own worth, and how much; up to 0 none gains."""
    gains = {coalition: Fraction(worth[coalition] - sum(parts[each] for each in coalition)) for coalition in worth}
    everyone = frozenset(parts)
    leaving = (each for each in gains if each != everyone)
    best = max(leaving, key=lambda each: (gains[each], sorted(each)), default=everyone)
    return best, gains[best]
