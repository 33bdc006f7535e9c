"""Dashboards to look at: one started here over a small hub, and the one that the demo runs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.conftest import Demo
from tests.e2e.dashboards.fake_hub import Hub, serve_hub
from tests.e2e.dashboards.fake_pilot import serve_pilot
from tests.unit.dashboards.objects import consortium

ROOT = Path(__file__).parents[3]
CHROMIUM = os.environ.get("COMMONWEAL_CHROMIUM", "/usr/bin/chromium")
# Without these Chromium asks hosts of its maker.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 60


@dataclass(frozen=True)
class Started:
    """A dashboard of our own, and the hub behind it."""

    url: str
    hub: Hub


# Module scope, because the demo looks for left-over processes when the session ends.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("dashboard")
    with (
        serve_pilot() as address,
        serve_hub(consortium(periods=20, address=address), folder) as hub,
        _streamlit(hub.kubeconfig, folder) as url,
    ):
        yield Started(url=url, hub=hub)


@pytest.fixture(scope="module", params=["started", "running"])
def dashboard_url(request: pytest.FixtureRequest) -> str:
    """Return the dashboard started here, then the one that the demo runs."""
    if request.param == "started":
        own: Started = request.getfixturevalue("started")
        return own.url
    demo: Demo = request.getfixturevalue("demo")
    return demo.dashboard


@contextmanager
def _streamlit(kubeconfig: Path, folder: Path) -> Iterator[str]:
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", "dashboards/app.py", "--server.port", str(port)]
    with (folder / "streamlit.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--", "--kubeconfig", str(kubeconfig)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield _ready(f"http://127.0.0.1:{port}", process, folder / "streamlit.log")
        finally:
            process.terminate()
            process.wait(timeout=10)


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/_stcore/health", trust_env=False).is_success:
                return url
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"{url}: did not get ready in {START_SECONDS} s; it said:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
