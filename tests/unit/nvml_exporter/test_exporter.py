"""The exporter over the simulated driver: exact joules, durable readings, frozen names, absent instead of zero."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from commonweal.metering import Flag
from infra.nvml_exporter.__main__ import Settings
from infra.nvml_exporter.driver import Driver
from infra.nvml_exporter.register import Rule
from infra.nvml_exporter.sampler import Sampler
from infra.nvml_exporter.server import Pages
from infra.nvml_exporter.store import Store

Make = Callable[[str], Any]
RULE = Rule(period_ms=60_000, max_gap_ms=10_000)
TWO = "gpu\npower 1000 300000 300000\ngpu\npower 60000 100000 500000\nrepeat\n"
DEVICE = {"gpu_uuid", "simulated"}
NAMES = {
    "commonweal_gpu_last_sample_age_seconds": set(),
    "commonweal_gpu_unavailable": {"gpu", "gpu_uuid", "quantity", "reason", "simulated"},
    "commonweal_gpu_info": {"gpu", "gpu_uuid", "name", "scope", "driver", "simulated"},
    "commonweal_gpu_power_watts": DEVICE,
    "commonweal_gpu_power_limit_watts": DEVICE,
    "commonweal_gpu_utilization_ratio": DEVICE,
    "commonweal_gpu_memory_used_bytes": DEVICE,
    "commonweal_gpu_memory_total_bytes": DEVICE,
    "commonweal_gpu_poll_seconds": DEVICE,
    "commonweal_gpu_driver_latency_seconds": DEVICE,
    "commonweal_gpu_energy_joules_total": {"gpu_uuid", "scope", "epoch", "simulated"},
    "commonweal_gpu_energy_unplaced_joules_total": {"gpu_uuid", "scope", "epoch", "simulated"},
    "hw_power_watts": {"hw_id", "hw_name", "hw_type"},
    "hw_energy_joules_total": {"hw_id", "hw_name", "hw_type"},
}


class Machine:
    """A simulated machine with an exporter that a test steps by hand."""

    def __init__(self, driver: Driver, clock: Path, directory: Path) -> None:
        self.driver, self.clock, self.store = driver, clock, Store(directory)
        self.restart()

    def restart(self) -> None:
        self.sampler = Sampler(driver=self.driver, store=self.store, rule=RULE)
        self.pages = Pages(
            store=self.store,
            snapshot=lambda: self.sampler.snapshot,
            clock_ms=lambda: int(self.clock.read_text()),
            period_s=60,
        )

    def run(self, from_s: int, to_s: int) -> None:
        for second in range(from_s, to_s + 1):
            self.clock.write_text(str(second * 1000))
            self.sampler.step()

    def get(self, target: str, status: HTTPStatus = HTTPStatus.OK) -> dict[str, Any]:
        answer = self.pages.answer(target)
        assert answer.status is status
        return dict(json.loads(answer.body))

    def series(self) -> list[tuple[str, dict[str, str], float]]:
        text = self.pages.answer("/metrics").body.decode()
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def energies(self) -> list[tuple[int, int, int]]:
        return [(r["sequence"], r["energy_mj"], r["device_seconds"]) for r in self.get("/readings")["readings"]]


@pytest.fixture
def machine(bench: Make, tmp_path: Path) -> Callable[[str], Machine]:
    def make(script: str) -> Machine:
        made = bench(script)
        return Machine(made.driver, made.clock, tmp_path / "state")

    return make


def test_readings_hold_exactly_the_joules_of_the_curve(machine: Callable[[str], Machine]) -> None:
    it = machine(TWO)
    it.run(0, 121)
    assert it.energies() == [(1, 18_000_000, 60), (1, 18_000_000, 60), (2, 18_000_000, 60), (2, 18_000_000, 60)]


def test_readings_have_the_shape_that_the_agent_reads(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.run(30, 61)
    assert it.get("/readings?after=0") == {
        "meters": {"GPU-00000000-0000-4000-8000-b6f3a680e800": 1},
        "period_seconds": 60,
        "readings": [
            {
                "meter": "GPU-00000000-0000-4000-8000-b6f3a680e800",
                "sequence": 1,
                "period_start": "1970-01-01T00:00:00Z",
                "period_end": "1970-01-01T00:01:00Z",
                "energy_mj": 9_000_000,
                "estimated_mj": 0,
                "device_seconds": 30,
                "gpu_count": 1,
                "scope": "gpu",
                "epoch": 1,
                "flags": ["partial"],
                "simulated": True,
            }
        ],
    }


def test_readings_continue_after_the_last_one_held_and_by_meter(machine: Callable[[str], Machine]) -> None:
    it = machine(TWO)
    it.run(0, 181)
    assert [r["sequence"] for r in it.get("/readings?after=1")["readings"]] == [2, 2, 3, 3]
    meter = it.get("/readings")["readings"][0]["meter"]
    assert [r["sequence"] for r in it.get(f"/readings?after=2&meter={meter}")["readings"]] == [3]
    assert it.get("/readings?after=3")["readings"] == []


@pytest.mark.parametrize(("name", "value"), [("after", "-1"), ("after", "x"), ("since", "3")])
def test_a_question_that_is_none_is_refused_by_name(machine: Callable[[str], Machine], name: str, value: str) -> None:
    answer = machine("gpu").get(f"/readings?{name}={value}", HTTPStatus.BAD_REQUEST)
    assert answer["error"].startswith(f"{name}: ")


@pytest.mark.parametrize("crash_s", [13, 25, 59, 60, 61, 62, 75])
def test_a_crash_at_any_second_loses_no_joule_and_repeats_no_reading(
    machine: Callable[[str], Machine], crash_s: int
) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, crash_s)
    it.restart()
    it.run(crash_s + 1, 121)
    assert [(sequence, energy) for sequence, energy, _ in it.energies()] == [(1, 18_000_000), (2, 18_000_000)]
    assert all(60 - 11 <= seconds <= 60 for _, _, seconds in it.energies())


def test_a_reading_and_its_meter_are_saved_together_or_not_at_all(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 61)
    before = it.store.meters()
    again = it.store.readings(0)
    with pytest.raises(sqlite3.IntegrityError):
        it.store.save([], again)
    assert (it.store.meters(), it.store.readings(0)) == (before, again)


def test_a_lost_device_is_a_reason_and_no_series_and_its_period_still_closes(
    machine: Callable[[str], Machine],
) -> None:
    it = machine("gpu\npower 1000 300000 300000\nlost 30000 90000")
    it.run(0, 75)
    (reading,) = it.get("/readings")["readings"]
    assert (reading["energy_mj"], reading["device_seconds"]) == (8_700_000, 29)
    assert reading["flags"] == [Flag.PARTIAL, Flag.OUTAGE]
    present = {name for name, _, _ in it.series()}
    assert present == {"commonweal_gpu_last_sample_age_seconds", "commonweal_gpu_unavailable"}
    it.run(90, 121)
    assert it.energies()[1] == (2, 9_000_000, 30)


def test_names_and_labels_are_frozen(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000\nfails limit 3\ngpu\npower 1000 300000 300000")
    it.run(0, 2)
    assert {name: set(labels) for name, labels, _ in it.series()} == NAMES


def test_what_cannot_be_read_is_absent_and_named_never_zero(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000\nfails energy 3")
    it.run(0, 121)
    series = it.series()
    assert not [name for name, _, _ in series if "energy" in name]
    assert [
        (labels["quantity"], labels["reason"]) for name, labels, _ in series if name == "commonweal_gpu_unavailable"
    ] == [("energy", "not-supported")]
    assert it.get("/readings")["readings"] == []


def test_no_driver_is_one_reason(machine: Callable[[str], Machine]) -> None:
    it = machine("init 9\ngpu")
    it.run(0, 1)
    assert [(name, labels.get("reason")) for name, labels, _ in it.series()] == [
        ("commonweal_gpu_last_sample_age_seconds", None),
        ("commonweal_gpu_unavailable", "driver-not-loaded"),
    ]


def test_a_reset_is_a_new_epoch_and_a_smaller_counter(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\nregister_mj 2000000000\npower 1000 700000 700000\nreset 10000")
    it.run(0, 15)
    (energy,) = [
        (labels["epoch"], value) for name, labels, value in it.series() if name.endswith("gpu_energy_joules_total")
    ]
    assert energy == ("2", 3_500.0)


def test_everything_it_feeds_says_simulated(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 61)
    labels = [labels for name, labels, _ in it.series() if name.startswith("commonweal_gpu_") and labels]
    assert all(label["simulated"] == "true" for label in labels)
    assert all(reading["simulated"] for reading in it.get("/readings")["readings"])
    assert all(labels["hw_name"].startswith("SIMULATED") for name, labels, _ in it.series() if name.startswith("hw_"))


def test_a_clock_that_steps_back_is_a_reason(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 30)
    it.run(10, 10)
    assert ("meter", "clock-shift") in [(labels.get("quantity"), labels.get("reason")) for _, labels, _ in it.series()]


def test_a_sampler_that_stands_still_is_unhealthy(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.get("/healthz", HTTPStatus.SERVICE_UNAVAILABLE)
    it.run(0, 1)
    assert it.get("/healthz") == {"sample_age_ms": 0}
    it.clock.write_text("62000")
    it.get("/healthz", HTTPStatus.SERVICE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "COMMONWEAL_STATE_DIR: not set"),
        ({"COMMONWEAL_PERIOD_S": "0"}, "COMMONWEAL_PERIOD_S: '0' is not a whole number from 15 to 86400"),
        ({"COMMONWEAL_METER_PORT": "x"}, "COMMONWEAL_METER_PORT: 'x' is not"),
        ({"COMMONWEAL_SIMULATED": "yes"}, "COMMONWEAL_SIMULATED: 'yes' is neither true nor false"),
    ],
)
def test_a_setting_that_cannot_work_is_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.read({"COMMONWEAL_STATE_DIR": "state"} | env if env else {})


def test_what_cannot_be_opened_is_named_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "readings.sqlite").write_text("not a database, and long enough to be read as one" * 30)
    with pytest.raises(OSError, match=f"COMMONWEAL_STATE_DIR: {tmp_path}: file is not a database"):
        Store(tmp_path)
    with pytest.raises(OSError, match=r"COMMONWEAL_SIMULATED_LIBRARY: .*build it with make in its folder"):
        Driver(lambda: 0, tmp_path / "missing.so")


def test_a_killed_exporter_comes_back_with_every_reading(library: Path, bench: Make, tmp_path: Path) -> None:
    clock = bench("gpu\npower 1000 300000 300000\n").clock
    env = os.environ | {
        "COMMONWEAL_STATE_DIR": str(tmp_path / "state"),
        "COMMONWEAL_SIMULATED": "true",
        "COMMONWEAL_SIMULATED_LIBRARY": str(library),
        "COMMONWEAL_METER_HOST": "127.0.0.1",
        "COMMONWEAL_METER_PORT": "0",
        "COMMONWEAL_PERIOD_S": "60",
        "COMMONWEAL_SAMPLE_MS": "100",
    }
    for last_s, expected in ((61, 1), (121, 2)):
        with subprocess.Popen(
            [sys.executable, "-m", "infra.nvml_exporter"], env=env, stderr=subprocess.PIPE, text=True
        ) as exporter:
            assert exporter.stderr is not None
            port = int(exporter.stderr.readline().split()[-1])
            for second in range(last_s - 60, last_s + 1, 10):
                move(clock, second * 1000, port)
            move(clock, last_s * 1000 + 500, port)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readings", timeout=5) as answer:
                readings = json.load(answer)["readings"]
            assert [reading["sequence"] for reading in readings] == list(range(1, expected + 1))
            exporter.send_signal(signal.SIGKILL)


def move(clock: Path, ms: int, port: int) -> None:
    """Move the clock in one rename and wait until the exporter has sampled at that time."""
    new = clock.with_suffix(".new")
    new.write_text(str(ms))
    new.replace(clock)
    for _ in range(10_000):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            if b"sample_age_seconds 0.0\n" in answer.read():
                return
    raise AssertionError(f"no sample at {ms}")
