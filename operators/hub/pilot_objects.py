"""What one member runs for a PilotApp: service account, grants, deployment, service; all as data.

The pod is as confined as a pod can be and still serve: no root, no writable root, no API access, no privilege. It
shows gateways a token of its own service account, made for them alone. A Secret is named here and never read: the
member holds it, and its agent mounts it only if the member labelled it for this app.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from commonweal.kinds.assignment import OwnerKind
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.member import Site
from commonweal.kinds.pilot_app import PILOT_LABEL, PilotApp
from commonweal.membership import member_namespace
from operators.frame.plan import spec_hash
from operators.hub.resources import APPS_NAMESPACE, ASSIGNMENTS, OURS, PILOT_PREFIX, child
from operators.kube import Json

GRANTS_FOLDER = "/etc/commonweal"
SECRETS_FOLDER = "/etc/commonweal-secrets"
SECRET_MODE = 0o440  # for the pod's group, which is the process's own
TOKEN_FOLDER = "/var/run/secrets/commonweal"  # noqa: S105 - a path
TOKEN_AUDIENCE = "commonweal-gateway"  # noqa: S105 - a name
TOKEN_S = 3600
CONFIG_HASH = "commonweal.dev/config-hash"
USER = 65532
DRAIN_S = 5  # longer than the front door needs to see that a pod is not ready any more


@dataclass(frozen=True, kw_only=True)
class LiveGrantOf:
    """A live grant of an app, with the trust it is on and the datasets that were agreed."""

    grant: DataGrant
    trust: DataTrust
    datasets: tuple[str, ...]


def grants_json(grants: Sequence[LiveGrantOf], sites: Mapping[str, Site]) -> str:
    """The file that tells a pod under which grants it may ask, and where the gateways are."""
    members: set[str] = set()
    entries = []
    for each in grants:
        held = {dataset.name: dataset.sources for dataset in each.trust.spec.datasets}
        datasets = [{"name": name, "members": sorted(held[name])} for name in sorted(each.datasets)]
        members.update(*(held[name] for name in each.datasets))
        entries.append(
            {
                "name": each.grant.metadata.name,
                "trust": each.trust.metadata.name,
                "purpose": each.grant.spec.purpose.value,
                "datasets": datasets,
            }
        )
    gateways = [
        {"member": name, "url": site.gateway_url, "ca_pem": site.gateway_certificate_pem}
        for name, site in sorted(sites.items())
        if name in members and site.gateway_url and site.gateway_certificate_pem
    ]
    return json.dumps({"gateways": gateways, "grants": entries}, sort_keys=True, separators=(",", ":"))


def assignment(body: Json, app: PilotApp, member: str, replicas: int, grants: str) -> Json:
    """The Assignment that has `member` run `replicas` of the app."""
    name = app.metadata.name
    wanted = child(ASSIGNMENTS, PILOT_PREFIX + name, body, namespace=member_namespace(member), member=member)
    owner = {
        "kind": OwnerKind.PILOT_APP.value,
        "name": name,
        "uid": body["metadata"]["uid"],
        "generation": body["metadata"]["generation"],
    }
    objects = [
        _object("v1", "ServiceAccount", name) | {"automountServiceAccountToken": False},
        _object("v1", "ConfigMap", f"{name}-grants") | {"data": {"grants.json": grants}},
        _deployment(app, replicas, grants),
        _service(app),
    ]
    wanted["spec"] = {"owner": owner, "objects": objects}
    return wanted


def replicas_of(assigned: Json) -> int:
    """How many replicas an Assignment of a pilot asks for."""
    deployments = [each for each in assigned["spec"]["objects"] if each["kind"] == "Deployment"]
    return int(deployments[0]["spec"]["replicas"]) if deployments else 0


def _object(api_version: str, kind: str, name: str) -> Json:
    metadata = {"name": name, "namespace": APPS_NAMESPACE, "labels": OURS}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _service(app: PilotApp) -> Json:
    port = {"name": "http", "port": 80, "targetPort": app.spec.component.port, "protocol": "TCP"}
    spec = {"type": "NodePort", "selector": {PILOT_LABEL: app.metadata.name}, "ports": [port]}
    return _object("v1", "Service", app.metadata.name) | {"spec": spec}


def _deployment(app: PilotApp, replicas: int, grants: str) -> Json:
    name = app.metadata.name
    labels = OURS | {"app.kubernetes.io/name": name, PILOT_LABEL: name}
    pod: Json = {
        # New grants mean new pods: a mounted file would follow only after a minute or more.
        "metadata": {"labels": labels, "annotations": {CONFIG_HASH: spec_hash({"grants": grants})}},
        "spec": _pod(app),
    }
    spec: Json = {
        "replicas": replicas,
        "selector": {"matchLabels": {PILOT_LABEL: name}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod,
    }
    return _object("apps/v1", "Deployment", name) | {"spec": spec}


def _pod(app: PilotApp) -> Json:
    name = app.metadata.name
    token = {"serviceAccountToken": {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_S, "path": "token"}}
    return {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(app)],
        "volumes": [
            {"name": "grants", "configMap": {"name": f"{name}-grants"}},
            {"name": "token", "projected": {"sources": [token]}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
            *(_secret_volume(number, secret) for number, secret in enumerate(app.spec.component.secrets)),
        ],
    }


def _secret_volume(number: int, secret: str) -> Json:
    """By number, because a volume's name is shorter than a Secret's may be."""
    return {"name": f"secret-{number}", "secret": {"secretName": secret, "defaultMode": SECRET_MODE}}


def _container(app: PilotApp) -> Json:
    component, resources = app.spec.component, app.spec.resources
    amounts = {"cpu": f"{resources.cpu_millis}m", "memory": f"{resources.memory_mib}Mi"}
    limits = {name: amount for name, amount in amounts.items() if not amount.startswith("0")}
    if resources.gpus:
        limits["nvidia.com/gpu"] = str(resources.gpus)
    return {
        "name": "pilot",
        "image": component.image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(component.args),
        "ports": [{"name": "http", "containerPort": component.port, "protocol": "TCP"}],
        "env": [{"name": each.name, "value": each.value} for each in component.env],
        "resources": {"limits": limits, "requests": limits},
        "readinessProbe": _probe("/readyz", component.port, period_s=1, failures=2),
        "livenessProbe": _probe("/healthz", component.port, period_s=10, failures=3),
        "startupProbe": _probe("/healthz", component.port, period_s=1, failures=60),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_S}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "grants", "mountPath": GRANTS_FOLDER, "readOnly": True},
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, of 64 MiB
            *(
                {"name": f"secret-{number}", "mountPath": f"{SECRETS_FOLDER}/{secret}", "readOnly": True}
                for number, secret in enumerate(component.secrets)
            ),
        ],
    }


def _probe(path: str, port: int, *, period_s: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
