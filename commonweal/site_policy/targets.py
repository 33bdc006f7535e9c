"""Which objects the rules look at, in Python and in CEL."""

from typing import Any

from commonweal.site_policy.rule import (
    MANAGED_BY,
    NAMESPACES,
    OURS,
    OURS_PREFIX,
    Manifest,
    Target,
    cel_list,
    cel_text,
)

RBAC = "rbac.authorization.k8s.io"
COUNTRY_LABEL = "commonweal.dev/country"
ZONE_LABEL = "commonweal.dev/grid-zone"

_POD_CEL = (
    "object.kind == 'Pod' ? object.spec : "
    "object.kind == 'CronJob' ? object.spec.jobTemplate.spec.template.spec : object.spec.template.spec"
)
_CONTAINERS_CEL = " + ".join(
    f"(has(variables.pod.{key}) ? variables.pod.{key} : [])"
    for key in ("initContainers", "containers", "ephemeralContainers")
)


def _label_cel(label: str) -> str:
    name = cel_text(label)
    return (
        f"has(object.metadata.labels) && {name} in object.metadata.labels ? object.metadata.labels[{name}] : 'nothing'"
    )


PODS = Target(
    name="pods",
    resources={
        "Pod": ("", "pods"),
        "Deployment": ("apps", "deployments"),
        "DaemonSet": ("apps", "daemonsets"),
        "StatefulSet": ("apps", "statefulsets"),
        "ReplicaSet": ("apps", "replicasets"),
        "Job": ("batch", "jobs"),
        "CronJob": ("batch", "cronjobs"),
    },
    # `kubectl debug` adds a container to a pod that was judged before.
    subresources=("pods/ephemeralcontainers",),
    variables={"pod": _POD_CEL, "containers": _CONTAINERS_CEL},
)
RIGHTS = Target(
    name="rights", resources={"Role": (RBAC, "roles"), "ClusterRole": (RBAC, "clusterroles")}, cluster_scoped=True
)
BINDINGS = Target(
    name="bindings",
    resources={"RoleBinding": (RBAC, "rolebindings"), "ClusterRoleBinding": (RBAC, "clusterrolebindings")},
    cluster_scoped=True,
)
PLACES = Target(
    name="places",
    resources={"Namespace": ("", "namespaces")},
    variables={"country": _label_cel(COUNTRY_LABEL), "zone": _label_cel(ZONE_LABEL)},
)
SERVICES = Target(name="services", resources={"Service": ("", "services")})
STORAGE = Target(name="storage", resources={"StorageClass": ("storage.k8s.io", "storageclasses")}, cluster_scoped=True)
QUOTAS = Target(name="quotas", resources={"ResourceQuota": ("", "resourcequotas")})

CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding", "StorageClass")

# A cluster-wide object is ours by its name, by its label, or because it gives rights to an account of ours.
OURS_CEL = (
    f"has(object.metadata.namespace) || object.metadata.name.startsWith({cel_text(OURS_PREFIX)}) || "
    f"(has(object.metadata.labels) && {cel_text(MANAGED_BY)} in object.metadata.labels && "
    f"object.metadata.labels[{cel_text(MANAGED_BY)}] == {cel_text(OURS)}) || "
    f"(has(object.subjects) && object.subjects.exists(s, has(s.namespace) && s.namespace in {cel_list(NAMESPACES)}))"
)


def is_ours(manifest: Manifest) -> bool:
    """Whether the rules speak of an object: it lies in a namespace of the site, or is the site's beyond namespaces."""
    metadata = manifest["metadata"]
    if space := metadata.get("namespace"):
        return space in NAMESPACES
    if manifest["kind"] == "Namespace":
        return metadata["name"] in NAMESPACES
    return manifest["kind"] in CLUSTER_WIDE and (
        str(metadata["name"]).startswith(OURS_PREFIX)
        or (metadata.get("labels") or {}).get(MANAGED_BY) == OURS
        or any(subject.get("namespace") in NAMESPACES for subject in manifest.get("subjects") or ())
    )


def pod_of(manifest: Manifest) -> Manifest:
    """The pod that a manifest of `PODS` makes, its template's where it is a workload."""
    spec: dict[str, Any] = manifest["spec"]
    if manifest["kind"] == "Pod":
        return spec
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    pod: dict[str, Any] = spec["template"]["spec"]
    return pod


def containers_of(manifest: Manifest) -> tuple[Manifest, ...]:
    """All containers of that pod, in the order in which they start."""
    pod = pod_of(manifest)
    keys = ("initContainers", "containers", "ephemeralContainers")
    return tuple(container for key in keys for container in pod.get(key) or ())
