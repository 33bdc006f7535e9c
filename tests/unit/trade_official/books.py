"""Synthetic workbooks in the layouts of the Commission's, with the traps that were seen in the real ones."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import openpyxl

Rows = Iterable[Iterable[object]]
FEBRUARY = (
    "Product CN Code",
    "Description",
    "Default Value (direct emissions)",
    "Default Value (indirect emissions)",
    "Default Value (total emissions)",
    "2026 Default Value (Including mark-up)",
    "2027 Default Value (Including mark-up)",
    "2028 Default Value (Including mark-up)",
    "Underlying production route",
)
AUGUST = (*FEBRUARY[:5], FEBRUARY[8])
HEAD = (("Default values of embedded emissions",), (), ("in tonnes CO2e per tonne",))
# Code, description, total; spelt as the official files spell them.
STEEL: Rows = (
    ("Iron and steel",),
    ("7208", "Flat-rolled products, of a width of 600 mm or more", "see below", "see below", "see below"),
    ("7208 10 00", "In coils, with patterns in relief", 2.1, "-", 2.1, 2.31, 2.52, 2.73, "(C)"),
    ("72082500", "In coils, pickled", "\N{EN DASH}", "\N{EM DASH}", "\N{EN DASH}", "-", "-", "-", "(C)"),
    ("7208\N{NO-BREAK SPACE}26 00", "Pickled, 3 mm", 1.4740000000000002, 0, 1.474, 1.6214, 1.7688, 1.9162, ""),
)  # fmt: skip


def workbook(path: Path, sheets: Mapping[str, Rows], header: tuple[str, ...] | None = FEBRUARY) -> Path:
    """A workbook with these sheets: titles, a header, then the rows."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        is_table = header is not None and "version" not in name.casefold()
        above: tuple[Iterable[object], ...] = (*HEAD, header or ()) if is_table else ()
        for row in (*above, *rows):
            sheet.append(list(row))
    book.save(path)
    return path
