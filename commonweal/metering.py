"""Whether a meter's reading is believed: its bytes, signature, chain, period and physical bounds.

A signature binds a member to what it said; it does not make it true. What refuses a reading is therefore both
cryptographic (whose, unaltered, next in its chain), physical (no device draws more than its limit, or nothing; no part
more than its whole) and statistical (no two sensors, and no sensor twice, agree to the millijoule for long).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from hashlib import sha256
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from commonweal.apportion import WHOLE_BP, nearest, part_bp
from commonweal.transparency import canonical_json

SIGNED_PREFIX = b"commonweal.dev/reading/v1\n"  # a signature over a reading can never pass for one over something else
FIRST = "0" * 64  # previous_sha256 of a meter's first reading
MAX_PAYLOAD_BYTES = 4096

Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$")]


def _whole_second_utc(at: datetime) -> datetime:
    if at.utcoffset() != timedelta(0) or at.microsecond:
        raise ValueError(f"{at.isoformat()} is not a whole second in UTC; write it as 2026-11-24T12:00:00Z")
    return at.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_whole_second_utc)]


class Scope(StrEnum):
    """What the register covers: the board, or (Grace Hopper) processor, GPU and memory together, or what is around.

    A node's and a facility's meter bound what is inside, and earn nothing themselves.
    """

    GPU = "gpu"
    MODULE = "module"
    NODE = "node"
    FACILITY = "facility"

    @property
    def earns(self) -> bool:
        """Whether readings of this scope are credited."""
        return self in {Scope.GPU, Scope.MODULE}


class Flag(StrEnum):
    """What the meter says about its own reading."""

    PARTIAL = "partial"  # the device was seen for less than the period
    RESET = "reset"  # the register restarted; a new epoch began
    OUTAGE = "outage"  # meter or device was away; what cannot be placed in this period was left out
    CLOCK_SHIFT = "clock-shift"  # the machine's clock stepped back


class Measurement(BaseModel):
    """One closed accounting period of one device, as the exporter wrote it: start inclusive, end exclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    meter: Name
    sequence: int
    period_start: Instant
    period_end: Instant
    energy_mj: int
    estimated_mj: int
    device_seconds: int
    gpu_count: int
    scope: Annotated[Scope, Field(strict=False)]
    epoch: int
    flags: Annotated[tuple[Annotated[Flag, Field(strict=False)], ...], Field(strict=False, max_length=len(Flag))]
    simulated: bool


class Reading(Measurement):
    """A measurement in its member's name, chained to the one before it.

    `energy_mj` is a difference of the device's register; `estimated_mj` was never measured and earns nothing.
    """

    member: Name
    previous_sha256: Sha256Hex

    def payload(self) -> bytes:
        """Return the canonical bytes, which are kept, hashed and logged as they are."""
        return canonical_json(self.model_dump(mode="json"))


def adopt(measurement: Measurement, *, member: str, previous: Reading | None) -> Reading:
    """Put an exporter's measurement in a member's name, after the member's previous reading of that meter."""
    return Reading(
        member=member,
        previous_sha256=FIRST if previous is None else payload_sha256(previous.payload()),
        **{name: getattr(measurement, name) for name in Measurement.model_fields},
    )


def signed_bytes(payload: bytes) -> bytes:
    """Return what the member's Ed25519 identity signs: the prefix of this kind of record, then the payload."""
    return SIGNED_PREFIX + payload


def payload_sha256(payload: bytes) -> str:
    """Return the hash that the meter's next reading names as `previous_sha256`."""
    return sha256(payload).hexdigest()


class Reason(StrEnum):
    """Why a reading is refused. One word that a member can search for."""

    MALFORMED = "Malformed"
    NOT_CANONICAL = "NotCanonical"
    FOREIGN_KEY = "ForeignKey"
    FOREIGN_MEMBER = "ForeignMember"
    FOREIGN_METER = "ForeignMeter"
    REPLAY = "Replay"
    GAP = "Gap"
    BROKEN_CHAIN = "BrokenChain"
    CLOCK_SHIFT = "ClockShift"
    WRONG_PERIOD = "WrongPeriod"
    STILL_OPEN = "StillOpen"
    TOO_LATE = "TooLate"
    NEGATIVE = "Negative"
    COVERAGE = "Coverage"
    ABOVE_LIMIT = "AboveLimit"
    UNIT = "Unit"
    EPOCH = "Epoch"
    SCOPE = "Scope"
    DUPLICATE = "Duplicate"
    NESTING = "Nesting"
    UNBOUNDED = "Unbounded"
    COPIED = "Copied"
    FLAT = "Flat"
    SIMULATED = "Simulated"


