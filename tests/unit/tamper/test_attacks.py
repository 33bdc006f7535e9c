"""Twenty ways to be credited for joules that were not drawn: each is detected, and none is paid more than honesty.

The first twelve are the energy handbook's, the last eight our own. Each goes through what the hub does with a reading:
the pledges, the books, the verifier, the postings, and where it decides, the equity formula.
"""

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from commonweal.equity import Category, Charter, Contribution, credit, creditable_mj
from commonweal.kinds.pooled_cluster import Meter
from commonweal.ledger import Unit, transfers_of
from commonweal.metering import Flag, Reading, Reason, Scope, adopt, signed_bytes
from operators.frame import Key
from operators.hub.books import Books
from operators.hub.readings import WAITS, Claim, Observed, history, judge
from tests.strategies import measurement

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GPU = "GPU-cheat-1"
CHEAT = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
ENERGIES_MJ = (18_000_101, 17_990_203, 18_010_307)  # about 300 W over a minute, with a sensor's noise
HONEST = {Unit.GPU_SECONDS: 180, Unit.ENERGY_MJ: sum(ENERGIES_MJ)}


@dataclass
class Hub:
    """The hub's books and pledges; `found` are the reasons of everything that it refused."""

    books: Books
    claims: list[Claim] = field(default_factory=list)
    found: set[Reason] = field(default_factory=set)

    def pledge(self, meter: str = GPU, *, member: str = "ca", pledge: str = "site", **fields: object) -> None:
        entry = Meter.model_validate({"uuid": meter, **fields})
        self.claims.append(Claim(member=member, pledge=pledge, meter=entry))

    def send(self, *readings: Reading, key: Ed25519PrivateKey = CHEAT, at: datetime | None = None) -> None:
        for one in readings:
            self.send_bytes(one.payload(), key=key, at=at, meter=one.meter, sequence=one.sequence)

    def send_bytes(
        self,
        payload: bytes,
        *,
        key: Ed25519PrivateKey = CHEAT,
        at: datetime | None = None,
        meter: str = GPU,
        sequence: int = 1,
    ) -> None:
        observed = Observed(
            key=Key("member-ca", "reading"),
            source=meter,
            payload=payload,
            signature=key.sign(signed_bytes(payload)),
            member="ca",
            identity_key=base64.b64encode(CHEAT.public_key().public_bytes_raw()).decode(),
            previous=self.books.last_reading(meter),
            refused=self.books.last_refused(meter),
            recorded=self.books.holds(meter, sequence, payload),
            claims=tuple(claim for claim in self.claims if claim.meter.uuid.casefold() == meter.casefold()),
            history=history(self.books, self.claims, payload),
            period_s=60,
        )
        if observed.recorded:
            return
        verdict = judge(observed, at or NOON + timedelta(hours=1))
        self.found |= set(verdict.reasons)
        if verdict.accepted and verdict.reading is not None:
            self.books.accept(verdict.reading, observed.signature)
        elif verdict.in_chain and verdict.reasons not in WAITS:
            self.books.refuse("ca", meter, "refused", payload, in_chain=verdict.reading)

    def credited(self) -> Counter[Unit]:
        paid: Counter[Unit] = Counter()
        for reading in self.books.unsettled():
            for transfer in transfers_of(reading):
                paid[transfer.unit] += transfer.amount
        return paid


def chain(*changes: Mapping[str, object], meter: str = GPU, first: int = 1, start: datetime = NOON) -> list[Reading]:
    """Three honest readings in a row, each with the changes that an attack makes to it."""
    made: list[Reading] = []
    for number, energy_mj in enumerate(ENERGIES_MJ):
        own: Mapping[str, object] = changes[number] if number < len(changes) else {}
        honest = measurement(
            first + number, meter=meter, start=start + timedelta(minutes=number), energy_mj=energy_mj
        ).model_copy(update={"simulated": False, **own})
        made.append(adopt(honest, member="ca", previous=made[-1] if made else None))
    return made


def stub_nvml(hub: Hub) -> Reason:
    """A library of thirty lines reports twice the joules; the node's own meter does not."""
    hub.pledge(within="NODE-ca-1")
    hub.pledge("NODE-ca-1", scope="node")
    lies = chain(*[{"energy_mj": 2 * energy_mj} for energy_mj in ENERGIES_MJ])
    hub.send(*lies)
    assert Reason.UNBOUNDED in hub.found
    hub.send(*chain(*[{"scope": Scope.NODE}] * 3, meter="NODE-ca-1"))
    hub.send(*lies)
    return Reason.NESTING


