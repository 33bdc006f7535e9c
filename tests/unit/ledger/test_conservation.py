"""No way of retelling a history raises anyone: permuted, repeated, replayed after a crash, split, merged or cut."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from commonweal.equity import Category, Charter, Statement, credit
from commonweal.ledger import POOL, Event, Ledger, Post, Transfer, Unit
from commonweal.replay import follow
from tests.strategies import charters, histories, transfers

MEMBERS = ("ca", "ke", "kr")
PLEDGED = dict.fromkeys(MEMBERS, 10**8)


def statement(charter: Charter, postings: Sequence[Transfer]) -> Statement:
    ledger = Ledger([*postings, *(Post(each.id) for each in postings)])
    return follow(charter, ledger.balances(), PLEDGED, {})


def posted(events: Sequence[Event]) -> Mapping[tuple[str, Unit], tuple[int, int]]:
    sums = Ledger(events).balances()
    return {key: (balance.debits_posted, balance.credits_posted) for key, balance in sums.items()}


def changed(transfer: Transfer, amount: int, evidence: str) -> Transfer:
    fields = {name: getattr(transfer, name) for name in Transfer.__dataclass_fields__}
    return Transfer(**(fields | {"amount": amount, "evidence_sha256": sha256(evidence.encode()).hexdigest()}))


def halves(transfer: Transfer, part: int) -> list[Transfer]:
    amounts = [amount for amount in (part, transfer.amount - part) if amount]
    return [changed(transfer, amount, f"{transfer.id} {side}") for side, amount in enumerate(amounts)]


@given(events=histories(), data=st.data())
def test_a_crash_and_a_replay_from_the_start_lead_to_the_same_books(events: list[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    assert Ledger([*events[:cut], *events]).balances() == Ledger(events).balances()


@given(events=histories(), data=st.data())
def test_leaving_events_out_never_raises_what_was_posted_to_any_account(
    events: list[Event], data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.sampled_from([each.id for each in events if isinstance(each, Transfer)] or [""])))
    fewer = [
        event
        for event in events
        if (event.id if isinstance(event, Transfer) else event.transfer_id) in kept
        and (isinstance(event, Transfer) or data.draw(st.booleans()))
    ]
    whole = posted(events)
    for key, (debits, credits_) in posted(fewer).items():
        before = whole.get(key, (0, 0))
        assert debits <= before[0]
        assert credits_ <= before[1]


@given(charter=charters, postings=transfers(MEMBERS), data=st.data())
def test_one_job_told_as_two_and_two_told_as_one_change_no_share(
    charter: Charter, postings: list[Transfer], data: st.DataObject
) -> None:
    expected = statement(charter, postings).record()
    split = [part for each in postings for part in halves(each, data.draw(st.integers(0, each.amount)))]
    assert statement(charter, split).record() == expected
    sums: dict[tuple[str, str, Unit], Transfer] = {}
    for each in postings:
        key = (each.debit, each.credit, each.unit)
        sums[key] = changed(each, each.amount + (sums[key].amount if key in sums else 0), "merged")
    assert statement(charter, list(sums.values())).record() == expected


@given(charter=charters, postings=transfers(MEMBERS), data=st.data())
def test_order_and_repetition_of_postings_change_no_share(
    charter: Charter, postings: list[Transfer], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(postings), max_size=9)) if postings else []
    shuffled = data.draw(st.permutations([*postings, *again]))
    assert statement(charter, shuffled).record() == statement(charter, postings).record()


@given(charter=charters, postings=transfers(MEMBERS), data=st.data())
def test_deliveries_left_out_never_raise_any_members_credit(
    charter: Charter, postings: list[Transfer], data: st.DataObject
) -> None:
    deliveries = [each for each in postings if each.debit == POOL]
    dropped = data.draw(st.sets(st.sampled_from(deliveries))) if deliveries else set()
    fewer = statement(charter, [each for each in postings if each not in dropped])
    for standing in statement(charter, postings).standings:
        for category in Category:
            assert fewer.of(standing.member).credit[category] <= standing.credit[category]


@given(charter=charters, postings=transfers(MEMBERS), use=st.integers(1, 10**9))
def test_a_round_trip_through_the_pool_earns_nothing(charter: Charter, postings: list[Transfer], use: int) -> None:
    """A delivery that its own member used is a delivery that was not made."""
    one = statement(charter, postings).of("ca").contribution
    gave = {"pledged_gpu_seconds": 10**10, "delivered_gpu_seconds": one.delivered_gpu_seconds + use}
    own = {"self_used_gpu_seconds": one.self_used_gpu_seconds + use, "used_gpu_seconds": one.used_gpu_seconds + use}
    fields = {name: getattr(one, name) for name in type(one).__dataclass_fields__}
    before = credit(charter, type(one)(**(fields | {"pledged_gpu_seconds": 10**10})))
    assert credit(charter, type(one)(**(fields | gave | own))) == before
