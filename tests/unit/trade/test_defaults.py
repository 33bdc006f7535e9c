"""Which default value is used, and why; each fixture breaks one plausible wrong rule."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.defaults import Cell, NoDefaultError, Row, SeveralGoodsError, Table, default_value, markup_bp, read_cell

# Among them what Python's Decimal would take for a number: other alphabets' digits, underscores, exponents.
UNREADABLE = (
    *("", " ", "#VALUE!", "n/a", "1,41", "-1", "+1", "NaN", "Infinity", "--", "\N{MINUS SIGN}", "1.", ".5"),
    *("1_000", "1e3", "0x1", "1.41 (A)", "see", "\N{FULLWIDTH DIGIT ONE}", "\N{NO-BREAK SPACE}"),
)
NUMBERS = st.decimals(0, 100, places=3)


def row(country: str, direct: str, indirect: str, total: str, *, prefix: str = "2523", route: str = "(A)") -> Row:
    return Row(
        cn_prefix=prefix,
        good="clinker",
        country=country,
        direct_t_per_t=read_cell(direct) if direct else Cell.NOT_LISTED,
        indirect_t_per_t=read_cell(indirect) if indirect else Cell.NOT_LISTED,
        total_t_per_t=read_cell(total),
        route=route,
    )


def table(*rows: Row) -> Table:
    return Table(
        rows=rows,
        fallback="OTHER",
        fallback_name="Other countries and territories",
        markup_bp={2026: 1000, 2027: 2000, 2028: 3000},
    )


TABLE = table(
    row("KR", "0.9", "0.1", "1.0"), row("TR", "0.8", "0.2", "-", route="(B)"), row("OTHER", "1.2", "0.3", "1.5")
)


def test_the_fallback_replaces_the_whole_row_never_single_columns() -> None:
    value = default_value(TABLE, "25231000", "TR", 2026)
    assert (value.direct_t_per_t, value.indirect_t_per_t, value.total_t_per_t) == (
        Decimal("1.32"),
        Decimal("0.33"),
        Decimal("1.65"),
    )
    assert value.row.route == "(A)"


def test_the_reason_says_whether_the_country_had_a_dash_or_was_not_listed() -> None:
    assert "because TR has no value" in default_value(TABLE, "25231000", "TR", 2026).why
    assert "because VN is not listed" in default_value(TABLE, "25231000", "VN", 2026).why
    assert default_value(TABLE, "25231000", "KR", 2026).why == "clinker: value of KR with the mark-up of 10 %"


@pytest.mark.parametrize(("year", "percent"), [(2026, 10), (2027, 20), (2028, 30), (2029, 30), (2100, 30)])
def test_the_mark_up_grows_by_year_and_then_stays(year: int, percent: int) -> None:
    assert markup_bp(TABLE, "25231000", year) == percent * 100
    assert default_value(TABLE, "25231000", "KR", year).total_t_per_t == Decimal(100 + percent) / 100


def test_there_is_no_default_before_the_first_year() -> None:
    with pytest.raises(NoDefaultError, match="begin in 2026, not in 2025"):
        markup_bp(TABLE, "25231000", 2025)


@given(total=NUMBERS, year=st.integers(2026, 2099))
def test_a_later_year_never_has_a_lower_default(total: Decimal, year: int) -> None:
    held = table(row("KR", "", "", str(total)))
    assert (
        default_value(held, "25231000", "KR", year + 1).total_t_per_t
        >= default_value(held, "25231000", "KR", year).total_t_per_t
    )


@given(own=st.one_of(st.none(), NUMBERS), other=NUMBERS)
def test_every_value_comes_from_the_countrys_row_or_from_the_fallback(own: Decimal | None, other: Decimal) -> None:
    held = table(row("KR", "", "", "-" if own is None else str(own)), row("OTHER", "", "", str(other)))
    assert default_value(held, "25231000", "KR", 2026).total_t_per_t == (other if own is None else own) * 11 / 10


def test_the_most_specific_heading_wins() -> None:
    held = table(row("KR", "", "", "1"), row("KR", "", "", "2", prefix="252329"))
    assert default_value(held, "25232900", "KR", 2026).total_t_per_t == Decimal("2.2")
    assert default_value(held, "25231000", "KR", 2026).total_t_per_t == Decimal("1.1")


def test_a_specific_heading_without_the_country_falls_back_within_itself() -> None:
    held = table(row("KR", "", "", "1"), row("OTHER", "", "", "2", prefix="252329"))
    assert default_value(held, "25232900", "KR", 2026).total_t_per_t == Decimal("2.2")


def test_a_good_outside_the_table_has_no_default() -> None:
    with pytest.raises(NoDefaultError, match="72081000 is not in the table"):
        default_value(TABLE, "72081000", "KR", 2026)


def test_see_below_is_no_value() -> None:
    held = table(row("KR", "", "", "see below"), row("OTHER", "", "", "see below"))
    with pytest.raises(NoDefaultError, match="neither KR nor 'Other countries"):
        default_value(held, "25231000", "KR", 2026)


def test_zero_is_a_value_and_not_a_gap() -> None:
    held = table(row("ML", "", "", "0.00"), row("OTHER", "", "", "17.74"))
    assert default_value(held, "25231000", "ML", 2026).total_t_per_t == 0


@pytest.mark.parametrize("dash", ["-", "\N{EN DASH}", "\N{EM DASH}", " - "])
def test_every_dash_of_the_official_files_is_a_dash(dash: str) -> None:
    assert read_cell(dash) is Cell.DASH


@pytest.mark.parametrize("text", UNREADABLE)
def test_an_unreadable_cell_is_an_error_and_never_a_dash(text: str) -> None:
    with pytest.raises(ValueError, match="correct the cell"):
        read_cell(text)


def test_a_heading_says_where_to_look() -> None:
    assert read_cell("See below") is Cell.SEE_BELOW


@pytest.mark.parametrize(
    ("words", "total"), [("white", "2.2"), ("WHITE CLINKER", "2.2"), ("clinker", "1.1"), ("Clinker", "1.1")]
)
def test_words_choose_among_the_goods_of_one_code_and_a_whole_name_outranks_a_part(words: str, total: str) -> None:
    both = table(row("KR", "", "", "1"), replace(row("KR", "", "", "2"), good="white clinker"))
    assert default_value(both, "25231000", "KR", 2026, words).total_t_per_t == Decimal(total)


@pytest.mark.parametrize("words", [None, "grey", "cli", "linke"])
def test_words_that_fit_none_or_several_goods_choose_nothing(words: str | None) -> None:
    both = table(row("KR", "", "", "1"), replace(row("KR", "", "", "2"), good="white clinker"))
    with pytest.raises(SeveralGoodsError, match=r"25231000 stands for several goods in the table \(clinker, white"):
        default_value(both, "25231000", "KR", 2026, words)


def test_words_do_not_matter_where_a_code_is_one_good() -> None:
    assert default_value(TABLE, "25231000", "KR", 2026, "grey").total_t_per_t == Decimal("1.1")


def test_the_fallback_is_of_the_same_good() -> None:
    white = [replace(row("KR", "", "", "-"), good="white"), replace(row("OTHER", "", "", "3"), good="white")]
    value = default_value(table(*white, row("OTHER", "", "", "1")), "25231000", "KR", 2026, "white")
    assert value.total_t_per_t == Decimal("3.3")


def test_a_code_of_two_goods_has_no_single_default() -> None:
    one = row("KR", "", "", "1")
    with pytest.raises(NoDefaultError, match=r"stands for several goods in the table \(clinker, white clinker\)"):
        default_value(table(one, replace(one, good="white clinker")), "25231000", "KR", 2026)


def test_a_number_stays_as_it_was_printed() -> None:
    assert read_cell("1.4740000000000002") == Decimal("1.4740000000000002")


@pytest.mark.parametrize("year", [2026, 2027, 2028, 2040])
def test_fertilisers_bear_their_flat_mark_up_in_every_year(year: int) -> None:
    held = replace(table(row("KR", "", "", "2", prefix="281410"), row("KR", "", "", "2")), flat_markup_bp={"2814": 100})
    assert default_value(held, "28141000", "KR", year).total_t_per_t == Decimal("2.02")
    assert markup_bp(held, "25231000", year) != 100
