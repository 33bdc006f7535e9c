"""How one measurement, or one process, is shared out: a whole over its parts, and emissions over co-products.

Pure rules of Annex III to Implementing Regulation (EU) 2025/2547, point A.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from apps.trade.emissions import ZERO


class AttributionError(ValueError):
    """A whole that its parts cannot be fitted to."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What leaves a process that makes several substances at once; the molar mass is None where it is not known."""

    mass_t: Decimal
    molar_mass_g_per_mol: Decimal | None


def reconciliation_factor(whole: Decimal, parts: Iterable[Decimal]) -> Decimal:
    """RecF = D_inst / sum of D_pp (equation 41): the installation's meter over those of its processes.

    Raises:
        AttributionError: the processes' sum is zero, or of another sign than the whole.

    """
    total = sum(parts, ZERO)
    if total == 0 or (whole < 0) != (total < 0):
        raise AttributionError(f"the installation's {whole} cannot be shared out over processes that sum to {total}")
    return whole / total


def reconciled(part: Decimal, factor: Decimal) -> Decimal:
    """D_pp,corr = D_pp x RecF (equation 42)."""
    return part * factor


def attributed_activity_t(product: Output, co_products: Iterable[Output]) -> Decimal:
    """The tonnes by which all emissions of a process are divided to give those of one tonne of `product`.

    Equation 43 gives a substance of mass m and molar mass M the part (m/M) / sum(m/M) of the emissions, and equation 57
    divides that part by m; both together divide the whole by M x sum(m/M). Where one molar mass is not known, the
    masses themselves share (A.2.1).
    """
    outputs = [product, *co_products]
    molar = [each.molar_mass_g_per_mol for each in outputs if each.molar_mass_g_per_mol is not None]
    if len(molar) < len(outputs):
        return sum((each.mass_t for each in outputs), ZERO)
    return molar[0] * sum((each.mass_t / mass for each, mass in zip(outputs, molar, strict=True)), ZERO)
