"""The operator writes at 70 % of a bare client's rate, at 1.5 ms of CPU a reconcile, in under 300 MB.

Both write one status to each of 5,000 DataGrants of one API server, 16 at a time, in turn. The client runs before and
after the operator, because an API server slows down as the history of its watch cache fills: the mean of the two is its
rate while the operator ran. The grants ask an unknown trust, so that a reconcile is one observation and one patch.
"""

import asyncio
import base64
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from infra.local import engines
from infra.local.control_plane import free_ports, local_clusters
from loadtests.bars import Measurement
from loadtests.wire import GROUP, Kubectl, WireError

NEEDS_DEMO = False
OBJECTS = 5000
CONCURRENCY = 16
LIMIT_S = 300
PATH = f"{GROUP}/datagrants"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
COUNT = re.compile(r'^commonweal_reconcile_seconds_count\{controller="datagrants?"\} (\S+)$', re.MULTILINE)

Call = Callable[[aiohttp.ClientSession, str, int], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the operator used while it reconciled `count` objects in `seconds`."""

    count: int
    seconds: float
    cpu_s: float
    peak_rss_mb: float


def measure() -> list[Measurement]:
    """Rate, CPU and memory of the hub operator beside a bare client."""
    binary = engines.build(engines.kubernetes()).parent / "kubectl"
    with tempfile.TemporaryDirectory() as folder, local_clusters(["ch"], state_dir=Path(folder)) as clusters:
        kubectl = Kubectl(binary=binary, kubeconfig=clusters["ch"].kubeconfig)
        _set_up(kubectl)
        asyncio.run(_bare(kubectl, _create))
        before_s = asyncio.run(_bare(kubectl, _write))
        usage = _operator(kubectl, Path(folder))
        after_s = asyncio.run(_bare(kubectl, _write))
    rate, bare_rate = usage.count / usage.seconds, 2 * OBJECTS / (before_s + after_s)
    load = os.getloadavg()[0]
    note = f"{rate:.0f}/s against {bare_rate:.0f}/s, load {load:.1f}"
    return [
        Measurement(name="reconcile-rate", value=rate / bare_rate, unit="of-bare", bound=0.7, at_most=False, note=note),
        Measurement(name="reconcile-cpu", value=1000 * usage.cpu_s / usage.count, unit="ms", bound=1.5),
        Measurement(name="reconcile-rss", value=usage.peak_rss_mb, unit="MB", bound=300),
    ]


def _set_up(kubectl: Kubectl) -> None:
    command = [str(Path(sys.executable).with_name("commonweal")), "setup"]
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WireError(f"commonweal setup: {done.stderr.strip()}")
    kubectl("apply", "--server-side", "-f", str(Path(__file__).parents[2] / "examples" / "10-charter.yaml"))


def _session(kubectl: Kubectl) -> tuple[str, ssl.SSLContext]:
    config = kubectl.json("config", "view", "--raw")
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    decoded = {name: base64.b64decode(value) for name, value in (user | cluster).items() if name.endswith("-data")}
    context = ssl.create_default_context(cadata=decoded["certificate-authority-data"].decode())
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(decoded["client-certificate-data"] + b"\n" + decoded["client-key-data"])
        pair.flush()
        context.load_cert_chain(pair.name)
    return cluster["server"], context


def _grant(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "commonweal.dev/v1alpha1",
        "kind": "DataGrant",
        "metadata": {"name": f"bar-{number:05d}"},
        "spec": {
            "trust": "none-such",
            "beneficiary": {"pilotApp": "bar"},
            "purpose": "public-statistics",
            "datasets": ["rows"],
            "expiresAt": "2030-01-01T00:00:00Z",
        },
    }


async def _create(session: aiohttp.ClientSession, server: str, number: int) -> None:
    async with session.post(f"{server}{PATH}", json=_grant(number)) as answer:
        answer.raise_for_status()


async def _write(session: aiohttp.ClientSession, server: str, number: int) -> None:
    message = "DataTrust none-such does not exist"
    condition = {"type": "Ready", "status": "Unknown", "reason": "Bare", "message": message, "observedGeneration": 1}
    body = {"status": {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{server}{PATH}/bar-{number:05d}/status"
    async with session.patch(path, data=json.dumps(body), headers=headers) as answer:
        await answer.json()
        answer.raise_for_status()


async def _bare(kubectl: Kubectl, call: Call) -> float:
    """Call once an object; returns the seconds it took."""
    server, context = _session(kubectl)
    numbers = iter(range(OBJECTS))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=CONCURRENCY)) as session:

        async def worker() -> None:
            for number in numbers:
                await call(session, server, number)

        started = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
        return time.monotonic() - started


@contextmanager
def _running(kubectl: Kubectl, folder: Path, port: int) -> Iterator[int]:
    command = [sys.executable, "-m", "operators.hub", "--kubeconfig", str(kubectl.kubeconfig)]
    command += ["--state-dir", str(folder / "hub"), "--health-port", str(port), "--log-level", "WARNING"]
    with (folder / "operator.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


def _operator(kubectl: Kubectl, folder: Path) -> Usage:
    """From the first reconcile that is seen to the last; start-up is not counted."""
    [port] = free_ports(1)
    deadline = time.monotonic() + LIMIT_S
    first: tuple[int, float, float] | None = None
    with _running(kubectl, folder, port) as pid:
        while time.monotonic() < deadline:
            count = _reconciled(port)
            now, cpu_s = time.monotonic(), _cpu_s(pid)
            if first is None and count:
                first = (count, now, cpu_s)
            if first is not None and count >= OBJECTS:
                return Usage(
                    count=count - first[0], seconds=now - first[1], cpu_s=cpu_s - first[2], peak_rss_mb=_peak_mb(pid)
                )
            time.sleep(0.2)
    raise WireError(f"the operator did not reconcile {OBJECTS} grants in {LIMIT_S} s: see {folder / 'operator.log'}")


def _reconciled(port: int) -> int:
    """Asked in plain HTTP: a client that loads its certificates for each call would take a third of a core."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except OSError:
        return 0
    finally:
        connection.close()
    found = COUNT.search(text)
    return int(float(found.group(1))) if found else 0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise WireError(f"/proc/{pid}/status states no VmHWM")
    return int(found.group(1)) / 1024
