"""Whether a run kept its service class. Pure; judged from the moment a request was due, not from when it was sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import yaml

BASIS_POINTS = 10_000
LEAST_OFFERED_BP = 9_900  # fewer, and the run did not put the load on that it claims
MOST_GENERATOR_CPU_BP = 8_000  # above, latencies may be the generator's own


@dataclass(frozen=True, kw_only=True)
class ServiceClass:
    """What is promised: shares in basis points of all arrivals, latency in milliseconds."""

    availability_bp: int
    latency_p95_ms: int
    error_share_bp: int


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One request that was due: `answered` is False on 5xx or no answer, `right` says it was the answer asked for."""

    latency_ms: float
    answered: bool
    right: bool


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole run; `intended` arrivals were due, those missing from `arrivals` were never sent."""

    intended: int
    arrivals: Sequence[Arrival]
    generator_cpu_share: float


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the verdict, in `unit`."""

    name: str
    got: int
    want: str
    unit: str
    passed: bool


def judge(run: Run, promised: ServiceClass) -> tuple[Check, ...]:
    """Compare a run with its class. Arrivals never sent count as unavailable and as errors."""
    answered = sum(arrival.answered for arrival in run.arrivals)
    right = sum(arrival.right for arrival in run.arrivals)
    offered_bp = _floor_bp(len(run.arrivals), run.intended)
    available_bp = _floor_bp(answered, run.intended)
    error_bp = BASIS_POINTS - _floor_bp(right, run.intended)
    p95_ms = percentile_ms([arrival.latency_ms for arrival in run.arrivals], 95)
    cpu_bp = int(run.generator_cpu_share * BASIS_POINTS)
    return (
        _at_least("offered", offered_bp, LEAST_OFFERED_BP, "bp"),
        _at_least("availability", available_bp, promised.availability_bp, "bp"),
        _at_most("error_share", error_bp, promised.error_share_bp, "bp"),
        _at_most("latency_p95", p95_ms, promised.latency_p95_ms, "ms"),
        _at_most("generator_cpu", cpu_bp, MOST_GENERATOR_CPU_BP, "bp"),
    )


def measurement(run: Run, pilot: str, start: datetime, end: datetime) -> dict[str, object]:
    """The run as one line of a dashboard's file of measurements.

    Arrivals without an answer stand for the time without one, in proportion: Poisson arrivals see time averages
    (Wolff 1982). A run without arrivals has no latency, so that it is left out.
    """
    unanswered = run.intended - sum(arrival.answered for arrival in run.arrivals)
    window_ms = int((end - start).total_seconds() * 1000)
    latencies_ms = [arrival.latency_ms for arrival in run.arrivals]
    return {
        "pilotApp": pilot,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "source": "loadtests/trade",
        "requests": run.intended,
        "failedRequests": run.intended - sum(arrival.right for arrival in run.arrivals),
        "unavailableMs": -(-window_ms * unanswered // run.intended) if run.intended else None,
        "latencyP95Ms": percentile_ms(latencies_ms, 95) if latencies_ms else None,
    }


def percentile_ms(latencies_ms: Sequence[float], percent: int) -> int:
    """Nearest-rank percentile, rounded up to whole milliseconds; 2**31 without any sample, which no bound allows."""
    if not latencies_ms:
        return 2**31
    rank = -(-len(latencies_ms) * percent // 100)
    return -int(-sorted(latencies_ms)[rank - 1] // 1)


def read_service_class(text: str, name: str | None) -> ServiceClass:
    """A service class from YAML or JSON: the class itself, or the class `name` of a Consortium.

    Raises:
        ValueError: it is not there; the message says what is.

    """
    for document in yaml.safe_load_all(text):
        if isinstance(document, Mapping) and document.get("kind") == "Consortium":
            return _named(document["spec"]["serviceClasses"], name)
        if isinstance(document, Mapping) and "kind" not in document:
            return _class(document)
    raise ValueError("neither a service class nor a Consortium; give one of the two")


def read_pilot(text: str) -> tuple[str, str]:
    """A PilotApp's name, and the service class that it names.

    Raises:
        ValueError: the text holds no PilotApp.

    """
    for document in yaml.safe_load_all(text):
        if isinstance(document, Mapping) and document.get("kind") == "PilotApp":
            return str(document["metadata"]["name"]), str(document["spec"]["serviceClass"])
    raise ValueError("no PilotApp; give the manifest of one")


def _named(classes: Sequence[Mapping[str, object]], name: str | None) -> ServiceClass:
    for each in classes:
        if each["name"] == name:
            return _class(each)
    raise ValueError(
        f"no service class {name!r}; the Consortium has {', '.join(str(each['name']) for each in classes)}"
    )


def _class(fields: Mapping[str, object]) -> ServiceClass:
    return ServiceClass(
        availability_bp=_whole(fields, "availability_bp", "availabilityBp"),
        latency_p95_ms=_whole(fields, "latency_p95_ms", "latencyP95Ms"),
        error_share_bp=_whole(fields, "error_share_bp", "errorShareBp"),
    )


def _whole(fields: Mapping[str, object], *names: str) -> int:
    value = next((fields[name] for name in names if name in fields), None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{names[0]}: {value!r} is not a whole number from 0 up")
    return value


def _floor_bp(part: int, whole: int) -> int:
    return int(Fraction(part * BASIS_POINTS, whole)) if whole else 0


def _at_least(name: str, got: int, bound: int, unit: str) -> Check:
    return Check(name=name, got=got, want=f">= {bound}", unit=unit, passed=got >= bound)


def _at_most(name: str, got: int, bound: int, unit: str) -> Check:
    return Check(name=name, got=got, want=f"<= {bound}", unit=unit, passed=got <= bound)
