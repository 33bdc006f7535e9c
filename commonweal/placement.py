"""Which member runs an app, and why the others do not.

The hub's operator calls `place` with what every member can hold and what runs there, and writes the result into
Assignments; `transition` says how far it may shrink a member before the replicas elsewhere serve. Pure: the answer
depends on the arguments alone and not on their order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from commonweal.kinds.member import Engine, Scheduling
from commonweal.kinds.meta import Resources
from commonweal.kinds.pilot_app import PilotApp


class Reason(StrEnum):
    """Why a member runs, or does not run, replicas of an app. One word a platform engineer can search for."""

    CHOSEN = "Chosen"
    NOT_NEEDED = "NotNeeded"
    NOT_ACCEPTED = "NotAccepted"
    MEMBER_NOT_ALLOWED = "MemberNotAllowed"
    COUNTRY_NOT_ALLOWED = "CountryNotAllowed"
    ENGINE_MISSING = "EngineMissing"
    DRAINING = "Draining"
    DRAIN_WAITS = "DrainWaits"
    CORDONED = "Cordoned"
    UNREACHABLE = "Unreachable"
    SITE_UNKNOWN = "SiteUnknown"
    NO_ROOM = "NoRoom"


@dataclass(frozen=True, kw_only=True)
class App:
    """What an app asks for. Empty sets allow everything; `per_replica` is what one replica holds."""

    name: str
    replicas: int
    per_replica: Resources
    min_members: int = 1
    members: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    engines: frozenset[Engine] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Host:
    """A member as placement sees it; `used` is what every other app holds there, this app left out.

    `allocatable` is None until the member has reported its site: it then keeps what it has and takes nothing.
    """

    name: str
    country: str
    engine: Engine | None
    accepted: bool
    reachable: bool
    scheduling: Scheduling
    allocatable: Resources | None
    used: Resources


@dataclass(frozen=True, kw_only=True)
class Why:
    """One sentence about one member."""

    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Replicas by member (never 0), how many found no place, and a reason for every member.

    `outgoing` are the members that lose replicas but may keep them until others serve (see `transition`).
    """

    app: str
    replicas: Mapping[str, int]
    unplaced: int
    why: Mapping[str, Why]
    outgoing: frozenset[str]

    @property
    def message(self) -> str:
        """One sentence for the app's condition."""
        placed = ", ".join(f"{count} at {name}" for name, count in sorted(self.replicas.items())) or "nothing"
        if not self.unplaced:
            return f"Placed {placed}"
        reasons = "; ".join(f"{name}: {why.message}" for name, why in sorted(self.why.items()))
        return (
            f"{self.unplaced} replicas of {self.app} find no member ({reasons or 'no member exists'}); placed {placed}"
        )


@dataclass(frozen=True, kw_only=True)
class _Seat:
    """A host with what follows from its state: the most replicas it can hold, and whether it takes new ones."""

    host: Host
    room: int
    takes: bool
    drains: bool
    refusal: Why | None


def app_of(pilot: PilotApp) -> App:
    """What a PilotApp asks for."""
    rules = pilot.spec.placement
    return App(
        name=pilot.metadata.name,
        replicas=pilot.spec.replicas,
        per_replica=pilot.spec.resources,
        min_members=rules.min_members,
        members=frozenset(rules.members),
        countries=frozenset(rules.countries),
        engines=frozenset(rules.engines),
    )


