"""What leaves the hub's books as a file, whole or not at all."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path

from commonweal.beancount import lines
from operators.cli import postings
from operators.cli.terminal import CommandError
from operators.hub.books import events, posted


class Format(StrEnum):
    """How a file is written."""

    PARQUET = "parquet"
    JOURNAL = "journal"
    BEANCOUNT = "beancount"


WHAT = {Format.PARQUET: "postings", Format.JOURNAL: "events", Format.BEANCOUNT: "lines"}


def write_lines(path: Path, records: Iterable[bytes]) -> int:
    """Write a record a line; return how many."""
    count = 0
    with path.open("wb") as file:
        for record in records:
            file.write(record + b"\n")
            count += 1
    return count


def write(form: Format, books: Path, file: Path) -> int:
    """Write a new file; return how many postings, events or lines it holds.

    Raises:
        CommandError: the file exists.
        BooksError: the books cannot be read.
    """
    if file.exists():
        raise CommandError(f"--out: {file} exists; name another file, an export is never overwritten")
    writers: dict[Format, Callable[[Path], int]] = {
        Format.PARQUET: lambda path: postings.write(path, posted(books)),
        Format.JOURNAL: lambda path: write_lines(path, events(books)),
        Format.BEANCOUNT: lambda path: write_lines(path, (line.encode() for line in lines(posted(books)))),
    }
    partial = file.with_name(file.name + ".partial")
    try:
        count = writers[form](partial)
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    return count
