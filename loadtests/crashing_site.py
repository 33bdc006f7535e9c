"""A metered site whose exporter and agent are killed while they work: real processes, sockets, files, an API server.

Time is a file that runs faster than the clock on the wall, and a site that is down can be left down for minutes of it.
"""

import asyncio
import contextlib
import http.client
import multiprocessing
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from threading import Event, Thread

import aiohttp

from infra.local.control_plane import free_ports
from infra.nvml_exporter.__main__ import main as exporter_main
from infra.nvml_exporter.simulated.kubelet import Kubelet
from operators.agent.meters import MeterReporter
from operators.agent.settings import Settings
from operators.agent.vault import Vault
from operators.kube import Kube, KubeError

MEMBER = "kr"
SPEED = 20  # seconds of the site in one of the wall
TICK_S = 0.005
WATTS = (300, 500)  # of each board, constant, so that every period's joules are known
PERIOD_S = 60
SAMPLE_MS = 100
MAX_GAP_S = 10  # documented: over a longer gap a device does not count as seen
SIMULATED = Path(__file__).parents[1] / "infra" / "nvml_exporter" / "simulated"
WHOLE = "commonweal_gpu_energy_metered_joules_total"
PARTS = (
    "commonweal_pod_gpu_energy_joules_total",
    "commonweal_gpu_energy_departed_joules_total",
    "commonweal_gpu_energy_unattributed_joules_total",
)
# hw_energy repeats the register without an epoch, so that a reset of the driver is a reset of the counter.
LINE = re.compile(r"^(commonweal_\w+_total(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


class Clock(Thread):
    """The site's time in UTC milliseconds, in a file that is replaced and so never half written."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self._ended = path, Event()
        self.begin_ms = time.time_ns() // 1_000_000 // (PERIOD_S * 1000) * PERIOD_S * 1000
        self._offset_ms, self._wall_s = self.begin_ms, time.monotonic()
        self._write()

    def now_ms(self) -> int:
        """What the file says, or will at the next tick."""
        return self._offset_ms + int((time.monotonic() - self._wall_s) * 1000 * SPEED)

    def jump(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._offset_ms += int(seconds * 1000)
        self._write()

    def run(self) -> None:
        """Tick until told to stop."""
        while not self._ended.wait(TICK_S):
            self._write()

    def stop(self) -> None:
        """Stand still."""
        self._ended.set()
        self.join()

    def _write(self) -> None:
        fresh = self.path.with_suffix(f".{time.monotonic_ns()}")
        fresh.write_text(str(self.now_ms()))
        fresh.replace(self.path)


@dataclass(eq=False)
class Victim:
    """A process that starts from a server that has imported everything, because five hundred starts must be quick."""

    target: Callable[..., None]
    arguments: tuple[object, ...]
    process: BaseProcess | None = None

    def start(self) -> None:
        """Start it anew."""
        context = multiprocessing.get_context("forkserver")
        self.process = context.Process(target=self.target, args=self.arguments, daemon=True)
        self.process.start()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.join()


@dataclass(eq=False)
class Scraper(Thread):
    """Reads every counter as often as it can; what it saw is judged as it comes."""

    url: str
    stop: Event = field(default_factory=Event)
    last: dict[str, int] = field(default_factory=dict)
    scrapes: int = 0
    falls: list[str] = field(default_factory=list)
    unbalanced_mj: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Scrape until told to stop; a site that is down is not asked twice in a hurry."""
        while not self.stop.wait(0.01):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.take(get(f"{self.url}/metrics"))

    def take(self, page: str) -> None:
        """Compare a page with those before it."""
        seen = {name: round(float(value) * 1000) for name, value in LINE.findall(page)}
        if not seen:
            return
        self.scrapes += 1
        self.falls += [f"{name} {self.last[name]} {mj}" for name, mj in seen.items() if mj < self.last.get(name, 0)]
        self.last |= seen
        parts = sum(mj for name, mj in seen.items() if name.startswith(PARTS))
        whole = sum(mj for name, mj in seen.items() if name.startswith(WHOLE))
        self.unbalanced_mj = max(self.unbalanced_mj, abs(whole - parts))


def get(url: str) -> str:
    """One GET over a connection of its own."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
        body: bytes = answer.read()
        return body.decode()


@dataclass(eq=False)
class Site:
    """The running site, and the spans in which its exporter was down for longer than a meter bridges."""

    url: str
    clock: Clock
    kubelet: Kubelet
    exporter: Victim
    agent: Victim
    scraper: Scraper
    outages: list[tuple[int, int]] = field(default_factory=list)

    def drill(self, kills: int, random: Random) -> int:
        """Kill the exporter so many times at random instants, and the agent beside it; return the agent's deaths."""
        agent_dies_s, agent_kills = time.monotonic() + random.uniform(0, 1), 0
        for count in range(kills):
            if count % 25 == 0:
                self.kubelet.held = {"lab/a": ["nvidia0/vgpu1"], f"lab/job-{count}": ["nvidia1"]}
            dies_s = time.monotonic() + random.uniform(0, 0.5)
            while agent_dies_s < dies_s:
                time.sleep(max(0.0, agent_dies_s - time.monotonic()))
                self.agent.kill()
                self.agent.start()
                agent_kills += 1
                agent_dies_s = time.monotonic() + random.uniform(0.02, 1)
            time.sleep(max(0.0, dies_s - time.monotonic()))
            self.exporter.kill()
            self._stay_down(random.choice((0, 0, 0, 0, 2, 8, 15, 45, 200)))
            self.exporter.start()
        return agent_kills

    def _stay_down(self, seconds: int) -> None:
        down_ms = self.clock.now_ms()
        self.clock.jump(seconds)
        if seconds > MAX_GAP_S:
            self.outages.append((down_ms, down_ms + seconds * 1000))


@contextlib.contextmanager
def crashing_site(folder: Path, kubeconfig: Path) -> Iterator[Site]:
    """Two boards, three pods' worth of reservations, an exporter and an agent that reports to an API server."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["make", "-s", "-C", str(SIMULATED), f"OUT={library}"], check=True)
    clock = Clock(folder / "clock")
    (folder / "script").write_text(_script(clock.begin_ms))
    (folder / "kubelet").mkdir()
    kubelet = Kubelet(folder / "kubelet")
    kubelet.allocatable = ["nvidia0/vgpu1", "nvidia0/vgpu2", "nvidia1"]
    kubelet.process(1, "lab/a")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    exporter = Victim(run_exporter, (_environment(folder, library, port), str(folder / "exporter.log")))
    agent = Victim(run_agent, (str(kubeconfig), url, str(folder / "agent.log")))
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    site = Site(url, clock, kubelet, exporter, agent, Scraper(url))
    server = kubelet.start()
    clock.start()
    exporter.start()
    agent.start()
    site.scraper.start()
    try:
        yield site
    finally:
        site.scraper.stop.set()
        site.scraper.join()
        agent.kill()
        exporter.kill()
        clock.stop()
        server.stop(None)


def _script(begin_ms: int) -> str:
    """The second board's driver is reloaded every ten minutes."""
    resets = "\n".join(f"reset {begin_ms + 600_000 * number}" for number in range(1, 17))
    first, second = (f"gpu\npower 1000 {1000 * watts} {1000 * watts}" for watts in WATTS)
    return f"{first}\nprocess 1 0 {10**15} 40\n{second}\n{resets}\n"


def _environment(folder: Path, library: Path, port: int) -> dict[str, str]:
    return {
        "COMMONWEAL_STATE_DIR": str(folder / "state"),
        "COMMONWEAL_PERIOD_S": str(PERIOD_S),
        "COMMONWEAL_SAMPLE_MS": str(SAMPLE_MS),
        "COMMONWEAL_SIMULATED": "true",
        "COMMONWEAL_SIMULATED_LIBRARY": str(library),
        "COMMONWEAL_METER_HOST": "127.0.0.1",
        "COMMONWEAL_METER_PORT": str(port),
        "COMMONWEAL_POD_RESOURCES": str(folder / "kubelet"),
        "COMMONWEAL_PROC": str(folder / "kubelet" / "proc"),
        "COMMONWEAL_POD_LOGS": str(folder / "kubelet" / "logs"),
        "SIMULATED_NVML_SCRIPT": str(folder / "script"),
        "SIMULATED_NVML_CLOCK": str(folder / "clock"),
        "SIMULATED_NVML_SITE": MEMBER,
    }


def run_exporter(environment: dict[str, str], log: str) -> None:
    """Be `python -m infra.nvml_exporter`."""
    _log_to(log)
    os.environ.update(environment)
    sys.argv = ["nvml_exporter"]
    sys.exit(exporter_main())


def run_agent(kubeconfig: str, url: str, log: str) -> None:
    """Be the part of the agent that signs readings, on a cluster that is the member's and the hub's."""
    _log_to(log)
    asyncio.run(_report(kubeconfig, url))


async def _report(kubeconfig: str, url: str) -> None:
    settings = Settings(
        member=MEMBER, display_name="Korea", country="KR", node_address="127.0.0.1", exporter_url=url, health_port=0
    )
    async with await Kube.from_kubeconfig(kubeconfig) as kube, aiohttp.ClientSession() as http:
        vault = Vault(kube=kube)
        reporter = MeterReporter(
            settings=settings,
            identity=await vault.identity(),
            vault=vault,
            member_kube=kube,
            hub=kube,
            leads=lambda: True,
        )
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, KubeError):
                await reporter.poll(http)
            await asyncio.sleep(0.02)


def _log_to(path: str) -> None:
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
