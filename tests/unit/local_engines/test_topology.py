"""The address plan of the local consortium."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local import topology
from infra.local.machine import LocalError

SUBNET = ipaddress.IPv4Network("10.77.0.0/16")
NAMES = st.lists(st.from_regex(r"[a-z]{2}", fullmatch=True), unique=True, max_size=topology.MAX_MEMBERS)


def test_the_default_plan_is_the_one_in_the_documents() -> None:
    plan = topology.with_nodes("ch", topology.MEMBERS, SUBNET)
    assert [place.address for place in plan.clusters] == ["10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.4"]
    assert [place.node.address for place in plan.clusters if place.node] == ["10.77.0.11", "10.77.0.12", "10.77.0.13"]
    assert [place.node.pod_range for place in plan.clusters if place.node] == [
        "10.77.16.0/24",
        "10.77.17.0/24",
        "10.77.18.0/24",
    ]


@given(members=NAMES, second=st.integers(0, 255))
def test_no_two_ranges_of_a_plan_overlap_and_all_lie_in_the_subnet(members: list[str], second: int) -> None:
    subnet = ipaddress.IPv4Network(f"10.{second}.0.0/16")
    plan = topology.with_nodes("the-hub", members, subnet)
    pods = [place.node.pod_range for place in plan.clusters if place.node]
    ranges = [ipaddress.IPv4Network(text) for text in [*pods, *(place.service_range for place in plan.clusters)]]
    ranges.append(ipaddress.IPv4Network(f"{subnet[0]}/{plan.prefix_length}"))
    assert all(each.subnet_of(subnet) for each in ranges)
    assert not any(a.overlaps(b) for index, a in enumerate(ranges) for b in ranges[index + 1 :])


@given(members=NAMES)
def test_every_server_and_node_has_an_address_of_its_own(members: list[str]) -> None:
    plan = topology.with_nodes("the-hub", members, SUBNET)
    addresses = [place.address for place in plan.clusters] + [p.node.address for p in plan.clusters if p.node]
    assert len(set(addresses)) == len(addresses)


def test_issuers_of_tokens_differ_between_clusters() -> None:
    plan = topology.with_nodes("ch", topology.MEMBERS, SUBNET)
    assert len({place.issuer for place in plan.clusters}) == len(plan.clusters)


@pytest.mark.parametrize("text", ["10.77.0.0/24", "ten", "10.77.0.1/16", "::/16"])
def test_a_subnet_that_is_no_sixteen_is_refused_with_the_variable(text: str) -> None:
    with pytest.raises(LocalError, match="COMMONWEAL_SUBNET"):
        topology.subnet_from({"COMMONWEAL_SUBNET": text})


def test_an_unknown_cluster_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(LocalError, match="there are ch, ca"):
        topology.with_nodes("ch", ["ca"], SUBNET)["xx"]


def test_clusters_on_loopback_have_no_node_and_no_port_in_common() -> None:
    plan = topology.on_loopback(["ch", "ca"], [1, 2, 3, 4, 5, 6])
    assert plan.subnet is None
    assert all(place.node is None for place in plan.clusters)
    assert [place.api_port for place in plan.clusters] == [1, 4]
