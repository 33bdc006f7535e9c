"""Member: who takes part. The member's agent creates it; only a hub administrator accepts it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from commonweal.kinds.meta import (
    Column,
    Count,
    Country,
    Definition,
    GridZone,
    Model,
    Resource,
    Resources,
    Scope,
    Sha256,
    Status,
    Text,
    Url,
    immutable,
)

ImageReference = Annotated[str, StringConstraints(min_length=1, max_length=512)]
DRIFT_NAMED = 20  # enough to find the cause; the count says how many there are


class Scheduling(StrEnum):
    """What may be placed at a member: anything, nothing new, or nothing at all."""

    ACTIVE = "Active"
    CORDONED = "Cordoned"
    DRAINING = "Draining"


class Engine(StrEnum):
    """What answers questions at a member's data trust."""

    TRINO = "trino"
    DUCKDB = "duckdb"


class MemberCondition(StrEnum):
    """Condition types of a Member."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    JOINED = "Joined"
    REACHABLE = "Reachable"
    CORDONED = "Cordoned"
    DRAINED = "Drained"
    LEFT = "Left"
    SITE_AS_DECLARED = "SiteAsDeclared"
    SITE_DECLARED = "SiteDeclared"


class MemberReason(StrEnum):
    """Why a Member's condition holds or not."""

    ACTIVE = "Active"
    CORDONED = "Cordoned"
    DRAINING = "Draining"
    DRAINED = "Drained"
    AWAITING_ACCEPTANCE = "AwaitingAcceptance"
    ACCEPTED = "Accepted"
    AWAITING_CERTIFICATE = "AwaitingCertificate"
    JOINED = "Joined"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    HEARTBEAT = "Heartbeat"
    NO_HEARTBEAT_YET = "NoHeartbeatYet"
    AGENT_SILENT = "AgentSilent"
    CLUSTER_UNREACHABLE = "ClusterUnreachable"
    SITE_UNKNOWN = "SiteUnknown"
    SITE_SIGNATURE_INVALID = "SiteSignatureInvalid"
    LEFT = "Left"
    SITE_NOT_COMPARED = "SiteNotCompared"
    SITE_AS_DECLARED = "SiteAsDeclared"
    SITE_DRIFTED = "SiteDrifted"
    SITE_DECLARED = "SiteDeclared"
    SITE_NOT_DECLARED = "SiteNotDeclared"
    SITE_CONTRADICTED = "SiteContradicted"


class MemberSpec(Model):
    """What a member says of itself, and whether the hub accepts it."""

    display_name: Text
    """The member's name for people."""
    country: Country
    """ISO 3166-1 alpha-2 code of the jurisdiction."""
    identity_key: Annotated[
        str,
        StringConstraints(min_length=44, max_length=44, pattern=r"^[A-Za-z0-9+/]{43}=$"),
        Field(json_schema_extra=immutable("identityKey", "a new identity joins under a new name")),
    ]
    """Ed25519 public key, 32 bytes in base64; its private half never leaves the member."""
    hub_accepts: bool = False
    """Set by a hub administrator; unset, it withdraws the member's rights at once."""
    scheduling: Scheduling = Scheduling.ACTIVE
    """Active takes new work, Cordoned keeps what runs, Draining hands everything over."""


class SiteDrift(Model):
    """What the member's site differs in from what its Pulumi program declares, as the member compared it."""

    checked_at: datetime
    """When the member compared."""
    objects: Count
    """How many objects differ; 0 says that it was compared and nothing does."""
    differing: Annotated[tuple[Text, ...], Field(max_length=DRIFT_NAMED)]
    """The first of them, each as what would be done to it, as `update Deployment ca/commonweal-data/gateway`."""


class SiteDeclaration(Model):
    """What the program that made the member's site declares: made with the site, and signed by the agent with it."""

    country: Country
    """Where the program places the site."""
    grid_zone: GridZone | None = None
    """Zone of the electricity grid, as in the pledge."""
    engine: Engine
    """What the program has answer questions."""
    gateway_url: Url
    """Where the program has the member's data trust answer."""
    images: Annotated[tuple[ImageReference, ...], Field(min_length=1, max_length=8)]
    """Every image that the site runs."""
    objects: Count
    """How many Kubernetes objects the site is made of."""
    digest: Sha256
    """SHA-256, in hex, of those objects as canonical JSON, without the invitation and this declaration."""


class Site(Model):
    """What the member's agent reports of its site, in a document signed by the member's identity."""

    gateway_url: Url | None = None
    """Where the member's data trust answers."""
    gateway_certificate_pem: Annotated[str, StringConstraints(max_length=8192)] | None = None
    """The certificate that the gateway shows."""
    issuer: Url
    """Issuer of the member's service-account tokens."""
    jwks: Annotated[str, StringConstraints(max_length=32768)]
    """Public keys of that issuer, as a JSON Web Key Set."""
    engine: Engine | None = None
    """What answers questions at this member."""
    node_address: Annotated[str, StringConstraints(max_length=253)]
    """Address of the member's node ports."""
    allocatable: Resources
    """What the member's nodes can run."""
    agent_version: Annotated[str, StringConstraints(max_length=64)]
    """Version of the agent."""
    kubernetes_version: Annotated[str, StringConstraints(max_length=64)]
    """Version of the member's API server."""
    drift: SiteDrift | None = None
    """The last comparison of the site with its declaration; unset if the member never compared."""
    declaration: SiteDeclaration | None = None
    """What the site was declared as; unset where no program of ours made it."""


class MemberStatus(Status):
    """What the hub knows of the member."""

    site: Site | None = None
    """The member's signed site document, verified."""
    certificate_not_after: datetime | None = None
    """When the agent's certificate ends."""
    last_heartbeat_at: datetime | None = None
    """When the agent last renewed its lease."""


class Member(Resource):
    """A member of the consortium."""

    definition: ClassVar[Definition] = Definition(
        kind="Member",
        plural="members",
        short_names=("mem",),
        scope=Scope.CLUSTER,
        columns=(
            Column(name="Country", json_path=".spec.country"),
            Column(name="Accepted", json_path=".spec.hubAccepts", type="boolean"),
            Column(name="Scheduling", json_path=".spec.scheduling"),
            Column(name="Engine", json_path=".status.site.engine", priority=1),
            Column(name="Gateway", json_path=".status.site.gatewayUrl", priority=1),
        ),
        rules=(
            {
                "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$')",
                "message": "metadata.name: use at most 20 of a-z, 0-9 and -, as in ca",
            },
        ),
    )

    kind: str = "Member"
    spec: MemberSpec
    status: MemberStatus | None = None
