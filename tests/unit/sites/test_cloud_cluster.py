"""The worked example of a cloud: what the member's cluster would be, and which clusters it refuses to make."""

import asyncio
from typing import Any

import pytest
from pydantic.alias_generators import to_snake

from infra.sites.args import SiteError
from infra.sites.clouds.digitalocean import COUNTRY_OF_REGION, PROJECT, cluster_of
from infra.sites.plan import Registration, planned

CONFIG: dict[str, Any] = {
    "country": "CA",
    "region": "tor1",
    "version": "1.35.1-do.0",
    "administrators": ("203.0.113.0/24",),
}


ANSWERED = {"digitalocean:index/kubernetesCluster:KubernetesCluster": {"kubeConfigs": [{"rawConfig": "credentials"}]}}


def plan(**changes: object) -> dict[str, Registration]:
    found = planned("ca", PROJECT, lambda: cluster_of("ca", {**CONFIG, **changes}), answered=ANSWERED)
    return {to_snake(item.type.rpartition(":")[2]): item for item in found}


def test_a_cluster_without_gpus_is_a_network_and_a_cluster_in_the_members_country() -> None:
    made = plan()
    assert made.keys() == {"vpc", "kubernetes_cluster"}
    assert {COUNTRY_OF_REGION[item.inputs["region"]] for item in made.values()} == {"CA"}


def test_the_control_plane_is_redundant_and_answers_administrators_only() -> None:
    inputs = plan()["kubernetes_cluster"].inputs
    assert inputs["ha"] is True
    assert inputs["controlPlaneFirewall"] == {"enabled": True, "allowedAddresses": ["203.0.113.0/24"]}


def test_volumes_survive_the_cluster() -> None:
    assert plan()["kubernetes_cluster"].inputs["destroyAllAssociatedResources"] is False


def test_gpus_are_a_tainted_pool_of_their_own_with_the_device_plugin() -> None:
    made = plan(gpu_size="gpu-h100x1-80gb", gpu_nodes=2)
    pool = made["kubernetes_node_pool"].inputs
    assert (pool["size"], pool["nodeCount"]) == ("gpu-h100x1-80gb", 2)
    assert [taint["key"] for taint in pool["taints"]] == ["nvidia.com/gpu"]
    assert made["kubernetes_cluster"].inputs["nvidiaGpuDevicePlugin"] == {"enabled": True}


def test_the_kubeconfig_is_exported_as_a_secret_and_is_no_input_of_anything() -> None:
    secret: list[bool] = []

    def program() -> None:
        known = asyncio.ensure_future(cluster_of("ca", CONFIG).kubeconfig.is_secret())
        known.add_done_callback(lambda task: secret.append(task.result()))

    assert "credentials" not in str([item.inputs for item in planned("ca", PROJECT, program, answered=ANSWERED)])
    assert secret == [True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": "fra1"}, "region: fra1 lies in DE and the member in CA; one of tor1"),
        ({"country": "KE"}, "this cloud has none in KE, choose another"),
        ({"region": "moon1"}, "region: moon1 is unknown; one of ams3"),
        ({"administrators": ()}, "administrators: .*at least 1 item"),
        ({"administrators": ("everyone",)}, "administrators.0: .*not 'everyone'"),
        ({"nodes": 0}, "nodes: .*greater than or equal to 1.*not 0"),
        ({"flavour": "large"}, "flavour: "),
    ],
)
def test_a_wrong_value_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SiteError, match=said):
        plan(**changes)
