"""A member's API server, without nodes, and a place in which a gateway's process believes itself to be a pod."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import yaml

from commonweal.grants import POLICY_LABEL, Policy
from commonweal.policy_parcels import pack
from infra.local import engines
from infra.local.control_plane import local_clusters
from infra.sites.objects import Manifest, identity, manifest
from infra.sites.rbac import GATEWAY
from loadtests.datasets import MEMBER, TRUST
from loadtests.wire import Kubectl, WireError
from operators.agent.rollout import FIELD_MANAGER
from operators.agent.site import GATEWAY_CERTIFICATE, GATEWAY_CONFIG_MAP

_CONFIG_MAPS = f"/api/v1/namespaces/{GATEWAY.namespace}/configmaps"
# A mount namespace of its own, in which the pod's projected volume lies where the kubelet puts it.
_AS_POD = """
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io
ln -s "$0" /run/secrets/kubernetes.io/serviceaccount
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class MemberCluster:
    """The running API server; `account` is the folder of a service account as a pod sees it."""

    server: str
    account: Path
    administrator: httpx.Client

    def publish(self, policy: Policy) -> None:
        """Write the policy as an agent does; returns when the API server has it.

        Raises:
            WireError: the API server refused.
        """
        name = f"policy-{TRUST}"
        metadata = {"name": name, "namespace": GATEWAY.namespace, "labels": {POLICY_LABEL: "true"}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **pack(policy)}
        answer = self.administrator.patch(
            f"{_CONFIG_MAPS}/{name}",
            params={"fieldManager": FIELD_MANAGER, "force": "true"},
            headers={"content-type": "application/apply-patch+yaml"},
            content=json.dumps(body),
        )
        if answer.is_error:
            raise WireError(f"configmap {name}: HTTP {answer.status_code} {answer.text[:300]}")

    def gateway_certificate(self) -> str | None:
        """What the gateway has published, as the agent finds it."""
        answer = self.administrator.get(f"{_CONFIG_MAPS}/{GATEWAY_CONFIG_MAP}")
        return str(answer.json()["data"][GATEWAY_CERTIFICATE]) if answer.is_success else None

    def as_pod(self, command: Sequence[str]) -> list[str]:
        """The command that runs another one as a pod of the cluster would run; it needs root."""
        unshared = ["unshare", "--mount", "--propagation=private", "sh", "-ec", _AS_POD]
        return [*unshared, str(self.account), *command]

    def environment(self) -> dict[str, str]:
        """What the kubelet sets for every container."""
        address = urlsplit(self.server)
        return {"KUBERNETES_SERVICE_HOST": str(address.hostname), "KUBERNETES_SERVICE_PORT": str(address.port)}


@contextmanager
def member_cluster() -> Iterator[MemberCluster]:
    """A cluster with the gateway's account and its rights, until the block is left.

    Raises:
        LocalError: an engine cannot be built or does not start.
        WireError: kubectl failed.
    """
    binary = engines.build(engines.kubernetes()).parent / "kubectl"
    with (
        tempfile.TemporaryDirectory(prefix="commonweal-bar-") as scratch,
        local_clusters([MEMBER], state_dir=Path(scratch) / "clusters") as clusters,
    ):
        cluster = clusters[MEMBER]
        kubectl = Kubectl(binary=binary, kubeconfig=cluster.kubeconfig)
        kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(_frame()))
        account = Path(scratch) / "account"
        account.mkdir()
        (account / "token").write_text(kubectl("-n", GATEWAY.namespace, "create", "token", GATEWAY.name))
        (account / "ca.crt").write_text(cluster.ca.read_text())
        (account / "namespace").write_text(GATEWAY.namespace)
        with kubectl.proxy() as administrator:
            yield MemberCluster(server=cluster.server, account=account, administrator=administrator)


def _frame() -> list[Manifest]:
    """What a site makes before its gateway: the namespace, the account and its rights."""
    return [manifest({}, "v1", "Namespace", None, GATEWAY.namespace), *identity({}, GATEWAY)]
