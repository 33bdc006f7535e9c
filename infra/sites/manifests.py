"""The Kubernetes objects of a member's site, as plain data, from its arguments.

Nothing here knows Pulumi: the same objects are registered by `member.py`, printed by `plan.py` and checked by tests.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from commonweal.kinds.consortium import Overhead
from commonweal.kinds.meta import Resources
from commonweal.site_policy import Facts
from commonweal.site_policy.admission import policies
from commonweal.site_policy.targets import COUNTRY_LABEL, ZONE_LABEL
from infra.sites.args import MemberSiteArgs
from infra.sites.network import DENIAL, OPENINGS
from infra.sites.rbac import APPS, DATA, IDENTITIES, SYSTEM, Identity
from infra.sites.workloads import DATA_CLAIM, GATEWAY_PORT, agent_pod, exporter_pod, gateway_pod

Manifest = dict[str, Any]

MANAGED_BY = {"app.kubernetes.io/managed-by": "commonweal"}
# One owner for all fields of the site, whoever runs the program and whenever: a random one would conflict with itself.
FIELD_MANAGER = "commonweal-site"
UNAWAITED = {"pulumi.com/skipAwait": "true"}
RBAC_GROUP = "rbac.authorization.k8s.io"


def site_manifests(args: MemberSiteArgs) -> tuple[Manifest, ...]:
    """Every object of the site, in an order in which each can be created."""
    return (
        *_namespaces(args),
        *_admission(args),
        *_network(args),
        *(item for identity in IDENTITIES for item in _identity(args, identity)),
        _quota(args),
        *_secrets(args),
        *_claims(args),
        _gateway_service(args),
        _workload(args, "Deployment", SYSTEM, "agent", agent_pod(args)),
        _workload(args, "DaemonSet", SYSTEM, "exporter", exporter_pod(args)),
        _workload(args, "Deployment", DATA, "gateway", gateway_pod(args)),
    )


def facts_of(args: MemberSiteArgs) -> Facts:
    """What the consortium's rules know of this site and its charter."""
    overhead = None
    if args.overhead_cpu_millis is not None and args.overhead_memory_mib is not None:
        overhead = Overhead(cpu_millis=args.overhead_cpu_millis, memory_mib=args.overhead_memory_mib)
    return Facts(
        pledge=Resources(cpu_millis=args.pledge_cpu_millis, memory_mib=args.pledge_memory_mib, gpus=args.pledge_gpus),
        countries=args.allowed_countries,
        grid_zones=args.allowed_grid_zones,
        image_sources=args.allowed_images,
        overhead=overhead,
    )


def _manifest(
    args: MemberSiteArgs,
    api: str,
    kind: str,
    namespace: str | None,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **body: object,
) -> Manifest:
    metadata: Manifest = {
        "name": name,
        "labels": {**MANAGED_BY, "commonweal.dev/member": args.member, **(labels or {})},
        "annotations": {"pulumi.com/patchFieldManager": FIELD_MANAGER, **(annotations or {})},
    }
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def _namespaces(args: MemberSiteArgs) -> Iterator[Manifest]:
    # A hostPath volume is outside every Pod Security level but `privileged`; the pods themselves meet the strictest,
    # but for an exporter that tells energy by pod.
    levels = {
        SYSTEM: "privileged" if args.meter_host_path or args.pod_resources_host_path else "restricted",
        DATA: "privileged" if args.data_host_path else "restricted",
        APPS: "baseline",
    }
    place = {COUNTRY_LABEL: args.country, **({ZONE_LABEL: args.grid_zone} if args.grid_zone else {})}
    for name, level in levels.items():
        labels = {"pod-security.kubernetes.io/enforce": level, **place}
        yield _manifest(args, "v1", "Namespace", None, name, labels=labels)


def _admission(args: MemberSiteArgs) -> Iterator[Manifest]:
    for body in policies(facts_of(args)):
        yield _manifest(args, body["apiVersion"], body["kind"], None, body["metadata"]["name"], spec=body["spec"])


