"""Readings: verified, recorded durably, and only then removed from the member's namespace on the hub."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from commonweal.kinds.member import Member
from commonweal.metering import Finding, Limits, Reading, Reason, Verdict, verify
from operators.frame import Delete, Key, Plan, Store, Tools, Watch, Write, own
from operators.hub.books import Books
from operators.hub.resources import MEMBERS, POOLED_CLUSTERS, charter, member_of
from operators.kube import CONFIG_MAPS, Json, Kube

PREFIX = "reading-"
# No single device on the market draws more; the least is what a small idle board draws (research: energy handbook).
MAX_POWER_MW = 1_500_000
MIN_POWER_MW = 1_000
GAP_RETRY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A reported reading and all that its verification depends on; `meters` says who pledged which meter."""

    key: Key
    source: str
    payload: bytes
    signature: bytes
    member: str
    identity_key: str
    previous: Reading | None
    recorded: bool
    owner: str | None
    simulated: bool
    period_s: int


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
    """Take a refusal into the books; `final` where the reading itself can never become right."""

    books: Books
    observed: Observed
    message: str
    final: bool

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Log a final refusal, keep a passing one as a complaint only, and have the member's pledges say it."""
        observed = self.observed
        if self.final:
            news = self.books.refuse(observed.member, observed.source, self.message, observed.payload)
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
            Watch(resource=CONFIG_MAPS, keys=_itself_and_next),
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
        owner, simulated = registered(tools.store, meter)
        return Observed(
            key=key,
            source=meter or key.name,
            payload=payload,
            signature=signature,
            member=name,
            identity_key=Member.read(member).spec.identity_key,
            previous=self.books.last_reading(meter),
            recorded=self.books.holds(meter, sequence, payload),
            owner=owner,
            simulated=simulated,
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
        message = "; ".join(finding.message for finding in verdict.findings)
        waits = observed.owner != observed.member or verdict.reasons in {(Reason.GAP,), (Reason.STILL_OPEN,)}
        refuse = Refuse(books=self.books, observed=observed, message=message, final=not waits)
        return Plan(writes=(refuse,), requeue_in_s=GAP_RETRY_S) if waits else Plan(writes=(refuse, remove))

    def _readings_of(self, pledge: Json) -> tuple[Key, ...]:
        namespace = pledge["metadata"]["namespace"]
        return tuple(
            Key(namespace, body["metadata"]["name"])
            for body in self.store.list(CONFIG_MAPS, namespace)
            if is_reading(body)
        )


def judge(observed: Observed, now: datetime) -> Verdict:
    """Verify a reading, and that its meter is pledged by this member and by nobody else, which may still come."""
    if observed.owner != observed.member:
        whose = f"pledged by {observed.owner}" if observed.owner else "not in spec.meters of any PooledCluster"
        return Verdict(reading=None, findings=(Finding(Reason.FOREIGN_METER, f"meter: {observed.source} is {whose}"),))
    limits = Limits(
        period_s=observed.period_s,
        max_power_mw=MAX_POWER_MW,
        min_power_mw=MIN_POWER_MW,
        allow_simulated=observed.simulated,
    )
    return verify(
        observed.payload,
        observed.signature,
        Ed25519PublicKey.from_public_bytes(base64.b64decode(observed.identity_key)),
        member=observed.member,
        previous=observed.previous,
        limits=limits,
        received_at=now,
    )


def _itself_and_next(body: Json) -> tuple[Key, ...]:
    """A reading that is recorded, and so goes, lets the one after it through."""
    if not is_reading(body):
        return ()
    name, _, sequence = body["metadata"]["name"].rpartition("-")
    following = (Key(body["metadata"]["namespace"], f"{name}-{int(sequence) + 1}"),) if sequence.isdigit() else ()
    return (*own(body), *following)


def is_reading(body: Json) -> bool:
    """Whether a ConfigMap is a reading in a member's namespace."""
    metadata = body["metadata"]
    return metadata["name"].startswith(PREFIX) and member_of(metadata["namespace"]) is not None


def contents(body: Json) -> tuple[bytes, bytes]:
    """The signed bytes and the signature; an unreadable signature is an empty one, which verifies nothing."""
    data = body.get("data", {})
    try:
        signature = base64.b64decode(data.get("reading.json.sig", ""), validate=True)
    except binascii.Error:
        signature = b""
    return data.get("reading.json", "").encode(), signature


def registered(store: Store, meter: str) -> tuple[str | None, bool]:
    """Who pledged a meter, and whether it is simulated; nobody if two members claim it."""
    claims = {
        (member_of(pledge["metadata"]["namespace"]), entry.get("simulated", False))
        for pledge in store.list(POOLED_CLUSTERS)
        for entry in pledge["spec"].get("meters", ())
        if entry["uuid"] == meter
    }
    return claims.pop() if len(claims) == 1 else (None, False)


def _named(payload: bytes) -> tuple[str, int]:
    """Which meter and sequence the bytes speak of, before anything in them is believed."""
    try:
        reading = Reading.model_validate_json(payload)
    except ValidationError:
        return "", 0
    return reading.meter, reading.sequence
