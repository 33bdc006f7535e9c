"""Postings as a Beancount file, so that an accountant's own tool adds them up and checks the balances at its end.

Beancount writes a debit as a positive number. What a member delivered is an income, what it used an expense, and the
pool the equity between them; a unit is a commodity. Beancount sorts by date, so accounts are opened below.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from commonweal.ledger import INSTANT, POOL, LedgerError, Transfer

COMPONENT = re.compile(r"[A-Z0-9][A-Za-z0-9-]*")
KINDS = {"delivered": "Income", "used": "Expenses"}


def account_of(account: str) -> str:
    """Return the Beancount name of an account.

    Raises:
        LedgerError: no name of that kind can stand for it.
    """
    if account == POOL:
        return "Equity:Pool"
    kind, *parts = account.split("/")
    named = [part[:1].upper() + part[1:] for part in parts]
    if kind != "member" or len(parts) < 2 or parts[1] not in KINDS or not all(map(COMPONENT.fullmatch, named)):
        raise LedgerError(f"account: {account} has no Beancount name; export it as parquet or as a journal")
    return ":".join((KINDS[parts[1]], *named))


def lines(postings: Iterable[tuple[str, Transfer]]) -> Iterator[str]:
    """Return the lines of a file: a transaction for each posting, then the accounts and what each must hold.

    Raises:
        LedgerError: an account has no Beancount name.
    """
    held, days, seen = Counter[tuple[str, str]](), set[date](), set[str]()
    yield 'option "title" "Commonweal"'
    for statement, transfer in postings:
        if transfer.id in seen:
            continue
        seen.add(transfer.id)
        day, commodity = transfer.period_start.date(), transfer.unit.upper()
        days.add(day)
        yield ""
        yield f'{day} * "{statement}"'
        yield f'  posting: "{transfer.id}"'
        yield f'  evidence: "{transfer.evidence_sha256}"'
        yield f'  period: "{transfer.period_start:{INSTANT}}"'
        for account, amount in ((transfer.debit, transfer.amount), (transfer.credit, -transfer.amount)):
            name = account_of(account)
            held[name, commodity] += amount
            yield f"  {name}  {amount} {commodity}"
    yield ""
    yield from (f"{min(days)} open {name}" for name in sorted({name for name, _ in held}))
    for (name, commodity), amount in sorted(held.items()):
        yield f"{max(days) + timedelta(days=1)} balance {name}  {amount} {commodity}"
