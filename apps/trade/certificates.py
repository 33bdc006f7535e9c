"""How many certificates a consignment needs, and what one costs. Pure; one certificate is one tonne CO2e.

Regulation (EU) 2023/956, Articles 9 and 22. A price that is not published is refused: a bill at another quarter's
price looks right and is not.
"""

from collections.abc import Mapping
from decimal import Decimal

from apps.trade.emissions import ZERO


class UnpublishedPriceError(ValueError):
    """No price is published for the quarter; the message names those that are."""


def certificates_t(
    quantity: Decimal, see_t_per_t: Decimal, sefa_t_per_t: Decimal, price_reduction_t: Decimal = ZERO
) -> Decimal:
    """Certificates to surrender, never below zero: quantity x (SEE - SEFA) - carbon price paid, as certificates.

    `quantity` is in functional units. A maker far below its benchmark owes nothing and is owed nothing.
    """
    return max(ZERO, quantity * (see_t_per_t - sefa_t_per_t) - price_reduction_t)


def price_reduction_t(paid_eur: Decimal, certificate_eur: Decimal) -> Decimal:
    """Certificates that a carbon price effectively paid is worth (Article 9); net of rebates, price above zero."""
    return paid_eur / certificate_eur


def certificate_price_eur(published: Mapping[str, Decimal], year: int, quarter: int) -> Decimal:
    """Price of one certificate, EUR, for imports of a quarter.

    Raises:
        UnpublishedPriceError: the quarter's price is not published, so nothing is guessed.

    """
    wanted = f"{year}-Q{quarter}"
    if wanted not in published:
        raise UnpublishedPriceError(f"no certificate price is published for {wanted}; there are {_list(published)}")
    return published[wanted]


def _list(published: Mapping[str, Decimal]) -> str:
    return ", ".join(sorted(published)) or "none"
