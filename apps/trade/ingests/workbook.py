"""Cells of an operator's workbook (the Commission's communication template): every cell that says something, as it is.

The template changes at the same address, so no cell is interpreted here: sheet, place, value and whether a formula gave
it are kept, with the digest of the file, and a rule that reads a cell can be recomputed. An error such as #VALUE! is
refused by its place: taken as empty it would silently price something else.
"""

import hashlib
import importlib
import io
import random
import zipfile
from decimal import Decimal
from types import ModuleType
from typing import Annotated, Literal

from pydantic import Field

from apps.trade.ingests.form import IngestError, Reading, Row, Source, Stamp, Text, parsed

MOST_BYTES = 64 << 20  # unpacked; a workbook of the template is below 5 MB
SUMMARY = "Summary_Products"


class Cell(Row):
    """One cell; `number` where it holds one, exactly as the shortest text that gives the stored float back."""

    workbook_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    sheet: Text
    cell: Annotated[str, Field(pattern=r"^[A-Z]{1,3}[0-9]{1,7}$")]
    kind: Literal["number", "text", "truth", "date"]
    text: Annotated[str, Field(max_length=32_767)]
    number: Decimal | None = None
    is_formula: bool


def read(content: bytes, stamp: Stamp) -> Reading:
    """Read every cell that is not empty.

    Raises:
        IngestError: the file is no workbook, is too large, or a cell holds an error or an uncomputed formula.

    """
    openpyxl = _openpyxl()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > MOST_BYTES:
            raise IngestError(
                f"file: {size} bytes unpacked, more than {MOST_BYTES}; give the operator's workbook alone"
            )
        values = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
        formulas = openpyxl.load_workbook(io.BytesIO(content), data_only=False)
    except (zipfile.BadZipFile, openpyxl.utils.exceptions.InvalidFileException, KeyError, ValueError) as error:
        raise IngestError(f"file: no workbook ({error}); give an .xlsx file") from error
    digest = hashlib.sha256(content).hexdigest()
    rows: list[Row] = []
    for sheet in values.worksheets:
        for line in sheet.iter_rows():
            for held in line:
                is_formula = formulas[sheet.title][held.coordinate].data_type == "f"
                if held.value is not None or is_formula:
                    fields = _fields(sheet.title, held.coordinate, held.value, held.data_type)
                    fields |= {"workbook_sha256": digest, "is_formula": is_formula}
                    rows.append(parsed(Cell, len(rows) + 1, fields, stamp))
    return Reading(rows=rows)


def _openpyxl() -> ModuleType:
    """The library, only where a workbook is read: the image of a site is without it."""
    try:
        return importlib.import_module("openpyxl")
    except ImportError as error:
        raise IngestError(f"{error.name}: not installed; install the dependency group trade-sources") from error


def _fields(sheet: str, place: str, value: object, kind: str) -> dict[str, object]:
    said = {"sheet": sheet, "cell": place, "text": str(value)}
    if kind == "e":
        raise IngestError(
            f"sheet {sheet}, cell {place}: {value}; an error is no value, so ask the operator to correct it"
        )
    if value is None:
        raise IngestError(
            f"sheet {sheet}, cell {place}: a formula without a result; open, recalculate and save the file"
        )
    if isinstance(value, bool):
        return {**said, "kind": "truth"}
    if isinstance(value, int | float):
        return {**said, "kind": "number", "number": Decimal(repr(value))}
    return {**said, "kind": "text" if isinstance(value, str) else "date"}


PLANTED = {"C10": "76051900", "D10": 1.698079646017699, "E10": 6.15}


def generate(seed: int) -> bytes:
    """A workbook whose summary holds the results of the Commission's example 6; the seed fills a sheet beside it."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    book = _openpyxl().Workbook()
    summary = book.active
    summary.title = SUMMARY
    for place, value in PLANTED.items():
        summary[place] = value
    other = book.create_sheet("D_Processes")
    for line in range(1, 6):
        other[f"B{line}"] = numbers.randint(1, 10**6)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


SOURCE = Source(
    dataset="operator_workbook_cells",
    description="Cells of operators' workbooks as they are, with the digest of the file.",
    model=Cell,
    read=read,
    generate=generate,
)
