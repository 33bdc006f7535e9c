"""Attribution: every millijoule of a register is one pod's or nobody's, never two pods' and never lost."""

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.attribution import (
    KEEP_DEPARTED_MS,
    UNATTRIBUTED,
    Account,
    Board,
    Interval,
    Look,
    Share,
    Slice,
    attribute,
    booked,
    reservations,
    unit_of,
)
from tests.strategies import intervals, looks

HALF = Fraction(1, 2)
BOARD = Board(uuid="GPU-a", index=0)
CUT = Board(
    uuid="GPU-b",
    index=1,
    slices=(Slice(uuid="MIG-x", instance=1, slices=4), Slice(uuid="MIG-y", instance=2, slices=2)),
    whole_slices=7,
)


def seen(measured_mj: int, estimated_mj: int = 0, length_ms: int = 1000) -> Interval:
    return Interval(measured_mj=measured_mj, estimated_mj=estimated_mj, length_ms=length_ms, reset=False, seen=True)


def total(account: Account) -> tuple[int, int]:
    shares = [*account.pods.values(), account.departed, account.unattributed]
    return sum(share.measured_mj for share in shares), sum(share.estimated_mj for share in shares)


@given(energy_mj=st.integers(0, 10**12), idle_mj=st.integers(0, 10**12), look=st.none() | looks())
def test_the_parts_are_the_whole_to_the_millijoule(energy_mj: int, idle_mj: int, look: Look | None) -> None:
    parts = attribute(energy_mj, idle_mj, look)
    assert sum(parts.values()) == energy_mj
    assert all(part >= 0 for part in parts.values())


@given(trace=st.lists(st.tuples(intervals(), st.none() | looks(), st.none() | st.integers(0, 10**6)), max_size=12))
def test_an_account_closes_after_any_trace(trace: list[tuple[Interval, Look | None, int | None]]) -> None:
    account = Account()
    for number, (interval, look, power_mw) in enumerate(trace):
        account = booked(account, interval, look, power_mw=power_mw, at_ms=number * 500_000)
        assert total(account) == (account.metered.measured_mj, account.metered.estimated_mj)
    assert account.metered.measured_mj == sum(interval.measured_mj for interval, _, _ in trace)
    assert account.metered.estimated_mj == sum(interval.estimated_mj for interval, _, _ in trace)


@given(energy_mj=st.integers(0, 10**9), look=looks())
def test_a_pod_that_neither_held_nor_computed_answers_for_nothing(energy_mj: int, look: Look) -> None:
    parts = attribute(energy_mj, energy_mj // 3, look)
    assert parts.keys() <= look.reserved.keys() | (look.busy or {}).keys() | {UNATTRIBUTED}


@given(share=st.fractions(0, 1), idle_mj=st.integers(0, 10**9))
def test_a_pod_that_reserves_more_answers_for_no_less_idle_energy(share: Fraction, idle_mj: int) -> None:
    less = attribute(idle_mj, idle_mj, Look(reserved={"ns/a": share / 2}))
    more = attribute(idle_mj, idle_mj, Look(reserved={"ns/a": share}))
    assert more["ns/a"] >= less["ns/a"]


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (None, {UNATTRIBUTED: 300}),
        (Look(reserved={}), {UNATTRIBUTED: 300}),
        (Look(reserved={"ns/a": Fraction(1)}), {"ns/a": 300}),
        (Look(reserved={"ns/a": HALF, "ns/b": HALF}, busy={"ns/a": 75, "ns/b": 25}), {"ns/a": 200, "ns/b": 100}),
        (Look(reserved={"ns/a": HALF, "ns/b": HALF}, busy={"ns/a": 40}), {"ns/a": 250, "ns/b": 50}),
        (Look(reserved={"ns/a": HALF}, busy={"ns/a": 40}), {"ns/a": 250, UNATTRIBUTED: 50}),
        (Look(reserved={"ns/a": HALF}, busy={UNATTRIBUTED: 40}), {"ns/a": 50, UNATTRIBUTED: 250}),
        (Look(reserved={"ns/a": HALF}, busy={}), {"ns/a": 150, UNATTRIBUTED: 150}),
        (Look(reserved={"ns/a": HALF}), {"ns/a": 250, UNATTRIBUTED: 50}),
        (
            Look(reserved={"ns/a": Fraction(1, 4), "ns/b": Fraction(1, 4)}, running=frozenset({"ns/b"})),
            {"ns/a": 25, "ns/b": 225, UNATTRIBUTED: 50},
        ),
        (Look(reserved={"ns/a": Fraction(1, 4)}, running=frozenset()), {"ns/a": 75, UNATTRIBUTED: 225}),
    ],
)
def test_idle_goes_by_reservation_and_active_by_use(look: Look | None, expected: Mapping[str, int]) -> None:
    parts = {owner: energy for owner, energy in attribute(300, 100, look).items() if energy}
    assert parts == expected


def test_energy_below_zero_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="energy_mj: -1996500000 is below 0; a register that fell opens a new epoch"):
        attribute(-1_996_500_000, 0, None)


