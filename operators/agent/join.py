"""How the agent becomes, and stays, known to the hub: each call is one attempt that may be repeated after a crash.

An attempt returns credentials, or one sentence about what it waits for. Everything that a repetition needs is stored
in the member before the hub hears of it, and every object on the hub has a name that follows from what it holds.
"""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.kinds.member import Member, MemberSpec
from commonweal.kinds.meta import API_VERSION
from commonweal.membership import (
    MEMBER_LABEL,
    SIGNER,
    USAGES,
    Invitation,
    MembershipError,
    identity_key,
    sign_join,
)
from operators.agent.credentials import INVITATION_SECRET, CredentialsError, HubCredentials, Request, kubeconfig
from operators.agent.settings import Settings
from operators.agent.vault import Vault
from operators.kube import CSRS, AlreadyExists, Forbidden, Json, Kube, KubeError, NotFound, Unauthorized, custom

MEMBERS = custom(Member)

KEEPS = "what runs here keeps running"
UNKNOWN = (
    f"the hub does not know {{shown}} any more (expired, or the hub was set up anew); {KEEPS}; ask the hub for a new "
    f"invitation and put it into Secret {INVITATION_SECRET}"
)

Connect = Callable[[Mapping[str, Any]], Awaitable[Kube]]


@dataclass(frozen=True, kw_only=True)
class Joiner:
    """Everything that joining depends on."""

    settings: Settings
    vault: Vault
    connect: Connect
    clock: Callable[[], datetime]

    async def attempt(self, refused: str = "") -> HubCredentials | str:
        """One step towards a certificate: the stored one if it is good, else whatever the invitation allows.

        `refused` is a certificate in PEM that the hub does not know any more.
        """
        identity = await self.vault.identity()
        try:
            stored = await self.vault.credentials()
            if stored is None:
                problem = f"not joined yet; put an invitation of the hub into Secret {INVITATION_SECRET}"
            else:
                stored.check(self.settings.member, self.clock())
                if stored.certificate_pem != refused:
                    return stored
                problem = UNKNOWN.format(shown="the certificate")
        except CredentialsError as error:
            problem = str(error)
        try:
            invitation = await self.vault.invitation()
        except MembershipError as error:
            return f"Secret {INVITATION_SECRET}: {error}"
        if invitation is None:
            return problem
        return self._unusable(invitation) or await self._join(invitation, identity)

    def _unusable(self, invitation: Invitation) -> str | None:
        if invitation.member != self.settings.member:
            return f"Secret {INVITATION_SECRET}: invites {invitation.member}, but this is {self.settings.member}"
        if self.clock() >= invitation.expires_at:
            expired = invitation.expires_at.isoformat()
            return f"Secret {INVITATION_SECRET}: the invitation expired at {expired}; ask the hub for a new one"
        return None

    async def _join(self, invitation: Invitation, identity: Ed25519PrivateKey) -> HubCredentials | str:
        request = await self.vault.pending(self.settings.member)
        async with await self.connect(kubeconfig(invitation.hub, {"token": invitation.token})) as hub:
            try:
                if problem := await self._introduce(hub, identity):
                    return problem
                annotations = sign_join(
                    identity,
                    member=self.settings.member,
                    nonce=invitation.nonce,
                    csr_pem=request.csr_pem.encode(),
                )
                name = request.name("join", self.settings.member, invitation.nonce)
                answer = await self._ask(hub, name, request, invitation.certificate_seconds, annotations)
            except KubeError as error:
                return explain(error, "the invitation's token")
        if answer is None:
            accept = f"`commonweal accept {self.settings.member}`"
            key = identity_key(identity)
            return f"asked to join as {name} with identity {key}; an administrator of the hub accepts with {accept}"
        return await self._received(answer, request, invitation)

    async def _introduce(self, hub: Kube, identity: Ed25519PrivateKey) -> str | None:
        """Make sure that the hub has this Member with this identity; returns what is wrong otherwise."""
        member, key = self.settings.member, identity_key(identity)
        try:
            body = await hub.get(MEMBERS, member)
        except NotFound:
            spec = MemberSpec(display_name=self.settings.display_name, country=self.settings.country, identity_key=key)
            wanted = {"apiVersion": API_VERSION, "kind": MEMBERS.kind, "metadata": {"name": member}}
            try:
                body = await hub.create(MEMBERS, wanted | {"spec": _introduced(spec)})
            except AlreadyExists:
                body = await hub.get(MEMBERS, member)
        if body["spec"]["identityKey"] != key:
            return (
                f"Member {member} exists on the hub with another identity; restore this member's Secret "
                "member-identity, or join under another name"
            )
        return None

    async def _received(self, certificate: str, request: Request, invitation: Invitation) -> HubCredentials | str:
        credentials = HubCredentials(
            hub=invitation.hub,
            key_pem=request.key_pem,
            certificate_pem=certificate,
            certificate_s=invitation.certificate_seconds,
        )
        return await self._keep(credentials)

    async def _keep(self, credentials: HubCredentials) -> HubCredentials | str:
        try:
            credentials.check(self.settings.member, self.clock())
        except CredentialsError as error:
            return f"the hub issued a certificate that does not fit ({error})"
        await self.vault.keep(credentials)
        return credentials

    async def renew(self, hub: Kube, current: HubCredentials) -> HubCredentials | str:
        """One step towards the certificate's successor, asked for with the certificate itself."""
        request = await self.vault.pending(self.settings.member)
        name = request.name("renew", self.settings.member)
        try:
            answer = await self._ask(hub, name, request, current.certificate_s, {})
        except KubeError as error:
            return explain(error, "the certificate")
        if answer is None:
            return f"asked for a new certificate as {name}; the hub has not signed it yet"
        return await self._keep(
            HubCredentials(
                hub=current.hub,
                key_pem=request.key_pem,
                certificate_pem=answer,
                certificate_s=current.certificate_s,
            )
        )

    async def _ask(
        self, hub: Kube, name: str, request: Request, certificate_s: int, annotations: Mapping[str, str]
    ) -> str | None:
        """The certificate in PEM, or None while the hub has not decided.

        Raises:
            Forbidden: the hub denied the request; the message is the hub's.
        """
        body = self._csr(name, request, certificate_s, annotations)
        try:
            live = await hub.get(CSRS, name)
        except NotFound:
            try:
                live = await hub.create(CSRS, body)
            except AlreadyExists:
                live = await hub.get(CSRS, name)
        status = live.get("status", {})
        for condition in status.get("conditions", ()):
            if condition["type"] in {"Denied", "Failed"}:
                raise Denied(f"the hub said no to {name}: {condition.get('message', '')}")
        encoded = status.get("certificate")
        return base64.b64decode(encoded).decode() if encoded else None

    def _csr(self, name: str, request: Request, certificate_s: int, annotations: Mapping[str, str]) -> Json:
        metadata = {
            "name": name,
            "labels": {MEMBER_LABEL: self.settings.member},
            "annotations": dict(annotations),
        }
        spec = {
            "request": base64.b64encode(request.csr_pem.encode()).decode(),
            "signerName": SIGNER,
            "usages": list(USAGES),
            "expirationSeconds": certificate_s,
        }
        return {"apiVersion": CSRS.api_version, "kind": CSRS.kind, "metadata": metadata, "spec": spec}


class Denied(KubeError):  # noqa: N818 - named by what happened, as the tree in operators/kube.py
    """The hub denied a certificate request; the message is its own."""


def _introduced(spec: MemberSpec) -> Json:
    """A Member as its agent writes it: acceptance and scheduling are for the hub to say."""
    return {key: value for key, value in spec.wire().items() if key in {"displayName", "country", "identityKey"}}


def explain(error: KubeError, shown: str) -> str:
    """What an error of the hub means for a member, and what to do."""
    if isinstance(error, Denied):
        return error.message
    if isinstance(error, Unauthorized):
        return UNKNOWN.format(shown=shown)
    if isinstance(error, Forbidden):
        return (
            f"the hub refuses ({error.message}); if it withdrew its acceptance of this member, its administrators "
            f"can say why; {KEEPS}"
        )
    return f"the hub does not answer ({error.message}); {KEEPS}"
