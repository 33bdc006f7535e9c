"""Which pod answers for which millijoule of a GPU.

Idle energy goes to who holds the reservation, used or not (SCI, ISO/IEC 21031: "hardware reserved or provisioned"),
active energy to who was seen computing, and what nobody held or was seen to use stays unattributed. One rule is above
these: the pods and the unattributed rest are, to the millijoule, what the register counted.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from commonweal.apportion import largest_remainder

UNATTRIBUTED = ""  # no pod has this name; every pod is `namespace/name`
KEEP_DEPARTED_MS = 900_000  # a pod's series outlives the pod by some scrapes, then it would be one more for ever

# The kubelet repeats what a device plugin named: NVIDIA's plugin by UUID, with ::N for a time-sliced replica; drivers
# before R470 name MIG slices by board and instance; GKE's plugin names boards by index, with /vgpuN for a replica.
# NVIDIA's driver for dynamic resource allocation names a board by its minor number, and a slice by where it begins.
_DEVICE_ID = re.compile(
    r"(?:(?P<gpu>GPU-[0-9A-Za-z-]+)"
    r"|MIG-(?P<board>GPU-[0-9A-Za-z-]+)/(?P<board_instance>[0-9]+)/[0-9]+"
    r"|(?P<mig>MIG-[0-9A-Za-z-]+)"
    r"|nvidia(?P<index>[0-9]+)(?:/gi(?P<instance>[0-9]+))?"
    r"|gpu-(?P<minor>[0-9]+)(?:-mig-[0-9]+-(?P<start>[0-9]+)-[0-9]+)?)"
    r"(?:::[0-9]+|/vgpu[0-9]+)?"
)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A MIG slice of a board, how many of the board's slices it takes, and the place at which it begins, if told."""

    uuid: str
    instance: int
    slices: int
    start: int | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    """What a device id can name: a board by UUID, index or minor number, or one of its slices of `whole_slices`."""

    uuid: str
    index: int
    minor: int | None = None
    slices: tuple[Slice, ...] = ()
    whole_slices: int = 1


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What a device id means: a board, or a slice of it, and how much of the board that is."""

    board: str
    instance: int | None
    share: Fraction


def unit_of(device_id: str, boards: Iterable[Board]) -> Unit | None:
    """Return what a kubelet's device id names, without its replica; None where no board answers to it."""
    match = _DEVICE_ID.fullmatch(device_id)
    if match is None:
        return None
    instance = match["board_instance"] or match["instance"]
    for board in boards:
        for part in board.slices:
            by_number = instance == str(part.instance) or match["start"] == str(part.start)
            if match["mig"] == part.uuid or (by_number and _is_board(match, board)):
                share = Fraction(part.slices, board.whole_slices)
                return Unit(board=board.uuid, instance=part.instance, share=share)
        if instance is None and match["start"] is None and _is_board(match, board):
            return Unit(board=board.uuid, instance=None, share=Fraction(1))
    return None


def _is_board(match: re.Match[str], board: Board) -> bool:
    by_uuid = board.uuid in {match["gpu"], match["board"]}
    return by_uuid or match["index"] == str(board.index) or match["minor"] == str(board.minor)


@dataclass(frozen=True, kw_only=True)
class Reservations:
    """Each board's share held by each pod, at most 1 in all; `unknown` are device ids that no board answers to.

    `parts` says of each board how each of its MIG slices (by instance) is divided among the pods that hold it.
    """

    of: Mapping[str, Mapping[str, Fraction]]
    unknown: tuple[str, ...]
    parts: Mapping[str, Mapping[int, Mapping[str, Fraction]]] = field(default_factory=dict)


