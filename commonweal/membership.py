"""Who may join, and how a member proves that it is itself.

The hub's operator asks `judge` before it approves a certificate request; the member's agent calls `sign_join` to make
a request that passes, and `sign_site` to tell the hub about itself. Keys and bytes come in as arguments: nothing here
draws a random number, reads a clock or speaks to an API server.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from commonweal.kinds.member import Site
from commonweal.kinds.meta import MemberName, Model

SIGNER = "kubernetes.io/kube-apiserver-client"
USAGES = ("client auth", "digital signature")
NONCE_ANNOTATION = "commonweal.dev/nonce"
SIGNATURE_ANNOTATION = "commonweal.dev/nonce-signature"
MEMBER_LABEL = "commonweal.dev/member"
SYSTEM_NAMESPACE = "commonweal-system"
MIN_CERTIFICATE_S = 600  # the API server refuses a certificate request for less

_NAMESPACE_PREFIX = "member-"
_JOIN_DOMAIN = "commonweal-join-v1"
_SITE_DOMAIN = b"commonweal-site-v1\n"
_INVITE_PREFIX = f"system:serviceaccount:{SYSTEM_NAMESPACE}:invite-"
_INVITE_GROUP = f"system:serviceaccounts:{SYSTEM_NAMESPACE}"
_MEMBER_PREFIX = "commonweal:member:"
_AGENT_SUFFIX = ":agent"


class MembershipError(ValueError):
    """An invitation, key or site document that cannot be trusted; the message says which part and what to do."""


class Reason(StrEnum):
    """Why a join request is approved, waits or is denied. One word a platform engineer can search for."""

    APPROVED = "Approved"
    RENEWED = "Renewed"
    MEMBER_MISSING = "MemberMissing"
    NOT_ACCEPTED = "NotAccepted"
    WRONG_SIGNER = "WrongSigner"
    WRONG_USAGES = "WrongUsages"
    WRONG_LIFETIME = "WrongLifetime"
    WRONG_REQUEST = "WrongRequest"
    WRONG_SUBJECT = "WrongSubject"
    FOREIGN_USER = "ForeignUser"
    UNEXPECTED_NONCE = "UnexpectedNonce"
    INVITATION_MISSING = "InvitationMissing"
    INVITATION_EXPIRED = "InvitationExpired"
    NONCE_WRONG = "NonceWrong"
    NONCE_USED = "NonceUsed"
    SIGNATURE_WRONG = "SignatureWrong"


@dataclass(frozen=True, kw_only=True)
class JoinRequest:
    """A certificate request as the hub's API server holds it; username and groups are the API server's own words."""

    username: str
    groups: tuple[str, ...]
    csr_pem: bytes
    usages: tuple[str, ...]
    signer: str
    expiration_s: int | None
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Applicant:
    """What the hub knows of the Member that asks."""

    name: str
    hub_accepts: bool
    identity_key: str


@dataclass(frozen=True, kw_only=True)
class IssuedInvitation:
    """The hub's own record of an invitation; `used_by` is the digest of the one request that spent its nonce."""

    member: str
    nonce: str
    expires_at: datetime
    used_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Approve:
    """Sign the request; for a join, first record `digest` as the one that spent the nonce."""

    reason: Reason
    message: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Leave the request pending: what is missing may still come."""

    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True)
class Deny:
    """Refuse the request for good; the agent has to make another one."""

    reason: Reason
    message: str


Judgement = Approve | Wait | Deny


class _RefusedError(Exception):
    """A check of `judge` failed; carries the judgement out of nested checks."""

    def __init__(self, judgement: Wait | Deny) -> None:
        super().__init__(judgement.message)
        self.judgement = judgement


def _require(holds: bool, reason: Reason, message: str) -> None:
    if not holds:
        raise _RefusedError(Deny(reason=reason, message=message))


def agent_user(member: str) -> str:
    """The common name, and so the user name, of a member's agent on the hub."""
    return f"{_MEMBER_PREFIX}{member}{_AGENT_SUFFIX}"


