"""What a tonne embeds by several sources at once: one value, its 90 % interval, and whether to ask the producer again.

Pure. Sources are compared as logarithms. Estimates of one group share an input, so that repeating one adds nothing
that its stated correlation denies. Groups are weighted by precision; where they disagree by more than they admit, the
interval widens by the Birge ratio. A producer's own disclosure is right, understated or mistaken, and the interval
follows the posterior of the three: a disclosure that nothing contradicts narrows it, one that the other sources
contradict does not. Floats, because these are estimates; what the law counts is computed in decimals elsewhere.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

METHOD = "log-fusion-1"
COVERAGE = 0.90
# Assumptions of the method, versioned with it; the bar trade-coverage shows what happens where they do not hold.
UNDERSTATED_PRIOR = 0.05  # share of disclosures that understate
MOST_UNDERSTATED = 0.6  # an understatement is uniform in logarithms from none to this share
MISTAKEN_PRIOR = 0.001  # share of disclosures that say nothing of the truth, as those in a wrong unit
MISTAKEN_BY = 1000.0  # up to which factor, either way
GRID = 400  # steps at least; value and bounds are then within 0.1 % of the exact
REACH_SD = 6.0
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One source's view of one installation and period.

    `value_t_per_t` is tonnes CO2e per tonne, above 0. `relative_sd` is the standard deviation of its logarithm.
    `correlation` (0 to 1) is the part of that variance which all estimates of `group` have in common. `disclosed` says
    that the producer itself states it.
    """

    source: str
    group: str
    value_t_per_t: float
    relative_sd: float
    correlation: float
    disclosed: bool = False


@dataclass(frozen=True, kw_only=True)
class Fused:
    """The answer for one installation and period, in tonnes CO2e per tonne.

    `low_t_per_t` and `high_t_per_t` bound the central 90 %. `weights` sum to 1 over the groups. `inflation` is the
    Birge ratio, 1 where the sources agree. `p_value` is the probability of a disclosure at least as low if it were
    right; None without a disclosure or without anything to compare it with.
    """

    value_t_per_t: float
    low_t_per_t: float
    high_t_per_t: float
    weights: Mapping[str, float]
    inflation: float
    p_value: float | None
    sources: tuple[str, ...]
    method: str = METHOD


@dataclass(frozen=True, kw_only=True)
class _Normal:
    mean: float
    variance: float

    @property
    def sd(self) -> float:
        return math.sqrt(self.variance)


class FusionError(ValueError):
    """Estimates that cannot be fused; names the field and the remedy."""


def fuse(estimates: Sequence[Estimate]) -> Fused:
    """Fuse what all sources say of one installation and period.

    Raises:
        FusionError: there is none, a number is out of its bounds, or a group contradicts itself.
    """
    _check(estimates)
    disclosed = _by_group(estimate for estimate in estimates if estimate.disclosed)
    others = _by_group(estimate for estimate in estimates if not estimate.disclosed)
    independent, inflation = _combined(others)
    own, _ = _combined(disclosed)
    low, middle, high, p_value = _quantiles(independent, own)
    return Fused(
        value_t_per_t=math.exp(middle),
        low_t_per_t=math.exp(low),
        high_t_per_t=math.exp(high),
        weights=_weights({**disclosed, **others}),
        inflation=inflation,
        p_value=p_value,
        sources=tuple(sorted({estimate.source for estimate in estimates})),
    )


def review_requests(p_values: Mapping[str, float], false_discovery_share: float) -> frozenset[str]:
    """Whom to ask again, so that of those asked at most the given share, on average, had disclosed rightly.

    Benjamini and Hochberg (1995). Being asked is no finding: the answer may well be that the other sources are wrong.

    Raises:
        FusionError: the share is not between 0 and 1.
    """
    if not 0 < false_discovery_share < 1:
        raise FusionError(f"false_discovery_share: {false_discovery_share} is not between 0 and 1; 0.1 is usual")
    ranked = sorted(p_values.items(), key=lambda item: item[1])
    passing = [rank for rank, (_, p) in enumerate(ranked, 1) if p <= false_discovery_share * rank / len(ranked)]
    return frozenset(name for name, _ in ranked[: max(passing, default=0)])


def detection_power(understated_share: float, gap_sd: float, significance: float) -> float:
    """Probability that a one-sided test finds an understatement of this share, if the gap's logarithm has `gap_sd`."""
    shift = -math.log1p(-understated_share) / gap_sd
    return _NORMAL.cdf(shift - _NORMAL.inv_cdf(1 - significance))


def group_sd(count: int, relative_sd: float, correlation: float) -> float:
    """Standard deviation of the mean of `count` equal estimates of one group."""
    return relative_sd * math.sqrt((1 - correlation) / count + correlation)


