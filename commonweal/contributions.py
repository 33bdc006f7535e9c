"""What a member brings that no meter reads (certificates, work, kept data): when it counts, and how much of it.

Other members approve; each of them may object; the clock runs from the hub's recording, so that nobody can claim what
nobody had time to question. What counts is final: of a person and of a dataset every second counts once, of a
certificate every watt-hour, whoever tells it, in how many pieces and how often. Green energy is matched in green.py.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256

from commonweal.apportion import largest_remainder
from commonweal.green import MJ_PER_WH, Certificate, Load, Retirement, matched
from commonweal.kinds.contribution import (
    ContributionReason,
    ContributionSpec,
    EnergyCertificate,
    KeptData,
    Work,
)
from commonweal.kinds.pooled_cluster import PowerKind
from commonweal.ledger import INSTANT, Transfer, Unit, transfer_of_contribution
from commonweal.transparency import Json, canonical_json

# Carbon-free by the technology that generates; biomass is left out, because whether it is free of carbon is disputed.
CARBON_FREE = frozenset({PowerKind.GEOTHERMAL, PowerKind.HYDRO, PowerKind.NUCLEAR, PowerKind.SOLAR, PowerKind.WIND})
SECOND = timedelta(seconds=1)

Dataset = tuple[str, str]  # a trust, and a dataset of it
Interval = tuple[datetime, datetime]  # start inclusive, end exclusive


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The charter's: how many others approve, and how long each clock runs from the recording."""

    quorum: int
    audit_s: int
    dispute_s: int


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a claim is judged against: accepted members, each one's zones, and of each dataset who holds and may ask it.

    `taken` are the claims that have counted certificates, by certificate.
    """

    members: frozenset[str]
    zones: Mapping[str, frozenset[str]] = field(default_factory=dict)
    holders: Mapping[Dataset, frozenset[str]] = field(default_factory=dict)
    askers: Mapping[Dataset, frozenset[str]] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A member's record, and what others say of it; `uid` tells an object from a later one of the same content."""

    member: str
    name: str
    uid: str
    spec: ContributionSpec

    @cached_property
    def id(self) -> str:
        """The hash of who claims what; opinions come later and do not change it."""
        return sha256(canonical_json({"member": self.member, "record": self.spec.record.wire()})).hexdigest()

    @property
    def objected_by(self) -> frozenset[str]:
        """Who else says no."""
        return frozenset(each.member for each in self.spec.objections) - {self.member}

    @property
    def approved_by(self) -> frozenset[str]:
        """Who else says yes, and not no."""
        return frozenset(each.member for each in self.spec.approvals) - {self.member} - self.objected_by


def certificate_key(one: EnergyCertificate) -> str:
    """Name a certificate everywhere: its registry, and its number there."""
    return f"{one.registry}/{one.id}"


def fault(claim: Claim, around: Around, now: datetime) -> str:
    """Say the first thing that is wrong with a record, by field and with the remedy; empty if nothing is."""
    return next(_faults(claim, around, now), "")


def _faults(claim: Claim, around: Around, now: datetime) -> Iterator[str]:
    record = claim.spec.record
    lines: tuple[tuple[str, Iterable[str]], ...] = (
        ("certificates", (_certificate_fault(claim, one, around, now) for one in record.certificates)),
        ("work", (_span_fault(one, now) for one in record.work)),
        ("data", (_data_fault(claim, one, around, now) for one in record.data)),
    )
    for name, found in lines:
        yield from (f"spec.record.{name}[{place}].{words}" for place, words in enumerate(found) if words)
    keys = [certificate_key(one) for one in record.certificates]
    yield from (
        f"spec.record.certificates[{place}].id: {key} is here twice; leave one out"
        for place, key in enumerate(keys)
        if key in keys[:place]
    )


