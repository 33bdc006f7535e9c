"""Packs are data: which is in force, what it lists, and that its table is the one it names."""

from decimal import Decimal

import pytest

from apps.trade.defaults import Cell
from apps.trade.rule_packs import PackError, RulePack, all_packs, defaults_of, pack_files, pack_for, read_rows, table_of

HEADER = "cn_prefix,good,country,total_t_per_t\n"


def definitive() -> RulePack:
    return next(pack for pack in all_packs() if pack.id == "eu-2025-2547")


@pytest.mark.parametrize(
    ("year", "pack"),
    [(2022, None), (2023, "32023R1773"), (2025, "32023R1773"), (2026, "32025R2547"), (2040, "32025R2547")],
)
def test_the_year_of_import_chooses_the_pack(year: int, pack: str | None) -> None:
    found = pack_for("72081000", year, all_packs())
    assert (found.celex if found else None) == pack


@pytest.mark.parametrize(
    ("cn_code", "listed"),
    [
        ("72081000", True),
        ("72026000", True),  # ferro-nickel
        ("72022100", False),  # ferro-silicon
        ("72029300", False),
        ("72042100", False),  # scrap
        ("73041100", True),
        ("73121000", False),
        ("76020000", False),
        ("76051900", True),
        ("28041000", True),
        ("28042100", False),
        ("25232900", False),
        ("31021010", False),
    ],
)
def test_annex_ii_lists_steel_aluminium_and_hydrogen_with_its_exceptions(cn_code: str, listed: bool) -> None:
    assert definitive().in_annex_ii(cn_code) is listed
    assert definitive().counts_indirect(cn_code) is not listed


@pytest.mark.parametrize(("country", "zero"), [("DE", True), ("NO", True), ("CH", True), ("GB", False), ("TR", False)])
def test_eu_and_efta_goods_are_zero_rated(country: str, zero: bool) -> None:
    assert definitive().is_zero_rated(country) is zero


@pytest.mark.parametrize(
    ("cn_code", "contained"),
    [
        ("25231000", None),
        ("25232900", "clinker"),
        ("25239000", "clinker"),
        ("28080000", "nitrogen"),
        ("28141000", "nitrogen"),
        ("31052010", "nitrogen"),
        ("31021010", None),  # its supplementary unit, not ours to convert
        ("72081000", None),
    ],
)
def test_cement_is_counted_by_its_clinker_and_ammonia_by_its_nitrogen(cn_code: str, contained: str | None) -> None:
    assert definitive().contained(cn_code) == contained


def test_every_cell_of_the_shipped_table_is_classified() -> None:
    table = defaults_of("eu-2025-2547")
    assert table is not None
    assert all(isinstance(row.total_t_per_t, Decimal) or row.total_t_per_t is Cell.DASH for row in table.rows)
    assert all(row.has_value for row in table.rows if row.country == table.fallback)
    assert len({(row.cn_prefix, row.country) for row in table.rows}) == len(table.rows) == 80


@pytest.mark.parametrize(
    ("prefix", "country", "total"),
    [
        ("7208", "KR", "2.118"),
        ("7208", "OTHER", "4.049"),
        ("280410", "CN", "26.64"),
        ("252310", "KR", "0.92"),
        ("7601", "KR", "0.36"),
        ("281410", "CN", "4.36"),
    ],
)
def test_the_shipped_values_are_those_of_the_source(prefix: str, country: str, total: str) -> None:
    table = defaults_of("eu-2025-2547")
    assert table is not None
    row = next(row for row in table.rows if (row.cn_prefix, row.country) == (prefix, country))
    assert row.total_t_per_t == Decimal(total)


def test_the_transitional_pack_has_no_default_values_here() -> None:
    assert defaults_of("eu-2023-1773") is None


def test_a_changed_table_is_found_by_its_digest() -> None:
    with pytest.raises(PackError, match=r"defaults_2621\.csv: sha256 is .*restore the file"):
        table_of(definitive(), {**pack_files(), "defaults_2621.csv": b"changed"})


def test_an_unreadable_cell_names_file_and_line() -> None:
    content = (HEADER + "7221,wire rod,TW,#VALUE!\n").encode()
    with pytest.raises(PackError, match=r"t\.csv: line 2: total_t_per_t: '#VALUE!'"):
        read_rows(content, "t.csv")
