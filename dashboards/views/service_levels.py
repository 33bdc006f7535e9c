"""Service levels: whether each pilot keeps the promises of its class, by the last measurement there is."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from commonweal.apportion import WHOLE_BP, nearest
from commonweal.kinds.consortium import ServiceClass
from commonweal.kinds.pilot_app import PilotApp
from dashboards.figures import (
    PERCENT_SIGN,
    Chart,
    Column,
    Figure,
    Position,
    Row,
    Standing,
    View,
    count,
    instant,
    percent,
)
from dashboards.hub import Snapshot
from dashboards.probes import Measured, Measurement
from dashboards.views.readiness import listing, now_of, readiness, word

QUESTION = "Do the pilots keep their promises?"
KEPT, BROKEN, UNDECIDED = "✓ kept", "✗ broken", "? unknown"
NOT_LOGGED = "measurements are not in the transparency log"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One promise to one pilot's users: how much of what it allows was used up.

    `spent` and `allowed` are in the same unit: milliseconds, or a share of the whole.
    """

    pilot: str
    what: str
    target: str
    measured: str | None
    allowed: Fraction
    spent: Fraction | None
    measurement: Measurement | None

    @property
    def verdict(self) -> str:
        """Whether it is kept; a promise that nobody measured is neither kept nor broken."""
        if self.spent is None:
            return UNDECIDED
        return KEPT if self.spent <= self.allowed else BROKEN

    @property
    def used_bp(self) -> int | None:
        """Basis points of the allowance that are used up; None where nothing was measured or nothing is allowed."""
        if self.spent is None or self.allowed == 0:
            return None
        return nearest(self.spent / self.allowed * WHOLE_BP)


def view(snapshot: Snapshot, measured: Measured) -> View:
    """Answer from the classes of the charter and the last measurement of each pilot."""
    promises = [
        promise
        for pilot in snapshot.pilots
        for promise in promises_of(pilot, _class_of(pilot, snapshot), measured.latest(pilot.metadata.name))
    ]
    return View(
        question=QUESTION,
        standing=_standing(promises),
        answer=_answer(promises, snapshot),
        figures=(_promises(promises), _now(snapshot), *_problems(measured, snapshot)),
    )


def promises_of(
    pilot: PilotApp, service_class: ServiceClass | None, measurement: Measurement | None
) -> tuple[Promise, ...]:
    """Return the promises of a pilot's class with what was measured of each; none where the class is not known.

    Shares are rounded against the pilot, so that a broken promise never reads as one that was just kept.
    """
    if service_class is None:
        return ()
    name = pilot.metadata.name
    unavailable, errors, p95_ms = _seen(measurement)
    return (
        Promise(
            pilot=name,
            what="Availability",
            target=f"at least {percent(service_class.availability_bp)}{PERCENT_SIGN}",
            measured=None if unavailable is None else _percent(floor((1 - unavailable) * WHOLE_BP)),
            allowed=Fraction(WHOLE_BP - service_class.availability_bp, WHOLE_BP),
            spent=unavailable,
            measurement=measurement,
        ),
        Promise(
            pilot=name,
            what="Latency, 95th percentile",
            target=f"at most {service_class.latency_p95_ms:,} ms",
            measured=None if p95_ms is None else f"{p95_ms:,} ms",
            allowed=Fraction(service_class.latency_p95_ms),
            spent=None if p95_ms is None else Fraction(p95_ms),
            measurement=measurement,
        ),
        Promise(
            pilot=name,
            what="Failed requests",
            target=f"at most {percent(service_class.error_share_bp)}{PERCENT_SIGN}",
            measured=None if errors is None else _percent(ceil(errors * WHOLE_BP)),
            allowed=Fraction(service_class.error_share_bp, WHOLE_BP),
            spent=errors,
            measurement=measurement,
        ),
    )


def _seen(one: Measurement | None) -> tuple[Fraction | None, Fraction | None, int | None]:
    """Return unavailable share, failed share and 95th percentile, each None where it was not measured."""
    if one is None:
        return None, None, None
    unavailable = None if one.unavailable_ms is None else Fraction(one.unavailable_ms, one.window_ms)
    errors = Fraction(one.failed_requests, one.requests) if one.requests and one.failed_requests is not None else None
    return unavailable, errors, one.latency_p95_ms


def _percent(hundredths: int) -> str:
    return f"{Decimal(hundredths) / (WHOLE_BP // 100):.2f}{PERCENT_SIGN}"


def _class_of(pilot: PilotApp, snapshot: Snapshot) -> ServiceClass | None:
    charter = snapshot.charter
    classes = charter.spec.service_classes if charter else ()
    return next((one for one in classes if one.name == pilot.spec.service_class), None)


