"""Contributions: what members claim that no meter reads is recorded, judged, and decided when its clock has run out.

The rules are in commonweal/contributions.py; periods.py counts what is decided here.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from commonweal.agreements import negotiate_all
from commonweal.contributions import Around, Claim, Dataset, Decided, Past, Rules, decide, fault, standing
from commonweal.kinds.consortium import ConsortiumSpec
from commonweal.kinds.contribution import Contribution, ContributionReason
from commonweal.kinds.data_trust import DataTrust
from commonweal.membership import member_of
from operators.frame import Finding, Key, Plan, Store, Tools, Watch
from operators.hub import evidence
from operators.hub.books import Books
from operators.hub.grants import grants_of, next_look_s, sponsors
from operators.hub.resources import (
    CONSORTIUMS,
    CONTRIBUTIONS,
    DATA_GRANTS,
    DATA_TRUSTS,
    EQUITY_STATEMENTS,
    MEMBERS,
    PILOT_APPS,
    POOLED_CLUSTERS,
    charter,
)
from operators.kube import Json, Kube

READY = frozenset({ContributionReason.APPROVED, ContributionReason.COUNTED})
JUDGED_BY = (
    CONSORTIUMS, MEMBERS, POOLED_CLUSTERS, DATA_TRUSTS, DATA_GRANTS, PILOT_APPS, EQUITY_STATEMENTS,
)  # fmt: skip
NOTHING_AROUND = Around(members=frozenset())  # what is decided is judged no more
FAULT_LOOK_S = 60.0  # what is not over yet will be, without any event


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A claim and all that its standing depends on; `decision` is whether it counts, and the statement that says so."""

    claim: Claim
    around: Around
    rules: Rules
    recorded_at: datetime | None
    decision: tuple[bool, str] | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Take a claim into the books, as seen at an instant; or its refusal, with the words."""

    books: Books
    claim: Claim
    at: datetime
    refusal: str = ""

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Wait for the disk."""
        self.keep()

    def keep(self) -> None:
        """Write it down."""
        if self.refusal:
            self.books.refuse_claim(self.claim, self.refusal)
        else:
            self.books.record_claim(self.claim, self.at)


