"""The exporter stays under 80 MiB and 2 % of a core at 8 GPUs, 100 pods, 1 Hz, and answers while the driver hangs."""

import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.nvml_exporter.simulated.kubelet import Kubelet
from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
MINUTES = 30  # over which memory must be flat
GPUS, PODS = 8, 100
WARM_S = 20  # imports and first pages are the start's cost, not the work's
HANG_MS = 2000
SCRAPES = 300
SIMULATED = Path(__file__).parents[2] / "infra" / "nvml_exporter" / "simulated"


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """The process, and where it answers."""

    pid: int
    url: str

    def get(self, page: str) -> tuple[float, list[bytes]]:
        """Ask once, as Prometheus does, over a connection of its own; return the seconds it took, and the lines."""
        before = time.perf_counter()
        with urllib.request.urlopen(f"{self.url}/{page}", timeout=10) as answer:  # noqa: S310 - our own address
            body = answer.read()
        return time.perf_counter() - before, body.splitlines()

    def cpu_s(self) -> float:
        """Processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Memory that it holds now, in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**20


def measure(minutes: float = MINUTES) -> list[Measurement]:
    """Scrape once a second for so many minutes, then 300 times while every call into the driver takes 2 s."""
    with tempfile.TemporaryDirectory() as folder, exporter(Path(folder), calm_s=WARM_S + minutes * 60) as it:
        time.sleep(WARM_S)
        memory_mib, (cpu_s, started) = [it.rss_mib()], (it.cpu_s(), time.monotonic())
        series = 0
        while time.monotonic() < started + minutes * 60 - 1:
            series = sum(not line.startswith(b"#") for line in it.get("metrics")[1])
            memory_mib.append(it.rss_mib())
            time.sleep(1 - (time.monotonic() - started) % 1)
        core = (it.cpu_s() - cpu_s) / (time.monotonic() - started)
        time.sleep(HANG_MS / 1000 + 1)
        scrapes, bare = _hung(it)
    note = f"{GPUS} GPUs, {PODS} pods, {series} series, scraped at 1 Hz for {minutes:g} min"
    return [
        Measurement(name="exporter-memory", value=max(memory_mib), unit="MiB", bound=80, note=note),
        Measurement(
            name="exporter-memory-growth", value=memory_mib[-1] - memory_mib[0], unit="MiB", bound=2, note=note
        ),
        Measurement(name="exporter-cpu", value=100 * core, unit="percent-of-a-core", bound=2, note=note),
        Measurement(
            name="exporter-scrape-p99",
            value=_p99_ms(scrapes),
            unit="ms",
            bound=10,
            note=f"{SCRAPES} scrapes while each call into the driver takes {HANG_MS} ms; a page of one line, asked in "
            f"turn with them, p99 {_p99_ms(bare):.1f} ms; load {os.getloadavg()[0]:.1f}",
        ),
    ]


def _hung(it: Exporter) -> tuple[list[float], list[float]]:
    """Seconds of scrapes while the driver hangs, and of a bare page, which is the machine's own noise."""
    scrapes, bare = [], []
    for _ in range(SCRAPES):
        took_s, lines = it.get("metrics")
        scrapes.append(took_s)
        bare.append(it.get("healthz")[0])
        time.sleep(0.02)
    (age,) = [line for line in lines if line.startswith(b"commonweal_gpu_last_sample_age")]
    if float(age.split()[1]) < HANG_MS / 1000:  # a driver that answers would prove nothing
        raise WireError(f"the driver did not hang: {age.decode()}; the simulated library's latency is not in force")
    return scrapes, bare


def _p99_ms(took_s: list[float]) -> float:
    return 1000 * sorted(took_s)[len(took_s) * 99 // 100]


@contextmanager
def exporter(folder: Path, calm_s: float) -> Iterator[Exporter]:
    """The exporter over a simulated node whose driver hangs after so many seconds."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["make", "-s", "-C", str(SIMULATED), f"OUT={library}"], check=True)
    hangs_ms = int((time.clock_gettime(time.CLOCK_BOOTTIME) + calm_s) * 1000)
    (folder / "script").write_text(_script(hangs_ms))
    (folder / "kubelet").mkdir()
    server = _node(folder / "kubelet").start()
    env = os.environ | {
        "COMMONWEAL_STATE_DIR": str(folder / "state"),
        "COMMONWEAL_SIMULATED": "true",
        "COMMONWEAL_SIMULATED_LIBRARY": str(library),
        "COMMONWEAL_METER_HOST": "127.0.0.1",
        "COMMONWEAL_METER_PORT": "0",
        "COMMONWEAL_POD_RESOURCES": str(folder / "kubelet"),
        "COMMONWEAL_PROC": str(folder / "kubelet" / "proc"),
        "COMMONWEAL_POD_LOGS": str(folder / "kubelet" / "logs"),
        "SIMULATED_NVML_SCRIPT": str(folder / "script"),
        "SIMULATED_NVML_SITE": "bar",
    }
    command = [sys.executable, "-m", "infra.nvml_exporter"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline() if process.stderr else ""
        if not said.split() or not said.split()[-1].isdigit():
            raise WireError(f"the exporter did not start: {said.strip()}")
        yield Exporter(pid=process.pid, url=f"http://127.0.0.1:{said.split()[-1]}")
    finally:
        process.kill()  # it would end itself only once the driver answers
        process.wait()
        server.stop(None)


def _script(hangs_ms: int) -> str:
    lines = []
    for gpu in range(GPUS):
        lines += ["gpu", f"power 1000 {300_000 + 1000 * gpu} 300000", "repeat"]
        lines += [f"process {pid} 0 {10**15} {5 + pid % 3}" for pid in range(1 + gpu, 1 + PODS, GPUS)]
        lines.append(f"latency {hangs_ms} {10**15} {HANG_MS}")
    return "\n".join(lines)


def _node(folder: Path) -> Kubelet:
    """A hundred pods, each with a replica of one of eight time-sliced boards and one busy process."""
    kubelet = Kubelet(folder)
    for pid in range(1, 1 + PODS):
        replica = f"nvidia{(pid - 1) % GPUS}/vgpu{pid}"
        kubelet.held[f"lab/pod-{pid}"] = [replica]
        kubelet.allocatable.append(replica)
        kubelet.process(pid, f"lab/pod-{pid}")
    return kubelet
