"""Finds the header of an official sheet and what its columns are: by what they are called, never by where they are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from apps.trade.official.grids import HEAD_ROWS, Grid, Line, OfficialFileError

Patterns = Sequence[tuple[str, re.Pattern[str]]]  # a column's name here, and what its heading says; the first that fits


@dataclass(frozen=True, kw_only=True)
class Header:
    """A sheet with the line of its header, and which column says what."""

    grid: Grid
    line: int
    columns: Mapping[str, int]

    def below(self) -> Iterator[Line]:
        """The lines of the table."""
        return (line for line in self.grid.lines if line.number > self.line)

    def text(self, line: Line, column: str) -> str:
        """A cell; empty where the sheet has no such column."""
        return line.text(self.columns.get(column))

    def place(self, line: int, column: str) -> str:
        """Where a cell is; of a column that the sheet does not have, where the row begins."""
        return self.grid.place(line, self.columns.get(column, self.columns["code"]))


def find_header(grid: Grid, patterns: Patterns, required: Sequence[str]) -> Header | None:
    """The header of a sheet; None where it has none, as a sheet of notes.

    Raises:
        OfficialFileError: a heading is of no known kind, two are of the same, or a required one is missing.

    """
    for line in grid.lines[:HEAD_ROWS]:
        kinds = [_kind(text, patterns) for text in line.cells]
        if "code" in kinds and sum(kind is not None for kind in kinds) > 1:
            return Header(grid=grid, line=line.number, columns=_columns(grid, line, kinds, required))
    return None


def _kind(text: str, patterns: Patterns) -> str | None:
    heading = " ".join(text.casefold().split())
    return next((name for name, pattern in patterns if heading and pattern.search(heading)), None)


def _columns(grid: Grid, line: Line, kinds: Sequence[str | None], required: Sequence[str]) -> dict[str, int]:
    columns: dict[str, int] = {}
    for index, (kind, text) in enumerate(zip(kinds, line.cells, strict=True)):
        if not text:
            continue
        where = grid.place(line.number, index)
        if kind is None:
            raise OfficialFileError(f"{where}: no column is known as {text!r}; remove it, or tell its maintainers")
        if kind in columns:
            raise OfficialFileError(f"{where}: {text!r} is a second column of {kind}; remove one")
        columns[kind] = index
    for name in required:
        if name not in columns:
            where = grid.place(line.number, 0)
            raise OfficialFileError(f"{where}: the column of {name} is missing; give the whole table")
    return columns