def place(app: App, hosts: Sequence[Host], current: Mapping[str, int], weights: Mapping[str, int]) -> Placement:
    """Decide where the replicas of one app run.

    Whatever runs and may stay, stays. New replicas go to the member with the lowest dominant resource share per
    weight (Kueue's formula, weight = equity share in basis points; weight 0 comes last), at first to members that run
    none until `min_members` do. A cordoned or unreachable member keeps what it has and takes nothing; a draining one
    gives up what fits elsewhere. A tie goes to the name that sorts first.
    """
    seats = {host.name: _seat(app, host) for host in sorted(hosts, key=lambda host: host.name)}
    running = {name: count for name, count in current.items() if name in seats and count > 0}
    board = _Board(app, seats, weights)
    for name, seat in seats.items():
        if seat.refusal is None and not seat.drains:
            board.put(name, min(running.get(name, 0), seat.room))
    board.shrink()
    board.grow()
    board.spread()
    placed = dict(board.replicas)
    left = app.replicas - sum(placed.values())
    for name, seat in seats.items():
        if seat.drains and seat.refusal is None and left > 0:
            stay = min(running.get(name, 0), seat.room, left)
            left -= stay
            placed[name] = stay
    placed = {name: count for name, count in sorted(placed.items()) if count}
    return Placement(
        app=app.name,
        replicas=placed,
        unplaced=left,
        why={name: _why(app, seat, running.get(name, 0), placed.get(name, 0)) for name, seat in seats.items()},
        outgoing=frozenset(
            name for name, count in running.items() if seats[name].refusal is None and placed.get(name, 0) < count
        ),
    )


def transition(placement: Placement, running: Mapping[str, int], ready: Mapping[str, int]) -> dict[str, int]:
    """The replicas each member should be assigned now, on the way from `running` to the placement.

    Growth happens at once. A member that gives replicas up keeps as many as do not serve elsewhere yet, so that a
    drain never interrupts an app; a member that may not run the app at all loses it at once.
    """
    serving = sum(min(ready.get(name, 0), count) for name, count in placement.replicas.items())
    missing = sum(placement.replicas.values()) - serving
    assigned = dict(placement.replicas)
    for name in sorted(placement.outgoing):
        keep = min(running.get(name, 0) - placement.replicas.get(name, 0), missing)
        if keep > 0:
            missing -= keep
            assigned[name] = placement.replicas.get(name, 0) + keep
    return assigned


class _Board:
    """The replicas placed so far; private to `place`, which is a function of its arguments."""

    def __init__(self, app: App, seats: Mapping[str, _Seat], weights: Mapping[str, int]) -> None:
        self.app = app
        self.seats = seats
        self.weights = weights
        self.pool = _sum(seat.host.allocatable for seat in seats.values() if seat.host.allocatable)
        self.replicas: dict[str, int] = {}

    def put(self, name: str, change: int) -> None:
        count = self.replicas.pop(name, 0) + change
        if count:
            self.replicas[name] = count

    def share(self, name: str, more: int) -> tuple[bool, Fraction, str]:
        """Kueue's weighted dominant resource share with `more` replicas, as a sort key."""
        host = self.seats[name].host
        count = self.replicas.get(name, 0) + more
        dominant = max(
            (
                Fraction(used + asked * count, pool)
                for used, asked, pool in zip(
                    _amounts(host.used), _amounts(self.app.per_replica), _amounts(self.pool), strict=True
                )
                if pool
            ),
            default=Fraction(0),
        )
        weight = self.weights.get(name, 0)
        return (weight == 0, dominant / weight if weight else dominant, name)

    def _takers(self, *, empty: bool) -> list[str]:
        return [
            name
            for name, seat in self.seats.items()
            if seat.takes and self.replicas.get(name, 0) < seat.room and not (empty and self.replicas.get(name, 0))
        ]

    def _wanted_spread(self) -> int:
        return min(self.app.min_members, self.app.replicas)

    def shrink(self) -> None:
        while sum(self.replicas.values()) > self.app.replicas:
            needed = len(self.replicas) <= self._wanted_spread()
            givers = [name for name, count in self.replicas.items() if count > 1 or not needed]
            self.put(max(givers, key=lambda name: self.share(name, 0)), -1)

    def grow(self) -> None:
        while sum(self.replicas.values()) < self.app.replicas:
            takers = self._takers(empty=len(self.replicas) < self._wanted_spread()) or self._takers(empty=False)
            if not takers:
                return
            self.put(min(takers, key=lambda name: self.share(name, 1)), 1)

    def spread(self) -> None:
        """Move single replicas from members that run several until enough members run one."""
        while len(self.replicas) < self._wanted_spread():
            takers = self._takers(empty=True)
            givers = [name for name, count in self.replicas.items() if count > 1]
            if not takers or not givers:
                return
            self.put(max(givers, key=lambda name: self.share(name, 0)), -1)
            self.put(min(takers, key=lambda name: self.share(name, 1)), 1)


