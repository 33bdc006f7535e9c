"""Measurements are read line by line; a line that is wrong is named, and counts as not measured."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.probes import Measured, parse, read

GOOD: dict[str, Any] = {
    "pilotApp": "trade",
    "start": "2026-11-24T11:00:00Z",
    "end": "2026-11-24T12:00:00Z",
    "source": "loadtests/trade",
    "requests": 120_000,
    "failedRequests": 31,
    "latencyP95Ms": 212,
}


def line(**changed: Any) -> str:  # noqa: ANN401 - any JSON value may be wrong
    return json.dumps({**GOOD, **changed})


def test_what_is_left_out_is_not_measured() -> None:
    measurement = parse([line()], "p.jsonl").latest("trade")
    assert measurement is not None
    assert measurement.unavailable_ms is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "line 2: line: Invalid JSON"),
        (line(requests=-1), "line 2: requests: "),
        (line(colour="red"), "line 2: colour: "),
        (line(end="2026-11-24T11:00:00Z"), "end is not after start"),
        (line(start="2026-11-24T11:00:00"), "line 2: start: "),
        (line(failedRequests=120_001), "failedRequests is above requests"),
        (line(unavailableMs=3_600_001), "unavailableMs is longer than the window"),
    ],
)
def test_a_wrong_line_is_named_and_the_others_are_read(wrong: str, said: str) -> None:
    measured = parse([line(), wrong, line()], "p.jsonl")
    assert len(measured.measurements) == 2
    assert len(measured.problems) == 1
    assert said in measured.problems[0]


def test_a_file_that_is_not_there_yet_is_no_problem(tmp_path: Path) -> None:
    assert read(tmp_path / "p.jsonl") == Measured()
    assert read(None) == Measured()


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    assert "correct COMMONWEAL_PROBE_FILE" in read(tmp_path).problems[0]


@given(lines=st.lists(st.text()))
def test_any_text_is_read_or_named(lines: list[str]) -> None:
    measured = parse(lines, "p.jsonl")
    assert len(measured.measurements) + len(measured.problems) == sum(bool(one.strip()) for one in lines)
