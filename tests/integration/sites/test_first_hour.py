"""The page docs/first-hour.md, run as it stands; only the kubelet is played here, for no node runs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local.control_plane import Cluster, free_ports, local_clusters
from infra.local.machine import run
from infra.local.podless import as_process
from infra.local.probes import http_ready
from infra.local.supervisor import Process, Supervisor
from infra.sites.rbac import SYSTEM

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "first-hour.md"
BLOCKS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAKES_THE_AGENT = "infra.sites up --member ca --kubeconfig"
NO_NODE = " --wait-for-pods false"


@dataclass(frozen=True)
class Desk:
    """Where the page is typed: a folder with both kubeconfigs, and a person's environment."""

    folder: Path
    kubectl: Path
    supervisor: Supervisor

    def environment(self) -> dict[str, str]:
        programs = [str(Path(sys.executable).parent), str(self.kubectl.parent), os.environ["PATH"]]
        return {
            **os.environ,
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": str(REPOSITORY),
            "COMMONWEAL_STATE": str(self.folder / "state"),
        }

    def type(self, block: str) -> str:
        command = block.rstrip() + (NO_NODE if MAKES_THE_AGENT in block else "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if MAKES_THE_AGENT in block:
            self.supervisor.start_one(as_process(self.kubectl, self.folder / "ca.yaml", SYSTEM, "agent", self.folder))
        return done.stdout


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Mapping[str, Cluster]]:
    with local_clusters(["ch", "ca"], state_dir=tmp_path / "clusters") as found:
        yield found


@pytest.fixture
def desk(clusters: Mapping[str, Cluster], kubectl_binary: Path, tmp_path: Path) -> Iterator[Desk]:
    for name, file in (("ch", "hub.yaml"), ("ca", "ca.yaml")):
        (tmp_path / file).write_text(clusters[name].kubeconfig.read_text())
    (tmp_path / "run").mkdir()
    made = Desk(tmp_path, kubectl_binary, Supervisor(tmp_path / "run"))
    made.type("commonweal --kubeconfig hub.yaml setup")
    made.type(f"kubectl --kubeconfig hub.yaml apply --server-side -f {REPOSITORY / 'examples' / '10-charter.yaml'}")
    health, front_door = free_ports(2)
    operator = ("-m", "operators.hub", "--kubeconfig", str(clusters["ch"].hub_operator_kubeconfig))
    ports = (f"--health-port={health}", f"--front-door-first-port={front_door}")
    process = Process(
        name="hub-operator",
        argv=(sys.executable, *operator, "--state-dir", str(tmp_path / "hub"), *ports),
        log=tmp_path / "hub-operator.log",
        env={"PYTHONPATH": str(REPOSITORY)},
        ready=http_ready(f"http://127.0.0.1:{health}/readyz"),
    )
    try:
        made.supervisor.start_one(process)
        yield made
    finally:
        made.supervisor.stop_everything()


def test_every_command_of_the_page_does_what_the_page_says(desk: Desk) -> None:
    blocks = BLOCKS.findall(PAGE.read_text())
    said = "".join(desk.type(block) for block in blocks)
    assert sum(MAKES_THE_AGENT in block for block in blocks) == 1
    assert "member.commonweal.dev/ca condition met" in said
    assert '"changed": 1' in said  # the Secret of the spent invitation
    left = run([desk.kubectl, f"--kubeconfig={desk.folder / 'ca.yaml'}", "get", "namespaces", "--output=name"])
    assert "commonweal" not in left
    assert not (desk.folder / "state" / "sites" / "ca").exists()


def test_no_command_of_the_page_is_outside_a_block_that_the_test_runs() -> None:
    fences = re.findall(r"^```(\S*)$", PAGE.read_text(), re.MULTILINE)
    assert fences == ["sh", ""] * len(BLOCKS.findall(PAGE.read_text()))
