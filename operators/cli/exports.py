"""What leaves the hub's books as a file, whole or not at all."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from operators.cli import journal, postings
from operators.cli.terminal import CommandError
from operators.hub.books import events, posted


class Format(StrEnum):
    """How a file is written."""

    PARQUET = "parquet"
    JOURNAL = "journal"


WHAT = {Format.PARQUET: "postings", Format.JOURNAL: "events"}


def write(form: Format, books: Path, file: Path) -> int:
    """Write a new file; return how many postings or events it holds.

    Raises:
        CommandError: the file exists.
        BooksError: the books cannot be read.
    """
    if file.exists():
        raise CommandError(f"--out: {file} exists; name another file, an export is never overwritten")
    writers: dict[Format, Callable[[Path], int]] = {
        Format.PARQUET: lambda path: postings.write(path, posted(books)),
        Format.JOURNAL: lambda path: journal.write(path, events(books)),
    }
    partial = file.with_name(file.name + ".partial")
    try:
        count = writers[form](partial)
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    return count
