"""What a MWh from a grid emits: the mean of its mix, weighted by energy, and the mean of five years that defaults use.

Pure, in decimals. Equations 39 and 40 of Implementing Regulation (EU) 2025/2547. No emission factors come with this
project: those of Annexes II and III to 2025/2621 are under a licence that forbids commercial use, so the caller gives
its own, with their source.
"""

from collections.abc import Mapping
from decimal import Decimal, localcontext

from apps.trade.emissions import LEGAL, ZERO

YEARS_BACK = range(2, 7)  # the five years before the last one


class GridFactorError(ValueError):
    """A factor that cannot be given; names what is missing."""


def yearly_factor_t_per_mwh(energy_mwh: Mapping[str, Decimal], factor_t_per_mwh: Mapping[str, Decimal]) -> Decimal:
    """Factor of a year: sum of factor x energy over sum of energy (equation 39); keys are production types.

    Raises:
        GridFactorError: a type has no factor, or nothing was generated.

    """
    missing = sorted(energy_mwh.keys() - factor_t_per_mwh.keys())
    if missing:
        raise GridFactorError(f"{missing[0]}: no emission factor given; without it the mean is wrong, so add one")
    total_mwh = sum(energy_mwh.values(), ZERO)
    if total_mwh <= 0:
        raise GridFactorError("energy_mwh: nothing was generated; give a year of generation")
    with localcontext(LEGAL):
        emitted_t = sum((factor_t_per_mwh[kind] * mwh for kind, mwh in energy_mwh.items()), ZERO)
        return emitted_t / total_mwh


def default_factor_t_per_mwh(yearly: Mapping[int, Decimal], year: int) -> Decimal:
    """Default factor of a year: the plain mean of the years y-2 to y-6 (equation 40).

    Raises:
        GridFactorError: one of the five years is missing.

    """
    wanted = [year - back for back in YEARS_BACK]
    missing = [str(each) for each in sorted(wanted) if each not in yearly]
    if missing:
        raise GridFactorError(f"{', '.join(missing)}: no factor; the mean for {year} needs five years, so add it")
    with localcontext(LEGAL):
        return sum((yearly[each] for each in wanted), ZERO) / len(wanted)
