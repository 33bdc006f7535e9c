"""Certificates and their price; nothing is owed below the benchmark, and no price is guessed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.certificates import UnpublishedPriceError, certificate_price_eur, certificates_t, price_reduction_t
from apps.trade.rule_packs import prices_of

PUBLISHED = prices_of("eu-2025-2547")
AMOUNTS = st.decimals(0, 10**6, places=6)


def test_screws_from_taiwan_cost_what_the_source_says() -> None:
    see = Decimal("2.70719") * Decimal("1.10")
    tonnes = certificates_t(Decimal(1), see, Decimal(0))
    assert round(tonnes * certificate_price_eur(PUBLISHED, 2026, 2), 2) == Decimal("224.18")


@given(quantity=AMOUNTS, see=AMOUNTS, sefa=AMOUNTS, paid=AMOUNTS)
def test_certificates_are_never_below_zero(quantity: Decimal, see: Decimal, sefa: Decimal, paid: Decimal) -> None:
    assert certificates_t(quantity, see, sefa, paid) == max(Decimal(0), quantity * (see - sefa) - paid)


def test_a_price_paid_is_worth_certificates_at_the_quarters_price() -> None:
    assert price_reduction_t(Decimal("150.72"), Decimal("75.36")) == 2
    assert certificates_t(Decimal(10), Decimal(1), Decimal("0.5"), Decimal(2)) == 3


@pytest.mark.parametrize(("quarter", "price"), [(1, "75.36"), (2, "75.28")])
def test_the_published_prices_are_those_of_the_source(quarter: int, price: str) -> None:
    assert certificate_price_eur(PUBLISHED, 2026, quarter) == Decimal(price)


@pytest.mark.parametrize(("year", "quarter"), [(2026, 3), (2025, 1), (2027, 1)])
def test_an_unpublished_price_is_refused_and_not_the_last_one_taken(year: int, quarter: int) -> None:
    with pytest.raises(UnpublishedPriceError) as refused:
        certificate_price_eur(PUBLISHED, year, quarter)
    assert str(refused.value) == (
        f"no certificate price is published for {year}-Q{quarter}; there are 2026-Q1, 2026-Q2"
    )


def test_where_nothing_is_published_it_says_none() -> None:
    with pytest.raises(UnpublishedPriceError, match=r"there are none$"):
        certificate_price_eur({}, 2026, 1)