def _standing(promises: list[Promise]) -> Standing:
    verdicts = {promise.verdict for promise in promises}
    if BROKEN in verdicts:
        return Standing.BAD
    return Standing.GOOD if verdicts == {KEPT} else Standing.UNKNOWN


def _answer(promises: list[Promise], snapshot: Snapshot) -> str:
    if not snapshot.pilots:
        return "Unknown: no pilot is applied yet."
    if not promises:
        return "Unknown: no pilot names a service class of the charter."
    if broken := [promise for promise in promises if promise.verdict == BROKEN]:
        said = listing(
            f"{promise.what.lower()} of {promise.pilot} was {promise.measured} where the class allows {promise.target}"
            for promise in broken
        )
        return f"No: {said}."
    unknown = [promise for promise in promises if promise.verdict == UNDECIDED]
    if len(unknown) == len(promises):
        return f"Unknown: none of the {len(promises)} promises has been measured yet."
    if unknown:
        names = listing(f"{promise.what.lower()} of {promise.pilot}" for promise in unknown)
        return f"Unknown: {names} {'has' if len(unknown) == 1 else 'have'} not been measured; the others are kept."
    return f"Yes: all {len(promises)} promises were kept when they were last measured."


def _promises(promises: list[Promise]) -> Figure:
    rows: list[Row] = [
        {
            "pilot": promise.pilot,
            "promise": promise.what,
            "target": promise.target,
            "measured": promise.measured,
            "allowance_used_bp": promise.used_bp,
            "verdict": promise.verdict,
            "measured_from": promise.measurement.start if promise.measurement else None,
            "measured_to": promise.measurement.end if promise.measurement else None,
            "source": promise.measurement.source if promise.measurement else None,
        }
        for promise in promises
    ]
    ends = [promise.measurement.end for promise in promises if promise.measurement]
    return Figure(
        key="promises",
        title="How much of each allowance is used up",
        sentence="What the service class allows, and how much of it the last measurement used. "
        "Unit: per cent of the allowance; above 100 the promise is broken.",
        columns=(
            Column(key="pilot", heading="Pilot"),
            Column(key="promise", heading="Promise"),
            Column(key="target", heading="Target"),
            Column(key="measured", heading="Measured", numeric=True),
            Column(key="allowance_used_bp", heading="Allowance used (%)", show=percent, numeric=True),
            Column(key="verdict", heading="Verdict"),
            Column(key="measured_from", heading="Measured from", show=instant, shown=False),
            Column(key="measured_to", heading="Measured to", show=instant),
            Column(key="source", heading="Measured by"),
        ),
        rows=tuple(rows),
        position=Position(as_of=max(ends, default=None), no_log=NOT_LOGGED),
        chart=Chart.ALLOWANCE,
        empty="There is no promise to show: no pilot names a service class of the charter.",
    )


def _now(snapshot: Snapshot) -> Figure:
    rows: list[Row] = [
        {
            "pilot": pilot.metadata.name,
            "service_class": pilot.spec.service_class,
            "ready": word(state.status),
            "ready_replicas": pilot.status.ready_replicas if pilot.status else None,
            "wanted_replicas": pilot.spec.replicas,
            "message": state.message,
        }
        for pilot in snapshot.pilots
        for state in [readiness(pilot)]
    ]
    return Figure(
        key="serving-now",
        title="Serving now",
        sentence="What the hub says of each pilot at this moment; it says nothing about how well it served before. "
        "Unit: replicas.",
        columns=(
            Column(key="pilot", heading="Pilot"),
            Column(key="service_class", heading="Service class"),
            Column(key="ready", heading="Ready"),
            Column(key="ready_replicas", heading="Running", show=count, numeric=True),
            Column(key="wanted_replicas", heading="Wanted", show=count, numeric=True),
            Column(key="message", heading="In its own words"),
        ),
        rows=tuple(rows),
        position=now_of(snapshot),
        empty="No pilot is applied yet.",
    )


def _problems(measured: Measured, snapshot: Snapshot) -> tuple[Figure, ...]:
    if not measured.problems:
        return ()
    figure = Figure(
        key="unreadable-measurements",
        title="Measurements that could not be read",
        sentence="Lines of the file of measurements that do not follow its format; they count as not measured.",
        columns=(Column(key="problem", heading="Problem"),),
        rows=tuple({"problem": problem} for problem in measured.problems),
        position=Position(as_of=snapshot.taken_at, no_log=NOT_LOGGED),
    )
    return (figure,)
