"""MemberSite: a member's whole site as one Pulumi component."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import TypeAdapter

from commonweal.site_policy import Facts
from infra.sites.args import MemberSiteArgs
from infra.sites.manifests import Manifest, facts_of
from infra.sites.policy import NO_CHARTER, lawful_manifests
from infra.sites.rbac import APPS, DATA, SYSTEM

KINDS: Mapping[str, Any] = {
    "ClusterRole": kubernetes.rbac.v1.ClusterRole,
    "ClusterRoleBinding": kubernetes.rbac.v1.ClusterRoleBinding,
    "DaemonSet": kubernetes.apps.v1.DaemonSet,
    "Deployment": kubernetes.apps.v1.Deployment,
    "Namespace": kubernetes.core.v1.Namespace,
    "NetworkPolicy": kubernetes.networking.v1.NetworkPolicy,
    "PersistentVolumeClaim": kubernetes.core.v1.PersistentVolumeClaim,
    "ResourceQuota": kubernetes.core.v1.ResourceQuota,
    "Role": kubernetes.rbac.v1.Role,
    "RoleBinding": kubernetes.rbac.v1.RoleBinding,
    "Secret": kubernetes.core.v1.Secret,
    "Service": kubernetes.core.v1.Service,
    "ServiceAccount": kubernetes.core.v1.ServiceAccount,
    "ValidatingAdmissionPolicy": kubernetes.admissionregistration.v1.ValidatingAdmissionPolicy,
    "ValidatingAdmissionPolicyBinding": kubernetes.admissionregistration.v1.ValidatingAdmissionPolicyBinding,
}
SITE_TYPE = "commonweal:site:MemberSite"
FACTS = "facts"
WORKLOADS = ("DaemonSet", "Deployment")


class MemberSite(pulumi.ComponentResource):
    """Namespaces, rights, quota, agent, exporter, gateway and engine of one member, in the member's own cluster.

    Outputs: `member`, `namespaces`, `gateway_url`, `engine` and `images`.

    Raises:
        SiteError: An object breaks a rule of the consortium; none has been registered.
    """

    member: pulumi.Output[str]
    namespaces: pulumi.Output[list[str]]
    gateway_url: pulumi.Output[str]
    engine: pulumi.Output[str]
    images: pulumi.Output[list[str]]

    def __init__(self, name: str, args: MemberSiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        manifests = lawful_manifests(args)
        # The facts go along for Pulumi's policy packs, which see inputs and nothing else.
        super().__init__(SITE_TYPE, name, {FACTS: TypeAdapter(Facts).dump_python(facts_of(args), mode="json")}, opts)
        if args.allowed_images is None:
            pulumi.warn(NO_CHARTER, self)
        self._register(name, args, manifests)
        self.member = pulumi.Output.from_input(args.member)
        self.namespaces = pulumi.Output.from_input([SYSTEM, DATA, APPS])
        self.gateway_url = pulumi.Output.from_input(args.gateway_url)
        self.engine = pulumi.Output.from_input(args.engine.value)
        self.images = pulumi.Output.from_input(list(args.images))
        self.register_outputs(self.summary())

    def summary(self) -> dict[str, pulumi.Output[Any]]:
        """The outputs under the names that a stack exports."""
        return {
            "member": self.member,
            "namespaces": self.namespaces,
            "gatewayUrl": self.gateway_url,
            "engine": self.engine,
            "images": self.images,
        }

    def _register(self, name: str, args: MemberSiteArgs, manifests: Sequence[Manifest]) -> None:
        namespaces: dict[str, pulumi.Resource] = {}
        ready: list[pulumi.Resource] = []
        for manifest in manifests:
            kind, metadata = manifest["kind"], manifest["metadata"]
            space = metadata.get("namespace")
            kept = holds_data(args, manifest)
            options = pulumi.ResourceOptions(
                parent=self,
                depends_on=list(ready) if kind in WORKLOADS else [namespaces[space]] if space else [],
                protect=kept or None,
                retain_on_delete=kept or None,
            )
            path = "/".join(part for part in (name, space, metadata["name"]) if part)
            resource = _resource(path, manifest, options)
            if kind == "Namespace":
                namespaces[metadata["name"]] = resource
            elif kind not in WORKLOADS:
                ready.append(resource)


def holds_data(args: MemberSiteArgs, manifest: Manifest) -> bool:
    """Whether nothing of ours may ever delete an object: the data's claim, and the namespace around it."""
    is_data = manifest["kind"] == "PersistentVolumeClaim" or manifest["metadata"]["name"] == DATA
    return args.data_claim_mib is not None and is_data


def _resource(name: str, manifest: Manifest, options: pulumi.ResourceOptions) -> pulumi.Resource:
    """Register one manifest under its type."""
    keywords = {_snake(key): value for key, value in manifest.items() if key not in {"apiVersion", "kind"}}
    resource: pulumi.Resource = KINDS[manifest["kind"]](name, opts=options, **keywords)
    return resource


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
