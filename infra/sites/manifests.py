"""The Kubernetes objects of a member's site, as plain data, from its arguments.

Nothing here knows Pulumi: the same objects are registered by the components, printed by `plan.py` and checked by tests.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

from commonweal.kinds.consortium import Overhead
from commonweal.kinds.member import SiteDeclaration
from commonweal.kinds.meta import Resources
from commonweal.site_policy import Facts
from commonweal.site_policy.admission import policies
from commonweal.site_policy.targets import COUNTRY_LABEL, ZONE_LABEL
from infra.sites.args import DataTrustSiteArgs, MemberSiteArgs, MeteringSiteArgs, SiteArgs
from infra.sites.network import DATA_TRUST_OPENINGS, FRAME_OPENINGS, METERING_OPENINGS, to_store
from infra.sites.objects import UNAWAITED, Manifest, claim, cores, identity, manifest, memory, network, workload
from infra.sites.rbac import AGENT, APPS, DATA, EXPORTER, GATEWAY, SYSTEM
from infra.sites.workloads import DATA_CLAIM, GATEWAY_PORT, agent_pod, exporter_pod, gateway_pod
from operators.agent.site import DECLARATION_CONFIG_MAP, DECLARATION_KEY

# Each keeps something of which there is one: the member's identity, the data's SQLite catalog.
ONE_AT_A_TIME = {"replicas": 1, "strategy": {"type": "Recreate"}}


def site_manifests(args: MemberSiteArgs) -> tuple[Manifest, ...]:
    """Every object of the site, in an order in which each can be created."""
    return (*frame_manifests(args), *data_trust_manifests(args), *metering_manifests(args))


def site_declaration(args: MemberSiteArgs) -> SiteDeclaration:
    """What the site is declared as; the member's agent signs it and the hub holds the member to it."""
    objects = (*_ground(args), _agent(args), *data_trust_manifests(args), *metering_manifests(args))
    public = [body for body in objects if body["kind"] != "Secret"]
    text = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return SiteDeclaration(
        country=args.country,
        grid_zone=args.grid_zone,
        engine=args.engine,
        gateway_url=args.gateway_url,
        images=args.images,
        objects=len(public),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def declaration_text(args: MemberSiteArgs) -> str:
    """The declaration as canonical JSON."""
    return json.dumps(site_declaration(args).wire(), sort_keys=True, separators=(",", ":"))


def frame_manifests(args: MemberSiteArgs) -> tuple[Manifest, ...]:
    """What a MemberSite makes itself: the namespaces, what holds in them, the agent, and what it declares."""
    data = {DECLARATION_KEY: declaration_text(args)}
    declaration = manifest(_owner(args), "v1", "ConfigMap", SYSTEM, DECLARATION_CONFIG_MAP, data=data)
    return (*_ground(args), declaration, _agent(args))


def _ground(args: MemberSiteArgs) -> tuple[Manifest, ...]:
    owner = _owner(args)
    return (
        *_namespaces(args),
        *_admission(args),
        *network(owner, (SYSTEM, DATA, APPS), FRAME_OPENINGS),
        *identity(owner, AGENT),
        _quota(args),
        *_secrets(args),
    )


def _agent(args: MemberSiteArgs) -> Manifest:
    # It is ready once the hub has accepted the member, which another person does after this.
    return workload(_owner(args), "Deployment", SYSTEM, "agent", agent_pod(args), awaited=False, **ONE_AT_A_TIME)


def data_trust_manifests(args: DataTrustSiteArgs) -> tuple[Manifest, ...]:
    """What a DataTrustSite makes in the data namespace: the gateway, its engine, and the claim under their data."""
    owner = _owner(args)
    store = () if args.store_port is None else (to_store(args.store_port),)
    return (
        *network(owner, (), (*DATA_TRUST_OPENINGS, *store)),
        *identity(owner, GATEWAY),
        *((claim(owner, DATA, DATA_CLAIM, args.data_claim_mib),) if args.data_claim_mib is not None else ()),
        _gateway_service(args),
        workload(owner, "Deployment", DATA, "gateway", gateway_pod(args), awaited=args.wait_for_pods, **ONE_AT_A_TIME),
    )


def metering_manifests(args: MeteringSiteArgs) -> tuple[Manifest, ...]:
    """What a MeteringSite makes in the system namespace: the exporter on every node."""
    owner = _owner(args)
    return (
        *network(owner, (), METERING_OPENINGS),
        *identity(owner, EXPORTER),
        workload(owner, "DaemonSet", SYSTEM, "exporter", exporter_pod(args), awaited=args.wait_for_pods),
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


def _owner(args: SiteArgs) -> Mapping[str, str]:
    return {"commonweal.dev/member": args.member}


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
        yield manifest(_owner(args), "v1", "Namespace", None, name, labels=labels)


def _admission(args: MemberSiteArgs) -> Iterator[Manifest]:
    for body in policies(facts_of(args)):
        name = body["metadata"]["name"]
        yield manifest(_owner(args), body["apiVersion"], body["kind"], None, name, spec=body["spec"])


def _quota(args: MemberSiteArgs) -> Manifest:
    """The pledge as an upper bound: what the pool asks of the member's machines never exceeds it."""
    hard = {
        "requests.cpu": cores(args.pledge_cpu_millis),
        "requests.memory": memory(args.pledge_memory_mib),
        "requests.nvidia.com/gpu": str(args.pledge_gpus),
    }
    return manifest(_owner(args), "v1", "ResourceQuota", APPS, "pledge", spec={"hard": hard})


def _secrets(args: MemberSiteArgs) -> Iterator[Manifest]:
    if args.hub_invitation is not None:
        content = {"invitation.json": args.hub_invitation}
        yield manifest(_owner(args), "v1", "Secret", SYSTEM, "hub-invitation", type="Opaque", stringData=content)


def _gateway_service(args: DataTrustSiteArgs) -> Manifest:
    port = {"name": "https", "port": GATEWAY_PORT, "targetPort": "https", "nodePort": args.gateway_node_port}
    spec = {"type": "NodePort", "selector": {"app.kubernetes.io/name": "gateway"}, "ports": [port]}
    # Its pods come after it, so waiting for endpoints would wait for ever.
    return manifest(_owner(args), "v1", "Service", DATA, "gateway", annotations=UNAWAITED, spec=spec)
