"""Every cell of a table is a number, a dash, see-below or a named error; the traps of the official files are here."""

import csv
import io
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.trade.default_tables import COLUMNS, VALUES, read_table
from apps.trade.defaults import Cell

from .test_defaults import UNREADABLE

GOOD_CELLS = st.sampled_from(["0.00", "1.478", "-", "\N{EN DASH}", "\N{EM DASH}", "see below", "See below"])
ANY_CELLS = st.one_of(GOOD_CELLS, st.sampled_from(UNREADABLE), st.text(max_size=6))


def written(*lines: tuple[str, ...], header: tuple[str, ...] = COLUMNS) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *lines])
    return text.getvalue().encode()


def line(number: int, *values: str, route: str = "(C)") -> tuple[str, ...]:
    return (f"72{number:06d}", "coil", "KR", *values, route)


@settings(deadline=None)
@given(cells=st.lists(st.tuples(ANY_CELLS, ANY_CELLS, ANY_CELLS), max_size=20))
def test_no_cell_is_lost(cells: list[tuple[str, str, str]]) -> None:
    reading = read_table(written(*(line(number, *values) for number, values in enumerate(cells))))
    summed = {(bad.line, bad.column) for bad in reading.bad if "off direct + indirect" in bad.detail}
    unreadable = {(bad.line, bad.column) for bad in reading.bad} - summed
    assert sum(reading.counts.values()) + len(unreadable) == 3 * len(cells)
    assert reading.counts.keys() <= {"number", "dash", "see below"}
    assert len(reading.rows) + len({bad.line for bad in reading.bad}) == len(cells)


@settings(deadline=None)
@given(cells=st.lists(st.tuples(GOOD_CELLS, GOOD_CELLS), min_size=1, max_size=20))
def test_what_is_readable_is_read_as_written(cells: list[tuple[str, str]]) -> None:
    lines = [(f"72{number:06d}", "coil", "KR", *values) for number, values in enumerate(cells)]
    reading = read_table(written(*lines, header=("cn_prefix", "good", "country", "total_t_per_t", "route")))
    assert not reading.bad
    for row, (total, route) in zip(reading.rows, cells, strict=True):
        if isinstance(row.total_t_per_t, Decimal):
            assert str(row.total_t_per_t) == total
        assert row.route == route
        assert (row.direct_t_per_t, row.indirect_t_per_t) == (Cell.NOT_LISTED, Cell.NOT_LISTED)
    assert sum(Counter(reading.counts).values()) == len(cells)


@pytest.mark.parametrize("column", VALUES)
@pytest.mark.parametrize("text", UNREADABLE)
def test_an_unreadable_cell_is_named_by_line_and_column(column: str, text: str) -> None:
    values = {name: text if name == column else "-" for name in VALUES}
    (bad,) = read_table(written(line(1, "-", "-", "-"), line(2, *values.values()))).bad
    assert (bad.line, bad.column) == (3, column)
    assert "correct the cell" in bad.detail


@pytest.mark.parametrize(
    ("cells", "column", "said"),
    [
        (("7208 1", "coil", "KR", "1", "1", "2", ""), None, ""),
        (("7", "coil", "KR", "1", "1", "2", ""), "cn_prefix", "2 to 8 digits"),
        (("2523100090", "clinker", "KR", "1", "1", "2", ""), "cn_prefix", "2 to 8 digits"),
        (("7208", "", "KR", "1", "1", "2", ""), "good", "name the good"),
        (("7208", "coil", "Korea", "1", "1", "2", ""), "country", "two capital letters"),
        (("7208", "coil", "KR", "1", "1", "2.01", ""), None, ""),
        (("7208", "coil", "KR", "1", "1", "2.02", ""), "total_t_per_t", "0.02 off direct + indirect"),
        (("7208", "coil", "KR", "1"), "line", "4 cells under 7 columns"),
        ((), "line", "0 cells under 7 columns"),
    ],
)
def test_the_rest_of_a_line_is_checked_too(cells: tuple[str, ...], column: str | None, said: str) -> None:
    bad = read_table(written(cells)).bad
    assert [each.column for each in bad] == ([column] if column else [])
    assert all(said in each.detail for each in bad)


def test_a_code_means_the_same_with_and_without_spaces() -> None:
    spaced = read_table(written(("7208 10 00", "coil", "KR", "1", "1", "2", "")))
    assert spaced.rows[0].cn_prefix == "72081000"


def test_the_same_row_twice_is_refused_and_two_goods_of_one_code_are_not() -> None:
    first = line(1, "1", "1", "2")
    other = (first[0], "plate", *first[2:])
    assert not read_table(written(first, other)).bad
    assert "the same row as line 2" in str(read_table(written(first, first)).bad[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cn_prefix: missing from the header"),
        (b"cn_prefix,good,country\n", "total_t_per_t: missing from the header"),
        (b"cn_prefix,good,country,total_t_per_t,total\n", "total: unknown"),
        (b"cn_prefix,good,country,total_t_per_t,good\n", "good: occurs twice"),
        (b"\xff", "give CSV in UTF-8"),
        (b'cn_prefix,good,country,total_t_per_t\n"72', "give CSV in UTF-8"),
    ],
)
def test_a_file_of_another_form_is_refused(content: bytes, said: str) -> None:
    assert said in str(read_table(content).bad[0])
