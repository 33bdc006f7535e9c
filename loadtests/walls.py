"""A node's network with a site's NetworkPolicies on it: pods on a bridge, an address outside, a real API server.

`look` runs all of it in a network namespace of its own, so that this machine's rules are not touched and all of it ends
with one process. It needs root, iptables and ipset.
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
from infra.local.machine import run
from infra.local.supervisor import Process, Supervisor, tail
from loadtests.sites import ON_HOST, SITE_FLAGS
from loadtests.wire import Kubectl, WireError

ROOT = Path(__file__).parents[1]
NODE = "zz"
POD = Path(__file__).with_name("pod.py")
GATEWAY_OF_PODS, WORLD_GATEWAY = "10.88.0.1", "10.99.0.1"
WORLD = "world"
LABEL = "app.kubernetes.io/name"
IN_FORCE_S = 60.0
LIMIT_S = 240.0
Flow = tuple[str, str, int]


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
OPEN: tuple[Flow, ...] = (
    ("agent", WORLD, 443),
    ("agent", WORLD, 6443),
    ("agent", WORLD, 53),
    ("agent", "exporter", 9400),
    ("agent", WORLD, 30443),
    ("gateway", WORLD, 6443),
    ("gateway", WORLD, 53),
    (WORLD, "gateway", 8443),
    ("neighbour", "gateway", 8443),
    ("pilot", "gateway", 8443),
    ("pilot", WORLD, 30443),
    ("pilot", WORLD, 53),
    (WORLD, "pilot", 8000),
    ("neighbour", "pilot", 8000),
    ("neighbour", WORLD, 80),  # the member's own pods are not the consortium's to shut in
)
SHUT: tuple[Flow, ...] = (
    ("agent", WORLD, 80),
    ("agent", WORLD, 32768),  # one above the node ports
    ("agent", "gateway", 8443),
    ("agent", "pilot", 8000),
    ("agent", "exporter", 8081),
    ("exporter", WORLD, 443),
    ("exporter", WORLD, 53),
    ("exporter", "agent", 8080),
    ("gateway", WORLD, 80),
    ("gateway", "exporter", 9400),
    ("gateway", "pilot", 8000),
    ("pilot", WORLD, 443),
    ("pilot", WORLD, 6443),
    ("pilot", WORLD, 80),
    ("pilot", WORLD, 32768),
    ("pilot", "gateway", 8080),  # Trino's, which is for the gateway beside it alone
    ("pilot", "exporter", 9400),
    ("pilot", "agent", 8080),
    ("pilot", "neighbour", 8000),
    ("pilot", "lodger", 8000),
    ("lodger", WORLD, 53),
    ("lodger", "gateway", 8443),
    (WORLD, "lodger", 8000),
    (WORLD, "agent", 8080),
    (WORLD, "exporter", 9400),
    (WORLD, "gateway", 8080),
    ("neighbour", "agent", 8080),
    ("neighbour", "exporter", 9400),
    ("neighbour", "lodger", 8000),
)


@dataclass(frozen=True)
class Seen:
    """Whether a flow passed before the policies' controller ran, and once the policies were in force."""

    before: bool
    after: bool


