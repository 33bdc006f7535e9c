"""A promise is kept or broken by a measurement alone; without one it is unknown."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dashboards.figures import Standing, View
from dashboards.probes import Measured, Measurement
from dashboards.views import service_levels
from dashboards.views.service_levels import BROKEN, KEPT, UNDECIDED
from tests.unit.dashboards import objects
from tests.unit.dashboards.objects import NOON
from tests.unit.dashboards.snapshots import snapshot

HOUR_MS = 3_600_000


def measurement(
    requests: int | None = 10_000,
    failed: int | None = 1,
    p95_ms: int | None = 212,
    unavailable_ms: int | None = 0,
) -> Measurement:
    return Measurement(
        pilot_app="trade",
        start=NOON - timedelta(hours=1),
        end=NOON,
        source="loadtests/trade",
        requests=requests,
        failed_requests=failed,
        latency_p95_ms=p95_ms,
        unavailable_ms=unavailable_ms,
    )


def view(*measurements: Measurement) -> View:
    return service_levels.view(snapshot(), Measured(measurements=measurements))


def verdicts(shown: View) -> list[object]:
    figure = shown.figure("promises")
    assert figure is not None
    return [row["verdict"] for row in figure.rows]


def test_without_measurements_every_promise_is_unknown() -> None:
    shown = view()
    assert shown.standing is Standing.UNKNOWN
    assert shown.answer == "Unknown: none of the 3 promises has been measured yet."
    assert verdicts(shown) == [UNDECIDED] * 3


def test_kept_promises_are_said_to_be_kept() -> None:
    shown = view(measurement())
    assert shown.standing is Standing.GOOD
    assert verdicts(shown) == [KEPT] * 3


def test_a_broken_promise_names_target_and_measurement() -> None:
    shown = view(measurement(p95_ms=812))
    assert shown.standing is Standing.BAD
    assert shown.answer == ("No: latency, 95th percentile of trade was 812 ms where the class allows at most 500 ms.")


def test_one_unmeasured_promise_keeps_the_answer_unknown() -> None:
    shown = view(measurement(unavailable_ms=None))
    assert shown.standing is Standing.UNKNOWN
    assert shown.answer == "Unknown: availability of trade has not been measured; the others are kept."


def test_no_requests_are_no_measurement_of_failures() -> None:
    assert verdicts(view(measurement(requests=0, failed=0)))[2] == UNDECIDED


def test_the_last_measurement_counts() -> None:
    earlier = measurement(p95_ms=900).model_copy(update={"end": NOON - timedelta(minutes=1)})
    assert verdicts(view(measurement(), earlier)) == [KEPT] * 3


def test_a_pilot_whose_class_is_unknown_has_no_promises() -> None:
    pilot = objects.pilot()
    pilot["spec"]["serviceClass"] = "gold"
    shown = service_levels.view(snapshot(pilotapps=[pilot]), Measured())
    assert shown.standing is Standing.UNKNOWN
    assert shown.answer == "Unknown: no pilot names a service class of the charter."


def test_unreadable_lines_are_shown() -> None:
    shown = service_levels.view(snapshot(), Measured(problems=("p.jsonl, line 2: line: Invalid JSON",)))
    assert shown.figure("unreadable-measurements") is not None


@given(unavailable_ms=st.integers(0, HOUR_MS))
def test_availability_is_kept_exactly_up_to_its_allowance(unavailable_ms: int) -> None:
    allowed_ms = HOUR_MS // 1000  # 99.90 % of an hour leaves 3,600 ms
    expected = KEPT if unavailable_ms <= allowed_ms else BROKEN
    assert verdicts(view(measurement(unavailable_ms=unavailable_ms)))[0] == expected


@given(failed=st.integers(0, 1_000_000))
def test_a_broken_share_never_reads_as_its_target(failed: int) -> None:
    figure = view(measurement(requests=1_000_000, failed=failed)).figure("promises")
    assert figure is not None
    row = figure.rows[2]
    if row["verdict"] == BROKEN:
        assert float(str(row["measured"]).split("\u00a0")[0]) > 0.10
