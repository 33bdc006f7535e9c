"""A month of the books as APEL messages, three files in a new folder."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from commonweal.apel import Messages, Site, messages
from operators.cli.terminal import CommandError
from operators.hub.books import posted


def month_of(text: str) -> datetime:
    """Read a month, as 2026-11.

    Raises:
        CommandError: it is none.
    """
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise CommandError(f"--month: {text} is not a month; write it as 2026-11") from None


def benchmark_of(text: str) -> Fraction:
    """Read a benchmark per core, as 11.6.

    Raises:
        CommandError: it is not above 0.
    """
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise CommandError(f"--benchmark: {text} is not above 0; write the site's score per core, as 11.6")
    return value


def write(books: Path, site: Site, month: datetime, folder: Path) -> Messages:
    """Write summary.txt, sync.txt and accelerator.json into a new folder, all or nothing.

    Raises:
        CommandError: the folder exists, or nothing was used of this member in that month.
        BooksError: the books cannot be read.
    """
    if folder.exists():
        raise CommandError(f"--to: {folder} exists; name a new folder, a month is sent once")
    found = messages(site, month, (transfer for _, transfer in posted(books)))
    if not found.jobs:
        raise CommandError(f"--member: no use of {site.member} was posted in {month:%Y-%m}; nothing is written")
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("summary.txt", found.summary),
        ("sync.txt", found.sync),
        ("accelerator.json", found.accelerator),
    ):
        (partial / name).write_text(text, "utf-8")
    partial.rename(folder)
    return found
