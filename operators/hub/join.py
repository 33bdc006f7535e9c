"""Certificate requests of members: `commonweal.membership.judge` decides, this carries it out.

The nonce is spent, durably and for this request alone, before the request is approved: a hub that dies in between
finishes the same request and no other.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

from commonweal.membership import (
    SIGNER,
    Applicant,
    Approve,
    Deny,
    IssuedInvitation,
    JoinRequest,
    Judgement,
    Reason,
    applicant_name,
    judge,
)
from operators.frame import Key, Permanent, Plan, Store, Tools, Watch, Write, own
from operators.hub.resources import MEMBERS, SYSTEM_NAMESPACE, charter
from operators.kube import CSRS, SECRETS, Json, Kube, NotFound

NOT_ACCEPTED_RETRY_S = 60.0  # acceptance marks the request dirty; this is only the net below


def invitation_secret(member: str) -> str:
    """The Secret in commonweal-system that holds the hub's record of an invitation."""
    return f"invitation-{member}"


def read_invitation(member: str, secret: Json) -> IssuedInvitation:
    """The hub's record of an invitation: keys `nonce`, `expiresAt` (RFC 3339) and, once spent, `usedBy`.

    Raises:
        Permanent: a key is missing or unreadable.
    """
    name = secret["metadata"]["name"]
    try:
        data = {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
        expires_at = datetime.fromisoformat(data["expiresAt"]).astimezone(UTC)
        return IssuedInvitation(
            member=member, nonce=data["nonce"], expires_at=expires_at, used_by=data.get("usedBy") or None
        )
    except (KeyError, ValueError) as error:
        raise Permanent(f"Secret {name}: {error} is missing or wrong; mint the invitation again") from error


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A pending request and all that its judgement depends on."""

    csr: Json
    member: str | None
    applicant: Applicant | None
    invitation: IssuedInvitation | None
    secret: Json | None
    max_certificate_s: int


@dataclass(frozen=True, kw_only=True)
class SpendNonce:
    """Record which request used the invitation; refused with Conflict if the Secret moved on since it was read."""

    secret: Json
    digest: str

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Write `usedBy`."""
        metadata = self.secret["metadata"]
        used_by = base64.b64encode(self.digest.encode()).decode()
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "data": {"usedBy": used_by}}
        await kube.patch(SECRETS, metadata["name"], body, metadata["namespace"])


@dataclass(frozen=True, kw_only=True)
class Decide:
    """Approve or deny the request as it was judged; refused with Conflict if it changed."""

    csr: Json
    approve: bool
    reason: str
    message: str

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:
        """Write the decision."""
        answer = await kube.decide_csr(self.csr, approve=self.approve, reason=self.reason, message=self.message)
        store.put(CSRS, answer, writer=writer, known_only=True)


@dataclass(frozen=True)
class JoinController:
    """Judges every pending certificate request that a member's invitation or agent made."""

    store: Store
    name: str = "join"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """Requests, and Members, whose acceptance lets a waiting request through."""
        return (Watch(resource=CSRS, keys=_ours), Watch(resource=MEMBERS, keys=self._pending_of))

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the request, its Member and its invitation; None for a decided request or one of somebody else."""
        csr = tools.store.get(CSRS, key.name)
        if csr is None or not pending(csr) or not tuple(_ours(csr)):
            return None
        member = applicant_name(csr["spec"].get("username", ""))
        secret = await _secret(tools.kube, member) if member and "serviceaccount" in csr["spec"]["username"] else None
        return Observed(
            csr=csr,
            member=member,
            applicant=_applicant(tools.store, member),
            invitation=read_invitation(member, secret) if member and secret else None,
            secret=secret,
            max_certificate_s=charter(tools.store).join.certificate_seconds,
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Carry out the judgement: spend the nonce, then approve; or deny; or wait for acceptance."""
        judgement = _judge(observed, now)
        if isinstance(judgement, Approve):
            return Plan(writes=_approval(observed, judgement))
        if isinstance(judgement, Deny):
            decision = Decide(csr=observed.csr, approve=False, reason=str(judgement.reason), message=judgement.message)
            return Plan(writes=(decision,))
        return Plan(requeue_in_s=NOT_ACCEPTED_RETRY_S)

    def _pending_of(self, member: Json) -> tuple[Key, ...]:
        name = member["metadata"]["name"]
        return tuple(
            Key("", csr["metadata"]["name"])
            for csr in self.store.list(CSRS)
            if pending(csr) and applicant_name(csr["spec"].get("username", "")) == name
        )


def pending(csr: Json) -> bool:
    """Neither approved nor denied nor failed."""
    return not csr.get("status", {}).get("conditions")


def _ours(csr: Json) -> tuple[Key, ...]:
    """Requests for client certificates by invitations and agents; what others ask for is not ours to judge."""
    spec = csr["spec"]
    ours = spec.get("signerName") == SIGNER and applicant_name(spec.get("username", "")) is not None
    return tuple(own(csr)) if ours else ()


def _applicant(store: Store, name: str | None) -> Applicant | None:
    body = store.get(MEMBERS, name) if name else None
    if body is None:
        return None
    spec = body["spec"]
    return Applicant(
        name=body["metadata"]["name"], hub_accepts=spec.get("hubAccepts", False), identity_key=spec["identityKey"]
    )


async def _secret(kube: Kube, member: str) -> Json | None:
    try:
        return await kube.get(SECRETS, invitation_secret(member), SYSTEM_NAMESPACE)
    except NotFound:
        return None


def _judge(observed: Observed, now: datetime) -> Judgement:
    spec = observed.csr["spec"]
    request = JoinRequest(
        username=spec.get("username", ""),
        groups=tuple(spec.get("groups", ())),
        csr_pem=base64.b64decode(spec["request"]),
        usages=tuple(spec.get("usages", ())),
        signer=spec["signerName"],
        expiration_s=spec.get("expirationSeconds"),
        annotations=observed.csr["metadata"].get("annotations", {}),
    )
    return judge(request, observed.applicant, observed.invitation, now, max_certificate_s=observed.max_certificate_s)


def _approval(observed: Observed, judgement: Approve) -> tuple[Write, ...]:
    decision = Decide(csr=observed.csr, approve=True, reason=str(judgement.reason), message=judgement.message)
    spends = judgement.reason is Reason.APPROVED and observed.invitation is not None
    if spends and observed.invitation is not None and observed.invitation.used_by is None and observed.secret:
        return (SpendNonce(secret=observed.secret, digest=judgement.digest), decision)
    return (decision,)
