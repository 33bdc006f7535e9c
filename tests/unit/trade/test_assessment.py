"""One consignment: which number, why that one, and when there is none."""

from dataclasses import replace
from datetime import date
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.trade.assessment import Book, Consignment, Disclosed, Source, UnassessableError, assess
from apps.trade.defaults import Cell, Row, Table
from apps.trade.rule_packs import RulePack, all_packs, defaults_of

MASSES = st.decimals(Decimal("0.001"), 10**9, places=3)
HOT_ROLLED = Disclosed(
    installation_id="MILL-1",
    country="KR",
    cn_code="72081000",
    period="2026",
    see_direct_t_per_t=Decimal("1.5"),
    see_indirect_t_per_t=Decimal(0),
    default_share=Decimal("0.25"),
    rule_pack="eu-2025-2547",
    evidence_sha256="a" * 64,
    member="kr",
)
ALL_SHOWN = replace(HOT_ROLLED, rule_pack="eu-2023-1773", see_indirect_t_per_t=Decimal("0.2"))
CEMENT = replace(HOT_ROLLED, cn_code="25232900", see_direct_t_per_t=Decimal("0.8"), see_indirect_t_per_t=Decimal("0.1"))


def book(*rows: Disclosed) -> Book:
    return Book(all_packs(), defaults_of, rows)


BOOK = book(HOT_ROLLED, ALL_SHOWN, CEMENT)


def consignment(**changes: object) -> Consignment:
    base = {"cn_code": "72081000", "country": "KR", "net_mass_kg": "25000", "import_year": 2026}
    return Consignment.model_validate({**base, **changes})


def refusal(asked: Consignment, held: Book = BOOK) -> UnassessableError:
    with pytest.raises(UnassessableError) as refused:
        assess(asked, held)
    return refused.value


def test_a_code_of_several_goods_asks_which_one_by_field_and_names() -> None:
    rows = tuple(
        Row(
            cn_prefix="252310",
            good=good,
            country="OTHER",
            direct_t_per_t=Cell.NOT_LISTED,
            indirect_t_per_t=Cell.NOT_LISTED,
            total_t_per_t=Decimal(total),
            route="",
        )
        for good, total in (("Grey clinker", "1.4"), ("White clinker", "1.9"))
    )
    held = Book(all_packs(), lambda _: Table(rows=rows, fallback="OTHER", fallback_name="", markup_bp={2026: 1000}), ())
    asked = consignment(cn_code="25231000", clinker_t_per_t="1")
    refused = refusal(asked, held)
    assert refused.field == "good"
    assert "several goods in the table (Grey clinker, White clinker)" in refused.detail
    assert refused.remedy == "give words that only the one meant has, or an installation that disclosed it"
    assert assess(asked.model_copy(update={"good": "white"}), held).see_counted_t_per_t == Decimal("2.09")


def test_a_disclosure_outranks_the_default_value() -> None:
    found = assess(consignment(installation_id="MILL-1"), BOOK)
    assert (found.source, found.member, found.default_share) == (Source.DISCLOSURE, "kr", Decimal("0.25"))
    assert found.tonnes_counted == found.tonnes_direct == Decimal("37.5")


def test_indirect_emissions_of_annex_ii_steel_are_shown_and_do_not_count() -> None:
    found = assess(consignment(installation_id="MILL-1"), BOOK)
    assert (found.tonnes_indirect, found.counts) == (Decimal(5), "direct")


def test_indirect_emissions_that_nobody_showed_are_unknown_and_not_zero() -> None:
    assert assess(consignment(installation_id="MILL-1"), book(HOT_ROLLED)).tonnes_indirect is None


def test_the_transitional_year_counts_both() -> None:
    found = assess(consignment(installation_id="MILL-1", import_year=2025), book(replace(ALL_SHOWN, period="2025")))
    assert (found.tonnes_counted, found.counts, found.pack.celex) == (
        Decimal("42.5"),
        "direct and indirect",
        "32023R1773",
    )


