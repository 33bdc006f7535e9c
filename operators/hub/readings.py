"""Readings: verified, recorded durably, and only then removed from the member's namespace on the hub."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from commonweal.kinds.member import Member
from commonweal.kinds.pooled_cluster import Meter
from commonweal.membership import member_of
from commonweal.metering import (
    COPY_PERIODS,
    Around,
    Finding,
    History,
    Limits,
    Reading,
    Reason,
    Scope,
    Verdict,
    verify,
)
from operators.frame import Delete, Key, Plan, Store, Tools, Watch, Write, own
from operators.hub.books import Books
from operators.hub.resources import MEMBERS, POOLED_CLUSTERS, charter
from operators.kube import CONFIG_MAPS, Json, Kube

PREFIX = "reading-"
AROUND = ("reading-node-", "reading-facility-")  # readings of meters that others lie within
# Least and most that a meter of each scope may read: an idle board or module and the largest on the market (research:
# energy handbook), a node of one rack's power, and a facility of a gigawatt.
POWER_MW = {
    Scope.GPU: (1_000, 1_500_000),
    Scope.MODULE: (1_000, 3_000_000),
    Scope.NODE: (1_000, 150_000_000),
    Scope.FACILITY: (1_000, 10**12),
}
GAP_RETRY_S = 30.0
EARLY_RETRY_S = 5.0
EARLY = timedelta(seconds=15)  # as long as a period waits for its readings at the least; until then nobody is late
WAITS = {(Reason.GAP,), (Reason.STILL_OPEN,), (Reason.UNBOUNDED,), (Reason.GAP, Reason.UNBOUNDED)}  # may come right
MAX_AGE_S = 7 * 86_400  # the challenge window: what comes later could not be challenged with its period


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A pledge's word about a meter, and whose pledge it is."""

    member: str
    pledge: str
    meter: Meter


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A reported reading and all that its verification depends on; `claims` are the pledges of its meter."""

    key: Key
    source: str
    payload: bytes
    signature: bytes
    member: str
    identity_key: str
    previous: Reading | None
    refused: Reading | None
    recorded: bool
    claims: tuple[Claim, ...]
    history: History
    period_s: int


class Reported(Protocol):
    """A report that may be refused: where it lies, whose it is, what it is about, and its bytes."""

    @property
    def key(self) -> Key:
        """Of the object."""

    @property
    def member(self) -> str:
        """In whose namespace."""

    @property
    def source(self) -> str:
        """About what."""

    @property
    def payload(self) -> bytes:
        """As signed."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Take an accepted reading into the books."""

    books: Books
    reading: Reading
    signature: bytes

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Wait for the disk."""
        self.books.accept(self.reading, self.signature)


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Take a refusal into the books; `final` where the reading itself can never become right.

    `in_chain` is the reading where only its claim was refused, not its place.
    """

    books: Books
    observed: Reported
    message: str
    final: bool
    in_chain: Reading | None = None

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Log a final refusal, keep a passing one as a complaint only, and have the member's pledges say it."""
        observed = self.observed
        if self.final:
            news = self.books.refuse(
                observed.member, observed.source, self.message, observed.payload, in_chain=self.in_chain
            )
        else:
            news = self.books.complain(observed.member, observed.source, self.message)
        for pledge in store.list(POOLED_CLUSTERS, observed.key.namespace) if news else ():
            store.touch(POOLED_CLUSTERS, pledge)