def member_group(member: str) -> str:
    """The organisation, and so the group, that every certificate of a member carries."""
    return f"{_MEMBER_PREFIX}{member}"


def member_namespace(member: str) -> str:
    """The member's own namespace on the hub."""
    return f"{_NAMESPACE_PREFIX}{member}"


def member_of(namespace: str) -> str | None:
    """The member whose namespace this is; None for every other namespace."""
    return namespace.removeprefix(_NAMESPACE_PREFIX) if namespace.startswith(_NAMESPACE_PREFIX) else None


def invitation_account(member: str) -> str:
    """The service account on the hub that may ask to join as this member."""
    return f"invite-{member}"


def applicant_name(username: str) -> str | None:
    """Which member a requesting user may speak for; None for everybody who is neither an invitation nor an agent."""
    if username.startswith(_INVITE_PREFIX):
        return username.removeprefix(_INVITE_PREFIX) or None
    if username.startswith(_MEMBER_PREFIX) and username.endswith(_AGENT_SUFFIX):
        name = username.removeprefix(_MEMBER_PREFIX).removesuffix(_AGENT_SUFFIX)
        return name if name and ":" not in name else None
    return None


def judge(
    request: JoinRequest,
    member: Applicant | None,
    invitation: IssuedInvitation | None,
    now: datetime,
    *,
    max_certificate_s: int,
) -> Judgement:
    """Decide a certificate request of a member.

    `member` and `invitation` are looked up by `applicant_name(request.username)`; `max_certificate_s` is the
    charter's `join.certificateSeconds`. A request that can never be right is denied; one that lacks only the
    administrator's acceptance waits. The checks are those of Open Cluster Management, plus Liqo's signed nonce.
    """
    name = applicant_name(request.username)
    try:
        _require(
            name is not None,
            Reason.FOREIGN_USER,
            f"user {request.username!r} is neither an invitation nor an agent; ask with the invitation's token",
        )
        digest = _check_request(request, str(name), max_certificate_s)
        renewal = request.username == agent_user(str(name))
        if renewal:
            _check_renewal(request, str(name))
        _check_accepted(str(name), member)
        if not renewal:
            _check_nonce(request, member, invitation, digest, now)
    except _RefusedError as refused:
        return refused.judgement
    if renewal:
        return Approve(reason=Reason.RENEWED, message=f"{name} renews its own certificate", digest=digest)
    return Approve(reason=Reason.APPROVED, message=f"{name} proved its identity with its invitation", digest=digest)


