"""Where an application would emit least, and what running it there instead of where it runs would save, as a range.

A score, and no placement rule: it is shown beside the placement that equity decides. What was saved is never measured,
only compared with what was not done, so it is a range over all factors that are given, and may be below 0. Studies of
real grids find a few per cent to a fifth (research: energy handbook, section 4).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from commonweal.green import MJ_PER_KWH, Factor, GreenError


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """The least and the most that a zone's grid is said to emit, in mg of CO2e per kWh, location-based."""

    low_mg_per_kwh: int
    high_mg_per_kwh: int


@dataclass(frozen=True, kw_only=True)
class Range:
    """Milligrams of CO2e an hour, at least and at most."""

    low_mg: Fraction
    high_mg: Fraction


def intensities(factors: Iterable[Factor]) -> dict[str, Intensity]:
    """The range of each zone over its factors.

    Raises:
        GreenError: factors of two kinds, which cannot be compared.
    """
    factors = tuple(factors)
    if len(kinds := {each.kind for each in factors}) > 1:
        listed = " and ".join(sorted(f"{method} {basis}" for method, basis in kinds))
        raise GreenError(f"factors: are of {listed}; give factors of one method and basis")
    of_zone: dict[str, list[int]] = {}
    for each in factors:
        of_zone.setdefault(each.zone, []).append(each.mg_per_kwh)
    return {zone: Intensity(low_mg_per_kwh=min(all_), high_mg_per_kwh=max(all_)) for zone, all_ in of_zone.items()}


def ranked(zones: Mapping[str, str], known: Mapping[str, Intensity]) -> list[str]:
    """Members by what their zone emits at most, then at least, then by name.

    Raises:
        GreenError: a member's zone has no factor.
    """
    if missing := sorted(member for member, zone in zones.items() if zone not in known):
        raise GreenError(f"factors: none of zone {zones[missing[0]]}, where {missing[0]} pledges; add its row")
    return sorted(zones, key=lambda name: (known[zones[name]].high_mg_per_kwh, known[zones[name]].low_mg_per_kwh, name))


def greenest(order: list[str], replicas: int, min_members: int) -> dict[str, int]:
    """Place replicas at the first of an order, but at as many members as the application asks for."""
    spread = order[: max(1, min(min_members, replicas))]
    placed = dict.fromkeys(spread, 1) if replicas else {}
    if placed:
        placed[spread[0]] += replicas - len(spread)
    return placed


def emitted(
    placed: Mapping[str, int], zones: Mapping[str, str], known: Mapping[str, Intensity], mj_an_hour: int
) -> Range:
    """What a placement emits an hour, at so many millijoules a replica."""
    return _range({member: mj_an_hour * count for member, count in placed.items()}, zones, known)


def saved(
    actual: Mapping[str, int],
    instead: Mapping[str, int],
    zones: Mapping[str, str],
    known: Mapping[str, Intensity],
    mj_an_hour: int,
) -> Range:
    """What the other placement would save an hour; the same zone's grid is the same in both."""
    members = actual.keys() | instead.keys()
    return _range(
        {member: mj_an_hour * (actual.get(member, 0) - instead.get(member, 0)) for member in members}, zones, known
    )


def _range(energies_mj: Mapping[str, int], zones: Mapping[str, str], known: Mapping[str, Intensity]) -> Range:
    of_zone: dict[str, int] = {}
    for member, mj in energies_mj.items():
        of_zone[zones[member]] = of_zone.get(zones[member], 0) + mj
    ends = [sorted((mj * known[zone].low_mg_per_kwh, mj * known[zone].high_mg_per_kwh)) for zone, mj in of_zone.items()]
    return Range(
        low_mg=Fraction(sum(low for low, _ in ends), MJ_PER_KWH),
        high_mg=Fraction(sum(high for _, high in ends), MJ_PER_KWH),
    )