def test_cement_is_counted_by_the_clinker_that_it_contains() -> None:
    found = assess(consignment(cn_code="25232900", installation_id="MILL-1", clinker_t_per_t="0.5"), BOOK)
    assert (found.unit, found.quantity_t) == ("t of clinker contained", Decimal("12.5"))
    assert (found.tonnes_counted, found.counts) == (Decimal("11.25"), "direct and indirect")


def test_cement_without_its_clinker_content_is_refused() -> None:
    assert refusal(consignment(cn_code="25232900", country="IN")).field == "clinker_t_per_t"


AMMONIA = replace(HOT_ROLLED, cn_code="28141000", see_direct_t_per_t=Decimal(3), see_indirect_t_per_t=Decimal("0.5"))
COPPER = replace(HOT_ROLLED, cn_code="74031100", rule_pack="minerals-iso-14067", see_indirect_t_per_t=Decimal(1))


def test_ammonia_is_counted_by_the_nitrogen_that_it_contains() -> None:
    found = assess(consignment(cn_code="28141000", installation_id="MILL-1", nitrogen_t_per_t="0.8"), book(AMMONIA))
    assert (found.unit, found.quantity_t) == ("t of nitrogen contained", Decimal(20))
    assert (found.tonnes_counted, found.counts) == (Decimal(70), "direct and indirect")


def test_ammonia_without_its_nitrogen_content_is_refused() -> None:
    error = refusal(consignment(cn_code="28141000", installation_id="MILL-1"), book(AMMONIA))
    assert (error.field, error.remedy) == (
        "nitrogen_t_per_t",
        "give the tonnes of nitrogen in one tonne, for example 0.82",
    )


def test_a_default_of_ammonia_is_per_tonne_of_the_good_with_its_flat_mark_up() -> None:
    found = assess(consignment(cn_code="28141000", country="CN", import_year=2028), BOOK)
    assert (found.unit, found.markup_bp) == ("t", 100)
    assert found.tonnes_counted == Decimal("4.36") * Decimal("1.01") * 25


def test_critical_minerals_are_counted_under_their_own_label() -> None:
    found = assess(consignment(cn_code="74031100", installation_id="MILL-1"), book(COPPER))
    assert found.pack.label == "Product carbon footprint (ISO 14067)"
    assert (found.tonnes_counted, found.counts) == (Decimal("62.5"), "direct and indirect")


def test_a_mineral_without_a_disclosure_has_no_value_whatever_cbam_says() -> None:
    assert "minerals-iso-14067 holds no default values" in refusal(consignment(cn_code="74031100")).detail


def test_a_cbam_row_never_answers_for_a_mineral() -> None:
    under_cbam = replace(COPPER, rule_pack="eu-2025-2547")
    assert (
        "holds no default"
        in refusal(consignment(cn_code="74031100", installation_id="MILL-1"), book(under_cbam)).detail
    )


def test_a_default_says_whether_it_is_the_fallback() -> None:
    assert assess(consignment(country="VN"), BOOK).is_fallback
    assert not assess(consignment(), BOOK).is_fallback


def test_a_default_of_cement_has_a_total_and_unknown_parts() -> None:
    found = assess(consignment(cn_code="25231000", country="CN"), BOOK)
    assert (found.tonnes_direct, found.tonnes_indirect) == (None, None)
    assert found.tonnes_counted == Decimal("1.39") * 11 / 10 * 25


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "No installation was named"),
        ({"installation_id": "MILL-9"}, "Installation MILL-9 is unknown to every member asked"),
        ({"installation_id": "MILL-1", "cn_code": "72083900"}, "MILL-1 did not disclose 72083900"),
        ({"installation_id": "MILL-1", "import_year": 2027}, "disclosed 72081000 for 2026 only"),
    ],
)
def test_a_default_value_says_why_no_disclosure_served(changes: dict[str, object], why: str) -> None:
    found = assess(consignment(**changes), BOOK)
    assert found.source is Source.DEFAULT
    assert why in found.why
    assert "value of KR with the mark-up of" in found.why
    assert found.default_share == 1
    assert found.markup_bp is not None


