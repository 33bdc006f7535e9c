"""The host's energy is what its kernel counts, over wraps and restarts, and where nothing counts a reason says so."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from infra.nvml_exporter.host import Host, look
from infra.nvml_exporter.register import Rule
from infra.nvml_exporter.sampler import Sampler
from infra.nvml_exporter.server import Pages
from infra.nvml_exporter.store import Store

RULE = Rule(period_ms=60_000, max_gap_ms=10_000)
RANGE_UJ = 262_143_328_850  # of a server's package


class Kernel:
    """A folder laid out as /sys, whose counters a test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, value: object) -> None:
        file = self.folder / "class" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")

    def rapl(self, zone: str, name: str, uj: int) -> None:
        self.write(f"powercap/{zone}/name", name)
        self.write(f"powercap/{zone}/energy_uj", uj)
        self.write(f"powercap/{zone}/max_energy_range_uj", RANGE_UJ)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path / "sys")


def totals(host: Host) -> dict[str, int]:
    return {key: zone.total_uj for key, zone in host.zones.items()}


def test_every_zone_of_rapl_and_hwmon_is_named_and_counted(kernel: Kernel) -> None:
    host = Host()
    for uj in (1_000_000, 3_500_000):
        kernel.rapl("intel-rapl:0", "package-0", uj)
        kernel.rapl("intel-rapl:0:0", "dram", uj // 10)
        kernel.write("hwmon/hwmon3/name", "amd_energy")
        kernel.write("hwmon/hwmon3/energy1_input", 2 * uj)
        kernel.write("hwmon/hwmon3/energy1_label", "Esocket0")
        host = look(kernel.folder, "boot", host.zones)
    assert totals(host) == {
        "rapl/package-0": 2_500_000,
        "rapl/package-0-dram": 250_000,
        "hwmon/amd_energy-Esocket0": 5_000_000,
    }


def test_a_wrap_is_undone(kernel: Kernel) -> None:
    kernel.rapl("intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    before = look(kernel.folder, "boot", {})
    kernel.rapl("intel-rapl:0", "package-0", 500_000)
    assert totals(look(kernel.folder, "boot", before.zones)) == {"rapl/package-0": 1_500_000}


def test_a_boot_and_a_reload_count_nothing_and_never_backwards(kernel: Kernel) -> None:
    kernel.rapl("intel-rapl:0", "package-0", 9_000_000)
    kernel.write("hwmon/hwmon0/energy1_input", 9_000_000)
    before = look(kernel.folder, "boot", {})
    kernel.rapl("intel-rapl:0", "package-0", 4_000_000)
    kernel.write("hwmon/hwmon0/energy1_input", 4_000_000)
    assert set(totals(look(kernel.folder, "another", before.zones)).values()) == {0}
    assert totals(look(kernel.folder, "boot", before.zones))["hwmon/hwmon0-energy1"] == 0


@given(drawn_uj=st.lists(st.integers(0, RANGE_UJ - 1), max_size=20))
def test_over_any_wraps_the_total_is_what_was_drawn(
    drawn_uj: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kernel, shown = Kernel(tmp_path_factory.mktemp("sys")), 5
    kernel.rapl("intel-rapl:0", "package-0", shown)
    host = look(kernel.folder, "boot", {})
    for each in drawn_uj:
        shown = (shown + each) % RANGE_UJ
        kernel.rapl("intel-rapl:0", "package-0", shown)
        host = look(kernel.folder, "boot", host.zones)
    assert totals(host) == {"rapl/package-0": sum(drawn_uj)}


@pytest.mark.parametrize(
    ("energy", "reason"), [(None, "rapl-not-readable"), ("", "rapl-not-readable"), ("-", "rapl-not-readable")]
)
def test_a_zone_that_cannot_be_read_is_a_reason_and_no_number(kernel: Kernel, energy: str | None, reason: str) -> None:
    kernel.write("powercap/intel-rapl:0/name", "package-0")
    if energy is not None:
        kernel.write("powercap/intel-rapl:0/energy_uj", energy)
    host = look(kernel.folder, "boot", {})
    assert (totals(host), host.failures) == ({}, (reason,))


def test_the_page_shows_zones_over_a_restart_and_a_reason_where_there_are_none(
    bench: Callable[[str], Any], kernel: Kernel, tmp_path: Path
) -> None:
    made, store = bench("gpu\npower 1000 300000 300000"), Store(tmp_path / "state")

    def page() -> list[tuple[str, dict[str, str], float]]:
        sampler = Sampler(driver=made.driver, store=store, rule=RULE, host=partial(look, kernel.folder, "boot"))
        sampler.step()
        pages = Pages(store=store, snapshot=lambda: sampler.snapshot, clock_ms=lambda: 0, period_s=60)
        text = pages.answer("/metrics").body.decode()
        families = text_string_to_metric_families(text)
        return [(each.name, each.labels, each.value) for family in families for each in family.samples]

    without = [labels for name, labels, _ in page() if name == "commonweal_gpu_unavailable"]
    assert [(labels["quantity"], labels["reason"]) for labels in without] == [("host-energy", "no-rapl-or-hwmon")]
    shown = []
    for uj in (1_000_000, 2_500_000, 4_000_000):
        kernel.rapl("intel-rapl:0", "package-0", uj)
        shown += [(labels, value) for name, labels, value in page() if name == "commonweal_host_energy_joules_total"]
    zone = {"source": "rapl", "zone": "package-0"}
    assert shown == [(zone, 0.0), (zone, 1.5), (zone, 3.0)]
    (kernel.folder / "class/powercap/intel-rapl:0/energy_uj").unlink()
    assert [labels for name, labels, _ in page() if name == "commonweal_host_energy_joules_total"] == []
