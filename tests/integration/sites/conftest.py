"""A member's site by the real engine into real API servers, and what a person does to it; no node runs."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commonweal.kinds.member import Engine
from infra.local.control_plane import Cluster, local_clusters
from infra.local.machine import REPOSITORY, run
from infra.sites.args import MemberSiteArgs
from infra.sites.provision import Provisioned, decommission, provision, run_verb, site_flags
from tests.unit.site_policy.examples import FACTS

TOKEN = "the-invitation-token"
# The site that the examples of the rules are judged on, so that one site serves for all.
PLEDGE, OVERHEAD = FACTS.pledge, FACTS.overhead
assert PLEDGE is not None
assert OVERHEAD is not None
ARGS = MemberSiteArgs(
    member="ca",
    display_name="Canada",
    country="CA",
    image="localhost/commonweal/site:abc",
    node_address="10.77.0.11",
    engine=Engine.DUCKDB,
    pledge_cpu_millis=PLEDGE.cpu_millis,
    pledge_memory_mib=PLEDGE.memory_mib,
    pledge_gpus=PLEDGE.gpus,
    simulated_gpus=2,
    data_host_path="/srv/data",
    wait_for_pods=False,
    grid_zone=FACTS.grid_zones[0],
    allowed_countries=FACTS.countries,
    allowed_grid_zones=FACTS.grid_zones,
    allowed_images=FACTS.image_sources,
    overhead_cpu_millis=OVERHEAD.cpu_millis,
    overhead_memory_mib=OVERHEAD.memory_mib,
)
ON_CLAIM = replace(ARGS, data_host_path=None, data_claim_mib=64)


class Site:
    """One member's site: its cluster, its state folder, and what a person would do to them."""

    def __init__(self, cluster: Cluster, kubectl: Path, state: Path) -> None:
        self.cluster, self.binary, self.state = cluster, kubectl, state
        self.invitation = state / "invitation.json"
        self.invite()
        self.told: list[str] = []

    def invite(self) -> None:
        self.invitation.write_text(json.dumps({"token": TOKEN}))

    def up(self, args: MemberSiteArgs = ARGS) -> Provisioned:
        return provision(
            args, self.cluster.kubeconfig, invitation=self.invitation, state=self.state, say=self.told.append
        )

    def destroy(self) -> Provisioned:
        return decommission("ca", state=self.state, say=self.told.append)

    def do(self, verb: str, *flags: str) -> Provisioned:
        return run_verb(verb, "ca", list(flags), state=self.state, timeout_s=300, say=self.told.append)

    def flags(self, args: MemberSiteArgs = ARGS) -> list[str]:
        return site_flags(args, self.cluster.kubeconfig, self.invitation)

    def kubectl(self, *words: str) -> str:
        return run([self.binary, f"--kubeconfig={self.cluster.kubeconfig}", *words])

    def get(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "--output=json", *words))
        return found

    def remains(self) -> set[str]:
        """What of ours is left in the cluster."""
        kinds = "namespaces,clusterroles,clusterrolebindings,persistentvolumes"
        found = self.kubectl("get", kinds, "--output=name", "--selector=app.kubernetes.io/managed-by=commonweal")
        return set(found.split())


def kill_once_it_says(said: str, command: Sequence[str]) -> None:
    """Start a run and kill its leader alone once it says this: its children live on, and the lock stays."""
    with subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert any(said in line for line in process.stderr)
        os.kill(process.pid, signal.SIGKILL)
        process.stderr.close()


@pytest.fixture(scope="package")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Cluster]]:
    """The cluster of the site that stands, and one that is nobody's."""
    with local_clusters(["ca", "other"], state_dir=tmp_path_factory.mktemp("clusters")) as found:
        yield found


@pytest.fixture(scope="package")
def standing(clusters: Mapping[str, Cluster], kubectl_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that stands; tests that use it leave it as it was."""
    made = Site(clusters["ca"], kubectl_binary, tmp_path_factory.mktemp("standing"))
    assert made.up().changed > 20
    return made


@pytest.fixture
def site(kubectl_binary: Path, tmp_path: Path) -> Iterator[Site]:
    """A site to be made and broken, in a cluster of its own: to start one is quicker than to empty one."""
    with local_clusters(["kr"], state_dir=tmp_path / "cluster") as found:
        yield Site(found["kr"], kubectl_binary, tmp_path)