_OUT_OF_CHAIN = {
    Reason.NOT_CANONICAL,
    Reason.FOREIGN_MEMBER,
    Reason.FOREIGN_METER,
    Reason.REPLAY,
    Reason.GAP,
    Reason.BROKEN_CHAIN,
    Reason.NEGATIVE,
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the consortium and the meter's registration allow; the hub's record, never the reading's own word."""

    period_s: int
    max_power_mw: int  # enforced limit of one device of this scope
    min_power_mw: (
        int  # below what any such device draws when idle; catches joules or kilowatt-hours sent as millijoules
    )
    tolerance_bp: int = 500  # board sensors err by up to 5 % of the reading
    clock_slack_s: int = 5
    allow_simulated: bool = False
    scope: Scope | None = None  # as registered; None where the registration does not say
    devices: int = 1  # as registered; a reading's own count would multiply what it may claim
    max_age_s: int | None = None  # how late a reading may come; None: at any time


COPY_PERIODS = 3  # two sensors that agree to the millijoule once are chance; three times in a row they are one sensor


@dataclass(frozen=True, kw_only=True)
class Around:
    """The meter around another, over one whole period: what it read, and what the others inside it read."""

    meter: str
    energy_mj: int
    others_mj: int


@dataclass(frozen=True, kw_only=True)
class History:
    """What the books hold beside a meter's last reading; empty where they hold nothing yet.

    `earlier_mj` are the meter's readings just before, newest first. `twins` are meters that read exactly what this one
    did in each of the last `COPY_PERIODS` periods, this one's included. `inside_mj` sums the meters inside this one.
    `awaited` is the meter around, where it has not read this period yet.
    """

    earlier_mj: tuple[int, ...] = ()
    twins: tuple[str, ...] = ()
    around: Around | None = None
    awaited: str | None = None
    inside_mj: int = 0


@dataclass(frozen=True)
class Finding:
    """One refusal: the reason, and a sentence that names the field and the remedy."""

    reason: Reason
    message: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a reading; `missing_periods` were never metered and earn nothing, but refuse nothing either."""

    reading: Reading | None
    findings: tuple[Finding, ...]
    missing_periods: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the reading may be logged and posted."""
        return not self.findings

    @property
    def in_chain(self) -> bool:
        """Whether the reading is the member's own and next in its chain, whatever it claims."""
        return self.reading is not None and not _OUT_OF_CHAIN & set(self.reasons)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons alone, in the order in which they were found."""
        return tuple(finding.reason for finding in self.findings)


def verify(
    payload: bytes,
    signature: bytes,
    key: Ed25519PublicKey,
    *,
    member: str,
    previous: Reading | None,
    limits: Limits,
    received_at: datetime,
    history: History | None = None,
    refused: Reading | None = None,
) -> Verdict:
    """Judge one reading, given the last accepted one of the same meter and what other readings say.

    `refused` is a later one that was in its place in the chain and refused for what it claims: the chain goes on after
    it, so that one bad hour costs that hour; what is credited still never overlaps what was credited before.

    Every reason is collected, so that a member repairs once; only bytes that cannot be read end the search.
    """
    try:
        key.verify(signature, signed_bytes(payload))
    except InvalidSignature:
        return _refused(Reason.FOREIGN_KEY, f"signature: not by the identity of {member}; sign with the joined key")
    if len(payload) > MAX_PAYLOAD_BYTES:
        return _refused(Reason.MALFORMED, f"payload: {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
    try:
        reading = Reading.model_validate_json(payload)
    except ValidationError as error:
        return _refused(Reason.MALFORMED, "; ".join(f"{_path(e['loc'])}: {e['msg']}" for e in error.errors()[:3]))
    findings = (
        *_identity(reading, payload, member),
        *_order(reading, refused or previous),
        *_continuity(reading, refused or previous, previous),
        *_period(reading, limits, received_at),
        *_physics(reading, limits),
        *_pledged(reading, limits),
        *_nesting(reading, limits, history or History()),
        *_series(reading, history or History()),
    )
    away = reading.period_start - previous.period_end if previous else timedelta(0)
    missing = max(0, away // timedelta(seconds=limits.period_s))
    return Verdict(reading=reading, findings=findings, missing_periods=missing)


def _refused(reason: Reason, message: str) -> Verdict:
    return Verdict(reading=None, findings=(Finding(reason, message),))


def _path(location: Sequence[int | str]) -> str:
    return ".".join(map(str, location)) or "payload"


def _identity(reading: Reading, payload: bytes, member: str) -> Iterable[Finding]:
    if reading.payload() != payload:
        yield Finding(Reason.NOT_CANONICAL, "payload: not the canonical bytes; send what Reading.payload() returns")
    if reading.member != member:
        yield Finding(Reason.FOREIGN_MEMBER, f"member: {reading.member} in a reading that {member} signed")


def _order(reading: Reading, previous: Reading | None) -> Iterable[Finding]:
    expected = previous.sequence + 1 if previous else 1
    if reading.sequence < expected:
        yield Finding(Reason.REPLAY, f"sequence: {reading.sequence} was read before; next is {expected}")
    elif reading.sequence > expected:
        yield Finding(Reason.GAP, f"sequence: {reading.sequence} leaves out {expected}; send that one first")
    if previous is None:
        if reading.previous_sha256 != FIRST and reading.sequence == 1:
            yield Finding(Reason.BROKEN_CHAIN, "previous_sha256: a first reading has 64 zeros")
        return
    if reading.meter != previous.meter:
        yield Finding(Reason.FOREIGN_METER, f"meter: {reading.meter} in the chain of {previous.meter}")
    if reading.sequence == expected and reading.previous_sha256 != payload_sha256(previous.payload()):
        yield Finding(Reason.BROKEN_CHAIN, f"previous_sha256: not the hash of reading {previous.sequence}")


def _continuity(reading: Reading, before: Reading | None, accepted: Reading | None) -> Iterable[Finding]:
    if accepted is not None and reading.period_start < accepted.period_end:
        yield Finding(Reason.CLOCK_SHIFT, f"period_start: before {accepted.period_end:%FT%TZ}, which is already read")
    if before is None:
        return
    if reading.epoch < before.epoch:
        yield Finding(Reason.EPOCH, f"epoch: {reading.epoch} after {before.epoch}; epochs only grow")
    elif reading.epoch > before.epoch and Flag.RESET not in reading.flags:
        yield Finding(Reason.EPOCH, f"epoch: {reading.epoch} after {before.epoch} without the flag reset")
    if reading.scope is not before.scope:
        yield Finding(Reason.SCOPE, f"scope: {reading.scope} after {before.scope}; register the device anew")


def _period(reading: Reading, limits: Limits, received_at: datetime) -> Iterable[Finding]:
    length_s = (reading.period_end - reading.period_start) // timedelta(seconds=1)
    if length_s != limits.period_s or int(reading.period_start.timestamp()) % limits.period_s:
        yield Finding(
            Reason.WRONG_PERIOD,
            f"period_start: {reading.period_start:%FT%TZ} for {length_s} s is not a UTC period of {limits.period_s} s",
        )
    if reading.period_end > received_at + timedelta(seconds=limits.clock_slack_s):
        yield Finding(Reason.STILL_OPEN, f"period_end: {reading.period_end:%FT%TZ} is not over; set the site's clock")
    if limits.max_age_s is not None and reading.period_end < received_at - timedelta(seconds=limits.max_age_s):
        yield Finding(
            Reason.TOO_LATE,
            f"period_end: {reading.period_end:%FT%TZ} is over for more than {limits.max_age_s} s; report in time",
        )


def _physics(reading: Reading, limits: Limits) -> Iterable[Finding]:
    for name in ("energy_mj", "estimated_mj", "device_seconds"):
        if (value := getattr(reading, name)) < 0:
            yield Finding(Reason.NEGATIVE, f"{name}: {value} is below 0; a reset opens a new epoch instead")
    for name in ("gpu_count", "epoch", "sequence"):
        if (value := getattr(reading, name)) < 1:
            yield Finding(Reason.NEGATIVE, f"{name}: {value} is below 1; counting starts at 1")
    most_mj = part_bp(limits.devices * limits.max_power_mw * limits.period_s, WHOLE_BP + limits.tolerance_bp)
    if reading.energy_mj + reading.estimated_mj > most_mj:
        yield Finding(
            Reason.ABOVE_LIMIT, f"energy_mj: {reading.energy_mj} is more than the device can draw ({most_mj})"
        )
    if 0 <= reading.energy_mj < limits.min_power_mw * reading.device_seconds:
        yield Finding(
            Reason.UNIT,
            f"energy_mj: {reading.energy_mj} over {reading.device_seconds} s is below an idle device; send millijoules",
        )


def _pledged(reading: Reading, limits: Limits) -> Iterable[Finding]:
    """A reading is of what was pledged, whatever it says of itself."""
    if reading.gpu_count > limits.devices:
        yield Finding(Reason.COVERAGE, f"gpu_count: {reading.gpu_count}, but the meter is pledged as {limits.devices}")
    if reading.device_seconds > limits.devices * limits.period_s:
        yield Finding(
            Reason.COVERAGE,
            f"device_seconds: {reading.device_seconds} is more than {limits.devices} x {limits.period_s} s",
        )
    if limits.scope not in {None, reading.scope}:
        yield Finding(
            Reason.SCOPE, f"scope: {reading.scope}, but the meter is pledged as {limits.scope}; correct spec.meters"
        )
    if reading.simulated and not limits.allow_simulated:
        yield Finding(Reason.SIMULATED, "simulated: this consortium credits real devices only")


def _nesting(reading: Reading, limits: Limits, history: History) -> Iterable[Finding]:
    """A part draws no more than its whole, less the error of both sensors."""
    whole = reading.device_seconds >= limits.period_s
    if whole and history.inside_mj > part_bp(reading.energy_mj, WHOLE_BP + limits.tolerance_bp):
        yield Finding(
            Reason.NESTING,
            f"energy_mj: {reading.energy_mj} is less than the {history.inside_mj} of the meters inside it; check them",
        )
    if history.awaited is not None:
        yield Finding(
            Reason.UNBOUNDED,
            f"meter: {history.awaited}, which is around {reading.meter}, has not read this period; report that one too",
        )
    around = history.around
    if around is not None:
        inside_mj = around.others_mj + reading.energy_mj
        if inside_mj > part_bp(around.energy_mj, WHOLE_BP + limits.tolerance_bp):
            yield Finding(
                Reason.NESTING,
                f"energy_mj: {inside_mj} with the others inside {around.meter} is more than its {around.energy_mj}; "
                "check which meters are inside",
            )


def _series(reading: Reading, history: History) -> Iterable[Finding]:
    """Noise is what a sensor cannot leave out; a simulated device follows a script, and may repeat it."""
    if reading.meter.startswith("MIG-"):
        yield Finding(Reason.COPIED, f"meter: {reading.meter} has no register but its board's; pledge the board")
    if reading.simulated:
        return
    if history.twins:
        yield Finding(
            Reason.COPIED,
            f"energy_mj: {reading.energy_mj}, and that of {', '.join(history.twins)}, equal in {COPY_PERIODS} periods; "
            "pledge a board once, not its slices",
        )
    if history.earlier_mj[: COPY_PERIODS - 1] == (reading.energy_mj,) * (COPY_PERIODS - 1):
        yield Finding(
            Reason.FLAT,
            f"energy_mj: {reading.energy_mj} in {COPY_PERIODS} periods in a row; send the register, not an average",
        )


def normalised_seconds(parts: Iterable[tuple[int, Fraction]]) -> int:
    """Weight device seconds by each model's benchmark and round the sum once, as APEL's summaries do."""
    return nearest(sum((seconds * benchmark for seconds, benchmark in parts), Fraction(0)))
