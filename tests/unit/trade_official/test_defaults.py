"""The Commission's workbook of default values becomes a table; each of its traps is classified or refused by place."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.defaults import Cell, NoDefaultError, Row, Table, default_value
from apps.trade.official.countries import CountryNames
from apps.trade.official.default_sheets import Taken, take_defaults
from apps.trade.official.grids import OfficialFileError, read_file, read_grids, shown
from tests.unit.trade_official.books import AUGUST, FEBRUARY, STEEL, Rows, workbook

RATES = Table(
    rows=(),
    fallback="OTHER",
    fallback_name="Other",
    markup_bp={2026: 1000, 2027: 2000, 2028: 3000},
    flat_markup_bp={"2814": 100},
)
NAMES = CountryNames("OTHER", {})


def taken(path: Path, sheets: dict[str, Rows], header: tuple[str, ...] = FEBRUARY) -> Taken:
    return take_defaults(read_grids(read_file(workbook(path / "book.xlsx", sheets, header))), NAMES, RATES)


def rows_of(found: Taken) -> dict[tuple[str, str], Row]:
    reading = found.judged()
    assert not found.bad
    return {(row.cn_prefix, row.country): row for row in reading.rows}


def test_a_sheet_is_a_country_and_every_cell_is_what_it_shows(tmp_path: Path) -> None:
    found = taken(tmp_path, {"South Korea": STEEL, "_Other Countries": STEEL})
    rows = rows_of(found)
    coil = rows["72081000", "KR"]
    assert (coil.total_t_per_t, coil.direct_t_per_t, coil.indirect_t_per_t) == (
        Decimal("2.1"),
        Decimal("2.1"),
        Cell.DASH,
    )
    assert (coil.good, coil.route) == ("In coils, with patterns in relief", "(C)")
    assert rows["7208", "KR"].total_t_per_t is Cell.SEE_BELOW
    assert rows["72082500", "OTHER"].total_t_per_t is Cell.DASH
    assert rows["72082600", "KR"].direct_t_per_t == Decimal("1.474")
    assert found.counts["headings"] == 2
    assert found.differing == []


def test_the_corrected_release_without_marked_up_columns_is_read_too(tmp_path: Path) -> None:
    rows = [(*list(row)[:5], "(C)") for row in STEEL if len(list(row)) > 1]
    assert rows_of(taken(tmp_path, {"China": rows}, AUGUST))["72081000", "CN"].route == "(C)"


def test_the_fallback_replaces_a_row_of_dashes_and_says_so(tmp_path: Path) -> None:
    other = [("72082500", "In coils, pickled", 4, 0.1, 4.1)]
    found = taken(tmp_path, {"South Korea": STEEL, "Other countries and territories": other})
    table = Table(rows=found.judged().rows, fallback="OTHER", fallback_name="Other", markup_bp={2026: 1000})
    value = default_value(table, "72082500", "KR", 2026)
    assert value.total_t_per_t == Decimal("4.51")
    assert "because KR has no value" in value.why


@pytest.mark.parametrize("cell", ["#VALUE!", "1,41", "n/a", None, "1.41 (A)", -1, "--", True])
def test_a_cell_that_is_none_of_the_known_is_refused_by_its_place_and_never_a_gap(tmp_path: Path, cell: object) -> None:
    found = taken(tmp_path, {"Taiwan": [("7221 00 10", "Bars and rods", "-", "-", cell)]})
    found.judged()
    (said,) = found.bad
    assert said.startswith("sheet Taiwan, cell E5: ")
    assert "is neither a number from 0 up, a dash nor 'see below'; correct the cell" in said


def test_zero_is_a_value(tmp_path: Path) -> None:
    assert rows_of(taken(tmp_path, {"Mali": [("2804 10 00", "Hydrogen", 0, 0, 0.0)]}))["28041000", "ML"].has_value


def test_parts_may_miss_the_total_by_rounding_and_by_no_more(tmp_path: Path) -> None:
    near = [("2523 29 00", "Portland", "1.405", "0.105", "1.50")]
    assert rows_of(taken(tmp_path, {"India": near}))
    far = taken(tmp_path, {"India": [("2523 29 00", "Portland", "1.40", "0.08", "1.50")]})
    far.judged()
    assert far.bad == [
        "sheet India, cell E5: 1.50 is 0.02 off direct + indirect, more than rounding; compare with the source"
    ]


def test_two_goods_on_one_code_stay_two_and_are_never_chosen_between(tmp_path: Path) -> None:
    clinker = [("2523100010", "White clinker", "-", "-", 1.9), ("2523 10 00 90", "Grey clinker", "-", "-", 1.41)]
    found = taken(tmp_path, {"_Other Countries": clinker})
    table = Table(rows=found.judged().rows, fallback="OTHER", fallback_name="Other", markup_bp={2026: 1000})
    assert not found.bad
    assert found.counts["TARIC codes"] == 2
    with pytest.raises(NoDefaultError, match=r"several goods in the table \(Grey clinker, White clinker\)"):
        default_value(table, "25231000", "CN", 2026)


def test_the_same_good_twice_is_refused(tmp_path: Path) -> None:
    found = taken(tmp_path, {"India": [("7201", "Pig iron", "-", "-", 1), ("72 01", "Pig iron", "-", "-", 2)]})
    found.judged()
    assert found.bad == ["sheet India, cell A6: the same row as line 2; remove one"]


def test_values_without_a_code_are_refused_and_a_sectors_name_is_not(tmp_path: Path) -> None:
    found = taken(
        tmp_path, {"India": [("Cement",), ("Hydrogen ", "all of it", "-", "-", 5), ("7201", "Pig", "-", "-", 1)]}
    )
    assert found.counts["headings"] == 1
    assert found.bad == [
        "sheet India, cell A6: 'Hydrogen' is no code of 2 to 8 or 10 digits, and the row holds values; correct the code"
    ]


def test_a_stated_mark_up_that_compounds_is_told_and_not_used(tmp_path: Path) -> None:
    """Five cement rows of the real file state 1.10, 1.21 and 1.331."""
    cement = [("2523 90 00", "Other cement", "-", "-", 1, 1.10, 1.21, 1.331), ("2814", "Ammonia", "-", "-", 2, 2.02)]
    found = taken(tmp_path, {"India": cement})
    assert found.differing == ["sheet India, cell H5: 1.331 is not 1 with 30 %, 1.3"]


@pytest.mark.parametrize(
    ("sheet", "code"),
    [
        ("Türkiye", "TR"), ("Turkiye", "TR"), ("Viet Nam", "VN"), ("  united states ", "US"), ("KR", "KR"),
        ("Democratic Republic of the Congo"[:31], "CD"), ("Saint Vincent and the Grenadines"[:31], "VC"),
        ("Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire", "CI"), ("_Other Countries", "OTHER"),
    ],
)  # fmt: skip
def test_sheets_are_countries_however_they_are_spelt_or_cut(sheet: str, code: str) -> None:
    assert NAMES.code(sheet) == code


@pytest.mark.parametrize("sheet", ["Utopia", "Korea", "Cong", "United"])
def test_a_country_that_cannot_be_told_is_refused_with_the_option_that_tells_it(sheet: str) -> None:
    with pytest.raises(OfficialFileError, match=f"say which with --country '{sheet}=XX'"):
        NAMES.code(sheet)
    assert CountryNames("OTHER", {sheet: "KR"}).code(sheet) == "KR"


def test_sheets_without_a_table_are_named_and_left_out(tmp_path: Path) -> None:
    found = taken(tmp_path, {"Version History": [("1.0", "4 February 2026")], "India": STEEL})
    assert found.left_out == ["Version History"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ((*FEBRUARY[:4], *FEBRUARY[5:]), "the column of total_t_per_t is missing; give the whole table"),
        ((*FEBRUARY, "Colour"), "no column is known as 'Colour'"),
        ((*FEBRUARY, "Total emissions"), "'Total emissions' is a second column of total_t_per_t; remove one"),
    ],
)
def test_a_layout_that_is_not_understood_is_refused_and_not_guessed(
    tmp_path: Path, header: tuple[str, ...], said: str
) -> None:
    with pytest.raises(OfficialFileError, match=said):
        taken(tmp_path, {"India": STEEL}, header)


def test_columns_are_known_by_their_names_in_any_order(tmp_path: Path) -> None:
    header = tuple(reversed(AUGUST))
    rows = [tuple(reversed(("7201", "Pig iron", 1, 0.5, 1.5, "(C)")))]
    row = rows_of(taken(tmp_path, {"India": rows}, header))["7201", "IN"]
    assert (row.direct_t_per_t, row.total_t_per_t, row.route) == (Decimal(1), Decimal("1.5"), "(C)")


def test_csv_names_the_country_in_a_column(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    lines = ("Country;CN code;Description;Total", "India;7201;Pig iron;2.53", "Kenya;7201;Pig iron;-")
    path.write_text("\n".join(lines), "utf-8-sig")
    rows = rows_of(take_defaults(read_grids(read_file(path)), NAMES, RATES))
    assert rows["7201", "IN"].total_t_per_t == Decimal("2.53")
    assert rows["7201", "KE"].total_t_per_t is Cell.DASH
    path.write_text("CN code,Description,Total\n7201,Pig iron,2.53\n")
    with pytest.raises(OfficialFileError, match="line 1: the column of country is missing"):
        take_defaults(read_grids(read_file(path)), NAMES, RATES)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a workbook", b"\xff\xfe"])
def test_a_file_that_is_neither_workbook_nor_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(OfficialFileError, match="give"):
        take_defaults(read_grids(read_file(path)), NAMES, RATES)


@given(number=st.decimals(min_value=0, max_value=100, places=3))
def test_a_number_survives_the_float_that_a_workbook_stores(number: Decimal) -> None:
    assert Decimal(shown(float(number))) == number
    assert Decimal(shown(float(number) * 3)) == number * 3


def test_what_is_more_than_a_remainder_stays() -> None:
    assert shown(1.4740000000000002) == "1.474"
    assert shown(1.4740004) == "1.4740004"
    assert shown(0.1 + 0.2) == "0.3"
