"""The only door to NVML. Every failure is a named reason, never a number; nothing here knows periods or HTTP."""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeVar

import pynvml

from commonweal.attribution import Board
from commonweal.metering import Scope
from infra.nvml_exporter import processes
from infra.nvml_exporter.activity import WHOLE, Activity
from infra.nvml_exporter.errors import failing, reason_of
from infra.nvml_exporter.processes import Processes

SIMULATED_DRIVER = "simulated"  # the driver version that our own library reports
BOARD_MS = 60_000  # MIG may be cut anew at any time, and on real boards each handle takes the driver 50 to 100 ms

T = TypeVar("T")

_REOPEN = frozenset({"uninitialized", "driver-not-loaded", "lib-rm-version-mismatch", "gpu-not-found"})


@dataclass(frozen=True, kw_only=True)
class Device:
    """What one look at one device showed; what is None is named in `failures`, by quantity.

    `busy_ppm` is how many multiprocessors were busy since the last look, of each GPU instance, or of the board (None).
    """

    index: int
    at_ms: int
    uuid: str | None = None
    name: str | None = None
    scope: Scope = Scope.GPU
    register_mj: int | None = None
    power_mw: int | None = None
    limit_mw: int | None = None
    utilization_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    call_us: int = 0
    driver_latency_us: int | None = None
    board: Board | None = None
    processes: Processes | None = None
    busy_ppm: Mapping[int | None, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Poll:
    """One round over all devices, and the meters around them; `failure` is why the driver showed none."""

    at_ms: int
    devices: tuple[Device, ...] = ()
    driver_version: str | None = None
    failure: str | None = None

    @property
    def simulated(self) -> bool:
        """Whether the driver itself says that it is simulated."""
        return self.driver_version == SIMULATED_DRIVER


@dataclass
class _Handle:
    nvml: Any
    uuid: str
    name: str
    scope: Scope
    board: Board | None = None
    board_read_ms: int = 0
    processes_since_us: int = 0
    activity: Activity = field(default_factory=Activity)


class Driver:
    """An NVML session that reopens itself; not for more than one thread."""

    def __init__(
        self, clock_ms: Callable[[], int], library: Path | None = None, *, with_processes: bool = False
    ) -> None:
        """Remember the library to load; without one, the system's libnvidia-ml.so.1.

        `with_processes` also asks which processes run, which takes the driver longer than all else together.

        Raises:
            OSError: the named library cannot be loaded.
        """
        self._clock_ms, self._with_processes = clock_ms, with_processes
        self._version: str | None = None
        self._handles: dict[int, _Handle] = {}
        if library is not None:
            _load(library)

    def poll(self) -> Poll:
        """Look at every device once."""
        try:
            if self._version is None:
                pynvml.nvmlInit()
                self._version = str(pynvml.nvmlSystemGetDriverVersion())
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            self.close()
            return Poll(at_ms=self._clock_ms(), failure=reason_of(error))
        devices = tuple(self._look(index) for index in range(count))
        poll = Poll(at_ms=self._clock_ms(), devices=devices, driver_version=self._version)
        if any(_REOPEN & set(device.failures.values()) for device in devices):
            self.close()
        return poll

    def close(self) -> None:
        """End the session; the next poll begins a new one."""
        self._version = None
        self._handles.clear()
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return  # there was no session to end

    def _look(self, index: int) -> Device:
        before_ns = perf_counter_ns()
        failures: dict[str, str] = {}
        with failing(failures, "device"):
            handle = self._handles.get(index) or self._open(index)
        if failures:
            return Device(index=index, at_ms=self._clock_ms(), call_us=_since_us(before_ns), failures=failures)
        register_mj = _ask(failures, "energy", pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        at_ms = self._clock_ms()
        utilization = _ask(failures, "utilization", pynvml.nvmlDeviceGetUtilizationRates, handle)
        memory = _ask(failures, "memory", pynvml.nvmlDeviceGetMemoryInfo, handle)
        seen = self._look_at_processes(handle, index, at_ms, failures) if self._with_processes else None
        busy_ppm = handle.activity.look(handle.nvml, _parts(handle.board), failures) if handle.board else {}
        device = Device(
            index=index,
            at_ms=at_ms,
            uuid=handle.uuid,
            name=handle.name,
            scope=handle.scope,
            register_mj=register_mj,
            power_mw=_ask(failures, "power", pynvml.nvmlDeviceGetPowerUsage, handle),
            limit_mw=_ask(failures, "limit", pynvml.nvmlDeviceGetEnforcedPowerLimit, handle),
            utilization_percent=utilization and utilization.gpu,
            memory_used_bytes=memory and memory.used,
            memory_total_bytes=memory and memory.total,
            driver_latency_us=_driver_latency_us(handle),
            board=handle.board,
            processes=seen,
            busy_ppm=busy_ppm,
            call_us=_since_us(before_ns),
            failures=failures,
        )
        if "gpu-is-lost" in failures.values():
            self._handles.pop(index, None)  # when it is back, it may be another device
        return device

    def _look_at_processes(self, handle: _Handle, index: int, at_ms: int, failures: dict[str, str]) -> Processes:
        if handle.board is None or not 0 <= at_ms - handle.board_read_ms < BOARD_MS:
            handle.board, handle.board_read_ms = processes.board_of(handle.nvml, handle.uuid, index, failures), at_ms
        seen = processes.look(handle.nvml, handle.processes_since_us, failures)
        handle.processes_since_us = seen.until_us
        return seen

    def _open(self, index: int) -> _Handle:
        nvml = pynvml.nvmlDeviceGetHandleByIndex(index)
        handle = _Handle(
            nvml=nvml,
            uuid=str(pynvml.nvmlDeviceGetUUID(nvml)),
            name=str(pynvml.nvmlDeviceGetName(nvml)),
            scope=_scope(nvml),
        )
        self._handles[index] = handle
        return handle


def _parts(board: Board) -> tuple[int | None, ...]:
    return tuple(part.instance for part in board.slices) or (WHOLE,)


def _load(library: Path) -> None:
    try:
        ctypes.CDLL(str(library))  # nvidia-ml-py loads by bare soname and finds what is loaded already
    except OSError as error:
        raise OSError(f"COMMONWEAL_SIMULATED_LIBRARY: {error}; build it with make in its folder") from error


def _ask(failures: dict[str, str], quantity: str, call: Callable[[Any], T], handle: _Handle) -> T | None:
    with failing(failures, quantity):
        return call(handle.nvml)
    return None


def _scope(nvml: Any) -> Scope:  # noqa: ANN401  # NVML's opaque handle; the library publishes no types
    """Tell what the register covers: on Grace Hopper only the module scope answers, and the register counts it all."""
    for scope, code in ((Scope.GPU, pynvml.NVML_POWER_SCOPE_GPU), (Scope.MODULE, pynvml.NVML_POWER_SCOPE_MODULE)):
        try:
            (value,) = pynvml.nvmlDeviceGetFieldValues(nvml, [(pynvml.NVML_FI_DEV_POWER_AVERAGE, code)])
        except pynvml.NVMLError:
            return Scope.GPU  # a driver without this query is older than any module
        if value.nvmlReturn == pynvml.NVML_SUCCESS:
            return scope
    return Scope.GPU


def _driver_latency_us(handle: _Handle) -> int | None:
    try:
        (value,) = pynvml.nvmlDeviceGetFieldValues(handle.nvml, [pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION])
    except pynvml.NVMLError:
        return None
    return int(value.latencyUsec) if value.nvmlReturn == pynvml.NVML_SUCCESS else None


def _since_us(before_ns: int) -> int:
    return (perf_counter_ns() - before_ns) // 1000
