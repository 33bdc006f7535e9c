"""The ledger's events as a file: one canonical record a line, as the log has them, and the balances they lead to."""

import json
from dataclasses import astuple, dataclass
from pathlib import Path

from rich.table import Table

from commonweal.ledger import Balance, Ledger, LedgerError, Unit, event_of
from operators.cli.terminal import CommandError


@dataclass(frozen=True, kw_only=True)
class Balances:
    """What a journal leads to: every account's four sums, and how many different events it holds."""

    journal: Path
    events: int
    sums: dict[tuple[str, Unit], Balance]

    def plain(self) -> str:
        """One line of JSON: account, unit, then pending debits and credits, then posted ones."""
        rows = [[account, unit, *astuple(self.sums[account, unit])] for account, unit in sorted(self.sums)]
        return json.dumps({"journal": str(self.journal), "events": self.events, "balances": rows})

    def table(self) -> Table:
        """The same for a person."""
        shown = Table(title=f"{self.journal}: {self.events} events", title_justify="left")
        shown.add_column("account", no_wrap=True)
        for heading in ("unit", "debits pending", "credits pending", "debits posted", "credits posted"):
            shown.add_column(heading, overflow="fold")
        for account, unit in sorted(self.sums):
            shown.add_row(account, unit, *map(str, astuple(self.sums[account, unit])))
        return shown


def balances(journal: Path) -> Balances:
    """Record every line of a journal, in its order.

    Raises:
        CommandError: a line that is no event, or that the books refuse; names the file and the line.
    """
    if not journal.is_file():
        raise CommandError(f"JOURNAL: {journal} does not exist; write it with `commonweal equity export`")
    ledger = Ledger()
    with journal.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                ledger.record(event_of(line.rstrip(b"\n")))
            except LedgerError as error:
                raise CommandError(f"{journal}: line {number}: {error}") from None
    return Balances(journal=journal, events=len(list(ledger)), sums=ledger.balances())
