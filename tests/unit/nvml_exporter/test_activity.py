"""Where the driver offers GPM, a slice answers for what its multiprocessors did, and each part's share is shown."""

from collections.abc import Callable

import pytest

from commonweal.attribution import UNATTRIBUTED, Board, Slice, busy_by_slice
from infra.nvml_exporter.simulated.kubelet import Kubelet
from tests.unit.nvml_exporter.test_pods import UUID, Machine, kubelet, machine

__all__ = ["kubelet", "machine"]

CUT = "gpu\ngpm\npower 10000 70000 70000\npower 1000 370000 370000\nmig 1 4\nmig 2 2\n"
BUSY = "commonweal_gpu_sm_busy_ratio"


def busy(it: Machine) -> dict[str, float]:
    return {labels["gpu_instance"]: value for name, labels, value in it.series() if name == BUSY}


def test_a_boards_busy_share_is_the_mean_between_two_looks(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\ngpm\npower 1000 300000 300000\nprocess 7 1500 99000 60")
    it.run(0, 1)
    assert busy(it) == {"": 0.0}
    it.run(2, 2)
    assert busy(it) == {"": 0.3}
    it.run(3, 3)
    assert busy(it) == {"": 0.6}


def test_active_energy_of_slices_goes_by_what_their_multiprocessors_did(
    machine: Callable[[str], Machine], kubelet: Kubelet
) -> None:
    """300 W are active: slice 1 has 4 parts at 30 %, slice 2 has 2 parts at 60 %, so each drew half."""
    kubelet.held = {"lab/a": ["MIG-00000001-0000-4000-8000-b6f3a680e800"], "lab/b": [f"MIG-{UUID}/2/0"]}
    it = machine(CUT + "process 7 10000 99000 30 1\nprocess 8 10000 99000 60 2")
    kubelet.process(7, "lab/a")
    kubelet.process(8, "lab/b")
    it.run(0, 10)
    assert it.energy_mj() == {"lab/a": 400_000, "lab/b": 200_000, UNATTRIBUTED: 100_000}
    it.run(11, 20)
    idle = {"lab/a": 800_000, "lab/b": 400_000, UNATTRIBUTED: 200_000}
    assert it.energy_mj() == {**idle, "lab/a": 800_000 + 1_500_000, "lab/b": 400_000 + 1_500_000}
    assert busy(it) == {"1": 0.3, "2": 0.6}


def test_what_a_slice_that_nobody_holds_did_is_nobodys(machine: Callable[[str], Machine], kubelet: Kubelet) -> None:
    kubelet.held = {"lab/a": [f"MIG-{UUID}/1/0"]}
    it = machine("gpu\ngpm\npower 1000 300000 300000\nmig 1 4\nmig 2 2\nprocess 8 0 99000 50 2")
    it.run(0, 10)
    assert it.energy_mj() == {
        UNATTRIBUTED: 3_000_000 - it.energy_mj().get("lab/a", 0),
        "lab/a": it.energy_mj()["lab/a"],
    }
    assert it.energy_mj()["lab/a"] <= 400_000


def test_a_board_that_does_not_offer_it_has_no_series(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\npower 1000 300000 300000")
    it.run(0, 3)
    assert busy(it) == {}


def test_a_failure_is_a_reason_and_no_number(machine: Callable[[str], Machine]) -> None:
    it = machine("gpu\ngpm\npower 1000 300000 300000\nfails utilization 999")
    it.run(0, 3)
    assert busy(it) == {}
    assert ("activity", "unknown") in it.reasons()


@pytest.mark.parametrize("told", [{}, {1: 500_000}, {None: 500_000}])
def test_unless_every_slice_was_told_use_is_unknown(told: dict[int | None, int]) -> None:
    slices = (Slice(uuid="MIG-x", instance=1, slices=4), Slice(uuid="MIG-y", instance=2, slices=2))
    assert busy_by_slice(Board(uuid="GPU-a", index=0, slices=slices, whole_slices=7), told, {}) is None
    assert busy_by_slice(Board(uuid="GPU-a", index=0), told, {}) is None
