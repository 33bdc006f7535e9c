"""What runs beside the hub as processes of this machine: the hub operator, the front door, the dashboard.

In production they are pods of the hub's own cluster (infra/sites/hub); the local hub has no node.
"""

import shutil
import sys
from pathlib import Path

from infra.local.machine import REPOSITORY, LocalError, Places
from infra.local.probes import http_ready
from infra.local.supervisor import Process

HEALTH_PORT = 18070
FRONT_DOOR_PORT = 18080
DASHBOARD_PORT = 8501


def hub_operator(places: Places, kubeconfig: Path, address: str) -> Process:
    """The hub operator; pilots are served on `address`."""
    argv = [sys.executable, "-m", "operators.hub", "--kubeconfig", str(kubeconfig)]
    argv += ["--state-dir", str(hub_state(places)), "--health-port", str(HEALTH_PORT), "--front-door-host", address]
    return Process(
        name="hub-operator",
        argv=(*argv, "--front-door-first-port", str(FRONT_DOOR_PORT), "--identity", "hub-operator"),
        log=places.logs / "hub-operator.log",
        ready=http_ready(f"http://127.0.0.1:{HEALTH_PORT}/readyz"),
        listens=(("127.0.0.1", HEALTH_PORT),),
    )


def front_door(places: Places) -> Process:
    """HAProxy in master-worker mode on the configuration that the hub operator renders."""
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        raise LocalError("haproxy is missing; apt-get install haproxy")
    folder = hub_state(places) / "frontdoor"
    return Process(
        name="front-door",
        argv=(haproxy, "-W", "-db", "-f", str(folder / "haproxy.cfg"), "-p", str(folder / "haproxy.pid")),
        log=places.logs / "front-door.log",
        depends_on=("hub-operator",),
    )


def dashboard(places: Places, kubeconfig: Path) -> Process:
    """The dashboard, with the reader's identity."""
    url = f"http://127.0.0.1:{DASHBOARD_PORT}"
    argv = [sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "dashboards" / "app.py")]
    argv += ["--server.port", str(DASHBOARD_PORT), "--server.address", "127.0.0.1", "--server.headless", "true"]
    return Process(
        name="dashboard",
        argv=(*argv, "--browser.gatherUsageStats", "false"),
        env={
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(REPOSITORY),
            "COMMONWEAL_PROBE_FILE": str(probe_file(places)),
        },
        log=places.logs / "dashboard.log",
        ready=http_ready(f"{url}/_stcore/health"),
        listens=(("127.0.0.1", DASHBOARD_PORT),),
    )


def hub_state(places: Places) -> Path:
    """Where the hub operator keeps its log, its ledger and the front door's configuration."""
    return places.state / "hub"


def probe_file(places: Places) -> Path:
    """Where load tests write down what they measured, and the dashboard reads it."""
    return places.state / "measurements.jsonl"