def test_an_answer_names_its_evidence_and_reason() -> None:
    found = assess(consignment(installation_id="MILL-1"), BOOK)
    assert (found.why, found.evidence_sha256) == ("MILL-1 disclosed 72081000 for 2026", "a" * 64)
    by_value, pack = assess(consignment(), BOOK), next(each for each in all_packs() if each.id == "eu-2025-2547")
    assert pack.defaults is not None
    assert by_value.evidence_sha256 == pack.defaults.sha256
    assert by_value.why == ("No installation was named; hot-rolled flat products: value of KR with the mark-up of 10 %")


def test_a_default_of_annex_ii_steel_is_direct_alone_and_one_of_cement_is_not_split() -> None:
    steel = assess(consignment(), BOOK)
    assert (steel.see_direct_t_per_t, steel.see_indirect_t_per_t) == (steel.see_counted_t_per_t, None)


def test_a_default_with_both_parts_shows_both() -> None:
    row = Row(
        cn_prefix="2523",
        good="clinker",
        country="KR",
        direct_t_per_t=Decimal(1),
        indirect_t_per_t=Decimal("0.5"),
        total_t_per_t=Decimal("1.5"),
        route="",
    )
    table = Table(rows=[row], fallback="OTHER", fallback_name="others", markup_bp={2026: 0})
    found = assess(consignment(cn_code="25231000"), Book(all_packs(), lambda _: table, ()))
    assert (found.tonnes_direct, found.tonnes_indirect) == (Decimal(25), Decimal("12.5"))


@pytest.mark.parametrize("digits", [40, 45])
def test_legal_values_keep_more_digits_than_pythons_default(digits: int) -> None:
    mass = Decimal(f"1.{'0' * (digits - 6)}1")
    held = book(replace(HOT_ROLLED, see_direct_t_per_t=Decimal("1.000000000000000001")))
    for found in (
        assess(consignment(net_mass_kg=str(mass)[:40], installation_id="MILL-1"), held),
        assess(consignment(net_mass_kg=str(mass)[:40]), held),
        assess(consignment(net_mass_kg=str(mass)[:40], country="DE"), held),
    ):
        with localcontext(prec=200):
            exact = Decimal(str(mass)[:40]) / 1000
            assert found.quantity_t == exact
            assert found.tonnes_counted == exact * found.see_counted_t_per_t
            assert found.tonnes_direct == found.tonnes_counted


def test_every_refusal_names_field_detail_and_remedy() -> None:
    other = replace(HOT_ROLLED, see_direct_t_per_t=Decimal("1.4"), member="ke")
    twice = book(HOT_ROLLED, other)
    two_places = book(HOT_ROLLED, replace(HOT_ROLLED, country="JP", cn_code="72083900"))
    give = "give an installation that disclosed this good"
    refusals = {
        "import_year: 2023 has no rule pack; give a year from 2025 on": refusal(
            consignment(import_year=2023), Book([replace_from(2025)], defaults_of, ())
        ),
        "country: installation MILL-1 disclosed that it lies in JP, KR, not in CN; "
        "correct country or installation_id": refusal(consignment(installation_id="MILL-1", country="CN"), two_places),
        f"installation_id: No installation was named, and eu-2023-1773 holds no default values here; {give}": refusal(
            consignment(import_year=2024)
        ),
        f"cn_code: No installation was named, and 73041100 is not in the table of default values; {give}": refusal(
            consignment(cn_code="73041100")
        ),
        "installation_id: MILL-1 has two different disclosures of 72081000 at ke and kr; "
        "ask the producer which one holds": refusal(consignment(installation_id="MILL-1"), twice),
        "clinker_t_per_t: missing; 32025R2547 counts 25232900 per tonne of the clinker contained; "
        "give the tonnes of clinker in one tonne, for example 0.95": refusal(
            consignment(cn_code="25232900", country="IN")
        ),
    }
    for said, error in refusals.items():
        assert str(error) == said == f"{error.field}: {error.detail}; {error.remedy}"


def replace_from(year: int) -> RulePack:
    return all_packs()[-1].model_copy(update={"effective_from": date(year, 1, 1), "goods": ()})


def test_years_of_a_disclosure_are_listed() -> None:
    rows = (replace(HOT_ROLLED, period="2025"), HOT_ROLLED)
    found = assess(consignment(installation_id="MILL-1", import_year=2028), book(*rows))
    assert "disclosed 72081000 for 2025, 2026 only; " in found.why