class _Line(NamedTuple):
    """One resource at one host: what is free of what it has, and what one replica asks, in `unit`."""

    label: str
    unit: str
    free: int
    allocatable: int
    asked: int


_LABELS = (("cpu", "m"), ("memory", "MiB"), ("GPUs", ""))


def _amounts(resources: Resources) -> tuple[int, int, int]:
    return (resources.cpu_millis, resources.memory_mib, resources.gpus)


def _sum(parts: Iterable[Resources]) -> Resources:
    amounts = [_amounts(part) for part in parts]
    cpu_millis, memory_mib, gpus = (sum(column) for column in zip(*amounts, strict=True)) if amounts else (0, 0, 0)
    return Resources(cpu_millis=cpu_millis, memory_mib=memory_mib, gpus=gpus)


def _lines(host: Host, app: App) -> list[_Line]:
    """The resources that the app asks for; none can be told of a site that is not known."""
    if host.allocatable is None:
        return []
    columns = zip(_LABELS, _amounts(host.allocatable), _amounts(host.used), _amounts(app.per_replica), strict=True)
    return [
        _Line(label, unit, max(0, allocatable - used), allocatable, asked)
        for (label, unit), allocatable, used, asked in columns
        if asked
    ]


def _seat(app: App, host: Host) -> _Seat:
    room = min((line.free // line.asked for line in _lines(host, app)), default=app.replicas)
    refused = refusal(app, host.name, host.country, host.engine, accepted=host.accepted)
    drains = host.scheduling is Scheduling.DRAINING
    open_ = host.reachable and host.allocatable is not None and host.scheduling is Scheduling.ACTIVE
    takes = refused is None and open_
    return _Seat(host=host, room=room, takes=takes, drains=drains, refusal=refused)


def refusal(app: App, name: str, country: str, engine: Engine | None, *, accepted: bool) -> Why | None:
    """Why the app may not run at this member at all, whatever runs there now."""
    if not accepted:
        return Why(reason=Reason.NOT_ACCEPTED, message="not accepted by the hub")
    if app.members and name not in app.members:
        allowed = ", ".join(sorted(app.members))
        return Why(reason=Reason.MEMBER_NOT_ALLOWED, message=f"not among the allowed members {allowed}")
    if app.countries and country not in app.countries:
        allowed = ", ".join(sorted(app.countries))
        return Why(reason=Reason.COUNTRY_NOT_ALLOWED, message=f"country {country} is not among {allowed}")
    if app.engines and engine not in app.engines:
        allowed = " or ".join(sorted(app.engines))
        return Why(reason=Reason.ENGINE_MISSING, message=f"engine {engine or 'unknown'}, the app needs {allowed}")
    return None


def _why(app: App, seat: _Seat, before: int, after: int) -> Why:
    if seat.refusal is not None:
        return seat.refusal
    if seat.drains and after:
        return Why(reason=Reason.DRAIN_WAITS, message=f"draining, {after} of {before} wait for room elsewhere")
    if seat.drains:
        return Why(reason=Reason.DRAINING, message=f"draining, gives up {before}")
    for closed, reason, state in (
        (seat.host.scheduling is Scheduling.CORDONED, Reason.CORDONED, "cordoned"),
        (not seat.host.reachable, Reason.UNREACHABLE, "unreachable"),
        (seat.host.allocatable is None, Reason.SITE_UNKNOWN, "has not reported its site"),
    ):
        if closed:
            return Why(reason=reason, message=f"{state}, keeps {after} and takes no new")
    return _why_open(app, seat, after)


def _why_open(app: App, seat: _Seat, after: int) -> Why:
    if after:
        return Why(reason=Reason.CHOSEN, message=f"runs {after} of {app.replicas}, has room for {seat.room}")
    for line in _lines(seat.host, app):
        if line.free < line.asked:
            unit = line.unit
            free = f"{line.label}: {line.free}{unit} free of {line.allocatable}{unit}"
            return Why(reason=Reason.NO_ROOM, message=f"{free}, a replica needs {line.asked}{unit}")
    return Why(reason=Reason.NOT_NEEDED, message=f"has room for {seat.room}, others have a lower share")
