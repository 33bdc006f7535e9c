"""DataGrant: who may ask which datasets of a trust, for which purpose, until when; trustees approve it."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from commonweal.kinds.data_trust import Purpose
from commonweal.kinds.meta import (
    Column,
    Definition,
    MemberName,
    Model,
    Name,
    Resource,
    Scope,
    SqlName,
    Status,
    cel,
    immutable,
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


class Approval(Model):
    """A trustee's yes; only that trustee's own identity may add it."""

    trustee: MemberName
    """The member that approves."""


class Beneficiary(Model):
    """The application that asks."""

    pilot_app: Name
    """Name of the PilotApp that may ask."""


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
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["dataset"],
                **immutable("narrowing", "ask for a new grant"),
            },
        ),
    ]
    """Rows and values that this grant leaves out of what the trust would show."""
    expires_at: AwareDatetime
    """When the right ends."""
    approvals: Annotated[
        tuple[Approval, ...],
        Field(
            default=(),
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["trustee"]},
        ),
    ]
    """Trustees that said yes."""
    revoked: Annotated[
        bool,
        Field(json_schema_extra=cel("self || !oldSelf", "a revoked grant stays revoked; ask for a new grant")),
    ] = False
    """True ends the right at once and for good."""


class DataGrantStatus(Status):
    """Where the contract stands."""


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
            Column(name="Expires", json_path=".spec.expiresAt", priority=1),
        ),
        rules=(
            {
                "rule": "!self.metadata.name.startsWith('emergency-')",
                "message": "metadata.name: emergency- is for EmergencyAccess; begin it otherwise",
            },
        ),
    )

    kind: str = "DataGrant"
    spec: DataGrantSpec
    status: DataGrantStatus | None = None
