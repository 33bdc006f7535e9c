"""Members: their namespace and rights while they are accepted, and what the hub knows of their health.

Nothing is evicted on silence: an unreachable member keeps what it runs and takes nothing new (`commonweal.placement`).
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from commonweal.kinds.consortium import HeartbeatRules, SiteRules
from commonweal.kinds.member import Member, MemberCondition, MemberReason, Scheduling, Site
from commonweal.membership import MembershipError, applicant_name, member_namespace, member_of, verify_site
from commonweal.site_policy.declaration import contradictions
from operators.frame import Finding, Key, Plan, Store, Tools, Watch
from operators.frame.plan import instant
from operators.hub.resources import (
    ASSIGNMENTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONSORTIUMS,
    MEMBER_LABEL,
    MEMBERS,
    OURS_SELECTOR,
    PILOT_PREFIX,
    ROLE_BINDINGS,
    charter,
)
from operators.hub.rights import granted, withdrawn
from operators.kube import CONFIG_MAPS, CSRS, LEASES, NAMESPACES, Json

LEASE = "agent"
SITE = "site"
BOUNDLESS = SiteRules()
HEARTBEAT_REPORT = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A Member and all that its conditions depend on. `gone` is the name of one that was deleted."""

    name: str
    body: Json | None
    member: Member | None = None
    rules: HeartbeatRules | None = None
    sites: SiteRules = BOUNDLESS
    heartbeat_at: datetime | None = None
    site: Site | None = None
    site_problem: str = ""
    certificate_not_after: datetime | None = None
    pilots: int = 0


@dataclass
class Heartbeats:
    """When the hub itself saw each agent's Lease move, so that no member's clock matters.

    After a restart the first sight cannot tell; the Lease's own time is then believed until it moves.
    """

    _seen: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def at(self, member: str, lease: Json | None, now: datetime) -> datetime | None:
        """The last heartbeat of a member; None before the first."""
        renewed = (lease or {}).get("spec", {}).get("renewTime")
        if renewed is None:
            return None
        before = self._seen.get(member)
        if before is None:
            self._seen[member] = (renewed, min(now, datetime.fromisoformat(renewed)))
        elif before[0] != renewed:
            self._seen[member] = (renewed, now)
        return self._seen[member][1]


