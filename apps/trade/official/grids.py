"""The cells of an official file by sheet and place, as texts: what a cell shows, and never what it should have shown.

A number in a workbook is a binary float. 1.474 may be stored as 1.4740000000000002; such a remainder of arithmetic is
rounded away (half up, at six decimals), anything that is more than a remainder stays.
"""

import csv
import hashlib
import importlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from types import ModuleType

PLACES = Decimal("0.000001")  # the annexes print two or three decimals
REMAINDER = Decimal("1e-9")
MOST_BYTES = 64 << 20  # unpacked; the workbook of February 2026 has 121 sheets of about 104 rows
HEAD_ROWS = 30  # titles and notes above the header


class OfficialFileError(ValueError):
    """A file that cannot be taken in; the message names file, sheet or cell, and the remedy."""


@dataclass(frozen=True, kw_only=True)
class OfficialFile:
    """A file as it was read once: its cells and its digest are of the same bytes."""

    path: Path
    content: bytes

    @property
    def source(self) -> str:
        """What a release says that it was made from."""
        return f"{self.path.name}, sha256 {hashlib.sha256(self.content).hexdigest()}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a sheet: its number as the program that made it counts, and the texts of its cells."""

    number: int
    cells: tuple[str, ...]

    def text(self, column: int | None) -> str:
        """A cell; empty where the row ends before it or the sheet has no such column."""
        return self.cells[column] if column is not None and column < len(self.cells) else ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One sheet, or the one table of a CSV file, whose name is then empty."""

    name: str
    lines: Sequence[Line]

    def place(self, line: int, column: int) -> str:
        """Where a cell is, as its reader finds it."""
        if not self.name:
            return f"line {line}, column {column + 1}"
        return f"sheet {self.name}, cell {_letters(column)}{line}"


def read_file(path: Path) -> OfficialFile:
    """Read an official file.

    Raises:
        OfficialFileError: it cannot be read.

    """
    try:
        return OfficialFile(path=path, content=path.read_bytes())
    except OSError as error:
        raise OfficialFileError(f"{path}: {error.strerror}; give the official .xlsx or .csv file") from error


def read_grids(file: OfficialFile) -> list[Grid]:
    """Every sheet of a workbook, or a CSV file as one.

    Raises:
        OfficialFileError: the file is too large, or is neither.

    """
    return list(_workbook(file)) if file.content.startswith(b"PK") else [_table(file)]


def shown(value: object) -> str:
    """What a cell shows; a number without the remainder that binary arithmetic left."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).strip()
    exact = Decimal(repr(value))
    rounded = exact.quantize(PLACES, rounding=ROUND_HALF_UP)
    kept = rounded if exact != rounded and abs(exact - rounded) < REMAINDER else exact
    text = format(kept, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _workbook(file: OfficialFile) -> Iterator[Grid]:
    openpyxl, path = _openpyxl(), file.path
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > MOST_BYTES:
            raise OfficialFileError(f"{path}: {size} bytes unpacked, over {MOST_BYTES}; give the official file alone")
        book = openpyxl.load_workbook(io.BytesIO(file.content), read_only=True, data_only=True)
    except (zipfile.BadZipFile, openpyxl.utils.exceptions.InvalidFileException, KeyError) as error:
        raise OfficialFileError(f"{path}: no workbook ({error}); give the official .xlsx file") from error
    for sheet in book.worksheets:
        rows = enumerate(sheet.iter_rows(values_only=True), start=1)
        lines = [Line(number=number, cells=tuple(shown(value) for value in row)) for number, row in rows]
        yield Grid(name=sheet.title, lines=[line for line in lines if any(line.cells)])


def _table(file: OfficialFile) -> Grid:
    try:
        text = file.content.decode("utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
        reader = csv.reader(io.StringIO(text, newline=""), dialect, strict=True)
        lines = [Line(number=reader.line_num, cells=tuple(cell.strip() for cell in row)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise OfficialFileError(f"{file.path}: {error}; give CSV in UTF-8, or the .xlsx file") from error
    return Grid(name="", lines=[line for line in lines if any(line.cells)])


def _openpyxl() -> ModuleType:
    """The library, only where a workbook is read: the image of a site is without it."""
    try:
        return importlib.import_module("openpyxl")
    except ImportError as error:
        raise OfficialFileError(f"{error.name}: not installed; install the dependency group trade-sources") from error


def _letters(column: int) -> str:
    head, last = divmod(column, 26)
    return (_letters(head - 1) if head else "") + chr(ord("A") + last)
