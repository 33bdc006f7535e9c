"""One node a member: namespaces of its own, and in them containerd, a kubelet and kube-proxy.

Two steps, each harmless to repeat: `make` gives the node its files, namespaces, groups and link; its processes then
start in it. All mounts, sockets and processes of a node live in its namespaces, so the end of its first process ends
them all, however they were started and whatever else was killed before.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from infra.local import cgroups, network, pki
from infra.local.control_plane import ControlPlanes
from infra.local.machine import LocalError, Places
from infra.local.probes import file_ready, http_ready, socket_ready
from infra.local.supervisor import Process, Supervisor
from infra.local.topology import ClusterPlace, NodePlace

CNI_PLUGINS = "/usr/lib/cni"
# Fixed in containerd and in the kubelet, whose sockets would meet; folders of the node's own are mounted over them.
FIXED_FOLDERS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))
PAUSE_REFERENCE = "registry.k8s.io/pause:3.10"
SOCKET_NAME = "containerd.sock"
NODE_INIT = Path(__file__).with_name("node_init.sh")


@dataclass(frozen=True, kw_only=True)
class Node:
    """The node of one member."""

    planes: ControlPlanes
    place: ClusterPlace
    init: Path

    @property
    def name(self) -> str:
        """The member's name; its node has the same."""
        return self.place.name

    @property
    def where(self) -> NodePlace:
        """The node's addresses."""
        if self.place.node is None:
            raise LocalError(f"cluster {self.place.name} has no node; ask for one of the members")
        return self.place.node

    @property
    def places(self) -> Places:
        """Where the consortium's files lie."""
        return self.planes.places

    @property
    def state(self) -> Path:
        """Files of the node that survive a restart: images, volumes, logs of pods."""
        return self.places.state / "nodes" / self.name

    @property
    def run(self) -> Path:
        """Sockets of the node; short, as a Unix socket's path may have 107 bytes only."""
        return self.places.run / self.name

    @property
    def socket(self) -> Path:
        """Where containerd listens; valid inside and outside of the node's namespaces."""
        return self.run / SOCKET_NAME

    def make(self, supervisor: Supervisor, now: datetime) -> None:
        """Give the node its files, groups, namespaces and link."""
        for name in ("cni", "cni-cache", "containerd", "kubelet", "kubelet-fixed", "log", "plugins", "volume-plugins"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        (self.run / "fresh").mkdir(parents=True, exist_ok=True)
        for folder in FIXED_FOLDERS:
            folder.mkdir(exist_ok=True)
        cgroups.create(self.name)
        self._write_identities(now)
        (self.state / "containerd.toml").write_text(to_toml(containerd_settings(self.state, self.run)))
        (self.state / "cni" / "10-pods.conflist").write_text(json.dumps(cni_settings(self.where)))
        (self.state / "kubelet.yaml").write_text(yaml.safe_dump(kubelet_settings(self)))
        if supervisor.pid_of(self.namespaces().name) is None:
            (self.run / "made").unlink(missing_ok=True)
        supervisor.start([self.namespaces()])
        network.ensure_node_link(self.place, self.where, self.planes.topology, self._first_process(supervisor))

    def namespaces(self) -> Process:
        """The process that holds the node's namespaces."""
        unshare = "unshare --mount --net --pid --uts --ipc --fork --kill-child --mount-proc --propagation private --"
        return Process(
            name=f"{self.name}-node",
            argv=(*unshare.split(), str(NODE_INIT), *map(str, (self.places.run, self.state, self.run, self.init))),
            log=self._log("node"),
            ready=file_ready(self.run / "made"),
            grace_s=2,
        )

    def processes(self, supervisor: Supervisor) -> list[Process]:
        """containerd, the kubelet and kube-proxy, to be started in the node's namespaces."""

        def enter() -> tuple[str, ...]:
            target = f"--target={self._first_process(supervisor)}"
            return ("nsenter", target, "--mount", "--net", "--pid", "--uts", "--ipc", "--")

        containerd = Process(
            name=f"{self.name}-containerd",
            argv=("containerd", f"--config={self.state / 'containerd.toml'}"),
            log=self._log("containerd"),
            ready=socket_ready(self.socket),
            wrapper=enter,
        )
        kubelet = Process(
            name=f"{self.name}-kubelet",
            argv=(
                self.planes.binary("kubelet"),
                f"--config={self.state / 'kubelet.yaml'}",
                f"--kubeconfig={self.state / 'kubelet-client.yaml'}",
                f"--root-dir={self.state / 'kubelet'}",
                f"--hostname-override={self.name}",
                f"--node-ip={self.where.address}",
            ),
            env={"GOGC": "50"},
            log=self._log("kubelet"),
            depends_on=(containerd.name,),
            ready=http_ready(f"http://{self.where.address}:10248/healthz"),
            wrapper=enter,
        )
        proxy = Process(
            name=f"{self.name}-proxy",
            argv=(
                self.planes.binary("kube-proxy"),
                f"--kubeconfig={self.state / 'proxy-client.yaml'}",
                f"--hostname-override={self.name}",
                "--proxy-mode=nftables",
                f"--cluster-cidr={self.where.pod_range}",
                f"--healthz-bind-address={self.where.address}:10256",
                "--metrics-bind-address=127.0.0.1:10249",
                "--nodeport-addresses=primary",
                # The machine's connection tracking is not ours to size.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0s",
                "--conntrack-tcp-timeout-close-wait=0s",
            ),
            env={"GOGC": "50"},
            log=self._log("proxy"),
            depends_on=(kubelet.name,),  # it waits for its Node, which the kubelet registers
            ready=http_ready(f"http://{self.where.address}:10256/livez"),
            wrapper=enter,
        )
        return [containerd, kubelet, proxy]

    def _log(self, role: str) -> Path:
        return self.places.logs / f"{self.name}-{role}.log"

    def _first_process(self, supervisor: Supervisor) -> int:
        """The first process of the node's process namespace, by its number outside."""
        holder = supervisor.pid_of(self.namespaces().name)
        children = Path(f"/proc/{holder}/task/{holder}/children")
        if holder is None or not (listed := children.read_text().split()):
            raise LocalError(f"the namespaces of node {self.name} are gone; run `python -m infra.local up` again")
        return int(listed[0])

    def _write_identities(self, now: datetime) -> None:
        authority = self.planes.authority(self.name)
        ca = authority.pair.certificate
        authority.serving("kubelet", [self.name, self.where.address], now)
        users = {
            "kubelet-client": (f"system:node:{self.name}", ["system:nodes"]),
            "proxy-client": ("system:kube-proxy", []),
        }
        for file, (user, groups) in users.items():
            pair = authority.client(user, groups, now)
            path = self.state / f"{file}.yaml"
            pki.write_kubeconfig(path, cluster=self.name, server=self.place.server, ca=ca, user=user, pair=pair)


def containerd_settings(state: Path, run: Path) -> dict[str, object]:
    """The configuration of containerd 1.6 and later, version 2; images in `state`, sockets in `run`."""
    runc = {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": False}}
    return {
        "version": 2,
        "root": str(state / "containerd"),
        "state": str(run / "containerd"),
        # Without CAP_SYS_RESOURCE no score may be lowered; containers keep ours.
        "oom_score": 0,
        "grpc": {"address": str(run / SOCKET_NAME)},
        "ttrpc": {"address": f"{run / SOCKET_NAME}.ttrpc"},
        "plugins": {
            "io.containerd.grpc.v1.cri": {
                "sandbox_image": PAUSE_REFERENCE,
                "restrict_oom_score_adj": True,
                "cni": {"bin_dir": CNI_PLUGINS, "conf_dir": str(state / "cni")},
                "containerd": {
                    "snapshotter": "overlayfs",
                    "default_runtime_name": "runc",
                    "runtimes": {"runc": runc},
                },
            },
            "io.containerd.internal.v1.opt": {"path": str(state / "plugins")},
        },
    }


def cni_settings(where: NodePlace) -> dict[str, object]:
    """Pods on a bridge inside the node, routed and not translated; host ports are not offered, NodePorts are."""
    ranges = [[{"subnet": where.pod_range, "gateway": where.pod_gateway}]]
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-ipam"},
    }
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def kubelet_settings(node: Node) -> dict[str, object]:
    """The configuration of the kubelet: no swap rules, no DNS, its group below ours, its certificates ours."""
    pki_folder = node.planes.authority(node.name).folder
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki_folder}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki_folder}/kubelet-serving.crt",
        "tlsPrivateKeyFile": f"{pki_folder}/kubelet-serving.key",
        "address": node.where.address,
        "healthzBindAddress": node.where.address,
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.ROOT}/{node.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDNS": [],
        "resolvConf": "",
        "podLogsDir": str(node.state / "pod-logs"),
        "volumePluginDir": str(node.state / "volume-plugins"),
        "maxPods": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,  # there is no registry to fetch an image from again
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "10s",
    }


def to_toml(settings: dict[str, object], prefix: str = "") -> str:
    """Nested mappings of strings, numbers and switches as TOML."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for name, value in settings.items():
        if isinstance(value, dict):
            title = f"{prefix}{json.dumps(name)}"
            lines += [f"[{title}]", to_toml(value, f"{title}.")]
    return "\n".join(lines)