@dataclass(frozen=True)
class ClaimController:
    """Records every Contribution, and says where it stands and until when."""

    store: Store
    books: Books
    name: str = "contribution"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The claim; what it is judged against; and every statement, which may decide it."""
        return (
            Watch(resource=CONTRIBUTIONS),
            *(Watch(resource=each, keys=self._all, spec_only=True) for each in JUDGED_BY),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the claim, what is around it, and what the books hold of it."""
        body = tools.store.get(CONTRIBUTIONS, key.name, key.namespace)
        if body is None or (claim := claim_of(body)) is None:
            return None
        connection = self.books.connection
        decision = evidence.decision(connection, claim.id)
        return Observed(
            claim=claim,
            around=around(tools.store, self.books, (claim,), tools.clock()) if decision is None else NOTHING_AROUND,
            rules=rules(charter(tools.store)),
            recorded_at=evidence.recorded_at(connection, claim),
            decision=decision,
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Record it once it has no fault; then its clock runs."""
        claim = observed.claim
        if observed.decision is not None:
            return Plan(findings=(_finding(*_decided(*observed.decision)),))
        if words := fault(claim, observed.around, now):
            refuse = Record(books=self.books, claim=claim, at=now, refusal=words)
            return Plan(
                writes=(refuse,), findings=(_finding(ContributionReason.REFUSED, words),), requeue_in_s=FAULT_LOOK_S
            )
        stands = standing(claim, observed.around, observed.rules, observed.recorded_at or now, now)
        record = () if observed.recorded_at else (Record(books=self.books, claim=claim, at=now),)
        look_s = next_look_s([stands.until], now) if now < stands.until else None
        return Plan(writes=record, findings=(_finding(stands.reason, stands.message),), requeue_in_s=look_s)

    def _all(self, _: Json) -> tuple[Key, ...]:
        return tuple(
            Key(body["metadata"]["namespace"], body["metadata"]["name"]) for body in self.store.list(CONTRIBUTIONS)
        )


def _decided(counts: bool, statement: str) -> tuple[ContributionReason, str]:
    if counts:
        return ContributionReason.COUNTED, f"Counted from {statement} on; what counts is final"
    return ContributionReason.LAPSED, f"{statement} closed it uncounted; make another Contribution with what it lacked"


def _finding(reason: ContributionReason, message: str) -> Finding:
    return Finding(type="Ready", holds=reason in READY, reason=reason, message=message)


def claim_of(body: Json) -> Claim | None:
    """The claim of a Contribution in a member's namespace; None for every other one."""
    member = member_of(body["metadata"]["namespace"])
    if member is None:
        return None
    metadata = body["metadata"]
    return Claim(member=member, name=metadata["name"], uid=metadata["uid"], spec=Contribution.read(body).spec)


def rules(spec: ConsortiumSpec) -> Rules:
    """The charter's clocks and quorum, as the rule book takes them."""
    accounting = spec.accounting
    return Rules(
        quorum=accounting.approval_quorum, audit_s=accounting.audit_seconds, dispute_s=accounting.dispute_seconds
    )


def around(store: Store, books: Books, claims: Iterable[Claim], at: datetime) -> Around:
    """What claims are judged against at an instant."""
    claims = tuple(claims)
    zones: defaultdict[str, set[str]] = defaultdict(set)
    for pledge in store.list(POOLED_CLUSTERS):
        zones[str(member_of(pledge["metadata"]["namespace"]))].add(pledge["spec"]["location"]["gridZone"])
    named = sorted({one.trust for claim in claims for one in claim.spec.record.data})
    trusts = [DataTrust.read(body) for name in named if (body := store.get(DATA_TRUSTS, name))]
    return Around(
        members=frozenset(each["metadata"]["name"] for each in store.list(MEMBERS) if each["spec"].get("hubAccepts")),
        zones={member: frozenset(each) for member, each in zones.items()},
        holders={
            (trust.metadata.name, dataset.name): frozenset(dataset.sources)
            for trust in trusts
            for dataset in trust.spec.datasets
        },
        askers=_askers(store, trusts, at),
        taken=evidence.taken(books.connection, claims),
    )


def _askers(store: Store, trusts: Iterable[DataTrust], at: datetime) -> dict[Dataset, frozenset[str]]:
    """Of each dataset the members that sponsor an application which may ask it: by what was agreed, not by its wish."""
    sponsored = sponsors(store)
    found: defaultdict[Dataset, set[str]] = defaultdict(set)
    for trust in trusts:
        for grant, state in negotiate_all(trust, grants_of(store, trust.metadata.name), at, sponsored):
            sponsor = sponsored.get(grant.spec.beneficiary.pilot_app)
            if sponsor and state.in_force:
                for dataset in state.in_force.datasets:
                    found[grant.spec.trust, dataset].add(sponsor)
    return {of: frozenset(members) for of, members in found.items()}


def decided_until(store: Store, books: Books, at: datetime) -> tuple[Decided, ...]:
    """Every claim whose clock has run out by the end of a period."""
    by_uid = {body["metadata"]["uid"]: body for body in store.list(CONTRIBUTIONS)}
    recorded = [
        (claim, recorded_at)
        for body, recorded_at in evidence.still_open(books.connection, by_uid)
        if (claim := claim_of(body))
    ]
    return decide(recorded, around(store, books, [claim for claim, _ in recorded], at), rules(charter(store)), at)


def past_of(books: Books, decided: Iterable[Decided], hours: Iterable[datetime]) -> Past:
    """What was counted before that touches these claims, or readings of these hours."""
    return evidence.past(books.connection, [each.claim for each in decided if each.counts], hours)