def replay(hub: Hub) -> Reason:
    """Yesterday's good reading again, first as it was, then under a new date."""
    hub.pledge()
    readings = chain()
    hub.send(*readings, *readings)
    hub.send(readings[2].model_copy(update={"period_start": NOON + timedelta(minutes=9)}))
    return Reason.REPLAY


def gap(hub: Hub) -> Reason:
    """The hour that went badly is left out."""
    hub.pledge()
    first, _, third = chain()
    hub.send(first, third)
    return Reason.GAP


def duplicate_uuid(hub: Hub) -> Reason:
    """One device at two sites."""
    hub.pledge()
    hub.pledge(member="kr")
    hub.send(*chain())
    return Reason.DUPLICATE


def epoch_spoof(hub: Hub) -> Reason:
    """A reset that never was, so that the register's whole value counts anew."""
    hub.pledge()
    hub.send(*chain({}, {"epoch": 2, "energy_mj": 10**9, "flags": (Flag.RESET,)}))
    hub.send(*chain({}, {"epoch": 2})[1:])
    return Reason.ABOVE_LIMIT


def clock_shift(hub: Hub) -> Reason:
    """The same minute is sold twice by setting the clock back."""
    hub.pledge()
    again = {"period_start": NOON, "period_end": NOON + timedelta(minutes=1)}
    hub.send(*chain({}, again))
    return Reason.CLOCK_SHIFT


def unit_swap(hub: Hub) -> Reason:
    """Microjoules are sent as millijoules, a thousand times as many, and kilowatt-hours, which look modest."""
    hub.pledge()
    hub.send(*chain({"energy_mj": ENERGIES_MJ[0] * 1000}))
    hub.send(*chain({"energy_mj": 5}))
    assert Reason.ABOVE_LIMIT in hub.found
    return Reason.UNIT


def green_double_claim(hub: Hub) -> Reason:
    """One meter in two pledges of one member, so that its carbon-free joules count for both."""
    hub.pledge()
    hub.pledge(pledge="second")
    hub.send(*chain())
    return Reason.DUPLICATE


def scope_of_a_module(hub: Hub) -> Reason:
    """A register that counts processor and memory too is passed off as a GPU's."""
    hub.pledge()
    hub.send(*chain(*[{"scope": Scope.MODULE, "energy_mj": 2 * each} for each in ENERGIES_MJ]))
    return Reason.SCOPE


def copied_slices(hub: Hub) -> Reason:
    """Every slice of a board reports the board's register."""
    hub.pledge()
    hub.send(*chain())
    for number in range(7):
        hub.pledge(f"MIG-cheat-{number}")
        hub.send(*chain(meter=f"MIG-cheat-{number}"))
    return Reason.COPIED


def foreign_signature(hub: Hub) -> Reason:
    """Somebody else's key signs for the member."""
    hub.pledge()
    hub.send(*chain(), key=OTHER)
    return Reason.FOREIGN_KEY


def written_anew(hub: Hub) -> Reason:
    """The number is written as a float, which rounds differently wherever it is read."""
    hub.pledge()
    (first, *_) = chain()
    hub.send_bytes(first.payload().replace(b'"energy_mj":18000101', b'"energy_mj":1.8000101e7'))
    hub.send_bytes(first.payload().replace(b",", b", "))
    assert Reason.MALFORMED in hub.found
    return Reason.NOT_CANONICAL


def eight_in_one(hub: Hub) -> Reason:
    """One board says that it is eight."""
    hub.pledge()
    hub.send(*chain(*[{"gpu_count": 8, "device_seconds": 480}] * 3))
    return Reason.COVERAGE


def two_spellings(hub: Hub) -> Reason:
    """One UUID is pledged in small and in capital letters."""
    hub.pledge()
    hub.pledge(GPU.replace("cheat", "CHEAT"))
    hub.send(*chain())
    hub.send(*chain(meter=GPU.replace("cheat", "CHEAT")))
    return Reason.DUPLICATE


def two_histories(hub: Hub) -> Reason:
    """Two readings of one sequence are signed, and the better one is sent second."""
    hub.pledge()
    hub.send(*chain())
    hub.send(*chain({}, {"energy_mj": 60_000_000})[1:])
    return Reason.REPLAY


def generous_estimate(hub: Hub) -> Reason:
    """What was never measured is estimated by the member."""
    hub.pledge()
    hub.send(*chain({"estimated_mj": 10**9, "epoch": 1, "flags": (Flag.RESET,)}))
    return Reason.ABOVE_LIMIT


def backdated(hub: Hub) -> Reason:
    """A year of readings is made up in an afternoon."""
    hub.pledge()
    hub.send(*chain(start=NOON - timedelta(days=365)))
    return Reason.TOO_LATE


def constant_series(hub: Hub) -> Reason:
    """A made-up device draws the same to the millijoule, period after period."""
    hub.pledge()
    hub.send(*chain(*[{"energy_mj": 18_000_000}] * 3))
    return Reason.FLAT


