"""`python -m infra.nvml_exporter`: meters this node's GPUs until it is told to stop."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from infra.nvml_exporter.driver import Driver
from infra.nvml_exporter.files import named_files, read_files
from infra.nvml_exporter.host import look
from infra.nvml_exporter.pods import Pods
from infra.nvml_exporter.register import Rule
from infra.nvml_exporter.sampler import Sampler
from infra.nvml_exporter.server import Pages, serve
from infra.nvml_exporter.store import Store

SIMULATED_LIBRARY = Path(__file__).parent / "simulated" / "libnvidia-ml.so.1"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # changes with every boot, also seen from a pod
MAX_GAP_MS = 10_000
SETTINGS = """Settings, all from the environment (docs/metering.md says more):
  COMMONWEAL_STATE_DIR      required: the directory that keeps readings over restarts
  COMMONWEAL_PERIOD_S       length of an accounting period in seconds (3600)
  COMMONWEAL_METER_HOST     where it answers (every address)
  COMMONWEAL_METER_PORT     and on which port (9400)
  COMMONWEAL_SAMPLE_MS      time between samples in milliseconds (1000)
  COMMONWEAL_POD_RESOURCES  the kubelet's pod-resources folder: energy by pod too (by device only)
  COMMONWEAL_POD_LOGS       the folders that name the node's pods (/var/log/pods)
  COMMONWEAL_PROC           the node's process table (/proc)
  COMMONWEAL_ENERGY_FILES   meters around the devices, as NODE-name=/path, counting microjoules (none)
  COMMONWEAL_SYS            where the kernel's RAPL and hwmon are (/sys)
  COMMONWEAL_SIMULATED      true loads the simulated driver (false)"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says."""

    state_dir: Path
    library: Path | None
    host: str
    port: int
    period_s: int
    sample_ms: int
    pod_resources: Path | None
    proc: Path
    pod_logs: Path
    energy_files: dict[str, Path]
    sys: Path

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Settings":
        """Read COMMONWEAL_* variables.

        Raises:
            ValueError: names the variable and what it takes.
        """
        if not (state_dir := env.get("COMMONWEAL_STATE_DIR")):
            raise ValueError("COMMONWEAL_STATE_DIR: not set; name the directory that keeps readings over restarts")
        simulated = env.get("COMMONWEAL_SIMULATED", "false")
        if simulated not in ("true", "false"):
            raise ValueError(f"COMMONWEAL_SIMULATED: {simulated!r} is neither true nor false")
        library = Path(env.get("COMMONWEAL_SIMULATED_LIBRARY", SIMULATED_LIBRARY)) if simulated == "true" else None
        return cls(
            state_dir=Path(state_dir),
            library=library,
            host=env.get("COMMONWEAL_METER_HOST", ""),
            port=_whole(env, "COMMONWEAL_METER_PORT", 9400, range(65_536)),
            period_s=_whole(env, "COMMONWEAL_PERIOD_S", 3600, range(15, 86_401)),
            sample_ms=_whole(env, "COMMONWEAL_SAMPLE_MS", 1000, range(100, 5001)),
            pod_resources=Path(folder) if (folder := env.get("COMMONWEAL_POD_RESOURCES")) else None,
            proc=Path(env.get("COMMONWEAL_PROC", "/proc")),
            pod_logs=Path(env.get("COMMONWEAL_POD_LOGS", "/var/log/pods")),
            energy_files=named_files(env.get("COMMONWEAL_ENERGY_FILES", "")),
            sys=Path(env.get("COMMONWEAL_SYS", "/sys")),
        )

    def pods(self) -> Pods | None:
        """Open the kubelet's account of the node's pods, where one is named; without it energy is by device only.

        Raises:
            OSError: the named folder is not there.
        """
        if self.pod_resources is None:
            return None
        return Pods(self.pod_resources, proc=self.proc, pod_logs=self.pod_logs)


def _whole(env: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) in allowed):
        raise ValueError(f"{name}: {text!r} is not a whole number from {allowed.start} to {allowed.stop - 1}")
    return int(text)


def clock_of(env: Mapping[str, str]) -> Callable[[], int]:
    """Return the clock in UTC milliseconds; a simulation driven by a file has its time from the same file."""
    if path := env.get("SIMULATED_NVML_CLOCK"):
        return lambda: int(Path(path).read_text())
    return lambda: time.time_ns() // 1_000_000


def main() -> int:
    """Run until SIGTERM or SIGINT; return 2 for settings that cannot work."""
    argparse.ArgumentParser(
        prog="python -m infra.nvml_exporter",
        description=__doc__,
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        settings = Settings.read(os.environ)
        clock_ms = clock_of(os.environ)
        store = Store(settings.state_dir)
        pods = settings.pods()
        driver = Driver(clock_ms, settings.library, with_processes=pods is not None)
        rule = Rule(period_ms=settings.period_s * 1000, max_gap_ms=MAX_GAP_MS)
        around = partial(read_files, settings.energy_files, clock_ms)
        host = partial(look, settings.sys, BOOT_ID.read_text().strip())
        sampler = Sampler(driver=driver, store=store, rule=rule, pods=pods, around=around, host=host)
        pages = Pages(store=store, snapshot=lambda: sampler.snapshot, clock_ms=clock_ms, period_s=settings.period_s)
        server = serve(pages, settings.host, settings.port)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"nvml_exporter: {error}\n")
        return 2
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sys.stderr.write(f"nvml_exporter: periods of {settings.period_s} s, answering on port {server.server_port}\n")
    Thread(target=server.serve_forever, name="http", daemon=True).start()
    sampler.run(every_s=settings.sample_ms / 1000, stop=stop, monotonic_s=time.monotonic)
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