def _check_request(request: JoinRequest, name: str, max_certificate_s: int) -> str:
    """Check everything that does not depend on the hub's state; returns the digest of the request."""
    _require(request.signer == SIGNER, Reason.WRONG_SIGNER, f"spec.signerName: {request.signer!r} must be {SIGNER!r}")
    _require(
        sorted(request.usages) == sorted(USAGES),
        Reason.WRONG_USAGES,
        f"spec.usages: {list(request.usages)} must be exactly {list(USAGES)}",
    )
    asked_s = request.expiration_s
    _require(
        asked_s is not None and MIN_CERTIFICATE_S <= asked_s <= max_certificate_s,
        Reason.WRONG_LIFETIME,
        f"spec.expirationSeconds: {asked_s} must be from {MIN_CERTIFICATE_S} to {max_certificate_s}",
    )
    csr = _parse_csr(request.csr_pem)
    organisations = [a.value for a in csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    common_names = [a.value for a in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    _require(
        organisations == [member_group(name)] and common_names == [agent_user(name)] and len(list(csr.subject)) == 2,
        Reason.WRONG_SUBJECT,
        f"spec.request: subject {csr.subject.rfc4514_string()!r} must be exactly "
        f"O={member_group(name)} and CN={agent_user(name)}",
    )
    return csr_digest(request.csr_pem)


def _parse_csr(csr_pem: bytes) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        extensions = len(csr.extensions)
        key = csr.public_key()
        signed = csr.is_signature_valid
        # A PEM reader skips what it does not know; only the one canonical spelling of a request is taken.
        canonical = csr.public_bytes(Encoding.PEM).strip() == csr_pem.strip()
    except Exception as error:  # noqa: BLE001 - the parser raises many types on hostile bytes; each one is a refusal
        message = f"spec.request: not one PEM certificate request ({type(error).__name__}); make it with the agent"
        raise _RefusedError(Deny(reason=Reason.WRONG_REQUEST, message=message)) from None
    _require(canonical, Reason.WRONG_REQUEST, "spec.request: holds more than one canonical PEM block; send only that")
    _require(signed, Reason.WRONG_REQUEST, "spec.request: not signed by its own key; make it again")
    _require(
        extensions == 0,
        Reason.WRONG_REQUEST,
        "spec.request: asks for extensions; leave out alternative names and every other extension",
    )
    _require(
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1),
        Reason.WRONG_REQUEST,
        "spec.request: the key must be ECDSA P-256",
    )
    return csr


def _check_renewal(request: JoinRequest, name: str) -> None:
    _require(
        member_group(name) in request.groups,
        Reason.FOREIGN_USER,
        f"user {request.username!r} is not in group {member_group(name)!r}; renew with the agent's own certificate",
    )
    _require(
        NONCE_ANNOTATION not in request.annotations and SIGNATURE_ANNOTATION not in request.annotations,
        Reason.UNEXPECTED_NONCE,
        f"metadata.annotations: a renewal carries no {NONCE_ANNOTATION}; leave it out",
    )


def _check_accepted(name: str, member: Applicant | None) -> None:
    if member is None or member.name != name:
        raise _RefusedError(
            Wait(reason=Reason.MEMBER_MISSING, message=f"Member {name} does not exist; its agent creates it")
        )
    if not member.hub_accepts:
        remedy = f"an administrator accepts with `commonweal accept {name}`"
        raise _RefusedError(Wait(reason=Reason.NOT_ACCEPTED, message=f"Member {name} is not accepted; {remedy}"))


def _check_nonce(
    request: JoinRequest, member: Applicant | None, invitation: IssuedInvitation | None, digest: str, now: datetime
) -> None:
    name = str(applicant_name(request.username))
    _require(
        _INVITE_GROUP in request.groups,
        Reason.FOREIGN_USER,
        f"user {request.username!r} is not a service account of {SYSTEM_NAMESPACE}; use the invitation's token",
    )
    again = f"mint another with `commonweal invite {name}`"
    if invitation is None or invitation.member != name or member is None:
        raise _RefusedError(
            Deny(reason=Reason.INVITATION_MISSING, message=f"no invitation for {name} is open; {again}")
        )
    nonce = request.annotations.get(NONCE_ANNOTATION, "")
    _require(
        hmac.compare_digest(nonce.encode(), invitation.nonce.encode()),
        Reason.NONCE_WRONG,
        f"metadata.annotations[{NONCE_ANNOTATION}]: not the nonce of the open invitation for {name}; {again}",
    )
    # The digest is recorded before approval, so a hub that died between the two finishes the same request.
    _require(
        invitation.used_by in (None, digest),
        Reason.NONCE_USED,
        f"metadata.annotations[{NONCE_ANNOTATION}]: the invitation for {name} was used already; {again}",
    )
    _require(
        invitation.used_by == digest or now < invitation.expires_at,
        Reason.INVITATION_EXPIRED,
        f"the invitation for {name} expired at {invitation.expires_at.isoformat()}; {again}",
    )
    _require(
        _verifies(
            member.identity_key,
            request.annotations.get(SIGNATURE_ANNOTATION, ""),
            _join_statement(name, nonce, digest),
        ),
        Reason.SIGNATURE_WRONG,
        f"metadata.annotations[{SIGNATURE_ANNOTATION}]: not signed by the identity key of Member {name}",
    )


def csr_digest(csr_pem: bytes) -> str:
    """SHA-256, in hex, of the request's DER: what the member signs and what spends the nonce."""
    der = x509.load_pem_x509_csr(csr_pem).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def _join_statement(name: str, nonce: str, digest: str) -> bytes:
    return json.dumps([_JOIN_DOMAIN, name, nonce, digest], separators=(",", ":")).encode()


def sign_join(identity: Ed25519PrivateKey, *, member: str, nonce: str, csr_pem: bytes) -> dict[str, str]:
    """The annotations that prove a join request: the nonce, and it signed with the member and the request."""
    signature = identity.sign(_join_statement(member, nonce, csr_digest(csr_pem)))
    return {NONCE_ANNOTATION: nonce, SIGNATURE_ANNOTATION: base64.b64encode(signature).decode()}


def identity_key(identity: Ed25519PrivateKey) -> str:
    """The public half of a member's identity as its Member carries it: 32 raw bytes in base64."""
    return base64.b64encode(identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _decode(text: str) -> bytes:
    """Base64 in its one canonical spelling; raises binascii.Error for any other that decodes to the same bytes."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise binascii.Error("not canonical")
    return raw


def _verifies(key: str, signature: str, statement: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(_decode(key)).verify(_decode(signature), statement)
    except (InvalidSignature, ValueError):
        return False
    return True


class HubAddress(Model):
    """Where the hub's API server is, and the certificate authority (PEM) that vouches for it."""

    server: Annotated[str, StringConstraints(pattern=r"^https://\S+$", max_length=512)]
    certificate_authority: Annotated[str, StringConstraints(min_length=1, max_length=65_536)]


class Invitation(Model):
    """The file that a hub's administrator hands to a member, once, over a channel both trust. It is a secret."""

    version: Literal["commonweal-invitation-v1"] = "commonweal-invitation-v1"
    member: MemberName
    hub: HubAddress
    token: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    nonce: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{32,128}$")]
    expires_at: AwareDatetime
    certificate_seconds: Annotated[int, Field(ge=MIN_CERTIFICATE_S, le=604_800)]

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read an invitation file.

        Raises:
            MembershipError: the text is not an invitation; the message names the first field that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise MembershipError(f"invitation {_first(error)}; ask the hub for the file again") from None

    def render(self) -> str:
        """The file's content: JSON, with a line end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "file"
    return f"{where}: {first['msg']}"


class _SiteDocument(Model):
    member: MemberName
    site: Site


def sign_site(identity: Ed25519PrivateKey, *, member: str, site: Site) -> tuple[str, str]:
    """The two values of ConfigMap `site`: `site.json`, and `site.json.sig` (Ed25519 in base64).

    The JSON is canonical (sorted keys, no spaces), so the same site always gives the same bytes.
    """
    text = json.dumps(_SiteDocument(member=member, site=site).wire(), sort_keys=True, separators=(",", ":"))
    return text, base64.b64encode(identity.sign(_SITE_DOMAIN + text.encode())).decode()


def verify_site(text: str, signature: str, *, member: str, identity_key: str) -> Site:
    """Read a site document that the named member signed.

    Raises:
        MembershipError: wrong signature, another member's document, or a field out of bounds.
    """
    if not _verifies(identity_key, signature, _SITE_DOMAIN + text.encode()):
        raise MembershipError(f"site.json.sig: not signed by the identity key of Member {member}; restart its agent")
    try:
        document = _SiteDocument.model_validate_json(text)
    except ValidationError as error:
        raise MembershipError(f"site.json {_first(error)}; upgrade the agent of {member}") from None
    if document.member != member:
        raise MembershipError(f"site.json member: {document.member} stands where {member} must; restart its agent")
    return document.site