ATTACKS: tuple[Callable[[Hub], Reason], ...] = (
    stub_nvml,
    replay,
    gap,
    duplicate_uuid,
    epoch_spoof,
    clock_shift,
    unit_swap,
    green_double_claim,
    scope_of_a_module,
    copied_slices,
    foreign_signature,
    written_anew,
    eight_in_one,
    two_spellings,
    two_histories,
    generous_estimate,
    backdated,
    constant_series,
)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(Books.open(tmp_path))


def test_honesty_is_credited_to_the_millijoule(hub: Hub) -> None:
    hub.pledge()
    hub.send(*chain())
    assert hub.found == set()
    assert hub.credited() == HONEST


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_is_detected_and_pays_no_more_than_honesty(hub: Hub, attack: Callable[[Hub], Reason]) -> None:
    expected = attack(hub)
    assert expected in hub.found
    paid = hub.credited()
    assert all(paid[unit] <= honest for unit, honest in HONEST.items()), paid


def test_one_refused_period_costs_that_period_and_no_other(hub: Hub) -> None:
    hub.pledge()
    hub.send(*chain({}, {"energy_mj": 10**9}))
    assert hub.found == {Reason.ABOVE_LIMIT}
    assert hub.credited() == {Unit.GPU_SECONDS: 120, Unit.ENERGY_MJ: ENERGIES_MJ[0] + ENERGIES_MJ[2]}


def test_no_hour_is_sold_again_behind_a_refused_reading(hub: Hub) -> None:
    """A refused reading of the past must not set the meter back to before what was credited."""
    hub.pledge()
    past = {"period_start": NOON - timedelta(minutes=9), "period_end": NOON - timedelta(minutes=8)}
    again = {"period_start": NOON, "period_end": NOON + timedelta(minutes=1)}
    hub.send(*chain({}, past, again))
    assert hub.found == {Reason.CLOCK_SHIFT}
    assert hub.credited() == {Unit.GPU_SECONDS: 60, Unit.ENERGY_MJ: ENERGIES_MJ[0]}


@given(data=st.data())
@settings(max_examples=30)
def test_whatever_is_sent_in_whatever_order_no_period_is_paid_twice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    hub = Hub(Books.open(tmp_path_factory.mktemp("books")))
    hub.pledge()
    claims: list[Mapping[str, object]] = [
        {},
        {"energy_mj": 10**9},
        {"epoch": 2},
        {"epoch": 2, "flags": (Flag.RESET,)},
        {"period_start": NOON, "period_end": NOON + timedelta(minutes=1)},
        {"device_seconds": 61},
    ]
    change = st.sampled_from(claims)
    signed = [one for _ in range(2) for one in chain(data.draw(change), data.draw(change), data.draw(change))]
    hub.send(*data.draw(st.lists(st.sampled_from(signed), max_size=10)))
    starts = [reading.period_start for reading in hub.books.unsettled()]
    hub.books.close()
    assert len(starts) == len(set(starts))


def test_a_copied_series_under_another_uuid_is_paid_for_two_periods_at_most(hub: Hub) -> None:
    hub.pledge()
    hub.send(*chain())
    hub.pledge("GPU-cheat-2")
    hub.send(*chain(meter="GPU-cheat-2"))
    assert hub.found == {Reason.COPIED}
    assert hub.credited()[Unit.GPU_SECONDS] == 180 + 2 * 60


CHARTER = Charter(
    weights_bp={Category.COMPUTE: 5000, Category.ENERGY: 5000, Category.TALENT: 0, Category.DATA: 0},
    basic_share_bp=0,
    cap_bp=10_000,
    beyond_pledge_bp=0,
    energy_cap_mw=300_000,
    decay_half_life_periods=None,
)


def earned(energy_mj: int, *, self_used: int = 0) -> dict[Category, int]:
    """What a period with certificates for all of its energy earns."""
    row = Contribution(
        member="ca",
        pledged_gpu_seconds=180,
        delivered_gpu_seconds=180,
        used_gpu_seconds=self_used,
        self_used_gpu_seconds=self_used,
        energy_mj=energy_mj,
    )
    return dict(credit(CHARTER, replace(row, green_energy_mj=creditable_mj(CHARTER, row))))


def test_an_attack_by_idle_burn_earns_nothing_beyond_what_credited_compute_may_draw() -> None:
    assert earned(180 * 700_000) == earned(180 * 300_000)


def test_an_attack_by_self_dealing_jobs_earns_nothing_for_what_a_member_does_for_itself() -> None:
    assert earned(180 * 300_000, self_used=180) == dict.fromkeys(Category, 0)