def _certificate_fault(claim: Claim, one: EnergyCertificate, around: Around, now: datetime) -> str:
    start = one.hour.astimezone(UTC)
    if hour_of(start) != start:
        return f"hour: {one.hour.isoformat()} is not the start of an hour in UTC"
    if start > now:
        return f"hour: {start:{INSTANT}} has not begun; a certificate is of what was generated"
    if one.zone not in (zones := around.zones.get(claim.member, frozenset())):
        pledged = ", ".join(sorted(zones)) or "no zone"
        return f"zone: {one.zone}, but {claim.member} pledges in {pledged}; energy is matched where it is drawn"
    if one.source not in CARBON_FREE:
        return f"source: {one.source} is not free of carbon; leave it out"
    if around.taken.get(certificate_key(one), claim.id) != claim.id:
        return f"id: {certificate_key(one)} is counted already; a certificate backs one claim"
    return ""


def _span_fault(one: Work | KeptData, now: datetime) -> str:
    for name in ("begin", "end"):
        at: datetime = getattr(one, name)
        if at.microsecond:
            return f"{name}: {at.isoformat()} is not a whole second"
    if one.end <= one.begin:
        return f"end: {one.end:{INSTANT}} is not after {one.begin:{INSTANT}}"
    return f"end: {one.end:{INSTANT}} is not over; claim it when it is" if one.end > now else ""


def _data_fault(claim: Claim, one: KeptData, around: Around, now: datetime) -> str:
    of = (one.trust, one.dataset)
    if claim.member not in around.holders.get(of, frozenset()):
        return f"dataset: no rows of {one.trust}.{one.dataset} lie at {claim.member}; name what it holds"
    if not around.askers.get(of, frozenset()) - {claim.member}:
        return f"dataset: nobody else may ask {one.trust}.{one.dataset}; it earns once another member has a live grant"
    return _span_fault(one, now)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a claim stands, until when, in words."""

    reason: ContributionReason
    until: datetime
    message: str

    def final(self, at: datetime) -> bool:
        """Whether nothing can change it any more."""
        decided = self.reason in {ContributionReason.APPROVED, ContributionReason.LAPSED}
        return decided and self.until <= at


def standing(claim: Claim, around: Around, rules: Rules, recorded_at: datetime, now: datetime) -> Standing:
    """Say where a recorded claim without a fault stands.

    An objection opens a dispute, and each asks for one approval more when its clock runs out. Of every dataset one
    approval is of a member that may ask it: whoever keeps data does not measure alone.
    """
    yes, no = claim.approved_by & around.members, claim.objected_by & around.members
    ended = recorded_at + timedelta(seconds=rules.dispute_s)
    clock = f"{ended:%Y-%m-%d %H:%M:%SZ}"
    lacks = _lacking(claim, around, yes, rules.quorum + len(no) - len(yes))
    if no and now < ended:
        first = next(each for each in claim.spec.objections if each.member in no)
        what = lacks or "it counts then, as enough others approve"
        message = f"{first.member} objects: {first.reason}; until {clock}: {what}"
        return Standing(reason=ContributionReason.DISPUTED, until=ended, message=message)
    if lacks and now < ended:
        return Standing(reason=ContributionReason.AWAITING_APPROVAL, until=ended, message=f"Until {clock}: {lacks}")
    if lacks:
        message = f"Not counted: {lacks} was due {clock}; make another Contribution"
        return Standing(reason=ContributionReason.LAPSED, until=ended, message=message)
    until = ended if no else recorded_at + timedelta(seconds=rules.audit_s)
    message = f"Approved by {', '.join(sorted(yes))}; the first statement that ends after {until:%F %TZ} counts it"
    return Standing(reason=ContributionReason.APPROVED, until=until, message=message)


def _lacking(claim: Claim, around: Around, yes: frozenset[str], missing: int) -> str:
    """Whose approval a claim lacks; empty if none."""
    if missing > 0:
        return f"{missing} more approvals of other members (spec.approvals)"
    for one in claim.spec.record.data:
        if not yes & (askers := around.askers.get((one.trust, one.dataset), frozenset()) - {claim.member}):
            return f"the approval of one who may ask {one.trust}.{one.dataset}: {', '.join(sorted(askers))}"
    return ""


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A claim whose clock has run out; `counts` or not, for good."""

    claim: Claim
    counts: bool

    def record(self) -> bytes:
        """The canonical bytes that the log holds."""
        return canonical_json(
            {
                "approved_by": sorted(self.claim.approved_by),
                "counts": self.counts,
                "id": self.claim.id,
                "objected_by": sorted(self.claim.objected_by),
                "type": "contribution-decision",
            }
        )


