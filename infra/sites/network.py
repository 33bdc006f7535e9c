"""What may speak to what in a member's site: nothing, but for these openings.

A cluster enforces them only where its network does (NetworkPolicy needs a controller); traffic from a pod's own node,
as the kubelet's probes, is always let through (https://kubernetes.io/docs/concepts/services-networking/network-policies/).
`tests/unit/sites` keeps the readable form as a golden file, so that a widened opening shows in review.
"""

from dataclasses import dataclass
from typing import Any

from infra.sites.rbac import APPS, DATA, SYSTEM
from infra.sites.workloads import EXPORTER_PORT, GATEWAY_PORT

NAME = "app.kubernetes.io/name"
PILOT = "commonweal.dev/pilot"
SPACE = "kubernetes.io/metadata.name"
NODE_PORTS = (30000, 32767)
# An API server is asked by its Service (443) and judged, in most networks, by the address behind it (6443 by default).
API_SERVERS = ((443, 443), (6443, 6443))
DNS = ((53, 53),)

# All pods of a namespace: nothing in, nothing out, until an opening says otherwise.
DENIAL = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One opening: pods called `pods` in `namespace`, and what they may reach or be reached by.

    `peer` is (namespace, pod name), or None for any address; `ports` are first and last of each range.
    """

    name: str
    why: str
    namespace: str
    pods: str
    incoming: bool = False
    peer: tuple[str, str] | None = None
    ports: tuple[tuple[int, int], ...] = ()
    protocols: tuple[str, ...] = ("TCP",)

    def spec(self) -> dict[str, Any]:
        """The NetworkPolicy's spec."""
        direction, side = ("ingress", "from") if self.incoming else ("egress", "to")
        rule: dict[str, Any] = {}
        if self.peer is not None:
            namespace, pod = self.peer
            one = {"namespaceSelector": {"matchLabels": {SPACE: namespace}}, "podSelector": _called(pod)}
            rule[side] = [one]
        if self.ports:
            rule["ports"] = [_port(protocol, *span) for protocol in self.protocols for span in self.ports]
        return {"podSelector": _called(self.pods), "policyTypes": [direction.capitalize()], direction: [rule]}

    def sentence(self) -> str:
        """The opening as a person reads it."""
        peer = "any address" if self.peer is None else f"{self.peer[1]} in {self.peer[0]}"
        spans = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ports)
        where = f"on {'/'.join(self.protocols)} {spans}" if spans else "on any port"
        verb = "is reached by" if self.incoming else "reaches"
        return f"{self.pods} in {self.namespace} {verb} {peer} {where}: {self.why}"


def to_names(name: str, why: str, namespace: str, pods: str) -> Opening:
    """To name servers, wherever they are: by UDP, and by TCP where an answer is long."""
    return Opening(name=name, why=why, namespace=namespace, pods=pods, ports=DNS, protocols=("TCP", "UDP"))


OPENINGS = (
    Opening(
        name="agent-to-api-servers",
        why="the hub's and its own; it connects out and nobody connects to it",
        namespace=SYSTEM,
        pods="agent",
        ports=API_SERVERS,
    ),
    Opening(
        name="agent-to-exporter",
        why="it signs the exporters' readings",
        namespace=SYSTEM,
        pods="agent",
        peer=(SYSTEM, "exporter"),
        ports=((EXPORTER_PORT, EXPORTER_PORT),),
    ),
    Opening(
        name="exporter-from-agent",
        why="it serves what it read, and asks for nothing",
        namespace=SYSTEM,
        pods="exporter",
        incoming=True,
        peer=(SYSTEM, "agent"),
        ports=((EXPORTER_PORT, EXPORTER_PORT),),
    ),
    to_names("agent-to-names", "the hub may be given by name", SYSTEM, "agent"),
    Opening(
        name="agent-to-applications",
        why="it asks whether replicas at other members, whose use it signs, answer",
        namespace=SYSTEM,
        pods="agent",
        ports=(NODE_PORTS,),
    ),
    Opening(
        name="gateway-from-members",
        why="pods of every member ask it through its node port, which hides who they are; it asks for their token",
        namespace=DATA,
        pods="gateway",
        incoming=True,
        ports=((GATEWAY_PORT, GATEWAY_PORT),),
    ),
    Opening(
        name="gateway-to-api-server",
        why="policies and grants come as ConfigMaps",
        namespace=DATA,
        pods="gateway",
        ports=API_SERVERS,
    ),
    to_names("gateway-to-names", "its API server may be given by name", DATA, "gateway"),
    Opening(
        name="pilots-from-front-door",
        why="the front door asks through node ports, which hide it; each pilot chooses its own port",
        namespace=APPS,
        pods=PILOT,
        incoming=True,
    ),
    Opening(
        name="pilots-to-gateways",
        why="gateways of other members answer on node ports",
        namespace=APPS,
        pods=PILOT,
        ports=(NODE_PORTS,),
    ),
    Opening(
        name="pilots-to-own-gateway",
        why="the node port of the same cluster leads to the pod before the rule is looked at",
        namespace=APPS,
        pods=PILOT,
        peer=(DATA, "gateway"),
        ports=((GATEWAY_PORT, GATEWAY_PORT),),
    ),
    to_names("pilots-to-names", "gateways may be given by name", APPS, PILOT),
)

METERING_OPENINGS = tuple(each for each in OPENINGS if each.pods == "exporter")
DATA_TRUST_OPENINGS = tuple(each for each in OPENINGS if each.pods == "gateway")
FRAME_OPENINGS = tuple(each for each in OPENINGS if each not in (*METERING_OPENINGS, *DATA_TRUST_OPENINGS))


def to_store(port: int) -> Opening:
    """The opening of a gateway, and of the engine beside it, whose tables lie in a bucket."""
    return Opening(
        name="gateway-to-store",
        why="the member's tables lie in a bucket",
        namespace=DATA,
        pods="gateway",
        ports=((port, port),),
    )


def _called(pods: str) -> dict[str, Any]:
    """The selector of pods by name; pilots have a label of their own, whatever they are called."""
    if pods == PILOT:
        return {"matchExpressions": [{"key": PILOT, "operator": "Exists"}]}
    return {"matchLabels": {NAME: pods}}


def _port(protocol: str, first: int, last: int) -> dict[str, Any]:
    span: dict[str, Any] = {"port": first, "protocol": protocol}
    return span if first == last else {**span, "endPort": last}
