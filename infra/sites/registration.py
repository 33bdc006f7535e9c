"""Registers Kubernetes objects, given as plain data, as the children of a Pulumi component."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.sites.objects import Manifest

KINDS: Mapping[str, Any] = {
    "ClusterRole": kubernetes.rbac.v1.ClusterRole,
    "ClusterRoleBinding": kubernetes.rbac.v1.ClusterRoleBinding,
    "ConfigMap": kubernetes.core.v1.ConfigMap,
    "CustomResourceDefinition": kubernetes.apiextensions.v1.CustomResourceDefinition,
    "DaemonSet": kubernetes.apps.v1.DaemonSet,
    "Deployment": kubernetes.apps.v1.Deployment,
    "Namespace": kubernetes.core.v1.Namespace,
    "NetworkPolicy": kubernetes.networking.v1.NetworkPolicy,
    "PersistentVolumeClaim": kubernetes.core.v1.PersistentVolumeClaim,
    "PodDisruptionBudget": kubernetes.policy.v1.PodDisruptionBudget,
    "ResourceQuota": kubernetes.core.v1.ResourceQuota,
    "Role": kubernetes.rbac.v1.Role,
    "RoleBinding": kubernetes.rbac.v1.RoleBinding,
    "Secret": kubernetes.core.v1.Secret,
    "Service": kubernetes.core.v1.Service,
    "ServiceAccount": kubernetes.core.v1.ServiceAccount,
    "ValidatingAdmissionPolicy": kubernetes.admissionregistration.v1.ValidatingAdmissionPolicy,
    "ValidatingAdmissionPolicyBinding": kubernetes.admissionregistration.v1.ValidatingAdmissionPolicyBinding,
}
WORKLOADS = ("DaemonSet", "Deployment")


def register(
    component: pulumi.ComponentResource,
    name: str,
    manifests: Sequence[Manifest],
    *,
    kept: Callable[[Manifest], bool] = lambda _: False,
    opts: pulumi.ResourceOptions | None = None,
    former: pulumi.Resource | None = None,
) -> list[pulumi.Resource]:
    """Register `manifests` in their order; workloads come after everything else. Returns what is no workload.

    Nothing of ours ever deletes an object that is `kept`. `opts` are the component's own: its children wait for what it
    waits for. An object that stands as the child of the `former` component is found again and not replaced.
    """
    waited = _waited(opts)
    namespaces: dict[str, pulumi.Resource] = {}
    ready: list[pulumi.Resource] = []
    for manifest in manifests:
        kind, metadata = manifest["kind"], manifest["metadata"]
        space, stays = metadata.get("namespace"), kept(manifest)
        own = ready if kind in WORKLOADS else [namespaces[space]] if space in namespaces else []
        options = pulumi.ResourceOptions(
            parent=component,
            depends_on=[*(_holding(waited, space) if stays else waited), *own],
            protect=stays or None,
            retain_on_delete=stays or None,
            aliases=[pulumi.Alias(parent=former)] if former else None,
        )
        path = "/".join(part for part in (name, space, metadata["name"]) if part)
        resource = _resource(path, manifest, options)
        if kind == "Namespace":
            namespaces[metadata["name"]] = resource
        if kind not in WORKLOADS:
            ready.append(resource)
    return ready


def unbound(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """A component's options without what it waits for: its children do, and a kept child keeps its parent and all that
    the parent waits for.
    """
    alone = pulumi.ResourceOptions.merge(opts, None)
    alone.depends_on = None
    return alone


def _holding(waited: Sequence[pulumi.Resource], space: str | None) -> list[pulumi.Resource]:
    """What a kept object may wait for: its namespace, and what is no object. `destroy` keeps all that it waits for."""
    objects = tuple(KINDS.values())
    return [each for each in waited if not isinstance(each, objects) or each.pulumi_resource_name.endswith(f"/{space}")]


def _waited(opts: pulumi.ResourceOptions | None) -> list[Any]:
    wanted: Any = opts.depends_on if opts else None
    if wanted is None:
        return []
    return list(wanted) if isinstance(wanted, Sequence) else [wanted]


def _resource(name: str, manifest: Manifest, options: pulumi.ResourceOptions) -> pulumi.Resource:
    """Register one manifest under its type."""
    keywords = {_snake(key): value for key, value in manifest.items() if key not in {"apiVersion", "kind"}}
    resource: pulumi.Resource = KINDS[manifest["kind"]](name, opts=options, **keywords)
    return resource


def _snake(key: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
