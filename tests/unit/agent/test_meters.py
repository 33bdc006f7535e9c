"""Readings form one chain a meter: signed once, in order, without a gap."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from commonweal.metering import FIRST, Limits, Measurement, payload_sha256, verify
from operators.agent.meters import Head, MeterError, config_map, extend, stored_heads
from operators.agent.meters import _outermost_first as outermost_first
from operators.agent.meters import _texts as texts
from tests import strategies

IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMITS = Limits(period_s=60, max_power_mw=700_000, min_power_mw=1, allow_simulated=True)


def measurement(sequence: int, meter: str = "GPU-1") -> Measurement:
    return strategies.measurement(sequence, meter=meter, start=START + timedelta(minutes=sequence))


def test_the_first_reading_starts_a_chain_and_the_next_names_it() -> None:
    first, second = extend({}, [measurement(2), measurement(1)], "ke")
    assert first.previous_sha256 == FIRST
    assert second.previous_sha256 == payload_sha256(first.payload())


def test_what_was_signed_is_not_signed_again() -> None:
    (first,) = extend({}, [measurement(1)], "ke")
    heads = {"GPU-1": Head(reading=first, sent=True)}
    assert [reading.sequence for reading in extend(heads, [measurement(1), measurement(2)], "ke")] == [2]


def test_a_gap_is_not_signed() -> None:
    with pytest.raises(MeterError, match="exporter continues at 3, the chain at 1"):
        list(extend({}, [measurement(3)], "ke"))


def test_the_hub_accepts_what_the_agent_sends() -> None:
    previous = None
    for reading in extend({}, [measurement(1), measurement(2)], "ke"):
        body = config_map(reading, IDENTITY)
        assert body["metadata"]["name"] == f"reading-gpu-1-{reading.sequence}"
        verdict = verify(
            body["data"]["reading.json"].encode(),
            base64.b64decode(body["data"]["reading.json.sig"]),
            IDENTITY.public_key(),
            member="ke",
            previous=previous,
            limits=LIMITS,
            received_at=START + timedelta(hours=1),
        )
        assert verdict.findings == ()
        previous = reading


@given(sequences=st.lists(st.integers(1, 6), max_size=12), split=st.integers(0, 12))
def test_a_restart_at_any_point_continues_the_same_chain(sequences: list[int], split: int) -> None:
    wanted = sorted(set(sequences))
    if wanted != list(range(1, len(wanted) + 1)):
        return
    whole = list(extend({}, map(measurement, wanted), "ke"))
    head = whole[:split][-1:]
    kept = stored_heads(texts({reading.meter: Head(reading=reading, sent=False) for reading in head}))
    assert whole[:split] + list(extend(kept, map(measurement, wanted), "ke")) == whole


def test_a_meter_around_others_reports_before_them() -> None:
    meters = {"GPU-1": 1, "NODE-1": 1, "FACILITY-1": 1, "GPU-2": 1}
    assert [meter for meter, _ in sorted(meters.items(), key=outermost_first)] == [
        "FACILITY-1",
        "NODE-1",
        "GPU-1",
        "GPU-2",
    ]