def look() -> dict[Flow, Seen]:
    """Try every flow of `OPEN` and `SHUT`.

    Raises:
        WireError: The network could not be made, or the policies never came into force.
    """
    enter = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    argv = [*enter, sys.executable, "-m", "loadtests.walls"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if done.returncode:
        raise WireError(f"the node's network: {done.stderr.strip().splitlines()[-1:]}")
    return {flow: Seen(*found) for flow, found in zip((*OPEN, *SHUT), json.loads(done.stdout), strict=True)}


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
                if process.stdout is None or process.stdout.readline() != "listening\n":
                    raise WireError(f"{name} does not listen; look at {POD}")
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
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a pipe that was asked for is missing")
        process.stdin.write(f"{PLACES[target].address} {port}\n")
        process.stdin.flush()
        return process.stdout.readline() == "open\n"


def planned_policies(state: Path) -> list[dict[str, object]]:
    """The NetworkPolicies of a member's site, as its plan shows them; no stack lies below `state`."""
    argv = [sys.executable, "-m", "infra.sites", "plan", "--json", "--member", NODE, *SITE_FLAGS, ON_HOST]
    found = json.loads(run([*argv, f"--state={state}"]))
    return [each["inputs"] for each in found if each["type"].endswith(":NetworkPolicy")]


def declare(kubectl: Kubectl, policies: Sequence[dict[str, object]]) -> None:
    """The node, its pods with their addresses, and the site's NetworkPolicies, as the API server knows them."""
    node: dict[str, object] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    spaces = sorted({place.namespace for place in PLACES.values() if place.namespace} - {"default"})
    bodies = [node, *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}} for space in spaces)]
    bodies += policies
    apply = ("apply", "--server-side", "--filename=-")
    kubectl(*apply, stdin=yaml.safe_dump_all(bodies))
    patch_status(kubectl, "node", NODE, {"addresses": [{"type": "InternalIP", "address": GATEWAY_OF_PODS}]})
    for space in [*spaces, "default"]:
        kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={space}", "--timeout=30s")
    inside = {name: place for name, place in PLACES.items() if place.namespace}
    kubectl(*apply, stdin=yaml.safe_dump_all([pod_of(name, place) for name, place in inside.items()]))
    for name, place in inside.items():
        where = {"hostIP": GATEWAY_OF_PODS, "hostIPs": [{"ip": GATEWAY_OF_PODS}]}
        running = {"phase": "Running", "podIP": place.address, "podIPs": [{"ip": place.address}], **where}
        patch_status(kubectl, "pod", name, running, f"--namespace={place.namespace}")


def pod_of(name: str, place: Place) -> dict[str, object]:
    """A pod that a kubelet would run on the node."""
    spec = {"nodeName": NODE, "containers": [{"name": "main", "image": "localhost/nothing:1"}]}
    metadata = {"name": name, "namespace": place.namespace, "labels": dict(place.labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def patch_status(kubectl: Kubectl, kind: str, name: str, status: Mapping[str, object], *more: str) -> None:
    """Write a status, as the node's own agent would."""
    patch = json.dumps({"status": status})
    kubectl("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}", *more)


def verdicts(folder: Path) -> list[tuple[bool, bool]]:
    """Which flows pass, before and after; the policies are in force once one that they shut no longer does.

    Raises:
        WireError: They never came into force.
    """
    flows = (*OPEN, *SHUT)
    run(["ip", "link", "set", "lo", "up"])
    with ExitStack() as stack:
        pods = Pods(stack)
        kubeconfig = stack.enter_context(local_clusters([NODE], state_dir=folder / "clusters"))[NODE].kubeconfig
        kubectl = Kubectl(binary=build(kubernetes()).parent / "kubectl", kubeconfig=kubeconfig)
        declare(kubectl, planned_policies(folder / "state"))
        before = [pods.passes(flow) for flow in flows]
        supervisor = Supervisor(folder)
        stack.callback(supervisor.stop_everything)
        argv = (str(build(network_policy())), f"--kubeconfig={kubeconfig}", f"--node={NODE}")
        process = Process(name="network-policy", argv=argv, log=folder / "network-policy.log")
        supervisor.start_one(process)
        deadline = time.monotonic() + IN_FORCE_S
        while pods.passes(SHUT[-1]):
            if time.monotonic() > deadline or supervisor.pid_of(process.name) is None:
                raise WireError(f"no policy came into force within {IN_FORCE_S:.0f} s: {tail(process.log)}")
            time.sleep(0.2)
        return list(zip(before, map(pods.passes, flows), strict=True))


def main() -> None:
    """Look, from inside of the network namespace."""
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(verdicts(Path(folder))))


if __name__ == "__main__":
    main()
