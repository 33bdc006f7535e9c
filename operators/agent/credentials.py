"""The agent's keys and certificates: made here, kept in two Secrets of the member, never sent anywhere.

`member-identity` holds the Ed25519 identity; `hub-credentials` holds the certificate that the hub signed, and beside
it the request that is under way. A request is stored before it is sent, so that an agent that dies asks again with
the same bytes.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from commonweal.membership import HubAddress, agent_user, member_group

IDENTITY_SECRET = "member-identity"  # noqa: S105 - the name of a Secret
CREDENTIALS_SECRET = "hub-credentials"  # noqa: S105 - the name of a Secret
INVITATION_SECRET = "hub-invitation"  # noqa: S105 - the name of a Secret
INVITATION_KEY = "invitation.json"
IDENTITY_KEY = "identity.pem"


class CredentialsError(Exception):
    """A stored key or certificate cannot be used; the message says which and what to do."""


def new_identity() -> Ed25519PrivateKey:
    """A fresh identity for a member that has none."""
    return Ed25519PrivateKey.generate()


def identity_to_pem(identity: Ed25519PrivateKey) -> str:
    """The identity as it is kept in its Secret."""
    return identity.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def identity_from_pem(text: str) -> Ed25519PrivateKey:
    """Read the identity back.

    Raises:
        CredentialsError: the Secret holds no Ed25519 key.
    """
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise CredentialsError(_IDENTITY_BROKEN.format(error)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CredentialsError(_IDENTITY_BROKEN.format("not an Ed25519 key"))
    return key


_IDENTITY_BROKEN = (
    f"Secret {IDENTITY_SECRET}, key {IDENTITY_KEY}: {{}}; restore it from a backup, because a new identity joins "
    "under a new name"
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A certificate request under way, with the private key it is for."""

    key_pem: str
    csr_pem: str

    @classmethod
    def make(cls, member: str) -> Self:
        """A new key (ECDSA P-256) and the one request that the hub signs for this member's agent."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, member_group(member)),
                x509.NameAttribute(NameOID.COMMON_NAME, agent_user(member)),
            ]
        )
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return cls(
            key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            csr_pem=csr.public_bytes(Encoding.PEM).decode(),
        )

    def name(self, purpose: str, member: str, nonce: str = "") -> str:
        """The request's object name on the hub: the same request always has the same name."""
        digest = hashlib.sha256(f"{nonce}\n{self.csr_pem}".encode()).hexdigest()[:16]
        return f"{purpose}-{member}-{digest}"


@dataclass(frozen=True, kw_only=True)
class HubCredentials:
    """What the agent shows to the hub."""

    hub: HubAddress
    key_pem: str
    certificate_pem: str
    certificate_s: int

    @property
    def not_after(self) -> datetime:
        """When the certificate expires."""
        return self._certificate.not_valid_after_utc

    @property
    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate_pem.encode())

    def renew_at(self, member: str) -> datetime:
        """Three quarters of the certificate's life, and up to a twentieth later, by the member's name.

        The name spreads the members' renewals without a random number, so a restart keeps the instant.
        """
        certificate = self._certificate
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        spread = int.from_bytes(hashlib.sha256(member.encode()).digest()[:4]) / 2**32
        return certificate.not_valid_before_utc + life * 3 / 4 + life / 20 * spread

    def check(self, member: str, now: datetime) -> None:
        """Refuse a certificate that the hub will refuse.

        Raises:
            CredentialsError: expired, another member's, or not for the stored key.
        """
        try:
            certificate = self._certificate
            key = load_pem_private_key(self.key_pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise CredentialsError(f"Secret {CREDENTIALS_SECRET}: {error}; {_REJOIN}") from None
        subject = certificate.subject.rfc4514_string()
        if subject != f"CN={agent_user(member)},O={member_group(member)}":
            raise CredentialsError(f"Secret {CREDENTIALS_SECRET}: the certificate is for {subject}; {_REJOIN}")
        encoding = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if certificate.public_key().public_bytes(*encoding) != key.public_key().public_bytes(*encoding):
            raise CredentialsError(f"Secret {CREDENTIALS_SECRET}: the certificate is for another key; {_REJOIN}")
        if now >= certificate.not_valid_after_utc:
            expired = certificate.not_valid_after_utc.isoformat()
            raise CredentialsError(f"Secret {CREDENTIALS_SECRET}: the certificate expired at {expired}; {_REJOIN}")

    def kubeconfig(self) -> dict[str, Any]:
        """The same as a kubeconfig, for `Kube.from_kubeconfig_dict`."""
        user = {"client-certificate-data": _b64(self.certificate_pem), "client-key-data": _b64(self.key_pem)}
        return kubeconfig(self.hub, user)


_REJOIN = f"ask the hub for a new invitation and put it into Secret {INVITATION_SECRET}"


def kubeconfig(hub: HubAddress, user: dict[str, str]) -> dict[str, Any]:
    """A kubeconfig for the hub with one user, as `{"token": ...}`."""
    cluster = {"server": hub.server, "certificate-authority-data": _b64(hub.certificate_authority)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "hub", "cluster": cluster}],
        "users": [{"name": "agent", "user": user}],
        "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "agent"}}],
        "current-context": "hub",
    }


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
