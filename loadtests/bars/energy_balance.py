"""Pods and the unattributed rest are the register's own count, 0 mJ off, over 10,000 random traces of shared GPUs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from commonweal.attribution import UNATTRIBUTED, Account, Board, Look, Slice, reservations
from infra.nvml_exporter.accounts import book_all
from infra.nvml_exporter.driver import Device, Poll
from infra.nvml_exporter.pods import View
from infra.nvml_exporter.register import Meter, Rule
from infra.nvml_exporter.sampler import advance_all
from loadtests.bars import Measurement

NEEDS_DEMO = False
TRACES = 10_000
RULE = Rule(period_ms=60_000, max_gap_ms=10_000)
PODS = ("lab/a", "lab/b", "lab/c")
SLICED = "GPU-sliced"
CUT = Board(
    uuid="GPU-cut",
    index=1,
    slices=tuple(Slice(uuid=f"MIG-{number}", instance=number, slices=size) for number, size in ((1, 4), (2, 2))),
    whole_slices=7,
)
BOARDS = (Board(uuid=SLICED, index=0), CUT)
OFFERED = (*(f"{SLICED}::{number}" for number in range(4)), "MIG-1", "nvidia1/gi2/vgpu0", "nvidia1/gi2/vgpu1")


@dataclass
class Machine:
    """A node with a time-sliced board and one cut by MIG; `seen` are the samples that its exporter still remembers."""

    random: Random
    at_ms: int = 0
    registers: dict[str, int] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    seen: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {board.uuid: [] for board in BOARDS})
    events: Counter[str] = field(default_factory=Counter)

    def step(self) -> None:
        """Let time pass, let something go wrong, and sample as the exporter does."""
        self.at_ms += self.random.choice((100, 999, 1000, 1001, 9_999, 10_000, 10_001, 61_000))
        if self.random.random() < 0.05 and self.at_ms > 20_000:
            self.at_ms -= 15_000
            self.events["clock steps back"] += 1
        poll = Poll(at_ms=self.at_ms, devices=tuple(self._sampled(board) for board in BOARDS))
        view = View(looks=dict(self._looks()))
        self.accounts = book_all(self.accounts, self.meters, poll, view, RULE)
        self.meters, _ = advance_all(self.meters, poll, RULE)
        for uuid, meter in self.meters.items():
            sample = (meter.last.at_ms, meter.last.register_mj)
            if self.seen[uuid][-1:] != [sample]:  # a sample whose clock stepped back is not taken
                self.seen[uuid].append(sample)
                self.events["samples"] += 1

    def _sampled(self, board: Board) -> Device:
        drawn_mj = self.random.choice((0, 1, 7, 299_999, 700_001, 10**9))
        register_mj = self.registers.get(board.uuid, self.random.randrange(10**12)) + drawn_mj
        if self.random.random() < 0.1:
            register_mj = drawn_mj
            self.events["resets"] += 1
        self.registers[board.uuid] = register_mj
        if self.random.random() < 0.1:
            self.events["lost devices"] += 1
            return Device(index=board.index, at_ms=self.at_ms, failures={"device": "gpu-is-lost"})
        power_mw = self.random.choice((None, 60_000, 300_000))
        return Device(
            index=board.index,
            at_ms=self.at_ms,
            uuid=board.uuid,
            register_mj=register_mj,
            power_mw=power_mw,
            board=board,
        )

    def _looks(self) -> Iterator[tuple[str, Look]]:
        """Who holds what and computes changes at every look; sometimes the kubelet or the driver does not tell."""
        if self.random.random() < 0.1:
            self.events["silent kubelets"] += 1
            return
        ids = [each for each in OFFERED if self.random.random() < 0.7]
        held: dict[str, list[str]] = {pod: [] for pod in PODS}
        for device_id in ids:
            held[self.random.choice(PODS)].append(device_id)
        owners = (*PODS, UNATTRIBUTED)
        busy = {owner: self.random.randrange(101) for owner in owners if self.random.random() < 0.5}
        running = frozenset(busy) if self.random.random() < 0.8 else None
        for uuid, reserved in reservations(held, OFFERED, BOARDS).of.items():
            self.events["slices" if uuid == CUT.uuid else "time slices"] += bool(reserved)
            yield uuid, Look(reserved=reserved, busy=None if uuid == CUT.uuid else busy, running=running)


def measure() -> list[Measurement]:
    """Run every trace, with a crash back to a saved state in each, and compare with the samples alone."""
    events: Counter[str] = Counter()
    error_mj = negative = 0
    for number in range(TRACES):
        machine = traced(Random(number))
        events += machine.events
        for uuid, samples in machine.seen.items():
            error_mj += error_of(machine.accounts.get(uuid, Account()), counted_mj(samples))
            negative += sum(share < 0 for share in parts(machine.accounts.get(uuid, Account())).values())
    note = f"{TRACES} traces; " + ", ".join(f"{count} {event}" for event, count in sorted(events.items()))
    return [
        Measurement(name="energy-balance", value=error_mj, unit="mJ", bound=0, note=note),
        Measurement(name="energy-balance-negative", value=negative, unit="shares", bound=0),
    ]


def traced(random: Random) -> Machine:
    """One trace: some steps, a checkpoint, steps that a crash forgets, and more steps."""
    machine = Machine(random)
    for _ in range(random.randrange(1, 7)):
        machine.step()
    saved = machine.meters, machine.accounts, {uuid: list(samples) for uuid, samples in machine.seen.items()}
    for _ in range(random.randrange(3)):
        machine.step()
    machine.meters, machine.accounts, machine.seen = saved
    machine.events["crashes"] += 1
    for _ in range(random.randrange(1, 5)):
        machine.step()
    return machine


def counted_mj(samples: list[tuple[int, int]]) -> int:
    """What a register counted over its samples: each rise, and after a fall all that it shows."""
    values = [register_mj for _, register_mj in samples]
    return sum(now - before if now >= before else now for before, now in pairwise(values))


def parts(account: Account) -> Mapping[str, int]:
    """Every part of an account in millijoules, measured and estimated."""
    shares = {**account.pods, "departed": account.departed, "unattributed": account.unattributed}
    return {
        **{f"{owner} measured": share.measured_mj for owner, share in shares.items()},
        **{f"{owner} estimated": share.estimated_mj for owner, share in shares.items()},
    }


def error_of(account: Account, expected_mj: int) -> int:
    """How far the account's parts are from what was counted, and from its own totals."""
    by_part = parts(account)
    measured = sum(value for part, value in by_part.items() if part.endswith(" measured"))
    estimated = sum(value for part, value in by_part.items() if part.endswith(" estimated"))
    return (
        abs(measured - expected_mj)
        + abs(account.metered.measured_mj - expected_mj)
        + abs(estimated - account.metered.estimated_mj)
    )
