"""What a consignment costs by its disclosure and by the default value, and what would lower it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from apps.trade.assessment import Book, Consignment, Disclosed, Source, UnassessableError, assess
from apps.trade.bill import Bill, bill_of
from apps.trade.rule_packs import all_packs, benchmarks_of, defaults_of, prices_of

COIL = Disclosed(
    installation_id="MILL-1",
    country="KR",
    cn_code="72081000",
    period="2026",
    see_direct_t_per_t=Decimal("1.5"),
    see_indirect_t_per_t=Decimal(0),
    default_share=Decimal(0),
    rule_pack="eu-2025-2547",
    evidence_sha256="a" * 64,
    member="kr",
    free_allocation_t_per_t=Decimal("1.2"),
)
DEFAULT_SEFA = Decimal("0.975") * Decimal("1.370")
DEFAULT_SEE = Decimal("2.118") * Decimal("1.1")


def bill(*rows: Disclosed, **changes: object) -> Bill:
    base = {"cn_code": "72081000", "country": "KR", "net_mass_kg": "10000", "import_year": 2026}
    asked = Consignment.model_validate({**base, **({"installation_id": "MILL-1"} if rows else {}), **changes})
    book = Book(all_packs(), defaults_of, rows)
    found = bill_of(assess(asked, book), book, benchmarks_of, prices_of)
    assert found is not None
    return found


def refusal(*rows: Disclosed, **changes: object) -> UnassessableError:
    with pytest.raises(UnassessableError) as refused:
        bill(*rows, **changes)
    return refused.value


def test_both_ways_are_billed_after_their_own_free_allocation() -> None:
    found = bill(COIL)
    assert found.used.source is Source.DISCLOSURE
    assert (found.used.certificates, found.used.sefa_t_per_t) == (Decimal(3), Decimal("1.2"))
    assert found.used.allocation == "as disclosed: own route and precursors"
    assert found.other is not None
    assert found.other.source is Source.DEFAULT
    assert found.other.certificates == 10 * (DEFAULT_SEE - DEFAULT_SEFA)
    assert found.other.allocation == "column B, the highest of the good's routes"
    assert found.other.tonnes_counted == 10 * DEFAULT_SEE


def test_it_says_that_actual_data_pays() -> None:
    found = bill(COIL)
    assert found.actual_pays is True
    assert found.verdict == "Actual data pays here: 3 certificates by the disclosure, 9.94 by the default value"
    assert found.lowers == ("A carbon price effectively paid at the origin, net of rebates, is deducted",)


def test_it_says_that_actual_data_does_not_pay_and_what_to_do() -> None:
    found = bill(replace(COIL, see_direct_t_per_t=Decimal("2.5")))
    assert found.actual_pays is False
    assert found.verdict == (
        "Actual data does not pay here: 13 certificates by the disclosure, 9.94 by the default value"
    )
    assert found.lowers[0] == "Declare by the default value: any mix of actual and default data is allowed"


def test_lower_emissions_do_not_pay_where_the_disclosed_allocation_is_lower_still() -> None:
    found = bill(replace(COIL, see_direct_t_per_t=Decimal("2.2"), free_allocation_t_per_t=Decimal("0.1")))
    assert found.used.tonnes_counted < 10 * DEFAULT_SEE
    assert found.actual_pays is False


def test_equal_bills_do_not_pay_for_a_verifier() -> None:
    equal = replace(COIL, see_direct_t_per_t=DEFAULT_SEE, free_allocation_t_per_t=DEFAULT_SEFA)
    assert bill(equal).actual_pays is False


def test_without_a_disclosed_allocation_the_two_are_compared_before_it() -> None:
    found = bill(replace(COIL, free_allocation_t_per_t=None))
    assert found.used.certificates is None
    assert found.cost_eur is None
    assert found.verdict == (
        "Actual data pays here: 15 t CO2e, before free allocation by the disclosure, 23.298 by the default value"
    )
    assert found.lowers[0] == (
        "Free allocation is not deducted because the disclosure states no free allocation: a verified value of the "
        "producer would be"
    )


def test_defaults_of_precursors_are_named_with_their_share() -> None:
    found = bill(replace(COIL, default_share=Decimal("0.25")))
    assert found.lowers[0] == (
        "25 % of the direct emissions rest on default values of precursors: verified data of their suppliers would "
        "replace them"
    )


def test_a_default_says_what_a_disclosure_would_have_to_show_and_what_the_mark_up_is() -> None:
    found = bill()
    assert (found.used.source, found.other, found.actual_pays) == (Source.DEFAULT, None, None)
    assert found.verdict == "No disclosure to compare with: the default value is used"
    assert found.lowers == (
        "Verified data of the producer, if it shows less than 2.33 t CO2e per t of the good before free allocation; "
        "above that it would not pay",
        "2.118 t of it are the mark-up of 10 %, which a disclosure does not bear",
    )


def test_the_mark_up_is_exact_for_large_consignments() -> None:
    assert bill(net_mass_kg="100000000").lowers[1].startswith("21180 t of it are the mark-up of 10 %")


def test_a_country_without_a_value_of_its_own_is_named() -> None:
    assert bill(country="VN").lowers[-1] == (
        "VN has no value of its own, so that of other countries is used: only data of the producer can replace it"
    )
    assert "value of its own" not in " ".join(bill().lowers)


def test_a_good_without_a_benchmark_says_so_and_has_no_certificates() -> None:
    found = bill(cn_code="73181542", country="IN")
    assert (found.used.certificates, found.used.allocation) == (None, "73181542 is not in the table of benchmarks")
    assert found.lowers[-1].startswith("Free allocation is not deducted because 73181542 is not in the table")


def test_a_disclosed_good_without_a_default_value_has_nothing_to_compare() -> None:
    found = bill(replace(COIL, cn_code="73041100"), cn_code="73041100")
    assert (found.other, found.actual_pays) == (None, None)
    assert found.verdict == "Nothing to compare with: there is no default value for this good and origin"


def test_zero_rated_goods_owe_nothing() -> None:
    found = bill(country="DE")
    assert (found.used.certificates, found.lowers) == (Decimal(0), ())
    assert found.verdict == "Nothing to pay: the origin is rated zero"
    assert found.used.allocation == "nothing embedded, nothing allocated"


def test_below_the_benchmark_there_is_nothing_to_lower() -> None:
    found = bill(replace(COIL, see_direct_t_per_t=Decimal("1.1")))
    assert (found.used.certificates, found.lowers) == (Decimal(0), ())


def test_nothing_to_pay_by_both_ways_still_says_that_the_verifier_does_not_pay() -> None:
    aluminium = replace(COIL, cn_code="76011010", see_direct_t_per_t=Decimal("1.3"))
    found = bill(replace(aluminium, free_allocation_t_per_t=Decimal("1.38")), cn_code="76011010")
    assert (found.used.certificates, found.actual_pays) == (Decimal(0), False)
    assert found.lowers[0].startswith("Declare by the default value")


def test_the_commissions_aluminium_is_a_case_where_actual_data_does_not_pay() -> None:
    slabs = replace(
        COIL, cn_code="76011010", see_direct_t_per_t=Decimal("1.555"), free_allocation_t_per_t=Decimal("1.387425")
    )
    found = bill(slabs, cn_code="76011010")
    assert found.verdict == (
        "Actual data does not pay here: 1.676 certificates by the disclosure, 0 by the default value"
    )


def test_a_published_quarter_gives_a_cost_in_euros() -> None:
    found = bill(COIL, import_quarter=1)
    assert (found.certificate_eur, found.cost_eur) == (Decimal("75.36"), Decimal("226.08"))
    assert bill(COIL).cost_eur is None


def test_an_unpublished_quarter_is_refused_by_name() -> None:
    error = refusal(COIL, import_quarter=4)
    assert error.field == "import_quarter"
    assert error.detail == "no certificate price is published for 2026-Q4; there are 2026-Q1, 2026-Q2"
    assert error.remedy == "leave it out to get certificates without EUR"


def test_a_carbon_price_paid_is_deducted_at_the_quarters_price() -> None:
    found = bill(COIL, import_quarter=1, carbon_price_paid_eur="75.36")
    assert found.used.certificates == 2
    assert found.cost_eur == Decimal("150.72")
    assert found.lowers == ()


def test_a_carbon_price_does_not_lower_the_default_way_that_it_is_compared_with() -> None:
    other = bill(COIL, import_quarter=1, carbon_price_paid_eur="75.36").other
    assert other is not None
    assert other.certificates == 10 * (DEFAULT_SEE - DEFAULT_SEFA)


def test_a_carbon_price_without_a_quarter_is_refused() -> None:
    error = refusal(COIL, carbon_price_paid_eur="75.36")
    assert (error.field, error.remedy) == ("import_quarter", "give a quarter, 1 to 4")
    assert error.detail == "missing; a carbon price is deducted at the quarter's price"


def test_a_carbon_price_with_a_default_value_is_refused() -> None:
    error = refusal(import_quarter=1, carbon_price_paid_eur="75.36")
    assert error.field == "carbon_price_paid_eur"
    assert error.detail == (
        "with a default value only the Commission's default carbon prices may be deducted, and none is published"
    )
    assert error.remedy == "leave it out, or give an installation that disclosed this good"


def test_a_carbon_price_of_zero_asks_for_nothing() -> None:
    assert bill(COIL, carbon_price_paid_eur="0").used.certificates == 3


def test_methods_without_certificates_have_no_bill() -> None:
    book = Book(all_packs(), defaults_of, [replace(COIL, rule_pack="eu-2023-1773", period="2025")])
    asked = Consignment(
        cn_code="72081000", country="KR", installation_id="MILL-1", net_mass_kg=Decimal(1), import_year=2025
    )
    assert bill_of(assess(asked, book), book, benchmarks_of, prices_of) is None