def _network(args: MemberSiteArgs) -> Iterator[Manifest]:
    specs = [(namespace, "default-deny", DENIAL) for namespace in (SYSTEM, DATA, APPS)]
    specs += [(opening.namespace, opening.name, opening.spec()) for opening in OPENINGS]
    for namespace, name, spec in specs:
        yield _manifest(args, "networking.k8s.io/v1", "NetworkPolicy", namespace, name, spec=spec)


def _identity(args: MemberSiteArgs, identity: Identity) -> Iterator[Manifest]:
    yield _manifest(
        args,
        "v1",
        "ServiceAccount",
        identity.namespace,
        identity.name,
        automountServiceAccountToken=bool(identity.rules),
    )
    subject = {"kind": "ServiceAccount", "name": identity.name, "namespace": identity.namespace}
    for scope in identity.scopes():
        prefix = "Cluster" if scope is None else ""
        name = f"commonweal-{identity.name}"
        rules = [rule.manifest() for rule in identity.rules if rule.namespace == scope]
        reference = {"apiGroup": RBAC_GROUP, "kind": f"{prefix}Role", "name": name}
        yield _manifest(args, f"{RBAC_GROUP}/v1", f"{prefix}Role", scope, name, rules=rules)
        yield _manifest(
            args, f"{RBAC_GROUP}/v1", f"{prefix}RoleBinding", scope, name, roleRef=reference, subjects=[subject]
        )


def cores(millis: int) -> str:
    """Thousandths of a core as the API server itself would write them, so that reading back shows no difference."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


def memory(mib: int) -> str:
    """MiB as the API server itself would write them."""
    if mib == 0 or mib % 1024:
        return f"{mib}Mi" if mib else "0"
    gib = mib // 1024
    return f"{gib}Gi" if gib % 1024 else f"{gib // 1024}Ti"


def _quota(args: MemberSiteArgs) -> Manifest:
    """The pledge as an upper bound: what the pool asks of the member's machines never exceeds it."""
    hard = {
        "requests.cpu": cores(args.pledge_cpu_millis),
        "requests.memory": memory(args.pledge_memory_mib),
        "requests.nvidia.com/gpu": str(args.pledge_gpus),
    }
    return _manifest(args, "v1", "ResourceQuota", APPS, "pledge", spec={"hard": hard})


def _secrets(args: MemberSiteArgs) -> Iterator[Manifest]:
    if args.hub_invitation is not None:
        content = {"invitation.json": args.hub_invitation}
        yield _manifest(args, "v1", "Secret", SYSTEM, "hub-invitation", type="Opaque", stringData=content)


def _claims(args: MemberSiteArgs) -> Iterator[Manifest]:
    if args.data_claim_mib is not None:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": memory(args.data_claim_mib)}},
        }
        # Many storage classes bind a claim only when its first pod comes, which comes after.
        yield _manifest(args, "v1", "PersistentVolumeClaim", DATA, DATA_CLAIM, annotations=UNAWAITED, spec=spec)


def _gateway_service(args: MemberSiteArgs) -> Manifest:
    port = {"name": "https", "port": GATEWAY_PORT, "targetPort": "https", "nodePort": args.gateway_node_port}
    spec = {"type": "NodePort", "selector": {"app.kubernetes.io/name": "gateway"}, "ports": [port]}
    # Its pods come after it, so waiting for endpoints would wait for ever.
    return _manifest(args, "v1", "Service", DATA, "gateway", annotations=UNAWAITED, spec=spec)


def _workload(args: MemberSiteArgs, kind: str, namespace: str, name: str, pod: Manifest) -> Manifest:
    selector = {"app.kubernetes.io/name": name}
    labels = {**selector, **MANAGED_BY, "commonweal.dev/member": args.member}
    spec: Manifest = {"selector": {"matchLabels": selector}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "Deployment":
        # Each keeps something of which there is one: the member's identity, the data's SQLite catalog.
        spec |= {"replicas": 1, "strategy": {"type": "Recreate"}}
    # The agent is ready once the hub has accepted the member, which another person does after this.
    awaited = args.wait_for_pods and name != "agent"
    annotations = {"pulumi.com/timeoutSeconds": "300"} if awaited else UNAWAITED
    return _manifest(args, "apps/v1", kind, namespace, name, labels=selector, annotations=annotations, spec=spec)