def reservations(
    held: Mapping[str, Iterable[str]], allocatable: Iterable[str], boards: Iterable[Board]
) -> Reservations:
    """Return who holds how much of each board, from the kubelet's device ids by pod and all that it could give out.

    A device with several ids is time-sliced: each id is an equal part of it. Ids that are held count even where they
    are no longer allocatable, because an unhealthy device is not offered, but still drawn from.
    """
    boards = tuple(boards)
    ids = {device_id for device_ids in held.values() for device_id in device_ids}
    units = {device_id: unit_of(device_id, boards) for device_id in ids | set(allocatable)}
    copies = Counter(unit for unit in units.values() if unit is not None)
    of: dict[str, dict[str, Fraction]] = {board.uuid: {} for board in boards}
    parts: dict[str, dict[int, dict[str, Fraction]]] = {board.uuid: {} for board in boards}
    for pod, device_ids in held.items():
        for unit in (units[device_id] for device_id in sorted(set(device_ids))):
            if unit is not None:
                shares = of[unit.board]
                shares[pod] = shares.get(pod, Fraction(0)) + unit.share / copies[unit]
                if unit.instance is not None:
                    part = parts[unit.board].setdefault(unit.instance, {})
                    part[pod] = part.get(pod, Fraction(0)) + Fraction(1, copies[unit])
    return Reservations(
        of={board: _at_most_whole(shares) for board, shares in of.items()},
        unknown=tuple(sorted(device_id for device_id in ids if units[device_id] is None)),
        parts={
            board: {instance: _at_most_whole(shares) for instance, shares in slices.items()}
            for board, slices in parts.items()
        },
    )


def busy_by_slice(
    board: Board, busy_ppm: Mapping[int | None, int], parts: Mapping[int, Mapping[str, Fraction]]
) -> dict[str, Fraction] | None:
    """Weigh owners by the busy multiprocessors of the slices that they hold; None unless every slice was told.

    A slice's multiprocessors are in proportion to its part of the board. What is busy in a slice, or a part of one,
    that nobody holds is nobody's.
    """
    if not board.slices or any(part.instance not in busy_ppm for part in board.slices):
        return None
    weights: dict[str, Fraction] = {}
    for part in board.slices:
        busy = Fraction(busy_ppm[part.instance] * part.slices, board.whole_slices)
        holders = parts.get(part.instance, {})
        rest = 1 - sum(holders.values(), Fraction(0))
        for owner, share in {**holders, UNATTRIBUTED: rest}.items():
            weights[owner] = weights.get(owner, Fraction(0)) + busy * share
    return {owner: weight for owner, weight in weights.items() if weight}


