"""Mints invitations: the hub's half of a join, done by an administrator."""

import asyncio
import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from commonweal.kinds.consortium import Consortium
from commonweal.kinds.member import Member
from commonweal.kinds.meta import GROUP
from commonweal.membership import SYSTEM_NAMESPACE, HubAddress, Invitation, invitation_account
from operators.kube import (
    SECRETS,
    SERVICE_ACCOUNTS,
    AlreadyExists,
    ApiResource,
    Json,
    Kube,
    NotFound,
    custom,
)

FIELD_MANAGER = "commonweal-cli"
MAX_VALID_S = 3600
RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLES = ApiResource(f"{RBAC}/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = ApiResource(f"{RBAC}/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)
OURS = {"app.kubernetes.io/managed-by": "commonweal"}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an invitation says: for whom, until when, where the hub is, and how long certificates last."""

    member: str
    expires_at: datetime
    hub: HubAddress
    certificate_s: int
    nonce: str

    @property
    def valid_until(self) -> str:
        """The expiry as the hub's record writes it."""
        return self.expires_at.isoformat(timespec="seconds")


async def hub_address(kube: Kube, server: str | None) -> HubAddress:
    """The hub as the member reaches it: `server` if given, else the address that this kubeconfig uses.

    Raises:
        ValueError: the kubeconfig names no certificate authority.
    """
    known = await kube.credentials()
    if known.ca_path is None:
        raise ValueError("the kubeconfig names no certificate authority; add certificate-authority-data to its cluster")
    authority = await asyncio.to_thread(Path(known.ca_path).read_text, encoding="utf-8")
    return HubAddress(server=server or known.server, certificate_authority=authority)


async def terms(kube: Kube, member: str, hub: HubAddress, now: datetime, valid_s: int) -> Terms:
    """Decide an invitation, by the charter.

    Raises:
        NotFound: the hub has no charter.
    """
    charter = Consortium.read(await kube.get(custom(Consortium), "charter"))
    return Terms(
        member=member,
        expires_at=now + timedelta(seconds=min(valid_s, MAX_VALID_S)),
        hub=hub,
        certificate_s=charter.spec.join.certificate_seconds,
        nonce=secrets.token_urlsafe(32),
    )


async def mint(kube: Kube, agreed: Terms, now: datetime) -> Invitation:
    """Make the account, its rights, the hub's record, and the file. Minting again replaces an older invitation."""
    for resource, body in manifests(agreed.member):
        await kube.apply(resource, body, field_manager=FIELD_MANAGER)
    await _record(kube, agreed)
    token = await kube.request_token(
        SYSTEM_NAMESPACE,
        invitation_account(agreed.member),
        expires_in_s=max(600, int((agreed.expires_at - now).total_seconds())),
    )
    return Invitation(
        member=agreed.member,
        hub=agreed.hub,
        token=token,
        nonce=agreed.nonce,
        expires_at=agreed.expires_at,
        certificate_seconds=agreed.certificate_s,
    )


def manifests(member: str) -> list[tuple[ApiResource, Json]]:
    """The account that asks to join as `member`, and its rights: create its Member and its request, read both."""
    account, role = invitation_account(member), f"commonweal:invite:{member}"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": SYSTEM_NAMESPACE}
    read_itself = {"apiGroups": [GROUP], "resources": [_MEMBERS.plural], "resourceNames": [member], "verbs": ["get"]}
    return [
        (SERVICE_ACCOUNTS, _object(SERVICE_ACCOUNTS, account, namespace=SYSTEM_NAMESPACE)),
        (CLUSTER_ROLES, _object(CLUSTER_ROLES, role) | {"rules": [read_itself]}),
        (CLUSTER_ROLE_BINDINGS, _binding(role, role, subject)),
        (CLUSTER_ROLE_BINDINGS, _binding(f"{role}:asks", "commonweal:invitee", subject)),
    ]


async def withdraw(kube: Kube, member: str) -> None:
    """Take back an open invitation, if there is one."""
    await kube.delete(SECRETS, record_name(member), SYSTEM_NAMESPACE)
    for resource, body in reversed(manifests(member)):
        await kube.delete(resource, body["metadata"]["name"], body["metadata"].get("namespace"))


def record_name(member: str) -> str:
    """The Secret on the hub that remembers the nonce and whether it was used."""
    return f"invitation-{member}"


_MEMBERS = custom(Member)


async def _record(kube: Kube, agreed: Terms) -> None:
    values = {"nonce": agreed.nonce, "expiresAt": agreed.valid_until}
    data: Json = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    body = _object(SECRETS, record_name(agreed.member), namespace=SYSTEM_NAMESPACE) | {"type": "Opaque", "data": data}
    try:
        await kube.create(SECRETS, body, SYSTEM_NAMESPACE)
    except AlreadyExists:
        fresh = {"data": data | {"usedBy": None}}
        await kube.patch(SECRETS, record_name(agreed.member), fresh, SYSTEM_NAMESPACE, field_manager=FIELD_MANAGER)


async def is_known(kube: Kube, member: str) -> bool:
    """Whether the hub has a Member of this name already."""
    try:
        await kube.get(_MEMBERS, member)
    except NotFound:
        return False
    return True


def _object(resource: ApiResource, name: str, *, namespace: str = "") -> Json:
    metadata: Json = {"name": name, "labels": OURS} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _binding(name: str, role: str, subject: Json) -> Json:
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    return _object(CLUSTER_ROLE_BINDINGS, name) | {"roleRef": reference, "subjects": [subject]}
