"""A node's network with a site's NetworkPolicies on it: pods on a bridge, an address outside, a real API server.

`python -m tests.integration.sites.walls` runs in a network namespace of its own, so that this machine's rules are not
touched and all of it ends with the one process. It prints, as JSON, which flows passed before the policies' controller
started, and which once it had.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.local.control_plane import local_clusters
from infra.local.engines import build, kubernetes, network_policy
from infra.local.machine import LocalError, run
from infra.local.supervisor import Process, Supervisor, tail
from infra.sites.manifests import site_manifests
from tests.integration.sites.conftest import ARGS

NODE = "ca"
POD = Path(__file__).with_name("pod.py")
GATEWAY_OF_PODS, WORLD_GATEWAY = "10.88.0.1", "10.99.0.1"
WORLD = "world"
LABEL = "app.kubernetes.io/name"
IN_FORCE_S = 60.0


@dataclass(frozen=True)
class Place:
    """Where a pod stands: its namespace (None is outside the cluster), labels, address and ports."""

    namespace: str | None
    labels: Mapping[str, str]
    address: str
    ports: tuple[int, ...]


PLACES: Mapping[str, Place] = {
    "agent": Place("commonweal-system", {LABEL: "agent"}, "10.88.0.11", (8080,)),
    "exporter": Place("commonweal-system", {LABEL: "exporter"}, "10.88.0.12", (9400, 8081)),
    "gateway": Place("commonweal-data", {LABEL: "gateway"}, "10.88.0.13", (8443, 8080)),
    "pilot": Place("commonweal-apps", {"commonweal.dev/pilot": "trade"}, "10.88.0.14", (8000,)),
    "lodger": Place("commonweal-apps", {LABEL: "lodger"}, "10.88.0.15", (8000,)),
    "neighbour": Place("default", {LABEL: "neighbour"}, "10.88.0.16", (8000,)),
    WORLD: Place(None, {}, "10.99.0.2", (53, 80, 443, 6443, 30443, 32768)),
}
Flow = tuple[str, str, int]


class Pods:
    """The pods of `PLACES`, each a process in a network namespace of its own, joined by a bridge and a route."""

    def __init__(self, stack: ExitStack) -> None:
        for link, address in (("pods", GATEWAY_OF_PODS), (WORLD, WORLD_GATEWAY)):
            run(["ip", "link", "add", link, "type", "bridge"])
            run(["ip", "address", "add", f"{address}/24", "dev", link])
            run(["ip", "link", "set", link, "up"])
        for name, value in (("ipv4/ip_forward", "1"), ("bridge/bridge-nf-call-iptables", "1")):
            Path(f"/proc/sys/net/{name}").write_text(value)
        self.processes = {name: stack.enter_context(self._start(name, place)) for name, place in PLACES.items()}

    @contextmanager
    def _start(self, name: str, place: Place) -> Iterator["subprocess.Popen[str]"]:
        argv = ["unshare", "--net", "--", sys.executable, str(POD), *map(str, place.ports)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "listening\n"
                self._join(name, place, process.pid)
                yield process
            finally:
                process.kill()

    def _join(self, name: str, place: Place, pid: int) -> None:
        bridge, gateway = ("pods", GATEWAY_OF_PODS) if place.namespace else (WORLD, WORLD_GATEWAY)
        run(["ip", "link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        run(["ip", "link", "set", f"v-{name}", "master", bridge, "up"])
        inside = ["nsenter", f"--target={pid}", "--net", "ip"]
        run([*inside, "address", "add", f"{place.address}/24", "dev", "eth0"])
        run([*inside, "link", "set", "eth0", "up"])
        run([*inside, "route", "add", "default", "via", gateway])

    def passes(self, flow: Flow) -> bool:
        """Whether one pod reaches another on a port."""
        source, target, port = flow
        process = self.processes[source]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{PLACES[target].address} {port}\n")
        process.stdin.flush()
        return process.stdout.readline() == "open\n"


def declare(kubectl: Sequence[str | Path]) -> None:
    """The node, its pods with their addresses, and the site's NetworkPolicies, as the API server knows them."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    policies = [body for body in site_manifests(ARGS) if body["kind"] == "NetworkPolicy"]
    spaces = sorted({place.namespace for place in PLACES.values() if place.namespace} - {"default"})
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}} for space in spaces]
    apply = [*kubectl, "apply", "--server-side", "--filename=-"]
    run(apply, stdin=yaml.safe_dump_all([node, *namespaces, *policies]))
    patch_status(kubectl, "node", NODE, {"addresses": [{"type": "InternalIP", "address": GATEWAY_OF_PODS}]})
    for space in [*spaces, "default"]:
        run([*kubectl, "wait", "--for=create", "serviceaccount/default", f"--namespace={space}", "--timeout=30s"])
    inside = {name: place for name, place in PLACES.items() if place.namespace}
    run(apply, stdin=yaml.safe_dump_all([pod_of(name, place) for name, place in inside.items()]))
    for name, place in inside.items():
        running = {"phase": "Running", "podIP": place.address, "podIPs": [{"ip": place.address}]}
        patch_status(kubectl, "pod", name, running, f"--namespace={place.namespace}")


def pod_of(name: str, place: Place) -> dict[str, object]:
    """A pod that a kubelet would run on the node."""
    spec = {"nodeName": NODE, "containers": [{"name": "main", "image": "localhost/nothing:1"}]}
    metadata = {"name": name, "namespace": place.namespace, "labels": dict(place.labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def patch_status(kubectl: Sequence[str | Path], kind: str, name: str, status: Mapping[str, object], *more: str) -> None:
    patch = json.dumps({"status": status})
    run([*kubectl, "patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}", *more])


def verdicts(flows: Sequence[Flow], shut: Flow, folder: Path) -> dict[str, list[bool]]:
    """Which of `flows` pass, before and after; the policies are in force once the flow `shut` no longer does.

    Raises:
        LocalError: They never came into force.
    """
    run(["ip", "link", "set", "lo", "up"])
    with ExitStack() as stack:
        pods = Pods(stack)
        cluster = stack.enter_context(local_clusters([NODE], state_dir=folder / "clusters"))[NODE]
        declare([build(kubernetes()).parent / "kubectl", f"--kubeconfig={cluster.kubeconfig}"])
        before = [pods.passes(flow) for flow in flows]
        supervisor = Supervisor(folder)
        stack.callback(supervisor.stop_everything)
        argv = (str(build(network_policy())), f"--kubeconfig={cluster.kubeconfig}", f"--node={NODE}")
        process = Process(name="network-policy", argv=argv, log=folder / "network-policy.log")
        supervisor.start_one(process)
        deadline = time.monotonic() + IN_FORCE_S
        while pods.passes(shut):
            if time.monotonic() > deadline:
                raise LocalError(f"no policy is in force after {IN_FORCE_S:.0f} s: {tail(process.log)}")
            time.sleep(0.2)
        return {"before": before, "after": [pods.passes(flow) for flow in flows]}


def main() -> None:
    flows = [(source, target, int(port)) for source, target, port in json.load(sys.stdin)]
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(verdicts(flows, ("neighbour", "exporter", 9400), Path(folder))))


if __name__ == "__main__":
    main()
