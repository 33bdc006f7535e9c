"""The bridge between the clusters of this machine, the links of the nodes, and the routes to their pods.

Nothing is translated on the way: pods, nodes and API servers reach each other by their own addresses, as members of a
real consortium do over their private network.
"""

import ipaddress
import json
from typing import Any

from infra.local.machine import LocalError, run
from infra.local.topology import ClusterPlace, NodePlace, Topology

BRIDGE = "cw0"
LINK_PREFIX = "cw-"
BRIDGE_MAC = "02:63:77:00:00:01"  # ours, so that a first link's coming and going does not change it


def ensure_bridge(topology: Topology) -> None:
    """Make the bridge with the addresses of all API servers; again is harmless.

    Raises:
        LocalError: The machine already routes part of the subnet elsewhere.
    """
    subnet = topology.subnet
    if subnet is None:
        raise ValueError("a topology on loopback has no bridge")
    refuse_clash(subnet, json.loads(run(["ip", "-json", "route", "show", "table", "all"])))
    if not link_exists(BRIDGE):
        run(["ip", "link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge"])
    for place in topology.clusters:
        run(["ip", "address", "replace", f"{place.address}/{topology.prefix_length}", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])


def refuse_clash(subnet: ipaddress.IPv4Network, routes: list[dict[str, Any]]) -> None:
    """Raise `LocalError` if a route of `ip -json route`, other than ours or a default, overlaps the subnet."""
    for route in routes:
        try:
            other = ipaddress.ip_network(route.get("dst", ""), strict=False)
        except ValueError:
            continue  # default, or a type of route that is no network
        ours = route.get("dev", "").startswith((BRIDGE, LINK_PREFIX))
        if not ours and other.version == 4 and other.prefixlen > 0 and other.overlaps(subnet):
            raise LocalError(
                f"{subnet} overlaps {other} on {route.get('dev')}; set COMMONWEAL_SUBNET to a /16 that is free"
            )


def link_exists(name: str) -> bool:
    """Whether this machine's own network namespace has the link."""
    return any(link["ifname"] == name for link in json.loads(run(["ip", "-json", "link", "show"])))


def ensure_node_link(place: ClusterPlace, node: NodePlace, topology: Topology, namespace_pid: int) -> None:
    """Connect the network namespace of a node to the bridge and route its pods; again is harmless."""
    link = f"{LINK_PREFIX}{place.name}"
    if not link_exists(link):
        peer = ["type", "veth", "peer", "name", "eth0", "netns", str(namespace_pid)]
        run(["ip", "link", "add", link, *peer])
    run(["ip", "link", "set", link, "master", BRIDGE, "up"])
    run(["ip", "route", "replace", node.pod_range, "via", node.address, "dev", BRIDGE])
    lines = [
        f"address replace {node.address}/{topology.prefix_length} dev eth0",
        "link set eth0 up",
        f"route replace default via {topology.clusters[0].address}",
        *(
            f"route replace {other.node.pod_range} via {other.node.address}"
            for other in topology.clusters
            if other.node is not None and other.name != place.name
        ),
    ]
    enter = ["nsenter", f"--target={namespace_pid}", "--net", "--"]
    run([*enter, "ip", "-batch", "-"], stdin="\n".join(lines) + "\n")


def remove_links() -> None:
    """Remove the bridge and every link of a node; their addresses and routes go with them."""
    for link in json.loads(run(["ip", "-json", "link", "show"])):
        name = link["ifname"]
        if name == BRIDGE or name.startswith(LINK_PREFIX):
            run(["ip", "link", "delete", name])