@dataclass(frozen=True)
class MemberController:
    """Binds rights, follows heartbeats, reports conditions."""

    store: Store
    heartbeats: Heartbeats = field(default_factory=Heartbeats)
    name: str = "member"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The Member; what is kept for it; what its agent writes; the charter."""
        return (
            Watch(resource=MEMBERS),
            Watch(resource=NAMESPACES, keys=_labelled),
            Watch(resource=CLUSTER_ROLES, keys=_labelled, labels=OURS_SELECTOR),
            Watch(resource=CLUSTER_ROLE_BINDINGS, keys=_labelled, labels=OURS_SELECTOR),
            Watch(resource=ROLE_BINDINGS, keys=_labelled, labels=OURS_SELECTOR),
            Watch(resource=LEASES, keys=lambda body: _in_member(body, LEASE)),
            Watch(resource=CONFIG_MAPS, keys=lambda body: _in_member(body, SITE)),
            Watch(resource=ASSIGNMENTS, keys=lambda body: _in_member(body, body["metadata"]["name"])),
            Watch(resource=CSRS, keys=_certified),
            Watch(resource=CONSORTIUMS, keys=lambda _: map(_key, self.store.list(MEMBERS)), spec_only=True),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the Member and what its agent wrote."""
        store, name = tools.store, key.name
        body = store.get(MEMBERS, name)
        if body is None:
            return Observed(name=name, body=None)
        member, namespace = Member.read(body), member_namespace(name)
        site, problem = read_site(store.get(CONFIG_MAPS, SITE, namespace), member)
        held, law = member.status.certificate_not_after if member.status else None, charter(store)
        return Observed(
            name=name,
            body=body,
            member=member,
            rules=law.heartbeat,
            sites=law.sites,
            heartbeat_at=self.heartbeats.at(name, store.get(LEASES, LEASE, namespace), tools.clock()),
            site=site,
            site_problem=problem,
            certificate_not_after=newest_certificate(store.list(CSRS), name, held),
            pilots=sum(a["metadata"]["name"].startswith(PILOT_PREFIX) for a in store.list(ASSIGNMENTS, namespace)),
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Bind or withdraw the rights, and say how the member is."""
        if observed.body is None or observed.member is None or observed.rules is None:
            return Plan(writes=withdrawn(observed.name))
        accepted = observed.member.spec.hub_accepts
        writes = granted(observed.body) if accepted else withdrawn(observed.name)
        reachable, change_in_s = reachability(observed.heartbeat_at, observed.rules, now)
        findings = (
            _accepted(observed.member),
            _joined(observed.certificate_not_after, now),
            reachable,
            *_scheduling(observed.member.spec.scheduling, observed.pilots),
            _left(observed.member, observed.certificate_not_after),
            _as_declared(_believed_site(observed)),
            _declared(observed.member, observed),
        )
        return Plan(
            writes=writes,
            findings=(ready(observed.member, findings, observed), *findings),
            status=_status(observed),
            requeue_in_s=change_in_s,
        )


def read_site(document: Json | None, member: Member) -> tuple[Site | None, str]:
    """The site as the member signed it, or why there is none to believe."""
    if document is None:
        return None, ""
    data = document.get("data", {})
    try:
        site = verify_site(
            data.get("site.json", ""),
            data.get("site.json.sig", ""),
            member=member.metadata.name,
            identity_key=member.spec.identity_key,
        )
    except MembershipError as error:
        return None, str(error)
    return site, ""


def newest_certificate(csrs: Iterable[Json], member: str, held: datetime | None) -> datetime | None:
    """When the youngest certificate of a member's agent expires; requests are cleaned up, so the last answer counts."""
    ends = [held] if held else []
    for csr in csrs:
        issued = csr.get("status", {}).get("certificate")
        if issued and applicant_name(csr["spec"].get("username", "")) == member:
            ends.append(x509.load_pem_x509_certificate(base64.b64decode(issued)).not_valid_after_utc)
    return max(ends, default=None)


def reachability(heartbeat_at: datetime | None, rules: HeartbeatRules, now: datetime) -> tuple[Finding, float | None]:
    """The Reachable condition, and in how many seconds silence would change it."""
    kind = MemberCondition.REACHABLE
    if heartbeat_at is None:
        message = "No heartbeat yet; start the agent"
        return Finding(type=kind, holds=None, reason=MemberReason.NO_HEARTBEAT_YET, message=message), None
    silent_for = now - heartbeat_at
    silent, lost = timedelta(seconds=rules.silent_after_seconds), timedelta(seconds=rules.unreachable_after_seconds)
    if silent_for < silent:
        message = f"The agent reports at least every {rules.silent_after_seconds} s"
        finding = Finding(type=kind, holds=True, reason=MemberReason.HEARTBEAT, message=message)
        return finding, (silent - silent_for).total_seconds()
    since = f"since {instant(heartbeat_at)}; what runs there keeps running, nothing new is placed"
    if silent_for < lost:
        finding = Finding(type=kind, holds=None, reason=MemberReason.AGENT_SILENT, message=f"No heartbeat {since}")
        return finding, (lost - silent_for).total_seconds()
    message = f"No heartbeat {since}; check the agent and its way to the hub"
    return Finding(type=kind, holds=False, reason=MemberReason.CLUSTER_UNREACHABLE, message=message), None


def ready(member: Member, findings: Iterable[Finding], observed: Observed) -> Finding:
    """The summary: the first of acceptance, certificate, heartbeat and site that is wrong, else the scheduling."""
    leading = {MemberCondition.ACCEPTED, MemberCondition.JOINED, MemberCondition.REACHABLE}
    for finding in findings:
        if finding.type in leading and not finding.holds:
            return Finding(type="Ready", holds=False, reason=finding.reason, message=finding.message)
    if observed.site_problem:
        reason = MemberReason.SITE_SIGNATURE_INVALID
        return Finding(type="Ready", holds=False, reason=reason, message=observed.site_problem)
    if observed.site is None:
        message = "The agent has not reported its site yet"
        return Finding(type="Ready", holds=False, reason=MemberReason.SITE_UNKNOWN, message=message)
    words = {
        Scheduling.ACTIVE: (MemberReason.ACTIVE, "Takes part"),
        Scheduling.CORDONED: (MemberReason.CORDONED, "Keeps what it runs and takes nothing new"),
        Scheduling.DRAINING: (MemberReason.DRAINING, "Gives up what it runs"),
    }
    reason, message = words[member.spec.scheduling]
    return Finding(type="Ready", holds=True, reason=reason, message=message)


def _accepted(member: Member) -> Finding:
    if member.spec.hub_accepts:
        return Finding(
            type=MemberCondition.ACCEPTED, holds=True, reason=MemberReason.ACCEPTED, message="Accepted by the hub"
        )
    remedy = f"an administrator accepts with `commonweal accept {member.metadata.name}`"
    return Finding(
        type=MemberCondition.ACCEPTED, holds=False, reason=MemberReason.AWAITING_ACCEPTANCE, message=f"Waits; {remedy}"
    )


def _joined(not_after: datetime | None, now: datetime) -> Finding:
    kind = MemberCondition.JOINED
    if not_after is None:
        message = "No certificate was issued yet; the agent asks for one with its invitation"
        return Finding(type=kind, holds=False, reason=MemberReason.AWAITING_CERTIFICATE, message=message)
    if not_after <= now:
        message = f"The certificate expired at {instant(not_after)}; invite the member again"
        return Finding(type=kind, holds=False, reason=MemberReason.CERTIFICATE_EXPIRED, message=message)
    return Finding(type=kind, holds=True, reason=MemberReason.JOINED, message="Holds a valid certificate")


def _scheduling(scheduling: Scheduling, pilots: int) -> tuple[Finding, Finding]:
    cordoned = scheduling is not Scheduling.ACTIVE
    reason = MemberReason.ACTIVE if not cordoned else MemberReason(scheduling.value)
    message = "Takes nothing new" if cordoned else "Takes new work"
    drained = scheduling is Scheduling.DRAINING and pilots == 0
    said = {
        True: (MemberReason.DRAINED, "Runs nothing for the consortium any more"),
        False: (reason, f"{pilots} assignments of pilots left"),
    }[drained]
    return (
        Finding(type=MemberCondition.CORDONED, holds=cordoned, reason=reason, message=message),
        Finding(type=MemberCondition.DRAINED, holds=drained, reason=said[0], message=said[1]),
    )


def _left(member: Member, not_after: datetime | None) -> Finding:
    """Whoever once joined and is accepted no more has left; its site is its own to take away."""
    kind, name = MemberCondition.LEFT, member.metadata.name
    if member.spec.hub_accepts:
        message = f"Takes part; `commonweal drain {name}`, then `commonweal revoke {name}`, lets it go"
        return Finding(type=kind, holds=False, reason=MemberReason.ACCEPTED, message=message)
    if not_after is None:
        message = "Never joined"
        return Finding(type=kind, holds=False, reason=MemberReason.AWAITING_ACCEPTANCE, message=message)
    message = "Was let go; it may take its site away"
    return Finding(type=kind, holds=True, reason=MemberReason.LEFT, message=message)


def _as_declared(site: Site | None) -> Finding:
    """What the member itself found when it last compared its site with its declaration; the hub cannot look."""
    kind, drift = MemberCondition.SITE_AS_DECLARED, site.drift if site else None
    if drift is None:
        message = "The member has not compared its site; it does with `python -m infra.sites drift`"
        return Finding(type=kind, holds=None, reason=MemberReason.SITE_NOT_COMPARED, message=message)
    compared = f"as of {instant(drift.checked_at)}"
    if drift.objects == 0:
        message = f"The site is as declared {compared}"
        return Finding(type=kind, holds=True, reason=MemberReason.SITE_AS_DECLARED, message=message)
    named = ", ".join(drift.differing)
    message = f"Differing objects {compared}: {drift.objects} ({named}); the member mends them with `up --repair`"
    return Finding(type=kind, holds=False, reason=MemberReason.SITE_DRIFTED, message=message)


def _declared(member: Member, observed: Observed) -> Finding:
    """Whether the member's program signed what it declares, and says nothing that the hub knows to be otherwise."""
    kind, site = MemberCondition.SITE_DECLARED, observed.site
    if observed.site_problem:
        reason = MemberReason.SITE_SIGNATURE_INVALID
        return Finding(type=kind, holds=False, reason=reason, message=observed.site_problem)
    if site is None or site.declaration is None:
        message = "The member has signed no declaration of its site; `python -m infra.sites up` makes one"
        return Finding(type=kind, holds=None, reason=MemberReason.SITE_NOT_DECLARED, message=message)
    if found := contradictions(site.declaration, site, member.spec.country, observed.sites):
        message = f"{'; '.join(found)}; correct the site or the Member and run `up` again"
        return Finding(type=kind, holds=False, reason=MemberReason.SITE_CONTRADICTED, message=message)
    declared = site.declaration
    message = f"Declares {declared.objects} objects, sha256:{declared.digest}, signed by the member's identity"
    return Finding(type=kind, holds=True, reason=MemberReason.SITE_DECLARED, message=message)


def _believed_site(observed: Observed) -> Site | None:
    """A site that cannot be believed now does not replace the one that could be."""
    before = observed.member.status.site if observed.member and observed.member.status else None
    return observed.site or before


def _status(observed: Observed) -> Json:
    status: Json = {}
    if site := _believed_site(observed):
        status["site"] = site.wire()
    if observed.certificate_not_after:
        status["certificateNotAfter"] = instant(observed.certificate_not_after)
    if observed.heartbeat_at:
        status["lastHeartbeatAt"] = instant(_reported(observed.heartbeat_at, observed.member))
    return status


def _reported(heartbeat_at: datetime, member: Member | None) -> datetime:
    """Heartbeats are reported now and then: each report wakes everything that depends on members."""
    before = member.status.last_heartbeat_at if member and member.status else None
    return before if before and timedelta(0) <= heartbeat_at - before < HEARTBEAT_REPORT else heartbeat_at


def _key(body: Json) -> Key:
    return Key("", body["metadata"]["name"])


def _labelled(body: Json) -> tuple[Key, ...]:
    member = body["metadata"].get("labels", {}).get(MEMBER_LABEL)
    return (Key("", member),) if member else ()


def _in_member(body: Json, name: str) -> tuple[Key, ...]:
    metadata = body["metadata"]
    member = member_of(metadata.get("namespace", ""))
    return (Key("", member),) if member and metadata["name"] == name else ()


def _certified(csr: Json) -> tuple[Key, ...]:
    member = applicant_name(csr["spec"].get("username", ""))
    return (Key("", member),) if member and csr.get("status", {}).get("certificate") else ()
