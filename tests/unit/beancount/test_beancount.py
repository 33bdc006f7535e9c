"""An accountant's file: every transaction sums to nothing, and every account ends where the ledger has it."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.beancount import account_of, lines
from commonweal.ledger import POOL, Ledger, LedgerError, Post, Transfer, Unit, delivered, used
from tests.strategies import NOON, transfers

AMOUNT = re.compile(r"  (?P<account>[A-Z][\w:-]+)  (?P<amount>-?\d+) (?P<commodity>[A-Z_]+)")
BALANCE = re.compile(r"\S+ balance (?P<account>\S+)  (?P<amount>-?\d+) (?P<commodity>\S+)")


def delivery(amount: int = 10) -> Transfer:
    return Transfer(
        debit=POOL,
        credit=delivered("ca"),
        unit=Unit.GPU_SECONDS,
        amount=amount,
        period_start=NOON,
        evidence_sha256="0" * 64,
    )


def test_a_file_reads_as_beancount_does() -> None:
    assert list(lines([("statement-1", delivery())])) == [
        'option "title" "Commonweal"',
        "",
        '2026-11-24 * "statement-1"',
        f'  posting: "{delivery().id}"',
        f'  evidence: "{"0" * 64}"',
        '  period: "2026-11-24T12:00:00Z"',
        "  Equity:Pool  10 GPU_SECONDS",
        "  Income:Ca:Delivered  -10 GPU_SECONDS",
        "",
        "2026-11-24 open Equity:Pool",
        "2026-11-24 open Income:Ca:Delivered",
        "2026-11-25 balance Equity:Pool  10 GPU_SECONDS",
        "2026-11-25 balance Income:Ca:Delivered  -10 GPU_SECONDS",
    ]


@given(postings=transfers(("ca", "ke", "kr")), data=st.data())
def test_amounts_sum_to_nothing_and_to_what_the_ledger_has(postings: list[Transfer], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(postings), max_size=5)) if postings else []
    text = list(lines([("statement-1", each) for each in (*postings, *again)]))
    found = Counter[tuple[str, str]]()
    for match in filter(None, map(AMOUNT.fullmatch, text)):
        found[match["account"], match["commodity"]] += int(match["amount"])
    assert sum(found.values()) == 0
    asserted = {(m["account"], m["commodity"]): int(m["amount"]) for m in filter(None, map(BALANCE.fullmatch, text))}
    balances = Ledger([*postings, *(Post(each.id) for each in postings)]).balances()
    expected = {(account_of(account), unit.upper()): -balance.posted for (account, unit), balance in balances.items()}
    assert dict(found) == asserted == expected


def test_use_of_anothers_machines_is_an_expense_by_provider() -> None:
    assert account_of(used("ca", "kr")) == "Expenses:Ca:Used:Kr"


@pytest.mark.parametrize(
    "account", ["cash", "member/ca", "member/ca/owed", "member/c a/delivered", "member//delivered"]
)
def test_an_account_without_a_beancount_name_is_refused(account: str) -> None:
    with pytest.raises(LedgerError, match=f"account: {account} has no Beancount name"):
        account_of(account)


def test_no_posting_is_no_account() -> None:
    assert list(lines([])) == ['option "title" "Commonweal"', ""]
