"""The simulated NVML: its register is the integral of its script to the millijoule, and its failures are NVML's."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commonweal.metering import Scope
from infra.nvml_exporter.driver import Device, Driver, Poll

Make = Callable[[str], Any]


def only(poll: Poll) -> Device:
    (device,) = poll.devices
    return device


def integral_mj(segments: list[tuple[int, int, int]], ms: int) -> Fraction:
    energy_uj = Fraction(0)
    for length, low, high in segments:
        spent = min(ms, length)
        energy_uj += low * spent + Fraction((high - low) * spent * spent, 2 * length)
        ms -= spent
    return (energy_uj + segments[-1][2] * ms) / 1000


segment = st.tuples(st.integers(1, 50_000), st.integers(0, 700_000), st.integers(0, 700_000))


@given(segments=st.lists(segment, min_size=1, max_size=5), ms=st.integers(0, 200_000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_register_is_the_integral_as_of_the_last_refresh(
    bench: Make, segments: list[tuple[int, int, int]], ms: int
) -> None:
    machine = bench("gpu\n" + "\n".join(f"power {a} {b} {c}" for a, b, c in segments))
    register_mj = only(machine.at(ms)).register_mj
    machine.driver.close()
    assert register_mj is not None
    assert 0 <= integral_mj(segments, ms - ms % 100) - register_mj < 1 + Fraction(len(segments), 1000)


def test_power_is_the_mean_of_the_last_second(bench: Make) -> None:
    machine = bench("gpu\npower 10000 0 0\npower 10000 400000 400000")
    assert only(machine.at(10_500)).power_mw == 200_000
    assert only(machine.at(20_000)).power_mw == 400_000


def test_a_repeated_curve_begins_again(bench: Make) -> None:
    machine = bench("gpu\npower 1000 100000 100000\npower 1000 300000 300000\nrepeat\nphase_ms 1000")
    assert only(machine.at(1000)).register_mj == 300_000
    assert only(machine.at(5000)).register_mj == 1_100_000


def test_a_reset_restarts_the_register_at_its_instant(bench: Make) -> None:
    machine = bench("gpu\nregister_mj 2000000000\npower 1000 700000 700000\nreset 10000")
    assert only(machine.at(0)).register_mj == 2_000_000_000
    assert only(machine.at(9_900)).register_mj == 2_006_930_000
    assert only(machine.at(15_000)).register_mj == 3_500_000


def test_a_lost_device_answers_nothing_but_its_loss_and_comes_back(bench: Make) -> None:
    machine = bench("gpu\npower 1000 300000 300000\nlost 5000 8000")
    assert only(machine.at(4_000)).failures == {}
    gone = only(machine.at(5_000))
    assert gone.register_mj is None
    assert set(gone.failures.values()) == {"gpu-is-lost"}
    assert only(machine.at(6_000)).failures == {"device": "gpu-is-lost"}
    assert only(machine.at(8_000)).register_mj == 2_400_000


@pytest.mark.parametrize(
    ("line", "quantity", "reason"),
    [
        ("fails energy 3", "energy", "not-supported"),
        ("fails power 13", "power", "function-not-found"),
        ("fails utilization 4", "utilization", "no-permission"),
        ("fails memory 16", "memory", "reset-required"),
        ("fails limit 1234", "limit", "nvml-1234"),
    ],
)
def test_a_query_that_fails_is_named_with_nvmls_reason(bench: Make, line: str, quantity: str, reason: str) -> None:
    assert only(bench(f"gpu\npower 1000 300000 300000\n{line}").at(0)).failures == {quantity: reason}


@pytest.mark.parametrize(("code", "reason"), [(9, "driver-not-loaded"), (18, "lib-rm-version-mismatch")])
def test_a_driver_that_does_not_start_is_a_reason(bench: Make, code: int, reason: str) -> None:
    assert bench(f"init {code}\ngpu").at(0) == Poll(at_ms=0, failure=reason)


def test_a_sensor_that_looks_a_quarter_of_the_time_errs_where_the_register_does_not(bench: Make) -> None:
    """25 ms of every 100, as on A100: a load that pulses in step with it reads 700 W, and draws 250 W."""
    pulses = "gpu\npower 25 700000 700000\npower 75 100000 100000\nrepeat\n"
    assert only(bench(pulses).at(10_000)).power_mw == 250_000
    sampled = only(bench(pulses + "duty_ms 25").at(10_000))
    assert sampled.power_mw == 700_000
    assert sampled.register_mj == 2_500_000


@given(segments=st.lists(segment, min_size=1, max_size=4), at=st.integers(1, 200))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sampled_power_is_the_mean_over_the_sampled_quarters(
    bench: Make, segments: list[tuple[int, int, int]], at: int
) -> None:
    machine = bench("gpu\nduty_ms 25\n" + "\n".join(f"power {a} {b} {c}" for a, b, c in segments))
    power_mw = only(machine.at(at * 100)).power_mw
    machine.driver.close()
    looks = range(max(0, at - 10), at)
    parts_mj = [integral_mj(segments, 100 * n + 25) - integral_mj(segments, 100 * n) for n in looks]
    assert power_mw is not None
    assert abs(sum(parts_mj, Fraction(0)) * 1000 / (25 * len(looks)) - power_mw) <= 1 + len(segments)


def test_a_board_is_cut_into_the_slices_of_the_script(library: Path, bench: Make) -> None:
    machine = bench("gpu\nmig 1 4\nmig 5 2\ngpu")
    driver = Driver(lambda: int(machine.clock.read_text()), library, with_processes=True)
    cut, whole = (device.board for device in driver.poll().devices)
    driver.close()
    assert cut is not None
    assert whole is not None
    assert [(part.instance, part.slices) for part in cut.slices] == [(1, 4), (5, 2)]
    assert [part.uuid for part in cut.slices] == [f"MIG-0000000{n}-{cut.uuid.split('-', 2)[2]}" for n in (1, 5)]
    assert (cut.whole_slices, whole.slices, whole.whole_slices) == (7, (), 1)


def test_processes_run_and_are_busy_as_the_script_says(library: Path, bench: Make) -> None:
    machine = bench("gpu\nprocess 7 1000 5000 60\nprocess 8 2000 5000 0")
    driver = Driver(lambda: int(machine.clock.read_text()), library, with_processes=True)
    seen = []
    for ms in (0, 1000, 2000, 2050, 6000):
        machine.clock.write_text(str(ms))
        (device,) = driver.poll().devices
        assert device.processes is not None
        seen.append((device.processes.running, device.processes.busy))
    driver.close()
    assert seen == [
        (frozenset(), {}),
        ({7}, {7: 60}),
        ({7, 8}, {7: 60}),
        ({7, 8}, {}),  # no refresh since the last look, so no new sample
        (frozenset(), {}),
    ]


@pytest.mark.parametrize(
    "line", ["mig 1 8", "mig 1 0", "mig 15 1", "mig 1 4\nmig 1 1", "mig 1 4\nmig 2 4", "process 0 0 9 5", "duty_ms 101"]
)
def test_a_cut_a_process_or_a_duty_that_cannot_be_is_refused(bench: Make, line: str) -> None:
    assert bench(f"gpu\n{line}").at(0) == Poll(at_ms=0, failure="invalid-argument")


def test_grace_hopper_answers_for_its_module(bench: Make) -> None:
    assert only(bench("gpu\nscope module").at(0)).scope is Scope.MODULE
    assert only(bench("gpu").at(0)).scope is Scope.GPU


def test_whatever_the_script_says_the_device_says_simulated(bench: Make) -> None:
    poll = bench("gpu\nmodel H100 80GB HBM3").at(0)
    assert poll.simulated
    assert only(poll).name == "SIMULATED GPU H100 80GB HBM3"


def test_the_default_wave_draws_300_watts_a_day_and_no_two_devices_alike(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = bench("")
    monkeypatch.delenv("SIMULATED_NVML_SCRIPT")
    registers = [device.register_mj for device in machine.at(86_400_000).devices]
    assert registers == [(300 + 3 * i) * 86_400 * 1000 for i in range(4)]
    assert len({device.uuid for device in machine.at(0).devices}) == 4


def test_two_sites_share_no_uuid(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, uuids = bench("gpu"), set()
    for site in ("ca", "kr", "ke"):
        monkeypatch.setenv("SIMULATED_NVML_SITE", site)
        uuids.add(only(machine.at(0)).uuid)
        machine.driver.close()
    assert len(uuids) == 3


def test_a_line_that_is_none_is_named_with_its_place(library: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("gpu\n  power 1000 300000 # watts are missing\n")
    code = f"import ctypes, pynvml; ctypes.CDLL({str(library)!r}); pynvml.nvmlInit()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"SIMULATED_NVML_SCRIPT": str(script)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f'{script}:2: "power 1000 300000" is not a line of a script' in run.stderr