def _check(estimates: Sequence[Estimate]) -> None:
    if not estimates:
        raise FusionError("estimates: there are none; give at least one")
    for each in estimates:
        if not (math.isfinite(each.value_t_per_t) and each.value_t_per_t > 0):
            raise FusionError(f"value_t_per_t: {each.value_t_per_t} of {each.source} is not a number above 0")
        if not (math.isfinite(each.relative_sd) and 0 < each.relative_sd <= 2):
            raise FusionError(f"relative_sd: {each.relative_sd} of {each.source} is not above 0 and at most 2")
        if not 0 <= each.correlation <= 1:
            raise FusionError(f"correlation: {each.correlation} of {each.source} is not from 0 to 1")
    kinds: dict[str, tuple[float, bool]] = {}
    for each in estimates:
        if kinds.setdefault(each.group, (each.correlation, each.disclosed)) != (each.correlation, each.disclosed):
            raise FusionError(f"group: estimates of {each.group} differ in correlation or disclosed; make two groups")


def _by_group(estimates: Iterable[Estimate]) -> dict[str, _Normal]:
    grouped: dict[str, list[Estimate]] = {}
    for estimate in estimates:
        grouped.setdefault(estimate.group, []).append(estimate)
    return {name: _group(members) for name, members in grouped.items()}


def _group(members: Sequence[Estimate]) -> _Normal:
    """Mean by precision, and its variance under the stated correlation: 1 means that repeating shrinks nothing."""
    precision = math.fsum(1 / each.relative_sd**2 for each in members)
    weights = [1 / each.relative_sd**2 / precision for each in members]
    mean = math.fsum(w * math.log(each.value_t_per_t) for w, each in zip(weights, members, strict=True))
    own = math.fsum((w * each.relative_sd) ** 2 for w, each in zip(weights, members, strict=True))
    shared = math.fsum(w * each.relative_sd for w, each in zip(weights, members, strict=True)) ** 2
    correlation = members[0].correlation
    return _Normal(mean=mean, variance=(1 - correlation) * own + correlation * shared)


def _combined(groups: Mapping[str, _Normal]) -> tuple[_Normal | None, float]:
    """Independent groups as one normal, with the Birge ratio sqrt(Q / (K - 1)) where that is above 1."""
    if not groups:
        return None, 1.0
    weights = _weights(groups)
    mean = math.fsum(weights[name] * group.mean for name, group in groups.items())
    q = math.fsum((group.mean - mean) ** 2 / group.variance for group in groups.values())
    inflation = max(1.0, math.sqrt(q / (len(groups) - 1))) if len(groups) > 1 else 1.0
    precision = math.fsum(1 / group.variance for group in groups.values())
    return _Normal(mean=mean, variance=inflation**2 / precision), inflation


def _weights(groups: Mapping[str, _Normal]) -> Mapping[str, float]:
    precision = math.fsum(1 / group.variance for group in groups.values())
    return {name: 1 / group.variance / precision for name, group in sorted(groups.items())}


def _quantiles(independent: _Normal | None, own: _Normal | None) -> tuple[float, float, float, float | None]:
    """Low, middle and high logarithm, and the p-value of the disclosure."""
    tail = (1 - COVERAGE) / 2
    if independent is None or own is None:
        (only,) = (each for each in (independent, own) if each is not None)
        reach = _NORMAL.inv_cdf(1 - tail) * only.sd
        return only.mean - reach, only.mean, only.mean + reach, None
    gap_sd = math.sqrt(independent.variance + own.variance)
    grid, density = _posterior(independent, own)
    low, middle, high = (_quantile(grid, density, level) for level in (tail, 0.5, 1 - tail))
    return low, middle, high, _NORMAL.cdf((own.mean - independent.mean) / gap_sd)


def _posterior(independent: _Normal, own: _Normal) -> tuple[list[float], list[float]]:
    """Density of the true logarithm, not normalised, with a flat prior: what the others say x what was disclosed.

    A disclosure that is not right lies below the truth by a uniform amount of the logarithm, or anywhere at all.
    """
    most, anywhere = -math.log1p(-MOST_UNDERSTATED), 1 / (2 * math.log(MISTAKEN_BY))
    low = min(independent.mean - REACH_SD * independent.sd, own.mean - REACH_SD * own.sd)
    high = max(independent.mean + REACH_SD * independent.sd, own.mean + REACH_SD * own.sd)
    # Fine enough for the narrower of the two, whatever the distance between them.
    steps = max(GRID, math.ceil((high - low) / min(independent.sd, own.sd) * 8))
    grid = [low + (high - low) * step / steps for step in range(steps + 1)]
    right = NormalDist(own.mean, own.sd)
    seen = NormalDist(independent.mean, independent.sd)
    honest = 1 - UNDERSTATED_PRIOR - MISTAKEN_PRIOR
    density = []
    for truth in grid:
        understated = (right.cdf(truth) - right.cdf(truth - most)) / most
        stated = honest * right.pdf(truth) + UNDERSTATED_PRIOR * understated + MISTAKEN_PRIOR * anywhere
        density.append(seen.pdf(truth) * stated)
    return grid, density


def _quantile(grid: Sequence[float], density: Sequence[float], level: float) -> float:
    wanted = level * math.fsum(density)
    reached = 0.0
    for place, mass in zip(grid, density, strict=True):
        if mass > 0 and reached + mass >= wanted:
            return place + (grid[1] - grid[0]) * ((wanted - reached) / mass - 0.5)
        reached += mass
    return grid[-1]
