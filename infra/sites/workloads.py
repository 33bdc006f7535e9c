"""The pods of a member's site: agent, exporter and gateway, each as small as its work allows.

All run as one unprivileged user on a read-only root with no capability; what they may write is named as a volume. One
exception is asked for by name: an exporter that tells energy by pod is root, which alone may ask the kubelet, still
without a capability and outside the node's processes.
"""

from typing import Any

from infra.sites.args import DataTrustSiteArgs, MemberSiteArgs, MeteringSiteArgs
from infra.sites.rbac import AGENT, EXPORTER, GATEWAY

Pod = dict[str, Any]

USER = 65532
AGENT_PORT = 8080
EXPORTER_PORT = 9400
GATEWAY_PORT = 8443
DATA_CLAIM = "commonweal-data"
DATA_FOLDER = "/var/lib/commonweal-data"
METER_FOLDER = "/var/lib/commonweal-meter"
NVML_FOLDER = "/opt/simulated-nvml"
POD_RESOURCES_FOLDER = "/var/lib/kubelet/pod-resources"

POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# The kubelet's socket is open to root alone; capabilities, which are what root is feared for, stay dropped.
ROOT_SECURITY = {**POD_SECURITY, "runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0, "fsGroup": 0}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SCRATCH = {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}
SCRATCH_MOUNT = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  # the pod's own, shared with no other
POD_MOUNT = {"name": "pod-resources", "mountPath": POD_RESOURCES_FOLDER, "readOnly": True}
# Clouds taint their GPU nodes, so that only who asks for a GPU runs there; the exporter reads GPUs and asks for none.
GPU_NODES = {"key": "nvidia.com/gpu", "operator": "Exists"}
DATA_MOUNT = {"name": "data", "mountPath": DATA_FOLDER}
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
TRINO_S3 = "-Dcatalog.config-dir=/etc/trino/catalog-s3"  # as data_trusts/trino_config.py writes it for the image


def agent_pod(args: MemberSiteArgs) -> Pod:
    """The agent: it connects out to the hub and does here what Assignments say."""
    container = container_of(
        "agent",
        args.image,
        args=["-m", "operators.agent"],
        env={
            "COMMONWEAL_MEMBER": args.member,
            "COMMONWEAL_DISPLAY_NAME": args.display_name,
            "COMMONWEAL_COUNTRY": args.country,
            "COMMONWEAL_NODE_ADDRESS": args.node_address,
            "COMMONWEAL_GATEWAY_URL": args.gateway_url,
            "COMMONWEAL_ENGINE": args.engine.value,
            "COMMONWEAL_HEALTH_PORT": str(AGENT_PORT),
        },
        ports={"health": AGENT_PORT},
        resources=resources(cpu="50m", memory="96Mi", cpu_limit="1", memory_limit="384Mi"),
        livenessProbe=probe("/healthz", "health", period_s=20),
        readinessProbe=probe("/readyz", "health"),
    )
    return pod_of(AGENT.name, [container], [])


def exporter_pod(args: MeteringSiteArgs) -> Pod:
    """The exporter: one a node, it reads the energy registers of the node's GPUs."""
    device = (
        {
            "COMMONWEAL_SIMULATED": "true",
            "COMMONWEAL_SIMULATED_LIBRARY": f"{NVML_FOLDER}/libnvidia-ml.so.1",
            "LD_LIBRARY_PATH": NVML_FOLDER,
            "SIMULATED_NVML_GPUS": str(args.simulated_gpus),
        }
        if args.simulated_gpus
        else {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility"}
    )
    container = container_of(
        "exporter",
        args.image,
        args=["-m", "infra.nvml_exporter"],
        env={
            "COMMONWEAL_MEMBER": args.member,
            "COMMONWEAL_METER_PORT": str(EXPORTER_PORT),
            "COMMONWEAL_PERIOD_S": str(args.meter_period_s),
            "COMMONWEAL_STATE_DIR": METER_FOLDER,
            **({"COMMONWEAL_POD_RESOURCES": POD_RESOURCES_FOLDER} if args.pod_resources_host_path else {}),
            **device,
        },
        ports={"metrics": EXPORTER_PORT},
        resources=resources(cpu="20m", memory="48Mi", cpu_limit="500m", memory_limit="192Mi"),
        mounts=[{"name": "meter", "mountPath": METER_FOLDER}, *([POD_MOUNT] if args.pod_resources_host_path else [])],
        livenessProbe=probe("/healthz", "metrics", period_s=20),
        readinessProbe=probe("/healthz", "metrics"),
    )
    kept = host_folder(args.meter_host_path) if args.meter_host_path else {"emptyDir": {"sizeLimit": "256Mi"}}
    pod = pod_of(EXPORTER.name, [container], [{"name": "meter", **kept}]) | {"tolerations": [GPU_NODES]}
    return _telling_pods_apart(pod, args.pod_resources_host_path) if args.pod_resources_host_path else pod


def _telling_pods_apart(pod: Pod, pod_resources: str) -> Pod:
    """Let it ask the kubelet who holds a GPU; the folder is read, never written."""
    # The folder, not the socket in it, which a kubelet makes anew when it restarts.
    volume = {"name": "pod-resources", **host_folder(pod_resources)}
    return pod | {"securityContext": ROOT_SECURITY, "volumes": [*pod["volumes"], volume]}


def gateway_pod(args: DataTrustSiteArgs) -> Pod:
    """The gateway, and beside it the engine it asks where that is Trino, which listens on the pod's loopback only."""
    gateway = container_of(
        "gateway",
        args.image,
        args=["-m", "data_trusts.gateway"],
        env={
            "COMMONWEAL_MEMBER": args.member,
            "COMMONWEAL_ENGINE": args.engine.value,
            "COMMONWEAL_DATA": DATA_FOLDER,
            "COMMONWEAL_GATEWAY_URL": args.gateway_url,
            **({"COMMONWEAL_WITNESSES": args.witnesses} if args.witnesses else {}),
            **_store_of(args),
        },
        secret=args.store_secret,
        ports={"https": GATEWAY_PORT},
        resources=resources(cpu="50m", memory="128Mi", cpu_limit="1", memory_limit="512Mi"),
        mounts=[DATA_MOUNT],
        livenessProbe=probe("/healthz", "https", scheme="HTTPS", period_s=20),
        readinessProbe=probe("/readyz", "https", scheme="HTTPS"),
    )
    containers, volumes = [gateway], [_data_volume(args)]
    if args.trino_image is not None:
        containers.append(_trino(args, args.trino_image))
    return pod_of(GATEWAY.name, containers, volumes)


def _store_of(args: DataTrustSiteArgs) -> dict[str, str]:
    """What the gateway and its engine alone are told of the bucket; its credentials come from the Secret."""
    told = {"COMMONWEAL_WAREHOUSE": args.warehouse, "AWS_ENDPOINT_URL": args.store_endpoint}
    return {**told, "AWS_REGION": args.store_region} if args.warehouse else {}


def _trino(args: DataTrustSiteArgs, image: str) -> Pod:
    # A loopback server is out of the kubelet's reach; the gateway's readiness speaks for it.
    return container_of(
        "trino",
        image,
        env={"JAVA_TOOL_OPTIONS": TRINO_S3, **_store_of(args)} if args.warehouse else {},
        secret=args.store_secret,
        resources=resources(cpu="100m", memory="900Mi", cpu_limit="2", memory_limit="1434Mi"),
        mounts=[DATA_MOUNT],
    )


def _data_volume(args: DataTrustSiteArgs) -> Pod:
    if args.data_host_path is not None:
        return {"name": "data", **host_folder(args.data_host_path)}
    return {"name": "data", "persistentVolumeClaim": {"claimName": DATA_CLAIM}}


def host_folder(path: str) -> Pod:
    """A folder of the node, which must exist."""
    # Not `DirectoryOrCreate`: a folder that the kubelet makes belongs to root, and our user could not write to it.
    return {"hostPath": {"path": path, "type": "Directory"}}


def container_of(
    name: str,
    image: str,
    *,
    resources: Pod,
    env: dict[str, str] | None = None,
    secret: str = "",
    ports: dict[str, int] | None = None,
    mounts: list[Pod] | None = None,
    **more: object,
) -> Pod:
    """A container without privileges that may write to /tmp and to its `mounts`; `ports` are by name.

    `secret` names the Secret with the credentials of its object store, if it has one.
    """
    variables: list[Pod] = [{"name": key, "value": value} for key, value in sorted((env or {}).items())]
    variables += [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for key in (CREDENTIALS if secret else ())
    ]
    container: Pod = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": resources,
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [SCRATCH_MOUNT, *(mounts or [])],
        **more,
    }
    if variables:
        container["env"] = variables
    if ports:
        container["ports"] = [{"name": key, "containerPort": number} for key, number in ports.items()]
    return container


def resources(*, cpu: str, memory: str, cpu_limit: str, memory_limit: str) -> Pod:
    """What a container asks for and may use at most, as Kubernetes writes amounts."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu_limit, "memory": memory_limit}}


def probe(path: str, port: str, *, scheme: str = "HTTP", period_s: int = 3) -> Pod:
    """A probe by GET; the sixth failure in a row counts."""
    return {
        "httpGet": {"path": path, "port": port, "scheme": scheme},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }


def pod_of(account: str, containers: list[Pod], volumes: list[Pod]) -> Pod:
    """A pod of the unprivileged user with scratch space of its own beside `volumes`."""
    return {
        "serviceAccountName": account,
        # They find what they need by address or by the node's own resolver, so a cluster without DNS will do.
        "dnsPolicy": "Default",
        "securityContext": POD_SECURITY,
        "containers": containers,
        "volumes": [SCRATCH, *volumes],
        "terminationGracePeriodSeconds": 20,
    }
