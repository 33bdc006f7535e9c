"""The load gate against a real server on loopback: a stall of two seconds fails it, and without one it passes."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dashboards import probes

ROOT = Path(__file__).parents[3]
STALL_S = 2.0
RUN_S = 6.0
RATE_PER_S = 25.0


class Server(ThreadingHTTPServer):
    """Every request passes one lock; the one numbered `stall_at` keeps it for two seconds."""

    def __init__(self, stall_at: int | None) -> None:
        super().__init__(("127.0.0.1", 0), Office)
        self.stall_at = stall_at
        self.requests = 0
        self.lock = threading.Lock()

    def pass_one(self) -> None:
        """Let one request through."""
        with self.lock:
            self.requests += 1
            if self.requests == self.stall_at:
                time.sleep(STALL_S)


class Office(BaseHTTPRequestHandler):
    """Answers like the trade API."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer()

    def answer(self) -> None:
        self.server.pass_one()
        body = json.dumps({"tonnes_counted": "1"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(stall_at: int | None = None) -> Iterator[str]:
    with Server(stall_at) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run_profile(address: str, service_class: Path, *more: str) -> subprocess.CompletedProcess[str]:
    profile = ["-m", "locust", "-f", "loadtests/trade/profile.py", "--headless", "--users", "1", "--host", address]
    load = ["--arrivals-per-s", str(RATE_PER_S), "--seconds", str(RUN_S), "--service-class", str(service_class)]
    return subprocess.run(
        [sys.executable, *profile, *load, *more], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def service_class(tmp_path: Path) -> Path:
    """A promise that a shared test machine keeps easily, and a stall of two seconds cannot."""
    path = tmp_path / "class.json"
    path.write_text(json.dumps({"availability_bp": 9900, "latency_p95_ms": 1000, "error_share_bp": 100}))
    return path


def verdict(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    line = next(line for line in run.stderr.splitlines() if "loadtests.trade: gate " in line)
    judged: dict[str, int] = json.loads(line.split("gate ", 1)[1])
    return judged


def test_a_server_that_keeps_up_passes_the_gate(service_class: Path) -> None:
    with serving() as address:
        run = run_profile(address, service_class)
    assert run.returncode == 0, run.stderr
    assert verdict(run)["offered"] == verdict(run)["availability"] == 10_000


def test_a_stall_of_two_seconds_fails_the_gate(service_class: Path) -> None:
    with serving(stall_at=int(RATE_PER_S)) as address:
        run = run_profile(address, service_class)
    assert run.returncode == 1, run.stderr
    assert verdict(run)["latency_p95"] > 1000
    assert verdict(run)["availability"] == 10_000


def test_a_server_that_is_not_there_fails_the_gate(service_class: Path) -> None:
    run = run_profile("http://127.0.0.1:9", service_class)
    assert run.returncode == 1, run.stderr
    assert verdict(run)["availability"] == 0


def test_a_gate_that_cannot_be_read_stops_the_run_before_any_load(tmp_path: Path) -> None:
    run = run_profile("http://127.0.0.1:9", tmp_path / "missing.yaml")
    assert run.returncode == 2, run.stderr
    assert "--service-class" in run.stderr


def test_what_was_measured_is_appended_for_the_dashboard(tmp_path: Path) -> None:
    file, pilot = tmp_path / "measurements.jsonl", ROOT / "examples" / "50-trade-pilot.yaml"
    asked = ("--pilot", str(pilot), "--probe-file", str(file))
    with serving() as address:
        run = run_profile(address, ROOT / "examples" / "10-charter.yaml", *asked)
    assert run.returncode in {0, 1}, run.stderr
    seen = probes.read(file)
    assert seen.problems == ()
    [line] = seen.measurements
    assert (line.pilot_app, line.unavailable_ms) == ("trade", 0)


def test_a_measurement_without_its_pilot_stops_the_run_before_any_load(service_class: Path, tmp_path: Path) -> None:
    run = run_profile("http://127.0.0.1:9", service_class, "--probe-file", str(tmp_path / "file"))
    assert run.returncode == 2, run.stderr
    assert "--probe-file needs --pilot" in run.stderr
