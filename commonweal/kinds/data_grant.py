"""DataGrant: who may ask which datasets of a trust, for which purpose, until when; trustees approve it.

Its states compare with the contract negotiation of the Dataspace Protocol. What is approved and accepted is one exact
text, by its hash (`commonweal/agreements.py`).
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field, StringConstraints

from commonweal.kinds.data_trust import EMERGENCY_PREFIX, Purpose
from commonweal.kinds.meta import (
    PLAIN_NAME,
    Column,
    Definition,
    MemberName,
    Model,
    Name,
    Resource,
    Scope,
    Sha256,
    SqlName,
    Status,
    Text,
    cel,
    immutable,
    keyed_by,
)
from commonweal.kinds.visibility import Narrowing


class GrantReason(StrEnum):
    """Why a DataGrant is, or is not, Ready."""

    APPROVED = "Approved"
    AWAITING_APPROVAL = "AwaitingApproval"
    REVOKED = "Revoked"
    EXPIRED = "Expired"
    UNDECLARED_PURPOSE = "UndeclaredPurpose"
    UNKNOWN_TRUST = "UnknownTrust"
    UNKNOWN_DATASET = "UnknownDataset"
    RULE_UNUSABLE = "RuleUnusable"
    AWAITING_ACCEPTANCE = "AwaitingAcceptance"
    DEED_CHANGED = "DeedChanged"
    TOO_FEW_TRUSTEES = "TooFewTrustees"
    SPONSOR_MISMATCH = "SponsorMismatch"


class GrantPhase(StrEnum):
    """How far trustees and beneficiary have come, in the words of the Dataspace Protocol."""

    REQUESTED = "Requested"
    OFFERED = "Offered"
    ACCEPTED = "Accepted"
    AGREED = "Agreed"
    FINALIZED = "Finalized"
    TERMINATED = "Terminated"


class Approval(Model):
    """A trustee's yes to one agreement; only that trustee's own identity may add it."""

    trustee: MemberName
    """The member that approves."""
    agreement: Sha256 | None = None
    """What it approves: status.agreement.sha256, or the sha256 of an offer. A yes to nothing in particular does not
    count."""


class Recusal(Model):
    """A trustee that does not decide on this grant; only its own identity may add it."""

    trustee: MemberName
    """The member that steps aside; it counts neither among those who approve nor among those who could."""
    reason: Text
    """The conflict of interest, for everyone to read."""


class Offer(Model):
    """A trustee's answer to a request: less than was asked for. Only its own identity may make or change it."""

    trustee: MemberName
    """The member that offers."""
    datasets: Annotated[
        tuple[SqlName, ...], Field(min_length=1, max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"})
    ]
    """Datasets of the request that are offered."""
    narrowing: Annotated[tuple[Narrowing, ...], Field(default=(), max_length=32, json_schema_extra=keyed_by("dataset"))]
    """Rows and values that are left out besides those that the request leaves out."""
    expires_at: AwareDatetime
    """When the right would end; not later than the request asks."""


class Beneficiary(Model):
    """The application that asks."""

    pilot_app: Name
    """Name of the PilotApp that may ask."""
    sponsor: MemberName | None = None
    """The member that asks for the application, and accepts offers; as a trustee it has no vote. Unset, an
    administrator of the hub asks and accepts."""


class DataGrantSpec(Model):
    """The contract between a beneficiary and a trust."""

    trust: Annotated[Name, Field(json_schema_extra=immutable("trust", "ask for a new grant"))]
    """The DataTrust."""
    beneficiary: Annotated[Beneficiary, Field(json_schema_extra=immutable("beneficiary", "ask for a new grant"))]
    """Who may ask."""
    purpose: Annotated[Purpose, Field(json_schema_extra=immutable("purpose", "ask for a new grant"))]
    """What the answers may be used for."""
    datasets: Annotated[
        tuple[SqlName, ...],
        Field(
            min_length=1,
            max_length=32,
            json_schema_extra={
                "x-kubernetes-list-type": "set",
                **immutable("datasets", "ask for a new grant"),
            },
        ),
    ]
    """Which datasets may be asked about."""
    narrowing: Annotated[
        tuple[Narrowing, ...],
        Field(
            default=(),
            max_length=32,
            json_schema_extra={**keyed_by("dataset"), **immutable("narrowing", "ask for a new grant")},
        ),
    ]
    """Rows and values that this grant leaves out of what the trust would show."""
    expires_at: AwareDatetime
    """When the right ends."""
    approvals: Annotated[
        tuple[Approval, ...],
        Field(default=(), max_length=64, json_schema_extra=keyed_by("trustee")),
    ]
    """Trustees that said yes, and to which agreement."""
    recusals: Annotated[tuple[Recusal, ...], Field(default=(), max_length=64, json_schema_extra=keyed_by("trustee"))]
    """Trustees that do not decide, besides the sponsor."""
    offers: Annotated[tuple[Offer, ...], Field(default=(), max_length=16, json_schema_extra=keyed_by("trustee"))]
    """What trustees offer instead of what was asked for."""
    accepted: Sha256 | None = None
    """The offer that the beneficiary accepts: its sha256 in status.offers. Unset, it stands by its request."""
    revoked: Annotated[
        bool,
        Field(json_schema_extra=cel("self || !oldSelf", "a revoked grant stays revoked; ask for a new grant")),
    ] = False
    """True ends the right at once and for good; of members only those in status.mayRevoke may set it."""


class AgreedTerms(Model):
    """What a dataset showed when the agreement was put before the trustees."""

    dataset: SqlName
    """The dataset."""
    terms: Annotated[str, StringConstraints(max_length=262_144)]
    """Its schema and rules as canonical JSON."""


class AgreementStatus(Model):
    """The text that is in force or, before, the one that awaits approval."""

    sha256: Sha256
    """Its name: approvals are for it, and every answer's audit entry carries it."""
    terms: Annotated[tuple[AgreedTerms, ...], Field(max_length=32, json_schema_extra=keyed_by("dataset"))]
    """The part of the trust's deed that it stands on; a deed that shows less goes on under it."""
    changes: Annotated[tuple[Annotated[str, StringConstraints(max_length=512)], ...], Field(max_length=32)] = ()
    """What the deed changed since trustees agreed, so that they must again."""


class OfferStatus(Model):
    """An offer as it can be approved and accepted, or why it cannot."""

    trustee: MemberName
    """Who offers."""
    sha256: Sha256 | None = None
    """The name of the agreement that would come of it."""
    problem: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Why it does not count."""


class DataGrantStatus(Status):
    """Where the contract stands."""

    state: GrantPhase | None = None
    """Requested, Offered, Accepted, Agreed, Finalized or Terminated."""
    agreement: AgreementStatus | None = None
    """What is agreed, or awaits approval."""
    offers: Annotated[tuple[OfferStatus, ...], Field(default=(), max_length=16, json_schema_extra=keyed_by("trustee"))]
    """The offers on the table."""
    may_revoke: Annotated[
        tuple[MemberName, ...],
        Field(max_length=66, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = ()
    """Members that may end the right: the trust's trustees, and whoever stands behind the beneficiary."""


class DataGrant(Resource):
    """A right to ask."""

    definition: ClassVar[Definition] = Definition(
        kind="DataGrant",
        plural="datagrants",
        short_names=("dg",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="Trust", json_path=".spec.trust"),
            Column(name="Beneficiary", json_path=".spec.beneficiary.pilotApp"),
            Column(name="Purpose", json_path=".spec.purpose"),
            Column(name="State", json_path=".status.state"),
            Column(name="Expires", json_path=".spec.expiresAt", priority=1),
            Column(name="Agreement", json_path=".status.agreement.sha256", priority=1),
        ),
        rules=(
            PLAIN_NAME,
            {
                "rule": "!has(self.spec.offers) || self.spec.offers.all(o, o.datasets.all(d, d in self.spec.datasets))",
                "message": "spec.offers: an offer names a dataset that was not asked for; offer less, not more",
            },
            {
                "rule": "!has(self.spec.offers) || self.spec.offers.all(o, o.expiresAt <= self.spec.expiresAt)",
                "message": "spec.offers: an offer ends later than the request; offer less, not more",
            },
            {
                "rule": f"!self.metadata.name.startsWith('{EMERGENCY_PREFIX}')",
                "message": f"metadata.name: {EMERGENCY_PREFIX} is for EmergencyAccess; begin it otherwise",
            },
        ),
    )

    kind: str = "DataGrant"
    spec: DataGrantSpec
    status: DataGrantStatus | None = None
