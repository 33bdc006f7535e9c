"""The Kubernetes objects of the hub's site, as plain data, from its arguments.

What `commonweal setup` applies (namespace, kinds, roles, fences) is among them, from the same files; beside it stand
the pods that the local demo runs as processes (infra/beside_hub.py).
"""

import json
from collections.abc import Iterator, Mapping

from commonweal.site_policy import Facts
from commonweal.site_policy.admission import policies
from infra.sites.hub.args import Exposure, HubSiteArgs
from infra.sites.hub.network import openings
from infra.sites.hub.workloads import (
    DASHBOARD,
    DASHBOARD_PORT,
    FRONT_DOOR,
    OPERATOR,
    STATE_CLAIM,
    dashboard_kubeconfig,
    dashboard_pod,
    front_door_pod,
    operator_pod,
)
from infra.sites.objects import OWNED_BY, UNAWAITED, Manifest, account, claim, manifest, network, workload
from infra.sites.policy import lawful
from infra.sites.rbac import SYSTEM
from operators.hub import setup

HEAD = ("apiVersion", "kind", "metadata")


def hub_manifests(args: HubSiteArgs) -> tuple[Manifest, ...]:
    """Every object of the hub, in an order in which each can be created."""
    owner = _owner(args)
    return (
        *_prerequisites(args),
        *_site_policies(args),
        *network(owner, (SYSTEM,), openings(args)),
        *(account(owner, SYSTEM, name, speaks_to_api=True) for name in (OPERATOR, FRONT_DOOR, DASHBOARD)),
        *((claim(owner, SYSTEM, STATE_CLAIM, args.state_claim_mib),) if args.state_claim_mib is not None else ()),
        _kubeconfig(args),
        *_services(args),
        *_workloads(args),
    )


def lawful_manifests(args: HubSiteArgs) -> tuple[Manifest, ...]:
    """The same, judged by the consortium's rules.

    Raises:
        SiteError: One or more of them break a rule; a sentence for each breach.
    """
    return lawful(hub_manifests(args), facts_of(args))


def is_kept(body: Manifest) -> bool:
    """Whether nothing of ours may ever delete an object: the kinds, with every record of theirs, and the books."""
    return body["kind"] in {"CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"}


def facts_of(args: HubSiteArgs) -> Facts:
    """What the consortium's rules know of the hub, which pledges nothing and holds no member's rows."""
    return Facts(image_sources=args.allowed_images)


def _owner(args: HubSiteArgs) -> Mapping[str, str]:
    return {"commonweal.dev/hub": args.hub}


def _prerequisites(args: HubSiteArgs) -> Iterator[Manifest]:
    # Under the field manager of `commonweal setup`: who began by hand, with an older version too, is not in the way.
    same_owner = {OWNED_BY: setup.FIELD_MANAGER}
    for body in setup.manifests():
        metadata, rest = body["metadata"], {key: value for key, value in body.items() if key not in HEAD}
        labels, annotations = dict(metadata.get("labels", {})), {**metadata.get("annotations", {}), **same_owner}
        if body["kind"] == "Namespace":
            labels["pod-security.kubernetes.io/enforce"] = "privileged" if args.state_host_path else "restricted"
        space, name = metadata.get("namespace"), metadata["name"]
        api, kind = body["apiVersion"], body["kind"]
        yield manifest(_owner(args), api, kind, space, name, labels=labels, annotations=annotations, **rest)


def _site_policies(args: HubSiteArgs) -> Iterator[Manifest]:
    for body in policies(facts_of(args)):
        yield manifest(
            _owner(args), body["apiVersion"], body["kind"], None, body["metadata"]["name"], spec=body["spec"]
        )


def _kubeconfig(args: HubSiteArgs) -> Manifest:
    data = {"kubeconfig": json.dumps(dashboard_kubeconfig(), sort_keys=True)}
    return manifest(_owner(args), "v1", "ConfigMap", SYSTEM, DASHBOARD, data=data)


def _services(args: HubSiteArgs) -> Iterator[Manifest]:
    # Their pods come after them, so waiting for endpoints would wait for ever.
    scheme = "https" if args.front_door_tls_secret else "http"
    by_node = args.front_door_exposure is Exposure.NODE_PORT
    doors = [
        {"name": f"{scheme}-{port}", "port": port, "targetPort": port, **({"nodePort": port} if by_node else {})}
        for port in args.doors
    ]
    screen = [{"name": "http", "port": DASHBOARD_PORT, "targetPort": "http"}]
    for name, kind, ports in ((FRONT_DOOR, args.front_door_exposure.value, doors), (DASHBOARD, "ClusterIP", screen)):
        spec = {"type": kind, "selector": {"app.kubernetes.io/name": name}, "ports": ports}
        yield manifest(_owner(args), "v1", "Service", SYSTEM, name, annotations=UNAWAITED, spec=spec)


def _workloads(args: HubSiteArgs) -> Iterator[Manifest]:
    owner, awaited = _owner(args), args.wait_for_pods
    # One, because the books have one writer. The lease stands between two when a node is lost and its pod lives on.
    alone = {"replicas": 1, "strategy": {"type": "Recreate"}}
    yield workload(owner, "Deployment", SYSTEM, OPERATOR, operator_pod(args), awaited=awaited, **alone)
    several = {
        "replicas": args.front_door_replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    }
    yield workload(owner, "Deployment", SYSTEM, FRONT_DOOR, front_door_pod(args), awaited=awaited, **several)
    if args.front_door_replicas > 1:
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": FRONT_DOOR}}}
        yield manifest(owner, "policy/v1", "PodDisruptionBudget", SYSTEM, FRONT_DOOR, spec=budget)
    yield workload(owner, "Deployment", SYSTEM, DASHBOARD, dashboard_pod(args), awaited=awaited, replicas=1)
