"""Meters around the devices: a file's register becomes readings like any other, under names that are never added up."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from commonweal.metering import Scope
from infra.nvml_exporter.files import named_files, read_files
from infra.nvml_exporter.register import Rule
from infra.nvml_exporter.sampler import Sampler
from infra.nvml_exporter.server import Pages
from infra.nvml_exporter.store import Store

RULE = Rule(period_ms=60_000, max_gap_ms=10_000)
NAMES = {
    "commonweal_meter_energy_joules_total": {"meter", "scope", "epoch"},
    "hw_host_energy_joules_total": {"hw_id"},
}


def series(store: Store, sampler: Sampler) -> list[tuple[str, dict[str, str], float]]:
    pages = Pages(store=store, snapshot=lambda: sampler.snapshot, clock_ms=lambda: 0, period_s=60)
    families = text_string_to_metric_families(pages.answer("/metrics").body.decode())
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def test_a_nodes_file_becomes_a_nodes_readings_beside_the_devices(bench: Callable[[str], Any], tmp_path: Path) -> None:
    machine, store = bench("gpu\npower 1000 300000 300000"), Store(tmp_path / "state")
    register = tmp_path / "energy1_input"
    files = {"NODE-ca-1": register, "FACILITY-ca": register}
    around = partial(read_files, files, lambda: int(machine.clock.read_text()))
    sampler = Sampler(driver=machine.driver, store=store, rule=RULE, around=around)
    for second in range(62):
        machine.clock.write_text(str(second * 1000))
        register.write_text(f"{5_000_000_000 + second * 450_000_999}\n")
        sampler.step()
    readings = {reading.meter: reading for reading in store.readings(0)}
    assert readings["NODE-ca-1"].energy_mj == 60 * 450_000_999 // 1000
    assert {meter: reading.scope for meter, reading in readings.items() if not meter.startswith("GPU")} == {
        "NODE-ca-1": Scope.NODE,
        "FACILITY-ca": Scope.FACILITY,
    }
    found = series(store, sampler)
    assert {name: set(labels) for name, labels, _ in found if name in NAMES} == NAMES
    gpus = [labels for name, labels, _ in found if name == "commonweal_gpu_energy_joules_total"]
    assert [labels["scope"] for labels in gpus] == ["gpu"]
    assert [labels["hw_type"] for name, labels, _ in found if name == "hw_energy_joules_total"] == ["gpu"]


@pytest.mark.parametrize(("content", "reason"), [(None, "file-not-readable"), ("n/a", "file-without-a-number")])
def test_a_file_without_a_register_is_a_reason_and_no_series(
    bench: Callable[[str], Any], tmp_path: Path, content: str | None, reason: str
) -> None:
    machine, store, register = bench("gpu"), Store(tmp_path / "state"), tmp_path / "energy1_input"
    if content:
        register.write_text(content)
    around = partial(read_files, {"NODE-ca-1": register}, lambda: 0)
    sampler = Sampler(driver=machine.driver, store=store, rule=RULE, around=around)
    sampler.step()
    found = series(store, sampler)
    assert not {name for name, _, _ in found} & NAMES.keys()
    reasons = [labels for name, labels, _ in found if name == "commonweal_gpu_unavailable"]
    assert [(labels["gpu_uuid"], labels["quantity"], labels["reason"]) for labels in reasons] == [
        ("NODE-ca-1", "energy", reason)
    ]


def test_meters_and_their_files_are_read_from_one_setting() -> None:
    assert named_files("NODE-a=/x FACILITY-b=/y") == {"NODE-a": Path("/x"), "FACILITY-b": Path("/y")}
    assert named_files("") == {}


@pytest.mark.parametrize("text", ["NODE-a", "GPU-a=/x", "NODE-a=x", "NODE-a=/x NODE-a=/y", "=/x"])
def test_a_setting_that_names_no_meter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"COMMONWEAL_ENERGY_FILES: .* is not one meter and its file"):
        named_files(text)