@dataclass(frozen=True)
class ReadingController:
    """Takes every ConfigMap `reading-*` of a member's namespace into the books."""

    store: Store
    books: Books
    name: str = "reading"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The ConfigMaps; pledges, which register meters."""
        return (
            Watch(resource=CONFIG_MAPS, keys=self._let_through),
            Watch(resource=POOLED_CLUSTERS, keys=self._readings_of, spec_only=True),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the report, who signed it, and the meter's last reading."""
        body = tools.store.get(CONFIG_MAPS, key.name, key.namespace)
        name = member_of(key.namespace)
        member = tools.store.get(MEMBERS, name) if name else None
        if body is None or name is None or member is None or not is_reading(body):
            return None
        payload, signature = contents(body)
        meter, sequence = _named(payload)
        claims = tuple(claimed(tools.store))
        return Observed(
            key=key,
            source=meter or key.name,
            payload=payload,
            signature=signature,
            member=name,
            identity_key=Member.read(member).spec.identity_key,
            previous=self.books.last_reading(meter),
            refused=self.books.last_refused(meter),
            recorded=self.books.holds(meter, sequence, payload),
            claims=tuple(claim for claim in claims if same_device(claim.meter.uuid, meter)),
            history=history(self.books, claims, payload),
            period_s=charter(tools.store).accounting.period_seconds,
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Record and remove; refuse and remove; or wait for the reading before it."""
        remove = Delete(resource=CONFIG_MAPS, name=observed.key.name, namespace=observed.key.namespace)
        if observed.recorded:
            return Plan(writes=(remove,))
        verdict = judge(observed, now)
        if verdict.accepted and verdict.reading is not None:
            record: Write = Record(books=self.books, reading=verdict.reading, signature=observed.signature)
            return Plan(writes=(record, remove))
        if verdict.reading is not None and is_early(verdict, verdict.reading, now):
            return Plan(requeue_in_s=EARLY_RETRY_S)
        message = "; ".join(f"{finding.message} ({finding.reason})" for finding in verdict.findings)
        waits = not is_pledged(observed) or verdict.reasons in WAITS
        in_chain = verdict.reading if verdict.in_chain else None
        refuse = Refuse(books=self.books, observed=observed, message=message, final=not waits, in_chain=in_chain)
        return Plan(writes=(refuse,), requeue_in_s=GAP_RETRY_S) if waits else Plan(writes=(refuse, remove))

    def _let_through(self, body: Json) -> tuple[Key, ...]:
        """A reading that is recorded, and so goes, lets through the one after it, and those inside its meter."""
        if not is_reading(body):
            return ()
        name, _, sequence = body["metadata"]["name"].rpartition("-")
        following = (Key(body["metadata"]["namespace"], f"{name}-{int(sequence) + 1}"),) if sequence.isdigit() else ()
        inside = self._readings_of(body) if name.startswith(AROUND) else ()
        return (*own(body), *following, *inside)

    def _readings_of(self, beside: Json) -> tuple[Key, ...]:
        namespace = beside["metadata"]["namespace"]
        return tuple(
            Key(namespace, body["metadata"]["name"])
            for body in self.store.list(CONFIG_MAPS, namespace)
            if is_reading(body)
        )


def judge(observed: Observed, now: datetime) -> Verdict:
    """Verify a reading, and that its meter is pledged once, by this member, which may still come."""
    if not is_pledged(observed):
        return Verdict(reading=None, findings=(_unpledged(observed),))
    (claim,) = observed.claims
    least_mw, most_mw = POWER_MW[claim.meter.scope]
    limits = Limits(
        period_s=observed.period_s,
        max_power_mw=most_mw if claim.meter.max_watts is None else min(most_mw, claim.meter.max_watts * 1000),
        min_power_mw=least_mw,
        allow_simulated=claim.meter.simulated,
        scope=claim.meter.scope,
        max_age_s=MAX_AGE_S,
    )
    return verify(
        observed.payload,
        observed.signature,
        Ed25519PublicKey.from_public_bytes(base64.b64decode(observed.identity_key)),
        member=observed.member,
        previous=observed.previous,
        refused=observed.refused,
        limits=limits,
        received_at=now,
        history=observed.history,
    )


def is_early(verdict: Verdict, reading: Reading, now: datetime) -> bool:
    """Whether all that is missing is the meter around this one, which may well be on its way."""
    return verdict.reasons == (Reason.UNBOUNDED,) and now < reading.period_end + EARLY


def is_pledged(observed: Observed) -> bool:
    """Whether one pledge, and it is this member's, names the meter as the reading does."""
    return [(claim.member, claim.meter.uuid) for claim in observed.claims] == [(observed.member, observed.source)]


def _unpledged(observed: Observed) -> Finding:
    places = ", ".join(f"{claim.member}/{claim.pledge}" for claim in observed.claims)
    if len(observed.claims) > 1:
        return Finding(
            Reason.DUPLICATE, f"meter: {observed.source} is in spec.meters of {places}; leave it in one of them"
        )
    whose = f"pledged by {places}" if places else "not in spec.meters of any PooledCluster"
    return Finding(Reason.FOREIGN_METER, f"meter: {observed.source} is {whose}; pledge it as its UUID is written")


def is_reading(body: Json) -> bool:
    """Whether a ConfigMap is a reading in a member's namespace."""
    metadata = body["metadata"]
    return metadata["name"].startswith(PREFIX) and member_of(metadata["namespace"]) is not None


def contents(body: Json, document: str = "reading.json") -> tuple[bytes, bytes]:
    """The signed bytes and the signature; an unreadable signature is an empty one, which verifies nothing."""
    data = body.get("data", {})
    try:
        signature = base64.b64decode(data.get(f"{document}.sig", ""), validate=True)
    except binascii.Error:
        signature = b""
    return data.get(document, "").encode(), signature


def claimed(store: Store) -> Iterator[Claim]:
    """Every meter of every pledge: one that two pledges name is believed in neither."""
    for pledge in store.list(POOLED_CLUSTERS):
        member = str(member_of(pledge["metadata"]["namespace"]))
        for entry in pledge["spec"].get("meters", ()):
            yield Claim(member=member, pledge=pledge["metadata"]["name"], meter=Meter.model_validate(entry))


def same_device(one: str, other: str) -> bool:
    """Whether two UUIDs name one device: letters are hexadecimal digits in either case."""
    return one.casefold() == other.casefold()


def history(books: Books, claims: Iterable[Claim], payload: bytes) -> History:
    """What other readings say about this one: its meter's earlier ones, its period's equals, and what is around it."""
    reading = _read(payload)
    if reading is None:
        return History()
    earlier = books.earlier(reading.meter, COPY_PERIODS - 1)
    equals = [books.equals(reading.meter, one.period_start, one.energy_mj) for one in (reading, *earlier)]
    # Only what the member itself says is inside its own meters: another must not fill, or empty, them.
    within = {claim.meter.uuid: claim.meter.within for claim in claims if claim.member == reading.member}
    energies = books.energies(reading.period_start)
    meter = within.get(reading.meter)
    return History(
        earlier_mj=tuple(one.energy_mj for one in earlier),
        twins=tuple(sorted(frozenset.intersection(*equals))) if len(equals) == COPY_PERIODS else (),
        around=_around(reading, within, energies),
        awaited=meter if meter not in energies else None,
        inside_mj=sum(
            energies[uuid][0] for uuid, around in within.items() if around == reading.meter and uuid in energies
        ),
    )


def _around(
    reading: Reading, within: Mapping[str, str | None], energies: Mapping[str, tuple[int, int]]
) -> Around | None:
    """The meter around, where it read the whole period: what it did not see, it cannot bound."""
    meter = within.get(reading.meter)
    energy_mj, seconds = energies.get(meter or "", (0, 0))
    if meter is None or seconds < (reading.period_end - reading.period_start).total_seconds():
        return None
    others = [uuid for uuid, around in within.items() if around == meter and uuid != reading.meter]
    return Around(
        meter=meter, energy_mj=energy_mj, others_mj=sum(energies[each][0] for each in others if each in energies)
    )


def _named(payload: bytes) -> tuple[str, int]:
    """Which meter and sequence the bytes speak of, before anything in them is believed."""
    reading = _read(payload)
    return (reading.meter, reading.sequence) if reading else ("", 0)


def _read(payload: bytes) -> Reading | None:
    try:
        return Reading.model_validate_json(payload)
    except ValidationError:
        return None
