"""A member's site by the real engine into real API servers, and what a person does to it; no node runs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commonweal.kinds.member import Engine
from infra.local.control_plane import Cluster, local_clusters
from infra.local.machine import run
from infra.sites.args import MemberSiteArgs
from infra.sites.provision import Provisioned, decommission, provision, run_verb, site_flags
from infra.sites.rbac import DATA

TOKEN = "the-invitation-token"
ARGS = MemberSiteArgs(
    member="ca",
    display_name="Canada",
    country="CA",
    image="localhost/commonweal/site:abc",
    node_address="10.77.0.11",
    engine=Engine.DUCKDB,
    pledge_cpu_millis=2000,
    pledge_memory_mib=4096,
    pledge_gpus=2,
    simulated_gpus=2,
    data_host_path="/srv/data",
    wait_for_pods=False,
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

    def give_up_data(self) -> None:
        """What a member does who wants no data back; no controller here lifts a claim's protection."""
        if f"namespace/{DATA}" in self.remains():
            claim = ("persistentvolumeclaim/commonweal-data", f"--namespace={DATA}")
            self.kubectl("patch", *claim, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
            self.kubectl("delete", f"namespace/{DATA}", "--timeout=30s")

    def remains(self) -> set[str]:
        """What of ours is left in the cluster."""
        kinds = "namespaces,clusterroles,clusterrolebindings,persistentvolumes"
        found = self.kubectl("get", kinds, "--output=name", "--selector=app.kubernetes.io/managed-by=commonweal")
        return set(found.split())


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Cluster]]:
    with local_clusters(["ca", "kr"], state_dir=tmp_path_factory.mktemp("clusters")) as found:
        yield found


@pytest.fixture(scope="module")
def standing(
    clusters: Mapping[str, Cluster], kubectl_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site that stands; tests that use it leave it as it was."""
    made = Site(clusters["ca"], kubectl_binary, tmp_path_factory.mktemp("standing"))
    assert made.up().changed > 20
    yield made
    made.destroy()


@pytest.fixture
def site(clusters: Mapping[str, Cluster], kubectl_binary: Path, tmp_path: Path) -> Iterator[Site]:
    """A site to be made and broken."""
    made = Site(clusters["kr"], kubectl_binary, tmp_path)
    yield made
    made.destroy()
    made.give_up_data()