def test_nobodys_rows_are_not_those_of_a_nameless_consignment() -> None:
    nameless = replace(HOT_ROLLED, installation_id="XXXX", country="CN")
    assert assess(consignment(), book(nameless)).source is Source.DEFAULT


def test_a_book_gives_all_of_its_rows() -> None:
    assert list(BOOK.rows()) == [HOT_ROLLED, ALL_SHOWN, CEMENT]


def test_goods_of_a_year_cannot_use_an_earlier_disclosure() -> None:
    found = assess(consignment(installation_id="MILL-1", import_year=2027), BOOK)
    assert found.tonnes_counted == Decimal("2.118") * 12 / 10 * 25


def test_goods_of_eu_origin_are_zero_with_the_reason() -> None:
    found = assess(consignment(country="DE"), BOOK)
    assert (found.source, found.tonnes_counted) == (Source.ZERO_RATED, Decimal(0))
    assert (found.tonnes_direct, found.tonnes_indirect, found.default_share) == (Decimal(0), Decimal(0), Decimal(0))
    assert "DE origin" in found.why


def test_cement_of_eu_origin_needs_no_clinker_content() -> None:
    found = assess(consignment(cn_code="25232900", country="DE"), BOOK)
    assert (found.unit, found.quantity_t, found.tonnes_counted) == ("t", Decimal(25), Decimal(0))


def test_a_good_without_any_value_is_refused_with_the_remedy() -> None:
    error = refusal(consignment(cn_code="73041100"))
    assert error.field == "cn_code"
    assert "73041100 is not in the table of default values" in error.detail
    assert "installation that disclosed" in error.remedy


def test_a_year_without_default_values_is_refused_and_not_priced_by_another_year() -> None:
    assert "eu-2023-1773 holds no default values" in refusal(consignment(import_year=2024)).detail


def test_a_country_that_contradicts_the_disclosure_is_refused() -> None:
    error = refusal(consignment(installation_id="MILL-1", country="CN"))
    assert error.field == "country"
    assert "lies in KR, not in CN" in error.detail


def test_two_different_disclosures_of_one_good_are_refused_by_both_names() -> None:
    other = replace(HOT_ROLLED, see_direct_t_per_t=Decimal("1.4"), evidence_sha256="b" * 64, member="ke")
    error = refusal(consignment(installation_id="MILL-1"), book(HOT_ROLLED, other))
    assert "ke and kr" in error.detail


def test_the_same_disclosure_at_two_members_is_one() -> None:
    copy = replace(HOT_ROLLED, member="ke")
    assert assess(consignment(installation_id="MILL-1"), book(HOT_ROLLED, copy)).source is Source.DISCLOSURE


@given(mass_kg=MASSES, factor=st.integers(1, 10_000), installation=st.sampled_from([None, "MILL-1"]))
def test_scaling_the_mass_scales_the_tonnes(mass_kg: Decimal, factor: int, installation: str | None) -> None:
    one = assess(consignment(net_mass_kg=mass_kg, installation_id=installation), BOOK)
    many = assess(consignment(net_mass_kg=mass_kg * factor, installation_id=installation), BOOK)
    assert many.tonnes_counted == one.tonnes_counted * factor
    assert many.see_counted_t_per_t == one.see_counted_t_per_t


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cn_code", "7208100"),
        ("cn_code", "\N{FULLWIDTH DIGIT SEVEN}2081000"),
        ("country", "kr"),
        ("country", "KOR"),
        ("net_mass_kg", "0"),
        ("net_mass_kg", "-1"),
        ("net_mass_kg", "NaN"),
        ("net_mass_kg", "25 t"),
        ("import_year", 2022),
        ("installation_id", "a b"),
        ("clinker_t_per_t", "1.5"),
        ("nitrogen_t_per_t", "0"),
        ("import_quarter", 5),
        ("carbon_price_paid_eur", "-1"),
        ("colour", "blue"),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        consignment(**{field: value})


def test_a_code_may_be_written_with_spaces() -> None:
    assert consignment(cn_code="7208 10 00").cn_code == "72081000"