def _at_most_whole(shares: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Two plugins may give out one board twice; then each holder's part is in proportion."""
    whole = max(Fraction(1), sum(shares.values(), Fraction(0)))
    return {pod: share / whole for pod, share in shares.items()}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of a board at the end of an interval.

    `busy` weighs owners by the multiprocessor time of their processes or slices, and names nobody where none was busy;
    None where the driver does not tell (MIG before Hopper, old drivers). `running` are the owners with any process;
    None where that is not known. A process of no pod is owned by `UNATTRIBUTED`.
    """

    reserved: Mapping[str, Fraction]
    busy: Mapping[str, int | Fraction] | None = None
    running: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What a register counted between two samples, in millijoules; `seen` unless the gap was too long to say by whom.

    `estimated_mj` is not in `measured_mj`: it was lost to a reset, and no more than the one interval is estimated.
    """

    measured_mj: int
    estimated_mj: int
    length_ms: int
    reset: bool
    seen: bool


def attribute(energy_mj: int, idle_mj: int, look: Look | None) -> dict[str, int]:
    """Split energy in millijoules over pods and `UNATTRIBUTED`; the parts sum to it exactly.

    `idle_mj` of it, at most all, was drawn whether or not anyone computed. Without a look nothing is attributed.

    Raises:
        ValueError: energy below 0; a register that fell opens a new epoch instead.
    """
    if energy_mj < 0 or idle_mj < 0:
        raise ValueError(f"energy_mj: {min(energy_mj, idle_mj)} is below 0; a register that fell opens a new epoch")
    if look is None:
        return {UNATTRIBUTED: energy_mj}
    idle_mj = min(idle_mj, energy_mj)
    holders = {**look.reserved, UNATTRIBUTED: 1 - sum(look.reserved.values(), Fraction(0))}
    quotas: dict[str, Fraction] = {}
    for amount_mj, weights in ((idle_mj, holders), (energy_mj - idle_mj, _workers(look) or holders)):
        whole = sum(weights.values(), Fraction(0))
        for owner, weight in weights.items():
            quotas[owner] = quotas.get(owner, Fraction(0)) + amount_mj * weight / whole
    return largest_remainder(energy_mj, quotas)


def _workers(look: Look) -> dict[str, Fraction]:
    """Whom active energy goes to; empty where nobody was seen to compute, and then it is like idle energy."""
    if look.busy is not None:
        return {owner: Fraction(weight) for owner, weight in look.busy.items() if weight > 0}
    return {
        pod: share for pod, share in look.reserved.items() if share and (look.running is None or pod in look.running)
    }


@dataclass(frozen=True, kw_only=True)
class Share:
    """Millijoules of one owner on one board, measured and estimated, and when it last held or used it (UTC ms)."""

    measured_mj: int = 0
    estimated_mj: int = 0
    seen_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Account:
    """One board's energy by owner since the account was opened.

    Always: the pods' shares, `departed` and `unattributed` sum to `metered`, measured and estimated alike. `departed`
    holds what belongs to pods that left long ago. `idle_mw` is the lowest power seen while no process ran; None until
    that was seen, and until then all energy counts as active.
    """

    metered: Share = field(default_factory=Share)
    pods: Mapping[str, Share] = field(default_factory=dict)
    departed: Share = field(default_factory=Share)
    unattributed: Share = field(default_factory=Share)
    idle_mw: int | None = None


def booked(account: Account, interval: Interval, look: Look | None, *, power_mw: int | None, at_ms: int) -> Account:
    """Take one interval into an account; energy that passed while nobody looked is nobody's."""
    look = look if interval.seen else None
    account = replace(account, idle_mw=_idle_mw(account.idle_mw, look, power_mw))
    idle_mj = (account.idle_mw or 0) * interval.length_ms // 1000
    measured = attribute(interval.measured_mj, idle_mj, look)
    estimated = attribute(interval.estimated_mj, max(0, idle_mj - interval.measured_mj), look)
    pods = dict(account.pods)
    for owner in (measured.keys() | estimated.keys()) - {UNATTRIBUTED}:
        pods[owner] = _plus(pods.get(owner, Share()), measured.get(owner, 0), estimated.get(owner, 0), seen_ms=at_ms)
    gone = {pod: share for pod, share in pods.items() if at_ms - share.seen_ms > KEEP_DEPARTED_MS}
    departed = account.departed
    for share in gone.values():
        departed = _plus(departed, share.measured_mj, share.estimated_mj)
    return replace(
        account,
        metered=_plus(account.metered, interval.measured_mj, interval.estimated_mj),
        pods={pod: share for pod, share in pods.items() if pod not in gone},
        departed=departed,
        unattributed=_plus(account.unattributed, measured.get(UNATTRIBUTED, 0), estimated.get(UNATTRIBUTED, 0)),
    )


def _plus(share: Share, measured_mj: int, estimated_mj: int, *, seen_ms: int = 0) -> Share:
    return Share(
        measured_mj=share.measured_mj + measured_mj,
        estimated_mj=share.estimated_mj + estimated_mj,
        seen_ms=max(share.seen_ms, seen_ms),
    )


def _idle_mw(known_mw: int | None, look: Look | None, power_mw: int | None) -> int | None:
    """Learn the board's idle power where it is sure that nothing runs; the mean of a last second only errs upwards."""
    if look is None or look.running is None or look.running or look.busy or not power_mw:
        return known_mw
    return power_mw if known_mw is None else min(known_mw, power_mw)
