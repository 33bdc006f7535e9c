"""A member's cluster on DigitalOcean, the worked example of a cloud: first the cluster's stack, then the site's.

`pulumi up` in this folder makes the cluster. Its kubeconfig is a secret output, which goes into a file of the member's
own; the site's stack is given that file's path, as it is for any other cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

import pulumi
import pulumi_digitalocean as digitalocean
from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from commonweal.kinds.meta import Country, MemberName
from infra.sites.args import read_args

PROJECT = "digitalocean-cluster"
# https://docs.digitalocean.com/platform/regional-availability/, read 2026-11-25.
COUNTRY_OF_REGION: Mapping[str, str] = {
    "ams3": "NL",
    "atl1": "US",
    "blr1": "IN",
    "fra1": "DE",
    "lon1": "GB",
    "nyc1": "US",
    "nyc2": "US",
    "nyc3": "US",
    "sfo2": "US",
    "sfo3": "US",
    "sgp1": "SG",
    "syd1": "AU",
    "tor1": "CA",
}
GPU_TAINT = "nvidia.com/gpu"
KUBECONFIG_S = 3600  # long enough for one `up`; take it from the outputs again for the next
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=63)]
Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-f.:]+/[0-9]{1,3}$", max_length=43)]


@dataclass(frozen=True, kw_only=True)
class CloudClusterArgs:
    """What a member's cluster is made from.

    `region` must lie in the member's own `country`, because rows never leave it. `administrators` are the address
    ranges that may reach the API server. Without `gpu_size` there is no pool of GPUs. `version` is one that
    `doctl kubernetes options versions` lists.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    member: MemberName
    country: Country
    region: Slug
    version: Slug
    administrators: Annotated[tuple[Cidr, ...], Field(min_length=1, max_length=32)]
    node_size: Slug = "s-4vcpu-8gb"
    nodes: Annotated[int, Field(ge=1, le=512)] = 3
    gpu_size: Slug | None = None
    gpu_nodes: Annotated[int, Field(ge=1, le=512)] = 1

    def __post_init__(self) -> None:
        lies_in = COUNTRY_OF_REGION.get(self.region)
        if lies_in is None:
            raise ValueError(f"region: {self.region} is unknown; one of {', '.join(COUNTRY_OF_REGION)}")
        if lies_in != self.country:
            own = [region for region, country in COUNTRY_OF_REGION.items() if country == self.country]
            remedy = f"one of {', '.join(own)}" if own else f"this cloud has none in {self.country}, choose another"
            raise ValueError(f"region: {self.region} lies in {lies_in} and the member in {self.country}; {remedy}")


class DigitalOceanCluster(pulumi.ComponentResource):
    """A network, a highly available control plane, a pool of plain nodes and, where asked, one of GPU nodes.

    Outputs: `cluster_id`, and `kubeconfig` as a secret. Volumes survive the cluster.
    """

    cluster_id: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: CloudClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("commonweal:cloud:DigitalOceanCluster", name, None, opts)
        inside = pulumi.ResourceOptions(parent=self)
        network = digitalocean.Vpc(name, name=f"commonweal-{args.member}", region=args.region, opts=inside)
        cluster = _cluster(name, args, network, inside)
        if args.gpu_size is not None:
            _gpu_pool(name, args.gpu_size, args.gpu_nodes, cluster, inside)
        self.cluster_id = cluster.id
        self.kubeconfig = pulumi.Output.secret(cluster.kube_configs[0].raw_config)
        self.register_outputs({"clusterId": self.cluster_id, "kubeconfig": self.kubeconfig})


def _cluster(
    name: str, args: CloudClusterArgs, network: digitalocean.Vpc, opts: pulumi.ResourceOptions
) -> digitalocean.KubernetesCluster:
    return digitalocean.KubernetesCluster(
        name,
        name=f"commonweal-{args.member}",
        region=args.region,
        version=args.version,
        vpc_uuid=network.id,
        ha=True,
        # Patches arrive by themselves, a node at a time with a spare, so that no pilot falls below its replicas.
        auto_upgrade=True,
        surge_upgrade=True,
        maintenance_policy=digitalocean.KubernetesClusterMaintenancePolicyArgs(day="sunday", start_time="04:00"),
        control_plane_firewall=digitalocean.KubernetesClusterControlPlaneFirewallArgs(
            enabled=True, allowed_addresses=list(args.administrators)
        ),
        destroy_all_associated_resources=False,
        kubeconfig_expire_seconds=KUBECONFIG_S,
        nvidia_gpu_device_plugin=digitalocean.KubernetesClusterNvidiaGpuDevicePluginArgs(
            enabled=args.gpu_size is not None
        ),
        node_pool=digitalocean.KubernetesClusterNodePoolArgs(name="plain", size=args.node_size, node_count=args.nodes),
        opts=opts,
    )


def _gpu_pool(
    name: str, size: str, nodes: int, cluster: digitalocean.KubernetesCluster, opts: pulumi.ResourceOptions
) -> digitalocean.KubernetesNodePool:
    taint = digitalocean.KubernetesNodePoolTaintArgs(key=GPU_TAINT, value="present", effect="NoSchedule")
    return digitalocean.KubernetesNodePool(
        f"{name}/gpu", cluster_id=cluster.id, name="gpu", size=size, node_count=nodes, taints=[taint], opts=opts
    )


def cluster_of(member: str, config: Mapping[str, Any]) -> DigitalOceanCluster:
    """Declare the member's cluster and export its outputs.

    Raises:
        SiteError: A value is missing, unknown or out of its bounds.
    """
    args = read_args(CloudClusterArgs, {"member": member, **config})
    cluster = DigitalOceanCluster(member, args)
    pulumi.export("clusterId", cluster.cluster_id)
    pulumi.export("kubeconfig", cluster.kubeconfig)
    return cluster


def main() -> None:
    """The program as Pulumi runs it: the stack bears the member's name, its configuration says the rest."""
    config = pulumi.Config(PROJECT)
    names = [item.name for item in fields(CloudClusterArgs) if item.name not in {"member", "administrators"}]
    given = {name: value for name in names if (value := config.get(to_camel(name))) is not None}
    administrators = config.get_object("administrators")
    cluster_of(pulumi.get_stack(), given if administrators is None else {**given, "administrators": administrators})


if __name__ == "__main__":
    main()
