"""A Kubernetes object of a site as plain data: its frame, which is the same for a member's site and the hub's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.sites.network import DENIAL, Opening
from infra.sites.rbac import Identity, Rule

Manifest = dict[str, Any]

MANAGED_BY = {"app.kubernetes.io/managed-by": "commonweal"}
# One owner for all fields of the site, whoever runs the program and whenever: a random one would conflict with itself.
FIELD_MANAGER = "commonweal-site"
OWNED_BY = "pulumi.com/patchFieldManager"
UNAWAITED = {"pulumi.com/skipAwait": "true"}
RBAC_GROUP = "rbac.authorization.k8s.io"


def manifest(
    owner: Mapping[str, str],
    api: str,
    kind: str,
    namespace: str | None,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **body: object,
) -> Manifest:
    """One object; `owner` is the label that says whose site it belongs to."""
    metadata: Manifest = {
        "name": name,
        "labels": {**MANAGED_BY, **owner, **(labels or {})},
        "annotations": {OWNED_BY: FIELD_MANAGER, **(annotations or {})},
    }
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def network(owner: Mapping[str, str], closed: Sequence[str], openings: Sequence[Opening]) -> Iterator[Manifest]:
    """The NetworkPolicies: each namespace of `closed` shut, then the openings."""
    specs = [(namespace, "default-deny", DENIAL) for namespace in closed]
    specs += [(opening.namespace, opening.name, opening.spec()) for opening in openings]
    for namespace, name, spec in specs:
        yield manifest(owner, "networking.k8s.io/v1", "NetworkPolicy", namespace, name, spec=spec)


def account(owner: Mapping[str, str], namespace: str, name: str, *, speaks_to_api: bool) -> Manifest:
    """A ServiceAccount; only one that speaks to the API server is given a token in its pods."""
    return manifest(owner, "v1", "ServiceAccount", namespace, name, automountServiceAccountToken=speaks_to_api)


def identity(owner: Mapping[str, str], who: Identity) -> Iterator[Manifest]:
    """The ServiceAccount of an identity, its roles and their bindings."""
    yield account(owner, who.namespace, who.name, speaks_to_api=bool(who.rules))
    for scope in who.scopes():
        rules = [rule for rule in who.rules if rule.namespace == scope]
        yield from granted(owner, who, scope, f"commonweal-{who.name}", rules)


def granted(
    owner: Mapping[str, str], who: Identity, scope: str | None, name: str, rules: Sequence[Rule]
) -> tuple[Manifest, Manifest]:
    """The role that holds `rules` in the namespace `scope`, or everywhere if None, and its binding to an identity."""
    api, role = f"{RBAC_GROUP}/v1", "ClusterRole" if scope is None else "Role"
    reference = {"apiGroup": RBAC_GROUP, "kind": role, "name": name}
    subject = {"kind": "ServiceAccount", "name": who.name, "namespace": who.namespace}
    return (
        manifest(owner, api, role, scope, name, rules=[rule.manifest() for rule in rules]),
        manifest(owner, api, f"{role}Binding", scope, name, roleRef=reference, subjects=[subject]),
    )


def claim(owner: Mapping[str, str], namespace: str, name: str, mib: int) -> Manifest:
    """A volume from the cluster's storage."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": memory(mib)}}}
    # Many storage classes bind a claim only when its first pod comes, which comes after.
    return manifest(owner, "v1", "PersistentVolumeClaim", namespace, name, annotations=UNAWAITED, spec=spec)


def workload(
    owner: Mapping[str, str], kind: str, namespace: str, name: str, pod: Manifest, *, awaited: bool, **spec: object
) -> Manifest:
    """A Deployment or DaemonSet that runs `pod`; `awaited` has Pulumi wait until it does."""
    selector = {"app.kubernetes.io/name": name}
    labels = {**selector, **MANAGED_BY, **owner}
    whole: Manifest = {
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": labels}, "spec": pod},
        **spec,
    }
    annotations = {"pulumi.com/timeoutSeconds": "300"} if awaited else UNAWAITED
    return manifest(owner, "apps/v1", kind, namespace, name, labels=selector, annotations=annotations, spec=whole)


def cores(millis: int) -> str:
    """Thousandths of a core as the API server itself would write them, so that reading back shows no difference."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


def memory(mib: int) -> str:
    """MiB as the API server itself would write them."""
    if mib == 0 or mib % 1024:
        return f"{mib}Mi" if mib else "0"
    gib = mib // 1024
    return f"{gib}Gi" if gib % 1024 else f"{gib // 1024}Ti"
