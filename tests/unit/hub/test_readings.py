"""Readings at the hub: what the books and the pledges say about a reading decides it as much as its own bytes."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.kinds.pooled_cluster import Meter
from commonweal.metering import Around, Finding, History, Reading, Reason, Scope, adopt, signed_bytes
from operators.frame import Key, Store
from operators.hub.books import Books
from operators.hub.readings import (
    EARLY_RETRY_S,
    GAP_RETRY_S,
    Claim,
    Observed,
    ReadingController,
    Record,
    Refuse,
    history,
    judge,
    same_device,
)
from tests.strategies import measurement

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
ENERGY_MJ = 18_000_001
MINE = Claim(member="kr", pledge="site", meter=Meter(uuid="GPU-aaaa", within="NODE-kr-1"))
OTHER = Claim(member="kr", pledge="site", meter=Meter(uuid="GPU-bbbb", within="NODE-kr-1"))
NODE = Claim(member="kr", pledge="site", meter=Meter(uuid="NODE-kr-1", scope=Scope.NODE))


def reading(meter: str = "GPU-aaaa", sequence: int = 1, **changes: object) -> Reading:
    whole = measurement(
        sequence, meter=meter, start=NOON + timedelta(minutes=sequence), energy_mj=ENERGY_MJ
    ).model_copy(update={"simulated": False, **changes})
    return adopt(whole, member="kr", previous=None)


def observed(one: Reading, claims: Iterable[Claim], told: History | None = None) -> Observed:
    return Observed(
        key=Key("member-kr", "reading-1"),
        source=one.meter,
        payload=one.payload(),
        signature=KEY.sign(signed_bytes(one.payload())),
        member="kr",
        identity_key=base64.b64encode(KEY.public_key().public_bytes_raw()).decode(),
        previous=None,
        refused=None,
        recorded=False,
        claims=tuple(claims),
        history=told or History(),
        period_s=60,
    )


def judged(one: Reading, *claims: Claim, told: History | None = None) -> tuple[Finding, ...]:
    return judge(observed(one, claims, told), NOON + timedelta(days=1)).findings


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books.open(tmp_path)


def accepted(books: Books, *readings: Reading) -> None:
    for one in readings:
        books.accept(one, b"signature")


def test_a_meter_that_one_pledge_names_is_believed() -> None:
    assert judged(reading(), MINE) == ()


@pytest.mark.parametrize(
    ("claims", "reason", "message"),
    [
        ((), Reason.FOREIGN_METER, "meter: GPU-aaaa is not in spec.meters of any PooledCluster; pledge it"),
        (
            (Claim(member="ca", pledge="site", meter=MINE.meter),),
            Reason.FOREIGN_METER,
            "meter: GPU-aaaa is pledged by ca/site; pledge it as its UUID is written",
        ),
        (
            (MINE, Claim(member="ca", pledge="site", meter=MINE.meter)),
            Reason.DUPLICATE,
            "meter: GPU-aaaa is in spec.meters of kr/site, ca/site; leave it in one of them",
        ),
        (
            (MINE, Claim(member="kr", pledge="second", meter=MINE.meter)),
            Reason.DUPLICATE,
            "meter: GPU-aaaa is in spec.meters of kr/site, kr/second; leave it in one of them",
        ),
        (
            (Claim(member="kr", pledge="site", meter=Meter(uuid="GPU-AAAA")),),
            Reason.FOREIGN_METER,
            "meter: GPU-aaaa is pledged by kr/site; pledge it as its UUID is written",
        ),
    ],
)
def test_a_device_is_pledged_once_by_its_own_name(claims: tuple[Claim, ...], reason: Reason, message: str) -> None:
    (finding,) = judged(reading(), *claims)
    assert finding.reason is reason
    assert finding.message.startswith(message)


def test_one_uuid_in_two_spellings_is_one_device() -> None:
    assert same_device("GPU-00AF", "GPU-00af")
    assert not same_device("GPU-00af", "GPU-00ae")


def test_a_pledged_limit_bounds_the_device_and_a_looser_one_never_loosens() -> None:
    tight = Claim(member="kr", pledge="site", meter=Meter(uuid="GPU-aaaa", max_watts=285))
    loose = Claim(member="kr", pledge="site", meter=Meter(uuid="GPU-aaaa", max_watts=10**9))
    assert [finding.reason for finding in judged(reading(), tight)] == [Reason.ABOVE_LIMIT]
    too_much = reading(energy_mj=1_500_000 * 60 * 105 // 100 + 1)
    assert [finding.reason for finding in judged(too_much, loose)] == [Reason.ABOVE_LIMIT]


def test_equal_registers_are_found_in_the_third_period_and_not_before(books: Books) -> None:
    accepted(books, *(reading("GPU-bbbb", sequence, energy_mj=ENERGY_MJ + sequence) for sequence in (1, 2, 3)))
    for sequence, twins in ((1, ()), (2, ()), (3, ("GPU-bbbb",))):
        copy = reading(sequence=sequence, energy_mj=ENERGY_MJ + sequence)
        told = history(books, (MINE, OTHER), copy.payload())
        assert told.twins == twins
        assert (Reason.COPIED in {finding.reason for finding in judged(copy, MINE, told=told)}) is bool(twins)
        accepted(books, copy)


def test_a_register_that_repeats_itself_is_flat(books: Books) -> None:
    accepted(books, reading(sequence=1), reading(sequence=2))
    told = history(books, (MINE,), reading(sequence=3).payload())
    assert told.earlier_mj == (ENERGY_MJ, ENERGY_MJ)


def test_a_node_bounds_the_devices_inside_it(books: Books) -> None:
    node = reading("NODE-kr-1", scope=Scope.NODE, energy_mj=ENERGY_MJ + 5)
    accepted(books, node, reading("GPU-bbbb"))
    told = history(books, (MINE, OTHER, NODE), reading().payload())
    assert told.around == Around(meter="NODE-kr-1", energy_mj=ENERGY_MJ + 5, others_mj=ENERGY_MJ)
    assert [finding.reason for finding in judged(reading(), MINE, told=told)] == [Reason.NESTING]


def test_no_member_fills_another_members_node(books: Books) -> None:
    foreign = Claim(member="ca", pledge="site", meter=Meter(uuid="GPU-cccc", within="NODE-kr-1"))
    node = reading("NODE-kr-1", scope=Scope.NODE)
    accepted(books, reading("GPU-cccc"))
    assert history(books, (foreign, NODE), node.payload()).inside_mj == 0


def test_a_node_that_reports_after_its_devices_is_bound_by_them(books: Books) -> None:
    accepted(books, reading(), reading("GPU-bbbb"))
    node = reading("NODE-kr-1", scope=Scope.NODE)
    told = history(books, (MINE, OTHER, NODE), node.payload())
    assert told.inside_mj == 2 * ENERGY_MJ
    assert [finding.reason for finding in judged(node, NODE, told=told)] == [Reason.NESTING]


def test_a_device_waits_for_the_node_around_it_and_is_not_refused_for_that(books: Books) -> None:
    told = history(books, (MINE, NODE), reading().payload())
    assert told.awaited == "NODE-kr-1"
    controller = ReadingController(store=Store(), books=books)
    early = controller.plan(observed(reading(), [MINE], told), reading().period_end + timedelta(seconds=14))
    assert (early.writes, early.requeue_in_s) == ((), EARLY_RETRY_S)
    plan = controller.plan(observed(reading(), [MINE], told), reading().period_end + timedelta(seconds=15))
    (write,) = plan.writes
    assert isinstance(write, Refuse)
    assert not write.final
    assert plan.requeue_in_s == GAP_RETRY_S
    accepted(books, reading("NODE-kr-1", scope=Scope.NODE))
    told = history(books, (MINE, NODE), reading().payload())
    assert told.awaited is None
    plan = controller.plan(observed(reading(), [MINE], told), NOON + timedelta(hours=1))
    assert isinstance(plan.writes[0], Record)


def test_a_node_that_saw_half_a_period_bounds_nothing(books: Books) -> None:
    accepted(books, reading("NODE-kr-1", scope=Scope.NODE, energy_mj=ENERGY_MJ // 2, device_seconds=30))
    assert history(books, (MINE, NODE), reading().payload()).around is None


def test_bytes_that_are_no_reading_have_no_history(books: Books) -> None:
    assert history(books, (MINE,), b"{}") == History()
