"""The tables of the books for what no meter reads: claims, decisions, certificates, the loads they cover, seconds.

Rules are in commonweal/contributions.py; books.py opens the file and holds the transaction around what is kept here.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeVar

from commonweal.contributions import Brought, Claim, Interval, Past, certificate_key, certificates_of, subjects
from commonweal.green import MJ_PER_WH, Certificate, Load
from commonweal.ledger import INSTANT
from commonweal.transparency import Json, canonical_json

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS contributions (
    id TEXT NOT NULL, uid TEXT NOT NULL, recorded_at TEXT NOT NULL, position INTEGER NOT NULL REFERENCES log,
    PRIMARY KEY (id, uid)
) STRICT;
CREATE TABLE IF NOT EXISTS contributions_refused (
    id TEXT NOT NULL, message TEXT NOT NULL, position INTEGER NOT NULL REFERENCES log, PRIMARY KEY (id, message)
) STRICT;
CREATE TABLE IF NOT EXISTS contributions_decided (
    id TEXT PRIMARY KEY, counts INTEGER NOT NULL,
    statement TEXT NOT NULL REFERENCES statements
) STRICT;
CREATE TABLE IF NOT EXISTS certificates (
    key TEXT PRIMARY KEY, owner TEXT NOT NULL, zone TEXT NOT NULL, hour TEXT NOT NULL, wh INTEGER NOT NULL,
    contribution TEXT NOT NULL REFERENCES contributions_decided
) STRICT;
CREATE INDEX IF NOT EXISTS certificates_of_hour ON certificates (hour, owner, zone);
CREATE TABLE IF NOT EXISTS loads (
    member TEXT NOT NULL, zone TEXT NOT NULL, hour TEXT NOT NULL, statement TEXT NOT NULL REFERENCES statements,
    mj INTEGER NOT NULL, PRIMARY KEY (member, zone, hour, statement)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retirements (
    certificate TEXT NOT NULL REFERENCES certificates, statement TEXT NOT NULL REFERENCES statements,
    wh INTEGER NOT NULL, PRIMARY KEY (certificate, statement)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted_seconds (
    subject TEXT NOT NULL, begin_s INTEGER NOT NULL, end_s INTEGER NOT NULL,
    statement TEXT NOT NULL REFERENCES statements, PRIMARY KEY (subject, begin_s)
) STRICT, WITHOUT ROWID;
"""
PERMANENT = (
    "contributions",
    "contributions_refused",
    "contributions_decided",
    "certificates",
    "loads",
    "retirements",
    "counted_seconds",
)


def leaf_of(claim: Claim, now: datetime) -> bytes:
    """What the log holds of a claim: the hub says when it saw it, because clocks run from there."""
    record: Json = {
        "id": claim.id,
        "member": claim.member,
        "name": claim.name,
        "record": claim.spec.record.wire(),
        "recorded_at": f"{now:{INSTANT}}",
        "type": "contribution",
    }
    return canonical_json(record)


def recorded_at(connection: sqlite3.Connection, claim: Claim) -> datetime | None:
    """When a claim was recorded; None if it was not. Made anew, its clock begins anew: objections went with the old."""
    query = "SELECT recorded_at FROM contributions WHERE id = ? AND uid = ?"
    row = connection.execute(query, (claim.id, claim.uid)).fetchone()
    return _instant(row[0]) if row else None


def decision(connection: sqlite3.Connection, claim: str) -> tuple[bool, str] | None:
    """Whether a claim counts, and the statement that decided it; None while it is open."""
    row = connection.execute("SELECT counts, statement FROM contributions_decided WHERE id = ?", (claim,)).fetchone()
    return (bool(row[0]), str(row[1])) if row else None


def still_open(connection: sqlite3.Connection, by_uid: Mapping[str, T]) -> tuple[tuple[T, datetime], ...]:
    """What is recorded and not decided of some objects, each with when it was recorded, in the order of the log."""
    query = """
        SELECT uid, recorded_at FROM contributions LEFT JOIN contributions_decided USING (id)
        WHERE statement IS NULL ORDER BY contributions.position
    """
    return tuple((by_uid[uid], _instant(at)) for uid, at in connection.execute(query) if uid in by_uid)


def taken(connection: sqlite3.Connection, claims: Iterable[Claim]) -> dict[str, str]:
    """Which claim has counted each certificate that these claims name."""
    keys = {certificate_key(one) for claim in claims for one in claim.spec.record.certificates}
    query = "SELECT key, contribution FROM certificates WHERE key = ?"
    return {key: claim for each in sorted(keys) for key, claim in connection.execute(query, (each,))}


