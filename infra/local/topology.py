"""Which clusters there are, and which address and range each of them has. Pure.

<subnet>.0.1 ..      API servers, on the bridge of the host
<subnet>.0.11 ..     nodes, one a member
<subnet>.16.0/24 ..  pods of the first member, the second, ..
<subnet>.96.0/24 ..  services of the first cluster, ..; never routed
"""

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.local.machine import LocalError

HUB = "ch"
MEMBERS = ("ca", "kr", "ke")
DEFAULT_SUBNET = "10.77.0.0/16"
API_PORT = 6443
LOOPBACK = "127.0.0.1"
MAX_MEMBERS = 9


@dataclass(frozen=True, kw_only=True)
class NodePlace:
    """The one node of a member."""

    address: str
    pod_range: str
    pod_gateway: str


@dataclass(frozen=True, kw_only=True)
class ClusterPlace:
    """Where one cluster's servers listen, and its node if it has one."""

    name: str
    address: str
    api_port: int
    controllers_port: int
    scheduler_port: int
    service_range: str
    node: NodePlace | None = None

    @property
    def server(self) -> str:
        """The address of the API server, as a URL."""
        return f"https://{self.address}:{self.api_port}"

    @property
    def service_address(self) -> str:
        """The address of the API server as pods of the cluster see it: the first of the service range."""
        return str(ipaddress.ip_network(self.service_range)[1])

    @property
    def issuer(self) -> str:
        """The issuer of the cluster's service-account tokens, different in every cluster."""
        return f"https://kubernetes.{self.name}.commonweal.local"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Clusters in order, the hub first, and the bridge they share; no bridge means loopback."""

    clusters: tuple[ClusterPlace, ...]
    subnet: ipaddress.IPv4Network | None = None

    @property
    def prefix_length(self) -> int:
        """Of the bridge's own range, which holds API servers and nodes."""
        return 24

    def __getitem__(self, name: str) -> ClusterPlace:
        found = next((place for place in self.clusters if place.name == name), None)
        if found is None:
            raise LocalError(f"there is no cluster {name}; there are {', '.join(c.name for c in self.clusters)}")
        return found


def subnet_from(environ: Mapping[str, str] = os.environ) -> ipaddress.IPv4Network:
    """The range for bridge, nodes, pods and services: $COMMONWEAL_SUBNET, a /16.

    Raises:
        LocalError: It is no /16.
    """
    text = environ.get("COMMONWEAL_SUBNET", DEFAULT_SUBNET)
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LocalError(f"COMMONWEAL_SUBNET: {error}; give a /16 such as {DEFAULT_SUBNET}") from error
    if subnet.prefixlen != 16:
        raise LocalError(f"COMMONWEAL_SUBNET: {text} is no /16; give one such as {DEFAULT_SUBNET}")
    return subnet


def with_nodes(hub: str, members: Sequence[str], subnet: ipaddress.IPv4Network) -> Topology:
    """A hub without a node and members with one each, on a bridge."""
    if len(members) > MAX_MEMBERS:
        raise LocalError(f"{len(members)} members do not fit the address plan; use at most {MAX_MEMBERS}")

    def place(index: int, name: str, node: NodePlace | None) -> ClusterPlace:
        return ClusterPlace(
            name=name,
            address=str(subnet[1 + index]),
            api_port=API_PORT,
            controllers_port=10257,
            scheduler_port=10259,
            service_range=_block(subnet, 96 + index),
            node=node,
        )

    def node(index: int) -> NodePlace:
        pods = _block(subnet, 15 + index)
        gateway = str(ipaddress.ip_network(pods)[1])
        return NodePlace(address=str(subnet[10 + index]), pod_range=pods, pod_gateway=gateway)

    places = [place(index, name, node(index)) for index, name in enumerate(members, start=1)]
    return Topology(clusters=(place(0, hub, None), *places), subnet=subnet)


def on_loopback(names: Sequence[str], ports: Sequence[int]) -> Topology:
    """Clusters without nodes on loopback; `ports` gives three for each."""
    if len(ports) != 3 * len(names):
        raise ValueError(f"{len(names)} clusters need {3 * len(names)} ports, not {len(ports)}")
    places = [
        ClusterPlace(
            name=name,
            address=LOOPBACK,
            api_port=ports[3 * index],
            controllers_port=ports[3 * index + 1],
            scheduler_port=ports[3 * index + 2],
            service_range=f"10.96.{index}.0/24",
        )
        for index, name in enumerate(names)
    ]
    return Topology(clusters=tuple(places))


def _block(subnet: ipaddress.IPv4Network, third: int) -> str:
    return f"{subnet[256 * third]}/24"
