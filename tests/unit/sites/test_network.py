from pathlib import Path
from typing import Any

from infra.sites.network import OPENINGS
from infra.sites.plan import Registration
from infra.sites.rbac import APPS, DATA, SYSTEM

GOLDEN = Path(__file__).parent / "golden" / "network.txt"
Plan = tuple[Registration, ...]


def policies(plan: Plan, namespace: str) -> list[dict[str, Any]]:
    found = [item.inputs for item in plan if item.type.endswith(":NetworkPolicy")]
    return [item for item in found if item["metadata"]["namespace"] == namespace]


def pods(plan: Plan, namespace: str) -> list[dict[str, str]]:
    workloads = [item.inputs for item in plan if item.type.endswith((":Deployment", ":DaemonSet"))]
    return [
        item["spec"]["template"]["metadata"]["labels"]
        for item in workloads
        if item["metadata"]["namespace"] == namespace
    ]


def test_what_may_speak_to_what_is_what_was_reviewed() -> None:
    found = "".join(f"{opening.sentence()}\n" for opening in OPENINGS)
    assert found == GOLDEN.read_text(), f"openings changed; review them and write this text to {GOLDEN}:\n{found}"


def test_every_namespace_of_the_site_is_closed_before_anything_is_opened(on_claim: Plan) -> None:
    for namespace in (SYSTEM, DATA, APPS):
        closed = [item["spec"] for item in policies(on_claim, namespace) if item["spec"]["podSelector"] == {}]
        assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}], namespace


def test_every_opening_is_for_pods_that_the_site_runs(on_claim: Plan) -> None:
    for namespace in (SYSTEM, DATA):
        for item in policies(on_claim, namespace):
            selected = item["spec"]["podSelector"].get("matchLabels", {})
            assert any(selected.items() <= labels.items() for labels in pods(on_claim, namespace)), item["metadata"]


def test_what_one_side_may_reach_the_other_side_lets_in() -> None:
    pairs = {(each.peer, (each.namespace, each.pods), each.ports) for each in OPENINGS if each.incoming and each.peer}
    wanted = {
        ((each.namespace, each.pods), each.peer, each.ports)
        for each in OPENINGS
        if not each.incoming and each.peer is not None and each.peer != (DATA, "gateway")  # it lets in any address
    }
    assert pairs == wanted


def test_no_opening_lets_a_pod_out_on_every_port() -> None:
    assert all(each.ports for each in OPENINGS if not each.incoming)


def test_an_opening_names_the_ports_that_the_pods_serve(on_claim: Plan) -> None:
    workloads = [item.inputs for item in on_claim if item.type.endswith((":Deployment", ":DaemonSet"))]
    served = {
        item["metadata"]["name"]: {
            port["containerPort"]
            for container in item["spec"]["template"]["spec"]["containers"]
            for port in container.get("ports", ())
        }
        for item in workloads
    }
    for each in OPENINGS:
        if each.incoming and each.ports:
            assert {first for first, _ in each.ports} <= served[each.pods], each.name
