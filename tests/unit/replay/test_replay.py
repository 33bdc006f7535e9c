"""A replay reaches the hub's statements by the hub's rule: at once or in steps, from single postings or from sums."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.equity import Charter, FormulaError
from commonweal.ledger import Flow, Ledger, Post, Transfer
from commonweal.replay import START, Closing, Position, advance, follow, replay
from tests.strategies import NOON, charters, transfers

MEMBERS = ("ca", "ke", "kr")
PLEDGED = dict.fromkeys(MEMBERS, 10**8)


def closings(charter: Charter, postings: Sequence[Transfer]) -> list[Closing]:
    hours = [NOON + timedelta(hours=hour) for hour in range(3)]
    by_hour = [tuple(each for each in postings if each.period_start == hour) for hour in hours]
    return [
        Closing(
            name=f"statement-{hour}", charter=charter, flows=flows, postings=len(flows), pledged_gpu_seconds=PLEDGED
        )
        for hour, flows in enumerate(by_hour)
    ]


def summed(closing: Closing) -> Closing:
    sums = Counter[tuple[str, str, object]]()
    for flow in closing.flows:
        sums[flow.debit, flow.credit, flow.unit] += flow.amount
    flows = tuple(Flow(debit=d, credit=c, unit=u, amount=n) for (d, c, u), n in sums.items())  # type: ignore[arg-type]
    return Closing(
        name=closing.name, charter=closing.charter, flows=flows, postings=closing.postings, pledged_gpu_seconds=PLEDGED
    )


@given(charter=charters, postings=transfers(MEMBERS), cut=st.integers(0, 3))
def test_from_scratch_and_from_any_position_give_the_same_bytes(
    charter: Charter, postings: list[Transfer], cut: int
) -> None:
    whole = closings(charter, postings)
    stopped = Position.read(replay(whole[:cut]).record())
    assert replay(whole[cut:], stopped).record() == replay(whole).record()


@given(charter=charters, postings=transfers(MEMBERS), data=st.data())
def test_who_sums_the_postings_and_in_which_order_changes_nothing(
    charter: Charter, postings: list[Transfer], data: st.DataObject
) -> None:
    expected = replay(closings(charter, postings)).record()
    shuffled = data.draw(st.permutations(postings))
    assert replay(closings(charter, shuffled)).record() == expected
    assert replay(map(summed, closings(charter, postings))).record() == expected


@given(charter=charters, postings=transfers(MEMBERS))
def test_each_statement_is_the_one_that_the_books_lead_to(charter: Charter, postings: list[Transfer]) -> None:
    position = START
    for closing in closings(charter, postings):
        posted = [each for each in closing.flows if isinstance(each, Transfer)]
        balances = Ledger([*posted, *(Post(each.id) for each in posted)]).balances()
        by_the_books = follow(charter, balances, PLEDGED, position.held)
        position, replayed = advance(position, closing)
        assert replayed.record() == by_the_books.record()


@given(charter=charters, postings=transfers(MEMBERS), data=st.data())
def test_any_other_amount_anywhere_shows_in_the_history(
    charter: Charter, postings: list[Transfer], data: st.DataObject
) -> None:
    if not postings:
        return
    altered = list(postings)
    index = data.draw(st.integers(0, len(postings) - 1))
    fields = {name: getattr(postings[index], name) for name in Transfer.__dataclass_fields__}
    altered[index] = Transfer(**(fields | {"amount": postings[index].amount + 1}))
    assert replay(closings(charter, altered)).history_sha256 != replay(closings(charter, postings)).history_sha256


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "position: cannot be read"),
        (b"[]", "position: cannot be read"),
        (b"{}", "position: cannot be read"),
        (START.record() + b"\n", "position: not the bytes that a replay wrote"),
        (START.record().replace(b'"statements":0', b'"statements":"0"'), "position: not the bytes"),
    ],
)
def test_a_position_that_no_replay_wrote_is_refused(record: bytes, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        Position.read(record)
