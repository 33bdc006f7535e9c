"""The sheet of benchmarks becomes a table by good and route; what contradicts itself is refused by place."""

from pathlib import Path

import pytest

from apps.trade.official.benchmark_sheets import TakenBenchmarks, take_benchmarks
from apps.trade.official.grids import OfficialFileError, read_file, read_grids
from tests.unit.trade_official.books import Rows, workbook

HEADER = (
    "CN code",
    "CN description",
    "Column A: BMg* [tCO2e/t]",
    "Production route indicator of column A",
    "Column B: BMg [tCO2e/t]",
    "Production route indicator of column B",
)
ROWS: Rows = (
    ("Cement",),
    ("2523 10 00", "Cement clinkers", 0.666, "(A)", 0.666, "(A)"),
    (None, None, 0.859, "(B)", 0.859, "(B)"),
    ("72081000", "Hot-rolled", 0.044, "(C)", 1.37, "(C)"),
    ("7601", "Unwrought aluminium", "1.423 (K)", "", "1.423 (K)", ""),
    ("7601", "Unwrought aluminium", "0.148 (L)(1)", "", "0.148 (L)(1)", ""),
    ("7601", "Unwrought aluminium", "0.120 (L)(2)", "", "0.120 (L)(2)", ""),
    ("2804 10 00", "Hydrogen", 5.089, "", 5.089, ""),
    ("7202 60", "Ferro-nickel", "\N{EN DASH}", "", 2.39, ""),
)  # fmt: skip


def taken(path: Path, rows: Rows = ROWS, period: int = 1, header: tuple[str, ...] = HEADER) -> TakenBenchmarks:
    return take_benchmarks(read_grids(read_file(workbook(path / "book.xlsx", {"Benchmarks": rows}, header))), period)


def lines(found: TakenBenchmarks) -> list[str]:
    return found.table().decode().splitlines()[1:]


def test_a_row_is_a_good_by_a_route(tmp_path: Path) -> None:
    found = taken(tmp_path)
    assert found.bad == []
    assert lines(found) == [
        "25231000,Cement clinkers,A,0.666,0.666",
        "25231000,Cement clinkers,B,0.859,0.859",
        "72081000,Hot-rolled,C,0.044,1.37",
        "7601,Unwrought aluminium,K,1.423,1.423",
        "7601,Unwrought aluminium,L,0.148,0.148",
        "28041000,Hydrogen,,5.089,5.089",
        "720260,Ferro-nickel,,\N{EN DASH},2.39",
    ]
    assert found.counts["of another period"] == 2
    assert found.counts["headings"] == 1


def test_the_second_period_has_its_own_rows_beside_those_of_both(tmp_path: Path) -> None:
    assert "7601,Unwrought aluminium,L,0.120,0.120" in lines(taken(tmp_path, period=2))
    assert "28041000,Hydrogen,,5.089,5.089" in lines(taken(tmp_path, period=2))


def test_columns_of_two_routes_stay_apart(tmp_path: Path) -> None:
    found = taken(tmp_path, [("7206 10", "Ingots", 0.15, "(C)", 1.288, "(D)")])
    assert lines(found) == ["720610,Ingots,C,0.15,-", "720610,Ingots,D,-,1.288"]


@pytest.mark.parametrize("cell", ["#VALUE!", "see below", "1,37", "", "1.37 (M)", "1.37 (C)(D)", -1])
def test_a_cell_that_is_neither_a_number_nor_a_dash_is_refused_by_its_place(tmp_path: Path, cell: object) -> None:
    (said,) = taken(tmp_path, [("7208", "Coil", 0.04, "(C)", cell, "(C)")]).bad
    assert said.startswith("sheet Benchmarks, cell E5: ")
    assert "is neither a number from 0 up nor a dash; correct the cell" in said


def test_two_numbers_for_one_place_contradict_each_other(tmp_path: Path) -> None:
    rows = [("7208", "Coil", 0.04, "(C)", 1.37, "(C)"), ("7208", "Coil", 0.04, "(C)", 1.38, "(C)")]
    assert taken(tmp_path, rows).bad == [
        "sheet Benchmarks, cell E6: 1.38 for route (C), and 1.37 stands above for the same good; remove one"
    ]


def test_values_of_no_good_are_refused(tmp_path: Path) -> None:
    (said,) = taken(tmp_path, [("Steel", "", 1, "", 1, "")]).bad
    assert said.startswith("sheet Benchmarks, cell A5: 'Steel' of '' is no code with a description")


def test_a_workbook_without_columns_a_and_b_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OfficialFileError, match="the column of column_b is missing"):
        taken(tmp_path, header=HEADER[:4])
    with pytest.raises(OfficialFileError, match="no sheet has CN codes and columns A and B"):
        taken(tmp_path, header=("Note",))
