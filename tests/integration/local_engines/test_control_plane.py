"""Real control planes: who is who, one etcd for all, and what a crash leaves."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from infra.local import engines
from infra.local.control_plane import Cluster, ControlPlanes, free_ports, local_clusters
from infra.local.machine import LocalError, Places, cache_dir
from infra.local.processes import all_pids, identify
from infra.local.supervisor import Supervisor
from infra.local.topology import on_loopback


@dataclass(frozen=True)
class Running:
    planes: ControlPlanes
    supervisor: Supervisor
    clusters: dict[str, Cluster]

    def kubectl(self, kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [self.planes.binary("kubectl"), f"--kubeconfig={kubeconfig}", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two clusters, with their supervisor in the test's hands."""
    with TemporaryDirectory(prefix="commonweal-") as run_dir:
        places = Places(state=tmp_path_factory.mktemp("planes"), run=Path(run_dir), cache=cache_dir())
        topology = on_loopback(["ch", "ca"], free_ports(6))
        binaries = engines.build(engines.kubernetes()).parent
        planes = ControlPlanes(places=places, topology=topology, binaries=binaries)
        clusters = planes.prepare(datetime.now(UTC))
        supervisor = Supervisor(places.run)
        try:
            supervisor.start(planes.processes())
            yield Running(planes, supervisor, clusters)
        finally:
            supervisor.stop_everything(grace_s=0)


def test_each_kubeconfig_is_who_it_says(running: Running) -> None:
    cluster = running.clusters["ch"]
    who = {
        path: json.loads(running.kubectl(path, "auth", "whoami", "--output=json").stdout)["status"]["userInfo"]
        for path in (cluster.kubeconfig, cluster.hub_operator_kubeconfig, cluster.reader_kubeconfig)
    }
    assert "system:masters" in who[cluster.kubeconfig]["groups"]
    assert who[cluster.hub_operator_kubeconfig]["username"] == "commonweal:hub-operator"
    assert who[cluster.reader_kubeconfig]["groups"] == ["system:authenticated"]


def test_nobody_but_the_administrator_may_do_anything_yet(running: Running) -> None:
    cluster = running.clusters["ch"]
    for path in (cluster.hub_operator_kubeconfig, cluster.reader_kubeconfig):
        assert "forbidden" in running.kubectl(path, "get", "namespaces").stderr.lower()


def test_clusters_on_one_etcd_see_nothing_of_each_other(running: Running) -> None:
    hub, member = running.clusters["ch"].kubeconfig, running.clusters["ca"].kubeconfig
    assert running.kubectl(hub, "create", "namespace", "only-here").returncode == 0
    assert "NotFound" in running.kubectl(member, "get", "namespace", "only-here").stderr


def test_a_cluster_refuses_the_administrator_of_another(running: Running) -> None:
    server = running.clusters["ca"].server
    stranger = ("--insecure-skip-tls-verify", f"--server={server}", "get", "namespaces")
    assert running.kubectl(running.clusters["ch"].kubeconfig, *stranger).returncode != 0


def test_tokens_name_the_cluster_that_made_them(running: Running) -> None:
    for name, cluster in running.clusters.items():
        found = json.loads(running.kubectl(cluster.kubeconfig, "get", "--raw=/.well-known/openid-configuration").stdout)
        assert found["issuer"] == f"https://kubernetes.{name}.commonweal.local" == cluster.issuer


def test_a_namespace_gets_its_account_and_its_root_certificate(running: Running) -> None:
    hub = running.clusters["ch"].kubeconfig
    running.kubectl(hub, "create", "namespace", "fresh")
    wait = running.kubectl(
        hub, "--namespace=fresh", "wait", "--for=create", "configmap/kube-root-ca.crt", "--timeout=30s"
    )
    assert wait.returncode == 0, wait.stderr
    wait = running.kubectl(hub, "--namespace=fresh", "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    assert wait.returncode == 0, wait.stderr


def test_a_killed_etcd_and_api_server_come_back_with_their_data(running: Running) -> None:
    hub = running.clusters["ch"].kubeconfig
    running.kubectl(hub, "create", "configmap", "kept", "--from-literal=a=b")
    for name in ("etcd", "ch-api-server"):
        pid = running.supervisor.pid_of(name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    running.supervisor.start(running.planes.processes())
    assert running.kubectl(hub, "get", "configmap", "kept").returncode == 0


def test_a_second_start_changes_nothing(running: Running) -> None:
    before = running.supervisor.states(running.planes.processes())
    running.planes.prepare(datetime.now(UTC))
    running.supervisor.start(running.planes.processes())
    assert running.supervisor.states(running.planes.processes()) == before


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it ended since it was listed
        return ""


def test_nothing_runs_after_the_block_even_if_it_fails(tmp_path: Path) -> None:
    block = ExitStack()
    block.enter_context(local_clusters(["ch"], state_dir=tmp_path))
    pids = [pid for pid in all_pids() if str(tmp_path) in command_line(pid)]
    failure = RuntimeError("in the block")
    assert not block.__exit__(RuntimeError, failure, None)
    assert len(pids) == 4
    assert [identify(pid) for pid in pids] == [None] * 4


def test_nodes_are_refused_where_they_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"infra\.local up"), local_clusters(["ch"], nodes=True, state_dir=tmp_path):
        pass