@pytest.mark.parametrize(
    ("device_id", "board", "instance", "share"),
    [
        ("GPU-a", "GPU-a", None, Fraction(1)),
        ("GPU-a::3", "GPU-a", None, Fraction(1)),
        ("nvidia0", "GPU-a", None, Fraction(1)),
        ("nvidia0/vgpu7", "GPU-a", None, Fraction(1)),
        ("MIG-x", "GPU-b", 1, Fraction(4, 7)),
        ("MIG-y::0", "GPU-b", 2, Fraction(2, 7)),
        ("MIG-GPU-b/2/0", "GPU-b", 2, Fraction(2, 7)),
        ("nvidia1/gi1", "GPU-b", 1, Fraction(4, 7)),
        ("nvidia1/gi2/vgpu0", "GPU-b", 2, Fraction(2, 7)),
    ],
)
def test_every_shape_of_device_id_names_its_board(
    device_id: str, board: str, instance: int | None, share: Fraction
) -> None:
    unit = unit_of(device_id, (BOARD, CUT))
    assert unit is not None
    assert (unit.board, unit.instance, unit.share) == (board, instance, share)


@pytest.mark.parametrize(
    "device_id", ["", "GPU-z", "MIG-z", "nvidia2", "nvidia0/gi1", "GPU-a::", "GPU-a/vgpu", "fpga0"]
)
def test_an_id_that_no_board_answers_to_is_said_and_holds_nothing(device_id: str) -> None:
    held = reservations({"ns/a": [device_id]}, [], (BOARD, CUT))
    assert held.unknown == (device_id,)
    assert not any(held.of.values())


def test_replicas_share_their_device_whether_or_not_they_are_given_out() -> None:
    offered = [f"GPU-a::{number}" for number in range(4)]
    held = reservations({"ns/a": ["GPU-a::0", "GPU-a::1"], "ns/b": ["GPU-a::3"]}, offered, (BOARD,))
    assert held.of == {"GPU-a": {"ns/a": HALF, "ns/b": Fraction(1, 4)}}


def test_a_replica_of_a_slice_is_a_part_of_the_slices_part() -> None:
    held = reservations({"ns/a": ["MIG-x::0"]}, ["MIG-x::0", "MIG-x::1", "MIG-y"], (CUT,))
    assert held.of == {"GPU-b": {"ns/a": Fraction(2, 7)}}


def test_a_board_given_out_by_two_plugins_is_still_one_board() -> None:
    held = reservations({"ns/a": ["GPU-b"], "ns/b": ["MIG-x"], "ns/c": ["MIG-y"]}, [], (CUT,))
    assert sum(held.of["GPU-b"].values()) == 1
    assert held.of["GPU-b"]["ns/a"] == Fraction(7, 13)


ids = st.sampled_from(
    ["GPU-a", "GPU-a::0", "GPU-a::1", "GPU-b", "MIG-x", "MIG-x::0", "MIG-y", "nvidia1/gi2", "nvidia0/vgpu1", "MIG-z"]
)


@given(held=st.dictionaries(st.sampled_from(["ns/a", "ns/b", "ns/c"]), st.lists(ids)), allocatable=st.lists(ids))
def test_no_board_is_reserved_beyond_itself(held: dict[str, list[str]], allocatable: list[str]) -> None:
    for shares in reservations(held, allocatable, (BOARD, CUT)).of.values():
        assert 0 <= sum(shares.values()) <= 1
        assert all(share > 0 for share in shares.values())


def test_the_handbooks_reset_books_what_was_measured_and_estimates_the_one_interval() -> None:
    """700 W, 15 s between samples, a reload after 10 s: others book from -1,996,500 J to 0 of 10,500 J."""
    lost = Interval(measured_mj=3_500_000, estimated_mj=7_000_000, length_ms=15_000, reset=True, seen=True)
    account = booked(Account(), lost, Look(reserved={"ns/a": Fraction(1)}), power_mw=700_000, at_ms=15_000)
    assert account.pods == {"ns/a": Share(measured_mj=3_500_000, estimated_mj=7_000_000, seen_ms=15_000)}


def test_energy_that_passed_while_nobody_looked_is_nobodys() -> None:
    away = Interval(measured_mj=700, estimated_mj=0, length_ms=60_000, reset=False, seen=False)
    account = booked(Account(), away, Look(reserved={"ns/a": Fraction(1)}), power_mw=1, at_ms=0)
    assert account.pods == {}
    assert account.unattributed.measured_mj == 700


def test_idle_power_is_learned_only_where_nothing_runs() -> None:
    alone = {"ns/a": HALF}
    account = booked(Account(), seen(90), Look(reserved=alone), power_mw=50, at_ms=0)
    assert account.idle_mw is None
    account = booked(account, seen(90), Look(reserved=alone, running=frozenset({"ns/a"})), power_mw=60, at_ms=0)
    assert account.idle_mw is None
    for power_mw in (90, 80, 85, None, 0):
        account = booked(account, seen(90), Look(reserved=alone, running=frozenset()), power_mw=power_mw, at_ms=0)
    assert account.idle_mw == 80


def test_a_pod_that_left_keeps_its_series_for_a_while_and_its_joules_for_ever() -> None:
    account = booked(Account(), seen(100), Look(reserved={"ns/a": Fraction(1)}), power_mw=None, at_ms=0)
    account = booked(account, seen(50), Look(reserved={}), power_mw=None, at_ms=KEEP_DEPARTED_MS)
    assert account.pods["ns/a"].measured_mj == 100
    account = booked(account, seen(50), Look(reserved={}), power_mw=None, at_ms=KEEP_DEPARTED_MS + 1)
    assert (account.pods, account.departed.measured_mj) == ({}, 100)