@dataclass(frozen=True, kw_only=True)
class Past:
    """What earlier statements counted, as far as it touches this one: seconds by subject, and energy still open."""

    seconds: Mapping[str, Sequence[Interval]] = field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()
    loads: tuple[Load, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What a statement counts of decided claims, and all that must be kept of it so that nothing counts twice."""

    decided: tuple[Decided, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    certificates: tuple[tuple[Certificate, str], ...] = ()  # new ones, each with its claim
    loads: tuple[Load, ...] = ()
    retirements: tuple[Retirement, ...] = ()
    seconds: tuple[tuple[str, Interval], ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether any certificate that counts says so."""
        counted = (each.claim.spec.record for each in self.decided if each.counts)
        return any(one.simulated for record in counted for one in record.certificates)


def decide(
    recorded: Iterable[tuple[Claim, datetime]], around: Around, rules: Rules, at: datetime
) -> tuple[Decided, ...]:
    """Decide every claim whose clock has run out; given in the order of the log, with when each was recorded.

    Of two that name one certificate the first has it, and of two of one content there is one. A fault may be mended
    until the dispute's clock has run out.
    """
    taken, decided = dict(around.taken), dict[str, Decided]()
    around = replace(around, taken=taken)  # which grows below
    for claim, recorded_at in recorded:
        if claim.id in decided:
            continue
        if fault(claim, around, at):
            if at >= recorded_at + timedelta(seconds=rules.dispute_s):
                decided[claim.id] = Decided(claim=claim, counts=False)
            continue
        stands = standing(claim, around, rules, recorded_at, at)
        if stands.final(at):
            counts = stands.reason is ContributionReason.APPROVED
            decided[claim.id] = Decided(claim=claim, counts=counts)
            if counts:
                taken.update({certificate_key(one): claim.id for one in claim.spec.record.certificates})
    return tuple(decided.values())


def bring(decided: Iterable[Decided], past: Past, loads: Iterable[Load], period_start: datetime) -> Brought:
    """Count what was decided, in the order of the log; `loads` are what this statement's readings may have as green."""
    decided, loads = tuple(decided), tuple(loads)
    counted = [each.claim for each in decided if each.counts]
    lines = sorted((line for claim in counted for line in _lines(claim)), key=lambda line: line.order)
    transfers, seconds = _counted_seconds(lines, past.seconds, period_start)
    certificates = tuple((one, claim.id) for claim in counted for one in certificates_of(claim))
    done = matched([*past.certificates, *(one for one, _ in certificates)], summed([*past.loads, *loads]))
    return Brought(
        decided=decided,
        transfers=(*transfers, *(_green(one, period_start) for one in done)),
        certificates=certificates,
        loads=loads,
        retirements=done,
        seconds=seconds,
    )


def summed(loads: Iterable[Load]) -> tuple[Load, ...]:
    """Return one load a member, zone and hour: equal ones of two statements are two, and not one told twice."""
    sums: Counter[tuple[str, str, datetime]] = Counter()
    for one in loads:
        sums[one.member, one.zone, one.hour] += one.mj
    return tuple(Load(member=member, zone=zone, hour=hour, mj=mj) for (member, zone, hour), mj in sums.items())


def certificates_of(claim: Claim) -> tuple[Certificate, ...]:
    """A claim's certificates, as the rule book of green energy takes them."""
    return tuple(
        Certificate(
            id=certificate_key(one), owner=claim.member, zone=one.zone, hour=one.hour.astimezone(UTC), wh=one.wh
        )
        for one in claim.spec.record.certificates
    )


def subjects(claim: Claim) -> frozenset[str]:
    """The persons and datasets whose seconds a claim is about."""
    return frozenset(line.subject for line in _lines(claim))


def _green(one: Retirement, period_start: datetime) -> Transfer:
    evidence: Json = {"certificate": one.certificate, "member": one.member, "type": "retirement", "wh": one.wh}
    amount = one.wh * MJ_PER_WH
    return transfer_of_contribution(
        one.member, unit=Unit.GREEN_MJ, amount=amount, period_start=period_start, evidence=evidence
    )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """So many units a second of a subject's span."""

    claim: str
    member: str
    subject: str
    begin: datetime
    end: datetime
    unit: Unit
    rate: int

    @property
    def order(self) -> tuple[int, datetime, str, datetime]:
        """Fewer rows first, so that an overlap counts the fewest; then whoever began earlier."""
        return self.rate, self.begin, self.member, self.end


def _lines(claim: Claim) -> Iterator[_Line]:
    for work in claim.spec.record.work:
        yield _Line(
            claim=claim.id,
            member=claim.member,
            subject=f"person {work.person}",
            begin=work.begin,
            end=work.end,
            unit=Unit.WORK_SECONDS,
            rate=1,
        )
    for kept in claim.spec.record.data:
        yield _Line(
            claim=claim.id,
            member=claim.member,
            subject=f"data {claim.member} {kept.trust} {kept.dataset}",
            begin=kept.begin,
            end=kept.end,
            unit=Unit.ROW_SECONDS,
            rate=kept.rows,
        )


def _counted_seconds(
    lines: Iterable[_Line], before: Mapping[str, Sequence[Interval]], period_start: datetime
) -> tuple[list[Transfer], tuple[tuple[str, Interval], ...]]:
    """Move what each line adds to the seconds already counted of its subject."""
    counted = defaultdict(list, {subject: list(spans) for subject, spans in before.items()})
    transfers, fresh = list[Transfer](), list[tuple[str, Interval]]()
    for line in lines:
        for begin, end in uncounted((line.begin, line.end), counted[line.subject]):
            counted[line.subject].append((begin, end))
            fresh.append((line.subject, (begin, end)))
            evidence: Json = {
                "begin": f"{begin.astimezone(UTC):{INSTANT}}",
                "contribution": line.claim,
                "end": f"{end.astimezone(UTC):{INSTANT}}",
                "subject": line.subject,
            }
            amount = (end - begin) // SECOND * line.rate
            transfers.append(
                transfer_of_contribution(
                    line.member, unit=line.unit, amount=amount, period_start=period_start, evidence=evidence
                )
            )
    return transfers, tuple(fresh)


def uncounted(span: Interval, counted: Iterable[Interval]) -> list[Interval]:
    """Return the parts of a span that no counted one covers, in order."""
    at, end = span
    parts = []
    for begin, until in sorted(counted):
        if begin >= end:
            break
        if begin > at:
            parts.append((at, begin))
        at = max(at, until)
    if at < end:
        parts.append((at, end))
    return parts


def creditable_loads(member: str, energies_mj: Mapping[tuple[str, datetime], int], most_mj: int) -> tuple[Load, ...]:
    """Cut what a member's meters read by zone and hour down to what may earn, each in proportion."""
    parts = largest_remainder(min(most_mj, sum(energies_mj.values())), energies_mj)
    return tuple(Load(member=member, zone=zone, hour=hour, mj=mj) for (zone, hour), mj in parts.items() if mj)


def hour_of(moment: datetime) -> datetime:
    """The start of the hour in UTC in which a period begins; its energy is matched with that hour's certificates."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
