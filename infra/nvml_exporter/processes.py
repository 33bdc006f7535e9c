"""What runs on a board, and how the board is cut, as NVML tells it. Whose processes they are is not known here."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pynvml

from commonweal.attribution import Board, Slice
from infra.nvml_exporter.errors import failing, reason_of

# nvidia-ml-py raises both where no process was busy: the driver's own answer, and SUCCESS with no sample.
_NOTHING_BUSY = frozenset({pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_SUCCESS})


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes of a board: all that run, and those that were busy since the last look, by per cent.

    None where the driver does not tell, and then the device's failures say why. `until_us` dates the newest sample.
    """

    running: frozenset[int] | None
    busy: Mapping[int, int] | None
    until_us: int


def look(nvml: Any, since_us: int, failures: dict[str, str]) -> Processes:  # noqa: ANN401  # NVML's opaque handle
    """Ask which processes run and which were busy; add what was not answered to `failures`."""
    running = None
    with failing(failures, "processes"):
        running = frozenset(int(each.pid) for each in pynvml.nvmlDeviceGetComputeRunningProcesses(nvml))
    try:
        samples = pynvml.nvmlDeviceGetProcessUtilization(nvml, since_us)
    except pynvml.NVMLError as error:
        if error.value in _NOTHING_BUSY:
            return Processes(running=running, busy={}, until_us=since_us)
        failures["process-utilization"] = reason_of(error)
        return Processes(running=running, busy=None, until_us=since_us)
    busy: Counter[int] = Counter()
    for sample in samples:
        busy[int(sample.pid)] += int(sample.smUtil)
    return Processes(running=running, busy=busy, until_us=max(int(sample.timeStamp) for sample in samples))


def board_of(nvml: Any, uuid: str, index: int, failures: dict[str, str]) -> Board | None:  # noqa: ANN401  # as above
    """Read how a board is cut; a driver without MIG has whole boards only. None where the cut cannot be read."""
    try:
        mode, _ = pynvml.nvmlDeviceGetMigMode(nvml)
    except pynvml.NVMLError:
        return Board(uuid=uuid, index=index, minor=_minor(nvml))  # not supported is every board before Ampere
    if mode != pynvml.NVML_DEVICE_MIG_ENABLE:
        return Board(uuid=uuid, index=index, minor=_minor(nvml))
    with failing(failures, "mig"):
        whole = int(pynvml.nvmlDeviceGetMaxMigDeviceCount(nvml))
        slices = tuple(found for number in range(whole) if (found := _slice(nvml, number)))
        return Board(uuid=uuid, index=index, minor=_minor(nvml), slices=slices, whole_slices=whole)
    return None


def _minor(nvml: Any) -> int | None:  # noqa: ANN401  # opaque, as above
    try:
        return int(pynvml.nvmlDeviceGetMinorNumber(nvml))
    except pynvml.NVMLError:
        return None  # then no claim names the board; it is one more unknown device, which is said


def _slice(nvml: Any, number: int) -> Slice | None:  # noqa: ANN401  # opaque, as above
    try:
        handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(nvml, number)
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_NOT_FOUND:
            return None
        raise
    instance = int(pynvml.nvmlDeviceGetGpuInstanceId(handle))
    return Slice(
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        instance=instance,
        slices=int(pynvml.nvmlDeviceGetAttributes(handle).gpuInstanceSliceCount),
        start=_start(nvml, instance),
    )


def _start(nvml: Any, instance: int) -> int | None:  # noqa: ANN401  # opaque, as above
    try:
        info = pynvml.nvmlGpuInstanceGetInfo(pynvml.nvmlDeviceGetGpuInstanceById(nvml, instance))
    except pynvml.NVMLError:
        return None
    return int(info.placement.start)
