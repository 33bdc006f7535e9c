"""Control planes: one etcd with a prefix per cluster; an API server, controllers and a scheduler for each.

etcd listens on a Unix socket that only its owner may open; it has no port that anyone else could reach.
"""

import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.local import engines, pki
from infra.local.machine import LocalError, Places, Say, cache_dir, run
from infra.local.probes import http_ready
from infra.local.supervisor import Process, Supervisor
from infra.local.topology import LOOPBACK, ClusterPlace, Topology, on_loopback

KUBELET_CLIENT = "commonweal:kubelet-client"
READY_WITHIN_S = 120.0  # two busy cores that start four clusters at once; a quiet one takes 4

# What a consortium needs and no more: each controller costs memory and watches in every cluster.
CONTROLLERS = (
    "certificatesigningrequest-approving-controller",  # kubelets' own requests only; ours are the hub operator's
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running cluster, for callers: who it is, where it is and how to speak to it."""

    name: str
    server: str
    kubeconfig: Path
    hub_operator_kubeconfig: Path
    reader_kubeconfig: Path
    ca: Path
    issuer: str


@dataclass(frozen=True, kw_only=True)
class ControlPlanes:
    """All control planes of a topology: their files, their processes."""

    places: Places
    topology: Topology
    binaries: Path

    def prepare(self, now: datetime) -> dict[str, Cluster]:
        """Write keys, certificates and kubeconfig files that do not exist yet, and describe the clusters."""
        return {place.name: self._prepare_cluster(place, now) for place in self.topology.clusters}

    def processes(self) -> list[Process]:
        """etcd, and three processes a cluster."""
        per_cluster = [
            process
            for place in self.topology.clusters
            for process in (self._api_server(place), self._controllers(place), self._scheduler(place))
        ]
        return [self._etcd(), *per_cluster]

    def authority(self, name: str) -> pki.Authority:
        """The certificate authority of one cluster."""
        return pki.Authority(self.places.state / "pki" / name)

    def binary(self, name: str) -> str:
        """The path of an engine."""
        return str(self.binaries / name)

    @property
    def _etcd_socket(self) -> Path:
        return self.places.run / "etcd.sock"

    def _prepare_cluster(self, place: ClusterPlace, now: datetime) -> Cluster:
        authority = self.authority(place.name)
        authority.ensure(f"commonweal-{place.name}", now)
        pki.ensure_token_keys(authority.folder)
        in_cluster = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", place.service_address]
        authority.serving("control-plane", ["localhost", LOOPBACK, place.address, *in_cluster], now)
        authority.client(KUBELET_CLIENT, [], now)
        component = authority.folder
        self._kubeconfig(place, component / "controllers.yaml", "system:kube-controller-manager", [], now)
        self._kubeconfig(place, component / "scheduler.yaml", "system:kube-scheduler", [], now)
        configs = self.places.kubeconfigs
        admin = configs / f"{place.name}.yaml"
        operator, reader = configs / f"{place.name}-hub-operator.yaml", configs / f"{place.name}-reader.yaml"
        self._kubeconfig(place, admin, "commonweal:administrator", ["system:masters"], now)
        self._kubeconfig(place, operator, "commonweal:hub-operator", [], now)
        self._kubeconfig(place, reader, "commonweal:reader", [], now)
        return Cluster(
            name=place.name,
            server=place.server,
            kubeconfig=admin,
            hub_operator_kubeconfig=operator,
            reader_kubeconfig=reader,
            ca=authority.pair.certificate,
            issuer=place.issuer,
        )

    def _kubeconfig(self, place: ClusterPlace, path: Path, user: str, groups: Sequence[str], now: datetime) -> None:
        authority = self.authority(place.name)
        pair = authority.client(user, groups, now)
        ca = authority.pair.certificate
        pki.write_kubeconfig(path, cluster=place.name, server=place.server, ca=ca, user=user, pair=pair)

    def _etcd(self) -> Process:
        return Process(
            name="etcd",
            argv=(
                self.binary("etcd"),
                f"--data-dir={self.places.state / 'etcd'}",
                f"--listen-client-urls=unix://{self._etcd_socket}",
                f"--advertise-client-urls=unix://{self._etcd_socket}",
                f"--listen-peer-urls=unix://{self._etcd_socket}.peer",
                f"--initial-advertise-peer-urls=unix://{self._etcd_socket}.peer",
                f"--initial-cluster=default=unix://{self._etcd_socket}.peer",
                "--unsafe-no-fsync",  # a demonstration: a power cut may lose it, a killed process may not
                "--auto-compaction-mode=periodic",
                "--auto-compaction-retention=10m",
                "--quota-backend-bytes=4294967296",
                "--log-level=warn",
            ),
            log=self.places.logs / "etcd.log",
            ready=http_ready("http://localhost/health", unix_socket=self._etcd_socket),
        )

    def _api_server(self, place: ClusterPlace) -> Process:
        folder = self.authority(place.name).folder
        kubelet = self.authority(place.name).folder / KUBELET_CLIENT.replace(":", "_")
        # An Endpoint may not be a loopback address, so there the reconciler has nothing that it may write.
        reconciler = "none" if place.address == LOOPBACK else "lease"
        return Process(
            name=f"{place.name}-api-server",
            argv=(
                self.binary("kube-apiserver"),
                f"--etcd-servers=unix://{self._etcd_socket}",
                f"--etcd-prefix=/{place.name}",
                f"--bind-address={place.address}",
                f"--advertise-address={place.address}",
                f"--secure-port={place.api_port}",
                f"--endpoint-reconciler-type={reconciler}",
                f"--service-cluster-ip-range={place.service_range}",
                f"--tls-cert-file={folder}/control-plane-serving.crt",
                f"--tls-private-key-file={folder}/control-plane-serving.key",
                f"--client-ca-file={folder}/ca.crt",
                f"--service-account-issuer={place.issuer}",
                f"--service-account-key-file={folder}/service-accounts.pub",
                f"--service-account-signing-key-file={folder}/service-accounts.key",
                f"--api-audiences={place.issuer}",
                f"--kubelet-certificate-authority={folder}/ca.crt",
                f"--kubelet-client-certificate={kubelet}.crt",
                f"--kubelet-client-key={kubelet}.key",
                "--kubelet-preferred-address-types=InternalIP",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                "--profiling=false",
                "--default-watch-cache-size=20",
                "--max-requests-inflight=200",
                "--max-mutating-requests-inflight=100",
                "--event-ttl=30m",
            ),
            env={"GOMEMLIMIT": "1500MiB"},
            log=self.places.logs / f"{place.name}-api-server.log",
            depends_on=("etcd",),
            ready=http_ready(f"{place.server}/readyz", ca=folder / "ca.crt"),
            ready_within_s=READY_WITHIN_S,
            listens=((place.address, place.api_port),),
        )

    def _controllers(self, place: ClusterPlace) -> Process:
        folder = self.authority(place.name).folder
        return self._client_process(
            place,
            "controllers",
            "kube-controller-manager",
            place.controllers_port,
            (
                f"--controllers={','.join(CONTROLLERS)}",
                "--use-service-account-credentials=true",
                f"--root-ca-file={folder}/ca.crt",
                f"--service-account-private-key-file={folder}/service-accounts.key",
                f"--cluster-signing-cert-file={folder}/ca.crt",
                f"--cluster-signing-key-file={folder}/ca.key",
                "--node-monitor-grace-period=40s",
                "--kube-api-qps=50",
                "--kube-api-burst=100",
            ),
        )

    def _scheduler(self, place: ClusterPlace) -> Process:
        return self._client_process(place, "scheduler", "kube-scheduler", place.scheduler_port, ())

    def _client_process(
        self, place: ClusterPlace, role: str, program: str, port: int, arguments: tuple[str, ...]
    ) -> Process:
        folder = self.authority(place.name).folder
        config = folder / f"{role}.yaml"
        return Process(
            name=f"{place.name}-{role}",
            argv=(
                self.binary(program),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics",
                f"--bind-address={place.address}",
                f"--secure-port={port}",
                f"--tls-cert-file={folder}/control-plane-serving.crt",
                f"--tls-private-key-file={folder}/control-plane-serving.key",
                "--leader-elect=false",
                "--profiling=false",
                *arguments,
            ),
            env={"GOGC": "50"},
            log=self.places.logs / f"{place.name}-{role}.log",
            depends_on=(f"{place.name}-api-server",),
            ready=http_ready(f"https://{place.address}:{port}/healthz", ca=folder / "ca.crt"),
            ready_within_s=READY_WITHIN_S,
            listens=((place.address, port),),
        )


def bind_kubelet_client(kubectl: str, kubeconfig: Path) -> None:
    """Let the API server's client certificate reach kubelets: logs, exec and port-forward need it."""
    manifest = (
        '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding",'
        '"metadata":{"name":"commonweal:kubelet-client"},'
        '"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"system:kubelet-api-admin"},'
        f'"subjects":[{{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"{KUBELET_CLIENT}"}}]}}'
    )
    apply = ["apply", "--server-side", "--field-manager=commonweal-local", "--filename=-"]
    run([kubectl, f"--kubeconfig={kubeconfig}", *apply], stdin=manifest)


def free_ports(count: int) -> list[int]:
    """TCP ports of loopback that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def local_clusters(
    names: Sequence[str], *, nodes: bool = False, state_dir: Path, say: Say = lambda _: None
) -> Iterator[dict[str, Cluster]]:
    """Real etcd and API servers on free ports of loopback while the block runs; for tests and drills.

    With `nodes=False` no privilege is needed and many may run side by side. Whole members with nodes are one a machine:
    `python -m infra.local up`.

    Raises:
        LocalError: An engine cannot be built or does not start; or `nodes` is asked for.
    """
    if nodes:
        raise LocalError("nodes need the bridge of this machine; run `python -m infra.local up` for them")
    # Not below state_dir: a Unix socket's path may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="commonweal-") as run_dir:
        places = Places(state=state_dir, run=Path(run_dir), cache=cache_dir())
        topology = on_loopback(names, free_ports(3 * len(names)))
        with running(places, topology, say) as clusters:
            yield clusters


@contextmanager
def running(places: Places, topology: Topology, say: Say) -> Iterator[dict[str, Cluster]]:
    """Start the control planes of a topology, and stop them when the block ends, whatever happened in it."""
    binaries = engines.build(engines.kubernetes(), places.cache).parent
    planes = ControlPlanes(places=places, topology=topology, binaries=binaries)
    clusters = planes.prepare(datetime.now(UTC))
    supervisor = Supervisor(places.run)
    try:
        supervisor.start(planes.processes(), say)
        yield clusters
    finally:
        supervisor.stop_everything(grace_s=0)  # the state is the caller's to delete


def link_tools(binaries: Path, places: Places) -> Path:
    """Put kubectl into `<state>/bin` and return that folder, for a PATH."""
    folder = places.state / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / ".kubectl"
    draft.unlink(missing_ok=True)
    draft.symlink_to(binaries / "kubectl")
    os.replace(draft, folder / "kubectl")
    return folder
