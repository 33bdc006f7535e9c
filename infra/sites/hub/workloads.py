"""The pods of the hub's site: operator, front door and dashboard, under the same confinement as a member's.

The front door is a pod of its own, so that pilots are reached while the operator is replaced: beside each HAProxy
stands a doorkeeper, the operator's own program told to write that one file, which reloads HAProxy by a signal.
"""

from typing import Any

from infra.sites.hub.args import HubSiteArgs
from infra.sites.workloads import Pod, container_of, host_folder, pod_of, probe, resources

OPERATOR = "hub-operator"
FRONT_DOOR = "front-door"
DASHBOARD = "dashboard"
HEALTH_PORT = 18070
DASHBOARD_PORT = 8501
STATE_CLAIM = "hub-state"
STATE_FOLDER = "/var/lib/commonweal-hub"
DOOR_FOLDER = "/var/lib/commonweal-door"
TLS_FOLDER = "/etc/commonweal-tls"
CERTIFICATE = f"{TLS_FOLDER}/tls.pem"
KUBECONFIG_FOLDER = "/etc/commonweal"
CODE = "/opt/commonweal/code"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # a pod's own address is not known before; NetworkPolicies say who gets there
DRAIN_S = 60  # as long as HAProxy lets a request finish (`hard-stop-after`)


def operator_pod(args: HubSiteArgs) -> Pod:
    """The hub operator, beside the books that it alone writes."""
    container = container_of(
        OPERATOR,
        args.image,
        args=["-m", "operators.hub"],
        env={**_common(args), "COMMONWEAL_HUB_STATE_DIR": STATE_FOLDER},
        ports={"health": HEALTH_PORT},
        resources=resources(cpu="100m", memory="256Mi", cpu_limit="2", memory_limit="1Gi"),
        mounts=[{"name": "state", "mountPath": STATE_FOLDER}],
        livenessProbe=probe("/healthz", "health", period_s=20),
        readinessProbe=probe("/readyz", "health"),
    )
    return pod_of(OPERATOR, [container], [{"name": "state", **_state(args)}])


def front_door_pod(args: HubSiteArgs) -> Pod:
    """HAProxy and its doorkeeper, which share a folder and see each other's processes."""
    folder = {"name": "door", "mountPath": DOOR_FOLDER}
    keeper = container_of(
        "doorkeeper",
        args.image,
        args=["-m", "operators.hub"],
        env={**_common(args), "COMMONWEAL_HUB_STATE_DIR": DOOR_FOLDER, "COMMONWEAL_HUB_FRONT_DOOR_ONLY": "true"},
        ports={"health": HEALTH_PORT},
        resources=resources(cpu="20m", memory="96Mi", cpu_limit="500m", memory_limit="256Mi"),
        mounts=[folder],
        # A sidecar that comes first: HAProxy does not start without the file.
        restartPolicy="Always",
        startupProbe=probe("/healthz", "health", period_s=1),
        livenessProbe=probe("/healthz", "health", period_s=20),
    )
    tls = [{"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True}] if args.front_door_tls_secret else []
    configuration = [f"-f{DOOR_FOLDER}/frontdoor/haproxy.cfg", f"-p{DOOR_FOLDER}/frontdoor/haproxy.pid"]
    haproxy = container_of(
        "haproxy",
        args.front_door_image,
        args=["-W", "-db", *configuration],
        ports={"status": args.status_port},
        resources=resources(cpu="50m", memory="64Mi", cpu_limit="2", memory_limit="256Mi"),
        mounts=[folder, *tls],
        livenessProbe=probe("/", "status", period_s=20),
        readinessProbe=probe("/", "status"),
        # Endpoints are taken from load balancers first; then it finishes what it has (the image stops by SIGUSR1).
        lifecycle={"preStop": {"sleep": {"seconds": 5}}},
    )
    volumes: list[Pod] = [{"name": "door", "emptyDir": {"sizeLimit": "16Mi"}}]
    if args.front_door_tls_secret:
        volumes.append({"name": "tls", "secret": _tls(args.front_door_tls_secret)})
    return pod_of(FRONT_DOOR, [haproxy], volumes) | {
        "initContainers": [keeper],
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": DRAIN_S + 10,
        "topologySpreadConstraints": [_apart()],
    }


def dashboard_pod(args: HubSiteArgs) -> Pod:
    """The dashboard, which reads as the ServiceAccount of its pod."""
    serving = ["--server.port", str(DASHBOARD_PORT), "--server.address", ANY_ADDRESS, "--server.headless", "true"]
    container = container_of(
        DASHBOARD,
        args.image,
        args=["-m", "streamlit", "run", f"{CODE}/dashboards/app.py", *serving, "--browser.gatherUsageStats", "false"],
        env={"KUBECONFIG": f"{KUBECONFIG_FOLDER}/kubeconfig"},
        ports={"http": DASHBOARD_PORT},
        resources=resources(cpu="50m", memory="256Mi", cpu_limit="1", memory_limit="768Mi"),
        mounts=[{"name": "kubeconfig", "mountPath": KUBECONFIG_FOLDER, "readOnly": True}],
        livenessProbe=probe("/_stcore/health", "http", period_s=20),
        readinessProbe=probe("/_stcore/health", "http"),
    )
    pod = pod_of(DASHBOARD, [container], [{"name": "kubeconfig", "configMap": {"name": DASHBOARD}}])
    return pod | {"dnsPolicy": "ClusterFirst"}  # its kubeconfig calls the API server by name


def dashboard_kubeconfig() -> dict[str, Any]:
    """A kubeconfig that names the files which every pod is given; it holds no secret."""
    given = "/var/run/secrets/kubernetes.io/serviceaccount"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "hub",
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": DASHBOARD}}],
        "clusters": [
            {
                "name": "hub",
                "cluster": {
                    "server": "https://kubernetes.default.svc",
                    "certificate-authority": f"{given}/ca.crt",
                },
            }
        ],
        "users": [{"name": DASHBOARD, "user": {"tokenFile": f"{given}/token"}}],
    }


def _common(args: HubSiteArgs) -> dict[str, str]:
    """What operator and doorkeeper must agree on: where pilots are announced and where they are served."""
    tls = {"COMMONWEAL_HUB_FRONT_DOOR_CERTIFICATE": CERTIFICATE} if args.front_door_tls_secret else {}
    return {
        "COMMONWEAL_HUB_HEALTH_HOST": ANY_ADDRESS,
        "COMMONWEAL_HUB_HEALTH_PORT": str(HEALTH_PORT),
        "COMMONWEAL_HUB_FRONT_DOOR_HOST": args.public_host,
        "COMMONWEAL_HUB_FRONT_DOOR_BIND": ANY_ADDRESS,
        "COMMONWEAL_HUB_FRONT_DOOR_FIRST_PORT": str(args.front_door_first_port),
        **tls,
    }


def _state(args: HubSiteArgs) -> Pod:
    if args.state_host_path is not None:
        return host_folder(args.state_host_path)
    return {"persistentVolumeClaim": {"claimName": STATE_CLAIM}}


def _tls(secret: str) -> Pod:
    """The certificate under the two names by which HAProxy finds both halves."""
    items = [{"key": "tls.crt", "path": "tls.pem"}, {"key": "tls.key", "path": "tls.pem.key"}]
    return {"secretName": secret, "items": items}


def _apart() -> Pod:
    """Where there are several nodes, one that goes away takes one front door and not all."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": FRONT_DOOR}},
    }
