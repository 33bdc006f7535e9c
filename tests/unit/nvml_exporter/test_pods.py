"""Pods: the kubelet's bytes over its own protocol, and joules that close by pod over MIG, time slices and resets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from commonweal.attribution import UNATTRIBUTED
from infra.nvml_exporter.driver import Driver, Poll
from infra.nvml_exporter.pods import Pods, held_ids, pod_names, pod_uid
from infra.nvml_exporter.register import Rule
from infra.nvml_exporter.sampler import Sampler
from infra.nvml_exporter.server import Pages
from infra.nvml_exporter.simulated.kubelet import Kubelet, listing
from infra.nvml_exporter.store import Store
from tests.unit.nvml_exporter.conftest import Bench

RULE = Rule(period_ms=60_000, max_gap_ms=10_000)
UUID = "GPU-00000000-0000-4000-8000-b6f3a680e800"
POD, DEVICE = {"namespace", "pod", "gpu_uuid", "simulated"}, {"gpu_uuid", "simulated"}
NAMES = {
    "commonweal_gpu_energy_metered_joules_total": DEVICE,
    "commonweal_gpu_energy_unattributed_joules_total": DEVICE,
    "commonweal_gpu_energy_departed_joules_total": DEVICE,
    "commonweal_gpu_idle_power_watts": DEVICE,
    "commonweal_pod_gpu_energy_joules_total": POD,
    "commonweal_pod_gpu_energy_estimated_joules_total": POD,
}
# Made with the protobuf runtime from k8s.io/kubelet v0.37.2 api.proto: pod lab/train-0 with two replicas, a NUMA node,
# packed CPU ids and another vendor's card, and pod apps/web with nothing.
GOLDEN = bytes.fromhex(
    "0a640a07747261696e2d3012036c61621a4f0a046d61696e122a0a0e6e76696469612e636f6d2f67707512084750552d613a3a3012084750"
    "552d613a3a311a040a02080112170a0f6578616d706c652e636f6d2f6e696312046e6963301a020203220301ac020a120a03776562120461"
    "7070731a050a03776562"
)


def pods_of(kubelet: Kubelet) -> Pods:
    return Pods(kubelet.folder, proc=kubelet.proc, pod_logs=kubelet.pod_logs)


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    folder = tmp_path / "pod-resources"
    folder.mkdir()
    it = Kubelet(folder)
    server = it.start()
    yield it
    server.stop(None).wait()


class Machine:
    """A simulated machine whose exporter a test steps by hand."""

    def __init__(self, bench: Bench, kubelet: Kubelet, state: Path) -> None:
        self.clock, self.store, self.pods = bench.clock, Store(state), pods_of(kubelet)
        self.driver = Driver(lambda: int(self.clock.read_text()), with_processes=True)
        self.restart()

    def restart(self) -> None:
        self.sampler = Sampler(driver=self.driver, store=self.store, rule=RULE, pods=self.pods)

    def run(self, from_s: int, to_s: int) -> None:
        for second in range(from_s, to_s + 1):
            self.clock.write_text(str(second * 1000))
            self.sampler.step()

    def series(self) -> list[tuple[str, dict[str, str], float]]:
        pages = Pages(store=self.store, snapshot=lambda: self.sampler.snapshot, clock_ms=lambda: 0, period_s=60)
        text = pages.answer("/metrics").body.decode()
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def energy_mj(self) -> dict[str, int]:
        """Energy by pod, with the unattributed rest, once it is sure that they sum to what was metered."""
        assert self.sampler.snapshot is not None
        (account,) = self.sampler.snapshot.accounts.values()
        by_owner = {pod: share.measured_mj for pod, share in account.pods.items()}
        by_owner[UNATTRIBUTED] = account.unattributed.measured_mj
        assert sum(by_owner.values()) + account.departed.measured_mj == account.metered.measured_mj
        return by_owner

    def reasons(self) -> set[tuple[str, str]]:
        rows = [labels for name, labels, _ in self.series() if name == "commonweal_gpu_unavailable"]
        return {(labels["quantity"], labels["reason"]) for labels in rows}


@pytest.fixture
def machine(bench: Callable[[str], Any], kubelet: Kubelet, tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    made: list[Machine] = []

    def make(script: str) -> Machine:
        made.append(Machine(bench(script), kubelet, tmp_path / "state"))
        return made[-1]

    yield make
    for each in made:
        each.driver.close()


def test_the_kubelets_bytes_are_read_as_its_protocol_has_them() -> None:
    assert held_ids(GOLDEN) == {"lab/train-0": ("GPU-a::0", "GPU-a::1")}


@given(st.binary(max_size=60))
def test_bytes_that_are_no_answer_are_refused_and_never_a_crash(answer: bytes) -> None:
    try:
        held_ids(answer)
    except ValueError:
        return


@given(held=st.dictionaries(st.sampled_from(["a/b", "c/d"]), st.lists(st.text("GPU-09:", min_size=1), min_size=1)))
def test_what_a_kubelet_lists_is_what_is_read(held: dict[str, list[str]]) -> None:
    assert held_ids(listing(held)) == {pod: tuple(ids) for pod, ids in held.items()}


@pytest.mark.parametrize("length", range(1, len(GOLDEN)))
def test_a_shortened_answer_never_invents_a_holder(length: int) -> None:
    try:
        held = held_ids(GOLDEN[:length])
    except ValueError:
        return
    assert held.items() <= held_ids(GOLDEN).items()


@pytest.mark.parametrize(
    ("cgroup", "uid"),
    [
        ("0::/kubepods/burstable/podd2d0e1a2-1111-4222-8333-444455556666/0123", "d2d0e1a2-1111-4222-8333-444455556666"),
        ("0::/kubepods-podd2d0e1a2_1111_4222_8333_444455556666.slice/c", "d2d0e1a2-1111-4222-8333-444455556666"),
        ("0::/../../podd2d0e1a2-1111-4222-8333-444455556666/0123", "d2d0e1a2-1111-4222-8333-444455556666"),
        ("3:cpu:/kubepods/podd2d0e1a2111142228333444455556666/0123", "d2d0e1a2111142228333444455556666"),
        ("0::/system.slice/sshd.service", ""),
    ],
)
def test_a_process_is_its_pods_by_its_control_group(tmp_path: Path, cgroup: str, uid: str) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(cgroup)
    assert pod_uid(tmp_path, 7) == uid
    assert pod_uid(tmp_path, 8) is None


def test_pods_are_named_by_the_folders_of_the_node(tmp_path: Path) -> None:
    for name in ("lab_train-0_d2d0e1a2-1111-4222-8333-444455556666", "lost+found"):
        (tmp_path / name).mkdir()
    assert dict(pod_names(tmp_path)) == {"d2d0e1a2-1111-4222-8333-444455556666": "lab/train-0"}
    assert dict(pod_names(tmp_path / "none")) == {}


def test_a_process_of_a_pod_without_a_name_is_nobodys_and_said(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.process(7, "lab/a")
    (next(kubelet.pod_logs.iterdir())).rmdir()
    it = machine("gpu\npower 1000 300000 300000\nprocess 7 0 99000 60")
    it.run(0, 5)
    assert it.energy_mj() == {UNATTRIBUTED: 5 * 300_000}
    assert it.reasons() == {("process-owner", "pod-not-named")}


def test_a_pod_answers_for_the_idle_energy_of_what_it_reserves(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\npower 1000 60000 60000")
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 600_000, UNATTRIBUTED: 0}


def test_time_slices_share_idle_by_reservation_and_active_by_use(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": [f"{UUID}::0"], "lab/b": [f"{UUID}::1"]}
    kubelet.allocatable = [f"{UUID}::{number}" for number in range(4)]
    kubelet.process(7, "lab/a")
    kubelet.process(8, "lab/b")
    kubelet.process(9, None)
    it = machine(
        "gpu\npower 10000 60000 60000\npower 1000 300000 300000\n"
        "process 7 10500 99000 60\nprocess 8 10500 99000 20\nprocess 9 10500 99000 20"
    )
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 150_000, "lab/b": 150_000, UNATTRIBUTED: 300_000}
    it.run(11, 20)
    active, idle = 2_400_000, 150_000
    assert it.energy_mj() == {
        "lab/a": 150_000 + active * 60 // 100 + idle,
        "lab/b": 150_000 + active * 20 // 100 + idle,
        UNATTRIBUTED: 300_000 + active * 20 // 100 + 2 * idle,
    }


def test_mig_slices_share_by_their_size_and_say_that_use_is_not_told(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": ["MIG-00000001-0000-4000-8000-b6f3a680e800"], "lab/b": [f"MIG-{UUID}/2/0"]}
    kubelet.process(7, "lab/a")
    it = machine("gpu\npower 10000 70000 70000\npower 1000 370000 370000\nmig 1 4\nmig 2 2\nprocess 7 10500 99000 50 1")
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 400_000, "lab/b": 200_000, UNATTRIBUTED: 100_000}
    assert it.reasons() == {("process-utilization", "not-supported"), ("utilization", "not-supported")}
    it.run(11, 20)
    assert it.energy_mj() == {"lab/a": 800_000 + 3_000_000, "lab/b": 400_000, UNATTRIBUTED: 200_000}


def test_devices_of_claims_are_held_like_those_of_plugins(machine: Callable[[str], Machine], kubelet: Kubelet) -> None:
    kubelet.held = {"lab/a": ["gpu-0"]}
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 3_000_000, UNATTRIBUTED: 0}


def test_a_claim_that_two_pods_share_is_halved(machine: Callable[[str], Machine], kubelet: Kubelet) -> None:
    kubelet.held = {"lab/a": ["gpu-0"], "lab/b": ["gpu-0"]}
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 1_500_000, "lab/b": 1_500_000, UNATTRIBUTED: 0}


def test_a_claimed_slice_is_known_by_the_place_at_which_it_begins(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": ["gpu-0-mig-5-0-4"], "lab/b": ["gpu-0-mig-14-4-2"]}
    it = machine("gpu\npower 1000 70000 70000\nmig 1 4\nmig 2 2")
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 400_000, "lab/b": 200_000, UNATTRIBUTED: 100_000}


@pytest.mark.parametrize("device", ["gpu-7", "gpu-0-mig-14-5-2", "gpu-vfio-0"])
def test_a_claim_of_a_device_that_is_not_there_is_said(
    machine: Callable[[str], Machine], kubelet: Kubelet, device: str
) -> None:
    kubelet.held = {"lab/a": [device]}
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 1)
    assert it.energy_mj() == {UNATTRIBUTED: 300_000}
    assert ("pods", f"unknown-device {device}") in it.reasons()


def test_a_reset_is_split_like_any_interval_and_its_estimate_stays_apart(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\nregister_mj 2000000000\npower 1000 700000 700000\nreset 10400")
    it.run(0, 15)
    assert it.energy_mj() == {"lab/a": 7_000_000 + 600 * 700 + 4 * 700_000, UNATTRIBUTED: 0}
    estimated = [value for name, _, value in it.series() if name == "commonweal_pod_gpu_energy_estimated_joules_total"]
    assert estimated == [280.0]


def test_what_a_lost_device_drew_is_nobodys(machine: Callable[[str], Machine], kubelet: Kubelet) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\npower 1000 300000 300000\nlost 5000 25000")
    it.run(0, 30)
    assert it.energy_mj() == {"lab/a": 9 * 300_000, UNATTRIBUTED: 21 * 300_000}


@pytest.mark.parametrize("crash_s", [9, 10, 11, 15, 20])
def test_a_crash_at_any_second_keeps_the_balance(
    machine: Callable[[str], Machine], kubelet: Kubelet, crash_s: int
) -> None:
    kubelet.held = {"lab/a": [f"{UUID}::0"]}
    kubelet.allocatable = [f"{UUID}::0", f"{UUID}::1"]
    it = machine("gpu\npower 1000 300000 300000\nprocess 9 0 1 0")
    it.run(20, 20 + crash_s)
    it.restart()
    it.run(21 + crash_s, 60)
    by_owner = it.energy_mj()
    assert sum(by_owner.values()) == 40 * 300_000
    assert by_owner["lab/a"] == by_owner[UNATTRIBUTED]


@pytest.mark.parametrize("down_s", [0, 5, 30])
def test_no_counter_that_was_shown_falls_over_a_crash(
    machine: Callable[[str], Machine], kubelet: Kubelet, down_s: int
) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\npower 1000 300000 300000")
    it.run(20, 29)
    shown = {(name, str(labels)): value for name, labels, value in it.series() if name.endswith("_total")}
    kubelet.held = {"lab/b": [UUID]}
    it.restart()
    it.run(30 + down_s, 30 + down_s)
    after = {(name, str(labels)): value for name, labels, value in it.series() if name.endswith("_total")}
    assert {key for key, value in shown.items() if value > after[key]} == set()


def test_a_kubelet_that_is_away_is_a_reason_and_no_pods_joules(
    machine: Callable[[str], Machine], kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\npower 1000 300000 300000")
    it.pods = Pods(tmp_path, proc=tmp_path, pod_logs=tmp_path)
    it.restart()
    it.run(0, 5)
    assert it.energy_mj() == {UNATTRIBUTED: 5 * 300_000}
    assert it.reasons() == {("pods", "kubelet-unavailable")}


def test_processes_that_cannot_be_seen_leave_use_unknown_and_say_so(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": [UUID], "lab/b": ["GPU-unknown"]}
    it = machine("gpu\npower 1000 300000 300000\nprocess 7 0 99000 60")
    it.run(0, 5)
    assert it.energy_mj() == {"lab/a": 5 * 300_000, UNATTRIBUTED: 0}
    assert it.reasons() == {("process-owner", "pid-not-visible"), ("pods", "unknown-device GPU-unknown")}


def test_a_board_at_work_whose_processes_are_hidden_is_not_taken_for_idle(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": [f"{UUID}::0"]}
    kubelet.allocatable = [f"{UUID}::0", f"{UUID}::1"]
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 5)
    assert it.energy_mj() == {"lab/a": 5 * 300_000, UNATTRIBUTED: 0}
    assert it.reasons() == {("process-owner", "pid-not-visible")}
    assert "commonweal_gpu_idle_power_watts" not in {name for name, _, _ in it.series()}


def test_processes_that_the_driver_does_not_tell_are_a_reason(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\npower 1000 300000 300000\nfails processes 4")
    it.run(0, 5)
    assert it.energy_mj() == {"lab/a": 5 * 300_000, UNATTRIBUTED: 0}
    assert it.reasons() == {("processes", "no-permission"), ("process-utilization", "no-permission")}


def test_names_and_labels_of_pods_are_frozen(machine: Callable[[str], Machine], kubelet: Kubelet) -> None:
    kubelet.held = {"lab/a": [UUID]}
    it = machine("gpu\nregister_mj 2000000000\npower 1000 700000 700000\nreset 10400\nprocess 9 0 1 0")
    it.run(0, 15)
    plain = {"commonweal_gpu_energy_joules_total", "commonweal_gpu_energy_unplaced_joules_total"}
    found = {name: set(labels) for name, labels, _ in it.series() if "energy" in name or "idle" in name}
    assert {name: labels for name, labels in found.items() if name not in plain | {"hw_energy_joules_total"}} == NAMES


def test_series_grow_by_one_a_pod_and_never_with_processes(machine: Callable[[str], Machine], kubelet: Kubelet) -> None:
    def count(pods: int, processes: int) -> int:
        kubelet.held = {f"lab/pod-{number}": [f"{UUID}::{number}"] for number in range(pods)}
        lines = [f"process {pid} 0 99000 1" for pid in range(1, 1 + processes)]
        it = machine("\n".join(["gpu\npower 1000 300000 300000", *lines]))
        it.sampler = Sampler(
            driver=it.driver, store=Store(kubelet.folder / f"{pods}-{processes}"), rule=RULE, pods=it.pods
        )
        it.run(0, 2)
        return len(it.series())

    for pid in range(1, 101):
        kubelet.process(pid, "lab/pod-0")
    few = count(pods=2, processes=1)
    assert count(pods=2, processes=100) == few
    assert count(pods=50, processes=1) == few + 48


def test_a_folder_that_is_not_there_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"COMMONWEAL_POD_RESOURCES: {tmp_path / 'none'}: no such folder"):
        Pods(tmp_path / "none", proc=tmp_path, pod_logs=tmp_path)


def test_a_kubelet_that_restarts_is_found_again_behind_the_same_folder(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path, held={"lab/a": [UUID]})
    pods, nothing = pods_of(kubelet), Poll(at_ms=0)
    for _ in range(2):
        server = kubelet.start()
        assert any(_listed(pods) for _ in range(100_000))
        server.stop(None).wait()
        assert pods.view(nothing).failures == (("", "pods", "kubelet-unavailable"),)


def _listed(pods: Pods) -> bool:
    return pods.view(Poll(at_ms=0)).failures == (("", "pods", f"unknown-device {UUID}"),)