def past(connection: sqlite3.Connection, claims: Iterable[Claim], hours: Iterable[datetime]) -> Past:
    """What was counted before of these claims' subjects, and what is open of their hours and of those of readings."""
    claims = tuple(claims)
    certificates = tuple(_open_certificates(connection, sorted(set(hours))))
    new = [one for claim in claims for one in certificates_of(claim)]
    places = sorted({(one.owner, one.zone, one.hour) for one in (*certificates, *new)})
    seconds = {subject: _seconds(connection, subject) for claim in claims for subject in subjects(claim)}
    loads = [load for place in places if (load := _open_load(connection, *place)).mj]
    return Past(seconds=seconds, certificates=certificates, loads=tuple(loads))


def keep(connection: sqlite3.Connection, brought: Brought, statement: str) -> None:
    """Keep what a statement counted."""
    decided = [(each.claim.id, each.counts, statement) for each in brought.decided]
    connection.executemany("INSERT INTO contributions_decided VALUES (?, ?, ?)", decided)
    certificates = [
        (one.id, one.owner, one.zone, f"{one.hour:{INSTANT}}", one.wh, claim) for one, claim in brought.certificates
    ]
    connection.executemany("INSERT INTO certificates VALUES (?, ?, ?, ?, ?, ?)", certificates)
    loads = [(one.member, one.zone, f"{one.hour:{INSTANT}}", statement, one.mj) for one in brought.loads]
    connection.executemany("INSERT INTO loads VALUES (?, ?, ?, ?, ?)", loads)
    retired = [(one.certificate, statement, one.wh) for one in brought.retirements]
    connection.executemany("INSERT INTO retirements VALUES (?, ?, ?)", retired)
    seconds = [
        (subject, int(begin.timestamp()), int(end.timestamp()), statement) for subject, (begin, end) in brought.seconds
    ]
    connection.executemany("INSERT INTO counted_seconds VALUES (?, ?, ?, ?)", seconds)


def leaves(brought: Brought) -> Iterator[bytes]:
    """What the log holds of a statement's contributions beside their transfers."""
    yield from (each.record() for each in brought.decided)
    for load in brought.loads:
        yield canonical_json(asdict(load) | {"hour": f"{load.hour:{INSTANT}}", "type": "load"})
    for one in brought.retirements:
        yield canonical_json(asdict(one) | {"type": "retirement"})


def _open_certificates(connection: sqlite3.Connection, hours: Iterable[datetime]) -> Iterator[Certificate]:
    """Counted certificates of some hours with what is left of each."""
    query = """
        SELECT key, owner, zone, certificates.wh - COALESCE(SUM(retirements.wh), 0) AS left_wh
        FROM certificates LEFT JOIN retirements ON certificate = key
        WHERE hour = ? GROUP BY key HAVING left_wh > 0
    """
    for hour in hours:
        for key, owner, zone, wh in connection.execute(query, (f"{hour:{INSTANT}}",)):
            yield Certificate(id=key, owner=owner, zone=zone, hour=hour, wh=wh)


def _open_load(connection: sqlite3.Connection, member: str, zone: str, hour: datetime) -> Load:
    """What earlier statements left open of a load."""
    place = (member, zone, f"{hour:{INSTANT}}")
    drawn = "SELECT COALESCE(SUM(mj), 0) FROM loads WHERE member = ? AND zone = ? AND hour = ?"
    covered = """
        SELECT COALESCE(SUM(retirements.wh), 0) FROM retirements JOIN certificates ON certificate = key
        WHERE owner = ? AND zone = ? AND hour = ?
    """
    mj: int = connection.execute(drawn, place).fetchone()[0]
    wh: int = connection.execute(covered, place).fetchone()[0]
    return Load(member=member, zone=zone, hour=hour, mj=mj - wh * MJ_PER_WH)


def _seconds(connection: sqlite3.Connection, subject: str) -> tuple[Interval, ...]:
    query = "SELECT begin_s, end_s FROM counted_seconds WHERE subject = ? ORDER BY begin_s"
    return tuple(
        (datetime.fromtimestamp(begin_s, UTC), datetime.fromtimestamp(end_s, UTC))
        for begin_s, end_s in connection.execute(query, (subject,))
    )


def _instant(text: str) -> datetime:
    return datetime.strptime(text, INSTANT).replace(tzinfo=UTC)
