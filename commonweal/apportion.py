"""The one place where a number is rounded: every other rule works in integers and Fractions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_FLOOR, Context
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

Key = TypeVar("Key", str, int, tuple[str, datetime])

WHOLE_BP = 10_000
WHOLE_PPB = 1_000_000_000


def largest_remainder(total: int, weights: Mapping[Key, int | Fraction]) -> dict[Key, int]:
    """Split an integer over weights so that the parts are integers and sum to it (Hamilton's method).

    Equal remainders go to the lesser key, so the order of the mapping never decides.

    Raises:
        ValueError: the total or a weight is below 0, or all weights are 0 and there is something to split.
    """
    if total < 0:
        raise ValueError(f"total: {total} is below 0; split its absolute value and negate the parts")
    for key, weight in weights.items():
        if weight < 0:
            raise ValueError(f"weights[{key!r}]: {weight} is below 0; weights are 0 or more")
    whole = sum(weights.values(), Fraction(0))
    if whole == 0:
        if total:
            raise ValueError(f"weights: all are 0, so {total} has no owner; give at least one positive weight")
        return dict.fromkeys(sorted(weights), 0)
    quotas = {key: total * Fraction(weights[key]) / whole for key in sorted(weights)}
    parts = {key: quota.numerator // quota.denominator for key, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda key: (parts[key] - quotas[key], key))
    for key in by_remainder[: total - sum(parts.values())]:
        parts[key] += 1
    return parts


def nearest(value: Fraction) -> int:
    """Round half away from zero, as grid accounting (APEL's SQL `ROUND`) does."""
    doubled = 2 * abs(value.numerator) + value.denominator
    magnitude = doubled // (2 * value.denominator)
    return magnitude if value >= 0 else -magnitude


def part_bp(amount: int, share_bp: int) -> int:
    """Return so many basis points of an amount, rounded down: who claims never gains by rounding."""
    return amount * share_bp // WHOLE_BP


def decayed(amount: int, half_life_periods: int) -> int:
    """Return what is left of an amount one period later, rounded down."""
    return amount * kept_ppb(half_life_periods) // WHOLE_PPB


@lru_cache(maxsize=64)
def kept_ppb(half_life_periods: int) -> int:
    """Return floor(10^9 x 2^(-1/half life)): the parts per billion kept each period, the same in any language.

    Raises:
        ValueError: the half-life is below 1 period.
    """
    if half_life_periods < 1:
        raise ValueError(f"half_life_periods: {half_life_periods} is below 1; leave it out for credit that keeps")
    digits = Context(prec=50, rounding=ROUND_FLOOR)
    kept = digits.power(2, digits.divide(-1, half_life_periods))
    return int(digits.to_integral_value(digits.multiply(kept, WHOLE_PPB)))
