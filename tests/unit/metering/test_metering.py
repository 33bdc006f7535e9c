"""Readings: the honest chain is accepted, and each way of cheating is refused with its own reason."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from commonweal.ledger import Ledger, transfers_of
from commonweal.metering import (
    FIRST,
    Around,
    Flag,
    History,
    Limits,
    Measurement,
    Reading,
    Reason,
    Scope,
    Verdict,
    adopt,
    normalised_seconds,
    payload_sha256,
    signed_bytes,
    verify,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
LIMITS = Limits(period_s=3600, max_power_mw=700_000, min_power_mw=2_000, allow_simulated=True)


def measurement(sequence: int = 1, **changes: object) -> Measurement:
    start = NOON + timedelta(hours=sequence - 1)
    whole: dict[str, object] = {
        "meter": "GPU-1",
        "sequence": sequence,
        "period_start": start,
        "period_end": start + timedelta(hours=1),
        "energy_mj": 1_080_000_000,
        "estimated_mj": 0,
        "device_seconds": 3600,
        "gpu_count": 1,
        "scope": Scope.GPU,
        "epoch": 1,
        "flags": (),
        "simulated": True,
    }
    return Measurement.model_validate(whole | changes)


FIRST_READING = adopt(measurement(), member="kr", previous=None)


def judge(
    reading: Reading | bytes,
    previous: Reading | None = None,
    *,
    key: Ed25519PrivateKey = KEY,
    limits: Limits = LIMITS,
    member: str = "kr",
    received_at: datetime = NOON + timedelta(days=1),
    history: History | None = None,
) -> Verdict:
    payload = reading if isinstance(reading, bytes) else reading.payload()
    return verify(
        payload,
        key.sign(signed_bytes(payload)),
        KEY.public_key(),
        member=member,
        previous=previous,
        limits=limits,
        received_at=received_at,
        history=history,
    )


def second(**changes: object) -> Reading:
    return adopt(measurement(2, **changes), member="kr", previous=FIRST_READING)


def test_an_honest_chain_is_accepted() -> None:
    assert judge(FIRST_READING) == Verdict(reading=FIRST_READING, findings=())
    assert judge(second(), FIRST_READING).accepted


@pytest.mark.parametrize(
    ("cheat", "reason"),
    [
        (lambda: judge(second(), FIRST_READING, key=OTHER), Reason.FOREIGN_KEY),
        (lambda: judge(second(), FIRST_READING, member="ca"), Reason.FOREIGN_MEMBER),
        (lambda: judge(FIRST_READING, FIRST_READING), Reason.REPLAY),
        (lambda: judge(adopt(measurement(3), member="kr", previous=FIRST_READING), FIRST_READING), Reason.GAP),
        (lambda: judge(second(), None), Reason.GAP),
        (lambda: judge(adopt(measurement(2), member="kr", previous=None), FIRST_READING), Reason.BROKEN_CHAIN),
        (lambda: judge(adopt(measurement(), member="kr", previous=FIRST_READING)), Reason.BROKEN_CHAIN),
        (lambda: judge(second(meter="GPU-2"), FIRST_READING), Reason.FOREIGN_METER),
        (
            lambda: judge(second(period_start=NOON, period_end=NOON + timedelta(hours=1)), FIRST_READING),
            Reason.CLOCK_SHIFT,
        ),
        (lambda: judge(second(period_end=NOON + timedelta(hours=3)), FIRST_READING), Reason.WRONG_PERIOD),
        (
            lambda: judge(
                second(
                    period_start=NOON + timedelta(minutes=90),
                    period_end=NOON + timedelta(minutes=150),
                ),
                FIRST_READING,
            ),
            Reason.WRONG_PERIOD,
        ),
        (lambda: judge(second(), FIRST_READING, received_at=NOON + timedelta(minutes=90)), Reason.STILL_OPEN),
        (lambda: judge(second(energy_mj=-1_996_500_000), FIRST_READING), Reason.NEGATIVE),
        (lambda: judge(second(device_seconds=-1), FIRST_READING), Reason.NEGATIVE),
        (lambda: judge(second(gpu_count=0), FIRST_READING), Reason.NEGATIVE),
        (lambda: judge(second(device_seconds=3601), FIRST_READING), Reason.COVERAGE),
        (lambda: judge(second(energy_mj=2_646_000_001), FIRST_READING), Reason.ABOVE_LIMIT),
        (lambda: judge(second(energy_mj=1_080_000), FIRST_READING), Reason.UNIT),
        (lambda: judge(second(energy_mj=0), FIRST_READING), Reason.UNIT),
        (lambda: judge(second(epoch=2), FIRST_READING), Reason.EPOCH),
        (lambda: judge(second(scope=Scope.MODULE), FIRST_READING), Reason.SCOPE),
        (
            lambda: judge(second(), FIRST_READING, limits=Limits(period_s=3600, max_power_mw=700_000, min_power_mw=0)),
            Reason.SIMULATED,
        ),
        (lambda: judge(second().payload() + b"\n", FIRST_READING), Reason.NOT_CANONICAL),
        (lambda: judge(second().payload().replace(b'"energy_mj":1080000000', b'"energy_mj":1.08e9')), Reason.MALFORMED),
        (lambda: judge(second().payload().replace(b'"epoch":1', b'"epoch":1,"note":"x"')), Reason.MALFORMED),
        (lambda: judge(b"[]"), Reason.MALFORMED),
        (lambda: judge(b" " * 5000), Reason.MALFORMED),
    ],
)
def test_each_way_of_cheating_has_its_reason(cheat: Callable[[], Verdict], reason: Reason) -> None:
    verdict = cheat()
    assert reason in verdict.reasons
    assert not verdict.accepted


def test_the_physical_bound_is_the_limit_times_the_period_and_the_sensors_tolerance() -> None:
    assert judge(second(energy_mj=2_646_000_000), FIRST_READING).accepted


def test_an_estimate_counts_towards_the_bound_and_earns_nothing() -> None:
    assert Reason.ABOVE_LIMIT in judge(second(estimated_mj=2_000_000_000), FIRST_READING).reasons
    assert sum(transfer.amount for transfer in transfers_of(second(estimated_mj=7))) == 1_080_000_000 + 3600


REAL = {"simulated": False, "energy_mj": 1_080_000_007}
NODE = {"scope": Scope.NODE, "energy_mj": 1_000_000_000}


@pytest.mark.parametrize(
    ("changes", "history", "reasons"),
    [
        (REAL, History(), ()),
        (REAL, History(twins=("GPU-2",)), (Reason.COPIED,)),
        (REAL, History(earlier_mj=(1_080_000_007, 1_080_000_007)), (Reason.FLAT,)),
        (REAL, History(earlier_mj=(1_080_000_007, 1_080_000_006)), ()),
        (REAL, History(earlier_mj=(1_080_000_007,)), ()),
        ({}, History(twins=("GPU-2",), earlier_mj=(1_080_000_000, 1_080_000_000)), ()),
        ({}, History(around=Around(meter="NODE-1", energy_mj=1_080_000_000, others_mj=54_000_000)), ()),
        ({}, History(around=Around(meter="NODE-1", energy_mj=1_080_000_000, others_mj=54_000_001)), (Reason.NESTING,)),
        (NODE, History(inside_mj=1_050_000_000), ()),
        (NODE, History(inside_mj=1_050_000_001), (Reason.NESTING,)),
        (NODE | {"device_seconds": 1800}, History(inside_mj=1_050_000_001), ()),
    ],
)
def test_other_readings_refuse_what_one_alone_would_not(
    changes: dict[str, object], history: History, reasons: tuple[Reason, ...]
) -> None:
    first = adopt(measurement(scope=changes.get("scope", Scope.GPU)), member="kr", previous=None)
    reading = adopt(measurement(2, **changes), member="kr", previous=first)
    assert judge(reading, first, history=history).reasons == reasons


def test_a_register_of_another_scope_than_pledged_is_refused() -> None:
    limits = replace(LIMITS, scope=Scope.GPU)
    assert judge(FIRST_READING, limits=limits).accepted
    module = adopt(measurement(scope=Scope.MODULE), member="kr", previous=None)
    (finding,) = judge(module, limits=limits).findings
    assert finding.reason is Reason.SCOPE
    assert finding.message == "scope: module, but the meter is pledged as gpu; correct spec.meters"


def test_meters_around_devices_earn_nothing() -> None:
    assert transfers_of(adopt(measurement(scope=Scope.NODE), member="kr", previous=None)) == ()
    assert transfers_of(adopt(measurement(scope=Scope.FACILITY), member="kr", previous=None)) == ()
    assert len(transfers_of(adopt(measurement(scope=Scope.MODULE), member="kr", previous=None))) == 2


@given(parts=st.lists(st.integers(10_000_000, 10**9), min_size=1, max_size=6), whole_mj=st.integers(10**7, 3 * 10**9))
def test_whatever_the_order_no_more_than_the_whole_is_accepted(parts: list[int], whole_mj: int) -> None:
    accepted = 0
    for part in parts:
        around = Around(meter="NODE-1", energy_mj=whole_mj, others_mj=accepted)
        reading = adopt(measurement(energy_mj=part), member="kr", previous=None)
        accepted += part * judge(reading, history=History(around=around)).accepted
    assert accepted * 100 <= whole_mj * 105


def test_a_reset_may_open_an_epoch_when_it_says_so() -> None:
    assert judge(second(epoch=2, flags=(Flag.RESET,)), FIRST_READING).accepted


def test_hours_that_were_not_metered_are_counted_and_earn_nothing() -> None:
    late = second(period_start=NOON + timedelta(hours=4), period_end=NOON + timedelta(hours=5))
    verdict = judge(late, FIRST_READING)
    assert (verdict.accepted, verdict.missing_periods) == (True, 3)


def test_a_message_names_the_field_and_what_to_do() -> None:
    (finding,) = judge(second(energy_mj=1_080_000), FIRST_READING).findings
    assert finding.message == "energy_mj: 1080000 over 3600 s is below an idle device; send millijoules"


def test_the_bytes_that_are_signed_are_frozen() -> None:
    assert signed_bytes(FIRST_READING.payload()) == (
        b"commonweal.dev/reading/v1\n"
        b'{"device_seconds":3600,"energy_mj":1080000000,"epoch":1,"estimated_mj":0,"flags":[],"gpu_count":1,'
        b'"member":"kr","meter":"GPU-1","period_end":"2026-11-24T13:00:00Z","period_start":"2026-11-24T12:00:00Z",'
        b'"previous_sha256":"' + FIRST.encode() + b'","scope":"gpu","sequence":1,"simulated":true}'
    )
    assert second().previous_sha256 == payload_sha256(FIRST_READING.payload())


@given(st.binary(max_size=200))
def test_no_bytes_break_the_verifier(payload: bytes) -> None:
    assert not judge(payload).accepted


@given(data=st.data())
def test_dropping_repeating_or_reordering_readings_never_credits_more(data: st.DataObject) -> None:
    chain = [FIRST_READING]
    for sequence in range(2, 7):
        chain.append(adopt(measurement(sequence), member="kr", previous=chain[-1]))
    sent = data.draw(st.lists(st.sampled_from(chain), max_size=15))
    assert credited(sent) <= credited(chain) == 6 * (1_080_000_000 + 3600)


def credited(sent: list[Reading]) -> int:
    ledger, previous = Ledger(), None
    for reading in sent:
        if judge(reading, previous).accepted:
            previous = reading
            for transfer in transfers_of(reading):
                ledger.record(transfer)
    return sum(transfer.amount for transfer in ledger.pending())


def test_normalised_time_rounds_once_as_grid_accounting_does() -> None:
    assert normalised_seconds([(23_341, Fraction("21.69"))]) == 506_266
    assert normalised_seconds([(29, Fraction(2643)), (188, Fraction(2972))]) == 635_383
    assert normalised_seconds([(1, Fraction(1, 4)), (1, Fraction(1, 4))]) == 1


def test_every_reason_is_explained_where_members_look() -> None:
    explained = (Path(__file__).parents[3] / "docs" / "metering.md").read_text()
    assert [reason for reason in Reason if f"`{reason}`" not in explained] == []
