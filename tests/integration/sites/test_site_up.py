"""A member's site by the real engine into real API servers; no node runs, so no pod is waited for."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commonweal.kinds.member import Engine
from infra.local.control_plane import Cluster, local_clusters
from infra.local.machine import LocalError, run
from infra.sites.args import MemberSiteArgs, SiteError
from infra.sites.provision import Provisioned, decommission, provision
from infra.sites.rbac import APPS, DATA, SYSTEM

REPOSITORY = Path(__file__).parents[3]
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


def test_a_second_up_changes_nothing_even_after_others_touched_what_is_theirs(standing: Site) -> None:
    standing.kubectl("annotate", "deployment/gateway", f"--namespace={DATA}", "example.org/note=looked at")
    standing.kubectl("create", "configmap", "policy-steel", f"--namespace={DATA}")
    again = standing.up()
    assert again.changed == 0
    assert again.outputs["namespaces"] == [SYSTEM, DATA, APPS]
    assert again.outputs["gatewayUrl"] == "https://10.77.0.11:30443"


def test_the_cluster_holds_what_was_asked_for_under_one_owner(standing: Site) -> None:
    quota = standing.get("resourcequota/pledge", f"--namespace={APPS}")
    assert quota["spec"]["hard"] == {"requests.cpu": "2", "requests.memory": "4Gi", "requests.nvidia.com/gpu": "2"}
    gateway = standing.get("deployment/gateway", f"--namespace={DATA}", "--show-managed-fields")
    owners = {item["manager"] for item in gateway["metadata"]["managedFields"] if item["operation"] == "Apply"}
    assert owners == {"commonweal-site"}


def test_the_state_holds_no_secret_in_plain_text(standing: Site) -> None:
    secret = standing.get("secret/hub-invitation", f"--namespace={SYSTEM}")
    assert set(secret["data"]) == {"invitation.json"}
    key = next(line for line in standing.cluster.kubeconfig.read_text().splitlines() if "client-key-data" in line)
    files = [path for path in (standing.state / "sites").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "ca.json" for path in files)
    for path in files:
        text = path.read_bytes()
        assert TOKEN.encode() not in text, path
        assert key.split()[-1].encode() not in text, path


def test_an_invitation_that_is_gone_takes_its_secret_along(standing: Site) -> None:
    standing.invitation.unlink()
    # A flag must name a file that exists, so the run says nothing of it and the configuration is as before.
    again = provision(ARGS, standing.cluster.kubeconfig, state=standing.state, say=standing.told.append)
    assert again.changed == 1
    assert not standing.get("secrets", f"--namespace={SYSTEM}")["items"]
    standing.invite()
    assert standing.up().changed == 1


def test_the_agent_may_do_what_it_needs_and_not_what_it_does_not(standing: Site) -> None:
    agent = f"--as=system:serviceaccount:{SYSTEM}:agent"

    def may(*words: str) -> bool:
        try:
            return standing.kubectl("auth", "can-i", *words, agent).strip() == "yes"
        except LocalError:  # "no" is status 1
            return False

    assert may("create", "deployments.apps", f"--namespace={APPS}")
    assert may("get", "secrets/member-identity", f"--namespace={SYSTEM}")
    assert may("get", "/openid/v1/jwks")
    assert not may("list", "secrets", f"--namespace={SYSTEM}")
    assert not may("get", "secrets/gateway-tls", f"--namespace={DATA}")
    assert not may("create", "rolebindings", f"--namespace={APPS}")
    assert not may("create", "deployments.apps", "--namespace=default")


def test_a_kubeconfig_of_another_cluster_is_refused_and_never_acted_on(
    standing: Site, clusters: Mapping[str, Cluster]
) -> None:
    other = Site(clusters["kr"], standing.binary, standing.state)
    with pytest.raises(SiteError, match=r"leads to cluster .* and the site of ca stands on"):
        provision(ARGS, other.cluster.kubeconfig, state=standing.state)
    assert other.remains() == set()
    configured = (standing.state / "sites" / "ca" / "work" / "Pulumi.ca.yaml").read_text()
    assert str(standing.cluster.kubeconfig) in configured
    assert standing.up().changed == 0


def test_a_moved_kubeconfig_replaces_nothing(standing: Site, tmp_path: Path) -> None:
    before = standing.get(f"namespace/{SYSTEM}")["metadata"]["uid"]
    moved = tmp_path / "moved.yaml"
    moved.write_text(standing.cluster.kubeconfig.read_text())
    done = provision(ARGS, moved, state=standing.state, say=standing.told.append)
    assert done.changed == 1  # the provider's own record of where the file is
    assert standing.get(f"namespace/{SYSTEM}")["metadata"]["uid"] == before
    standing.up()


def test_destroy_leaves_nothing_in_the_cluster_and_no_state(site: Site) -> None:
    site.up()
    site.destroy()
    assert site.remains() == set()
    assert not (site.state / "sites" / "ca").exists()


def test_destroy_keeps_data_on_a_claim_and_a_new_up_finds_it(site: Site) -> None:
    site.up(ON_CLAIM)
    claim = site.get("persistentvolumeclaim/commonweal-data", f"--namespace={DATA}")["metadata"]["uid"]
    site.destroy()
    assert site.remains() == {f"namespace/{DATA}"}
    assert any("holds the member's data" in line for line in site.told)
    site.up(ON_CLAIM)
    again = site.get("persistentvolumeclaim/commonweal-data", f"--namespace={DATA}")
    assert again["metadata"]["uid"] == claim


def test_a_run_that_was_killed_is_completed_by_the_next(site: Site) -> None:
    command = [sys.executable, "-m", "infra.sites", "up", "--member", "ca", "--state", str(site.state)]
    flags = ["--kubeconfig", str(site.cluster.kubeconfig), "--invitation", str(site.invitation)]
    flags += ["--display-name", "Canada", "--country", "CA", "--image", ARGS.image, "--node-address", "10.77.0.11"]
    flags += ["--engine", "duckdb", "--pledge-cpu-millis", "2000", "--pledge-memory-mib", "4096", "--pledge-gpus", "2"]
    flags += ["--simulated-gpus", "2", "--data-host-path", "/srv/data", "--wait-for-pods", "false"]
    with subprocess.Popen(
        [*command, *flags], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert any("create Namespace" in line for line in process.stderr)
        os.kill(process.pid, signal.SIGKILL)  # only the leader: its children live on, and the lock stays
        process.stderr.close()
    site.up()
    assert any("the last run was killed" in line for line in site.told)
    assert site.up().changed == 0
    site.destroy()
    assert site.remains() == set()


def test_too_little_time_ends_the_run_and_the_next_completes_it(site: Site) -> None:
    with pytest.raises(SiteError, match="up of ca was not done within 1 s; run it again"):
        provision(ARGS, site.cluster.kubeconfig, invitation=site.invitation, state=site.state, timeout_s=1)
    site.up()
    assert site.up().changed == 0
