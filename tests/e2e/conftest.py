"""The demo, brought up once for all end-to-end tests, and taken down without a trace after the last."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtests.machine import differences, snapshot

ROOT = Path(__file__).parents[2]
STATE = Path(os.environ.get("COMMONWEAL_STATE", "/var/lib/commonweal"))
DASHBOARD = "http://127.0.0.1:8501"
Done = subprocess.CompletedProcess[str]
LIMIT_S = 2400  # cold: engines and images are built


@dataclass(frozen=True)
class Demo:
    """The running demo as its people reach it: kubectl, the CLI, the dashboard; `said` is what `up` printed."""

    said: str
    dashboard: str = DASHBOARD

    def kubectl(
        self, *arguments: str, cluster: str = "ch", stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [str(STATE / "bin" / "kubectl"), "--kubeconfig", str(STATE / "kubeconfig" / f"{cluster}.yaml")]
        return subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, check=False)

    def get(self, *arguments: str, cluster: str = "ch") -> dict[str, Any]:
        done = self.kubectl("get", *arguments, "-o", "json", cluster=cluster)
        assert done.returncode == 0, done.stderr
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    def commonweal(self, *arguments: str) -> Done:
        command = [str(Path(sys.executable).with_name("commonweal")), *arguments]
        environment = {**os.environ, "KUBECONFIG": str(STATE / "kubeconfig" / "ch.yaml")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run(verb: str) -> str:
    command = [sys.executable, "-m", "infra.demo", verb]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, f"demo {verb}: {done.stderr[-2000:]}"
    return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test that asks for the demo the time to build it; pytest hands us the items of every folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    run("down")
    before = snapshot()
    yield Demo(said=run("up"))
    run("down")
    assert differences(before, snapshot()) == []
