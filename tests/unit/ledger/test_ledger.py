"""Books that conserve: every unit that one account gave, another has; nothing is counted twice or changed."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.equity import contribution_of
from commonweal.ledger import (
    POOL,
    Event,
    Ledger,
    LedgerError,
    Post,
    Transfer,
    Unit,
    Void,
    delivered,
    event_of,
    transfer_of_use,
    transfers_of,
)
from commonweal.metering import Reading, adopt
from tests.strategies import NOON, histories, measurement


def transfer(amount: int = 10, evidence: str = "e", hour: int = 0) -> Transfer:
    return Transfer(
        debit=POOL,
        credit=delivered("ca"),
        unit=Unit.GPU_SECONDS,
        amount=amount,
        period_start=NOON + timedelta(hours=hour),
        evidence_sha256=evidence,
    )


@given(events=histories())
def test_every_unit_given_is_a_unit_received(events: list[Event]) -> None:
    balances = Ledger(events).balances()
    for unit in Unit:
        of_unit = [balance for (_, of), balance in balances.items() if of is unit]
        assert sum(b.debits_posted for b in of_unit) == sum(b.credits_posted for b in of_unit)
        assert sum(b.debits_pending for b in of_unit) == sum(b.credits_pending for b in of_unit)


@given(events=histories(), data=st.data())
def test_recording_again_is_recording_once(events: list[Event], data: st.DataObject) -> None:
    ledger = Ledger(events)
    before = ledger.balances()
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=9)) if events else []
    assert not any(ledger.record(event) for event in repeats)
    assert ledger.balances() == before
    assert Ledger(ledger).balances() == before


@given(events=histories(), data=st.data())
def test_the_order_of_transfers_never_changes_a_balance(events: list[Event], data: st.DataObject) -> None:
    transfers = [event for event in events if isinstance(event, Transfer)]
    resolutions = [event for event in events if not isinstance(event, Transfer)]
    shuffled = [*data.draw(st.permutations(transfers)), *data.draw(st.permutations(resolutions))]
    assert Ledger(shuffled).balances() == Ledger(events).balances()


@given(events=histories())
def test_periods_add_up_to_the_whole(events: list[Event]) -> None:
    ledger = Ledger(events)
    parts = [ledger.balances(NOON + timedelta(hours=hour)) for hour in range(3)]
    for key, balance in ledger.balances().items():
        assert balance.posted == sum(part[key].posted for part in parts if key in part)


def test_a_pending_amount_counts_only_once_it_is_posted() -> None:
    ledger = Ledger([transfer()])
    key = (delivered("ca"), Unit.GPU_SECONDS)
    assert (ledger.balances()[key].credits_pending, ledger.balances()[key].posted) == (10, 0)
    assert ledger.pending() == (transfer(),)
    ledger.record(Post(transfer().id))
    assert (ledger.balances()[key].credits_pending, ledger.balances()[key].posted) == (0, 10)
    assert ledger.pending() == ()


def test_a_void_leaves_no_amount_and_keeps_its_reason() -> None:
    ledger = Ledger([transfer(), Void(transfer().id, "meter claimed twice")])
    assert ledger.balances() == {}
    assert list(ledger)[-1] == Void(transfer().id, "meter claimed twice")


def test_a_resolved_transfer_cannot_be_resolved_otherwise() -> None:
    ledger = Ledger([transfer(), Post(transfer().id)])
    before = list(ledger)
    with pytest.raises(LedgerError, match="has a post already; correct by a new transfer"):
        ledger.record(Void(transfer().id, "late"))
    assert list(ledger) == before


def test_what_no_book_can_hold_is_refused() -> None:
    with pytest.raises(LedgerError, match="amount: 0 is not above 0"):
        transfer(amount=0)
    with pytest.raises(LedgerError, match="credit: pool is also the debit"):
        Transfer(debit=POOL, credit=POOL, unit=Unit.ENERGY_MJ, amount=1, period_start=NOON, evidence_sha256="e")
    with pytest.raises(LedgerError, match="transfer_id: nothing is unknown"):
        Ledger([Post("nothing")])


@given(events=histories())
def test_an_event_is_read_back_from_its_own_bytes_only(events: list[Event]) -> None:
    for event in events:
        assert event_of(event.record()) == event
        with pytest.raises(LedgerError, match="not its canonical bytes"):
            event_of(event.record() + b" ")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "event: cannot be read"),
        (b"[]", "event: cannot be read"),
        (b'{"event":"update"}', "event: update is not one of pending, post, void"),
        (b'{"event":"post"}', "event: cannot be read"),
        (transfer().record().replace(b'"amount":10', b'"amount":-10'), "amount: -10 is not above 0"),
        (transfer().record().replace(b'"amount":10', b'"amount":"10"'), "not its canonical bytes"),
    ],
)
def test_bytes_that_are_no_event_are_refused(record: bytes, message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        event_of(record)


def reading(sequence: int = 1) -> Reading:
    hour = timedelta(hours=1)
    measured = measurement(sequence, start=NOON, period=hour, energy_mj=1_080_000_000, estimated_mj=7)
    return adopt(measured, member="ca", previous=None)


def test_readings_and_use_become_a_members_contribution() -> None:
    mine = transfer_of_use("ca", "ca", unit=Unit.GPU_SECONDS, amount=600, period_start=NOON, evidence="job 1")
    other = transfer_of_use("ca", "kr", unit=Unit.GPU_SECONDS, amount=50, period_start=NOON, evidence="job 2")
    cores = transfer_of_use("ca", "kr", unit=Unit.CORE_SECONDS, amount=9, period_start=NOON, evidence="job 2")
    events = [*transfers_of(reading()), *transfers_of(reading()), mine, other, cores]
    ledger = Ledger([*events, *(Post(event.id) for event in events)])
    row = contribution_of("ca", pledged_gpu_seconds=3600, balances=ledger.balances(NOON))
    assert (row.delivered_gpu_seconds, row.energy_mj) == (3600, 1_080_000_000)
    assert (row.self_used_gpu_seconds, row.used_gpu_seconds, row.used_core_seconds) == (600, 650, 9)


def test_a_pending_reading_is_not_yet_a_contribution() -> None:
    row = contribution_of("ca", pledged_gpu_seconds=0, balances=Ledger(transfers_of(reading())).balances(NOON))
    assert row.delivered_gpu_seconds == 0
