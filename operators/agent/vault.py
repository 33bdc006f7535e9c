"""What the agent keeps in the member: its identity, its certificate, the request under way, the heads of its chains."""

import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from commonweal.membership import MIN_CERTIFICATE_S, SYSTEM_NAMESPACE, HubAddress, Invitation
from operators.agent.credentials import (
    CREDENTIALS_SECRET,
    IDENTITY_KEY,
    IDENTITY_SECRET,
    INVITATION_KEY,
    INVITATION_SECRET,
    CredentialsError,
    HubCredentials,
    Request,
    identity_from_pem,
    identity_to_pem,
    new_identity,
)
from operators.agent.rollout import FIELD_MANAGER, MANAGED_BY
from operators.kube import SECRETS, AlreadyExists, Json, Kube, NotFound

_CHAINS_KEY = "chains.json"
_USE_KEY = "use.json"


@dataclass(frozen=True, kw_only=True)
class Vault:
    """Two Secrets that the agent owns and one that it only reads, in the member's `commonweal-system`."""

    kube: Kube

    async def identity(self) -> Ed25519PrivateKey:
        """The member's identity, made on the first call ever.

        Raises:
            CredentialsError: the Secret exists but holds no key.
        """
        stored = await self._read(IDENTITY_SECRET)
        if stored is None:
            body = _secret(IDENTITY_SECRET, {IDENTITY_KEY: identity_to_pem(new_identity())})
            with contextlib.suppress(AlreadyExists):  # an earlier start made it; that one counts
                await self.kube.create(SECRETS, body, SYSTEM_NAMESPACE)
            stored = await self._read(IDENTITY_SECRET) or {}
        return identity_from_pem(stored.get(IDENTITY_KEY, ""))

    async def invitation(self) -> Invitation | None:
        """The invitation that was put into the member, if any.

        Raises:
            MembershipError: the Secret holds something else.
        """
        stored = await self._read(INVITATION_SECRET)
        return None if stored is None else Invitation.parse(stored.get(INVITATION_KEY, ""))

    async def credentials(self) -> HubCredentials | None:
        """The certificate from the hub, if one was stored; not checked.

        Raises:
            CredentialsError: the Secret is incomplete.
        """
        stored = await self._read(CREDENTIALS_SECRET) or {}
        if "tls.crt" not in stored:
            return None
        try:
            hub = json.loads(stored["hub.json"])
            certificate_s = max(MIN_CERTIFICATE_S, int(hub.pop("certificateSeconds")))
            return HubCredentials(
                hub=HubAddress.model_validate(hub),
                key_pem=stored["tls.key"],
                certificate_pem=stored["tls.crt"],
                certificate_s=certificate_s,
            )
        except (KeyError, ValueError) as error:
            problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise CredentialsError(
                f"Secret {CREDENTIALS_SECRET}: {problem}; delete it and join with a new invitation"
            ) from None

    async def pending(self, member: str) -> Request:
        """The request under way; a new one is stored before it is returned, so that a crash repeats it."""
        stored = await self._read(CREDENTIALS_SECRET) or {}
        if "pending.csr" in stored and "pending.key" in stored:
            return Request(key_pem=stored["pending.key"], csr_pem=stored["pending.csr"])
        request = Request.make(member)
        await self._write_credentials({**stored, "pending.key": request.key_pem, "pending.csr": request.csr_pem})
        return request

    async def keep(self, credentials: HubCredentials) -> None:
        """Store a certificate; the request that led to it is done."""
        hub = credentials.hub.wire() | {"certificateSeconds": credentials.certificate_s}
        await self._write_credentials(
            {"tls.crt": credentials.certificate_pem, "tls.key": credentials.key_pem, "hub.json": json.dumps(hub)}
        )

    async def replace_identity(self) -> None:
        """Put a new identity in the old one's place and drop the certificate; the heads of the chains stay.

        For the member's administrator, once the hub has let the old identity go; safe to repeat. The agent takes the
        new identity at its next start.

        Raises:
            NotFound: the member has no identity yet; its agent makes one.
        """
        data = {IDENTITY_KEY: _b64(identity_to_pem(new_identity()))}
        await self.kube.patch(SECRETS, IDENTITY_SECRET, {"data": data}, SYSTEM_NAMESPACE, field_manager=FIELD_MANAGER)
        await self.kube.delete(SECRETS, CREDENTIALS_SECRET, SYSTEM_NAMESPACE)

    async def chains(self) -> dict[str, str]:
        """The last signed reading of each meter, as the text that was signed."""
        stored = await self._read(IDENTITY_SECRET) or {}
        heads: dict[str, str] = json.loads(stored.get(_CHAINS_KEY, "{}"))
        return heads

    async def keep_chains(self, heads: Mapping[str, str]) -> None:
        """Store the heads beside the key that signed them: whoever restores the one must restore the other."""
        await self._keep_beside_identity(_CHAINS_KEY, heads)

    async def use(self) -> dict[str, str]:
        """What is counted of jobs and not yet signed, by side."""
        stored = await self._read(IDENTITY_SECRET) or {}
        tallies: dict[str, str] = json.loads(stored.get(_USE_KEY, "{}"))
        return tallies

    async def keep_use(self, tallies: Mapping[str, str]) -> None:
        """Store what is counted of jobs, by side."""
        await self._keep_beside_identity(_USE_KEY, tallies)

    async def _keep_beside_identity(self, key: str, texts: Mapping[str, str]) -> None:
        body = {"data": {key: _b64(json.dumps(dict(texts), sort_keys=True))}}
        await self.kube.patch(SECRETS, IDENTITY_SECRET, body, SYSTEM_NAMESPACE, field_manager=FIELD_MANAGER)

    async def _read(self, name: str) -> dict[str, str] | None:
        try:
            secret = await self.kube.get(SECRETS, name, SYSTEM_NAMESPACE)
        except NotFound:
            return None
        return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}

    async def _write_credentials(self, values: Mapping[str, str]) -> None:
        await self.kube.apply(SECRETS, _secret(CREDENTIALS_SECRET, values), field_manager=FIELD_MANAGER)


def _secret(name: str, values: Mapping[str, str]) -> Json:
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": {MANAGED_BY: "commonweal"}},
        "type": "Opaque",
        "data": {key: _b64(value) for key, value in values.items()},
    }


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
