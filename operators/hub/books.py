"""The hub's durable books: the append-only log, accepted readings, postings and statements, in one SQLite file.

One transaction holds a record and everything that follows from it, so a crash leaves either all or nothing. What is
written is never changed; triggers refuse it. The rules are elsewhere (commonweal.metering, ledger, equity).
"""

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from commonweal.contributions import Brought, Claim
from commonweal.kinds.equity_statement import EquityStatementSpec, LogPosition
from commonweal.ledger import INSTANT, Post, Transfer, Unit, transfers_of
from commonweal.metering import Reading
from commonweal.receipts import Settlement, Side, Usage
from commonweal.transparency import Frontier, canonical_json, leaf_hash
from operators.hub import evidence

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    position INTEGER PRIMARY KEY, leaf BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS readings (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, member TEXT NOT NULL, payload BLOB NOT NULL,
    signature BLOB NOT NULL, position INTEGER NOT NULL REFERENCES log, PRIMARY KEY (meter, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS statements (
    name TEXT PRIMARY KEY, period_end TEXT NOT NULL, spec TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS settled (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, statement TEXT NOT NULL REFERENCES statements,
    PRIMARY KEY (meter, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS postings (
    id TEXT PRIMARY KEY, debit TEXT NOT NULL, credit TEXT NOT NULL, unit TEXT NOT NULL, amount INTEGER NOT NULL,
    period_start TEXT NOT NULL, evidence_sha256 TEXT NOT NULL, statement TEXT NOT NULL REFERENCES statements
) STRICT;
CREATE TABLE IF NOT EXISTS refused (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, payload BLOB NOT NULL, position INTEGER NOT NULL REFERENCES log,
    PRIMARY KEY (meter, sequence)
) STRICT;
CREATE TABLE IF NOT EXISTS energies (
    period_start TEXT NOT NULL, energy_mj INTEGER NOT NULL, meter TEXT NOT NULL, device_seconds INTEGER NOT NULL,
    PRIMARY KEY (period_start, energy_mj, meter)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (
    side TEXT NOT NULL, consumer TEXT NOT NULL, provider TEXT NOT NULL, job TEXT NOT NULL, unit TEXT NOT NULL,
    period_start TEXT NOT NULL, payload BLOB NOT NULL, signature BLOB NOT NULL,
    position INTEGER NOT NULL REFERENCES log, PRIMARY KEY (side, payload)
) STRICT;
CREATE TABLE IF NOT EXISTS uses_settled (
    consumer TEXT NOT NULL, provider TEXT NOT NULL, job TEXT NOT NULL, unit TEXT NOT NULL, period_start TEXT NOT NULL,
    statement TEXT NOT NULL REFERENCES statements, PRIMARY KEY (consumer, provider, job, unit, period_start)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS complaints (
    member TEXT NOT NULL, meter TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (member, meter)
) STRICT;
"""
POSTING = ("id", "debit", "credit", "unit", "amount", "period_start", "evidence_sha256", "statement")
PERMANENT = (
    "log", "readings", "statements", "settled", "postings", "refused", "energies", "uses", "uses_settled",
    *evidence.PERMANENT,
)  # fmt: skip
NOTHING_BROUGHT = Brought()


class BooksError(OSError):
    """The books cannot be kept; the message names the file and the remedy. Without them nothing is credited."""


@dataclass(eq=False)
class Books:
    """The open file. Calls are short and synchronous: each waits for the disk, because a record is not one before."""

    path: Path
    connection: sqlite3.Connection
    frontier: Frontier

    @classmethod
    def open(cls, folder: Path) -> "Books":
        """Open the books in a folder, made if it is missing.

        Raises:
            BooksError: no disk, no right, or not our file.
        """
        path = folder / "books.sqlite3"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA + evidence.SCHEMA + "".join(map(_refuse_changes, PERMANENT)))
            leaves = connection.execute("SELECT leaf FROM log ORDER BY position")
            frontier = Frontier().extended([leaf_hash(leaf) for (leaf,) in leaves])
        except (OSError, sqlite3.Error) as error:
            raise BooksError(f"{path}: {error}; give --state-dir a folder that is ours and has room") from error
        return cls(path, connection, frontier)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    # -- readings -----------------------------------------------------------------------------------------------

    def last_reading(self, meter: str) -> Reading | None:
        """The last accepted reading of a meter."""
        query = "SELECT payload FROM readings WHERE meter = ? ORDER BY sequence DESC LIMIT 1"
        row = self.connection.execute(query, (meter,)).fetchone()
        return Reading.model_validate_json(row[0]) if row else None

    def last_refused(self, meter: str) -> Reading | None:
        """The last refused reading of a meter, where none was accepted after it."""
        query = """
            SELECT payload FROM refused WHERE meter = ?1
            AND sequence > COALESCE((SELECT MAX(sequence) FROM readings WHERE meter = ?1), 0)
            ORDER BY sequence DESC LIMIT 1
        """
        row = self.connection.execute(query, (meter,)).fetchone()
        return Reading.model_validate_json(row[0]) if row else None

    def holds(self, meter: str, sequence: int, payload: bytes) -> bool:
        """Whether exactly this reading was accepted before."""
        query = "SELECT payload = ? FROM readings WHERE meter = ? AND sequence = ?"
        row = self.connection.execute(query, (payload, meter, sequence)).fetchone()
        return bool(row and row[0])

    def accept(self, reading: Reading, signature: bytes) -> None:
        """Record a verified reading; a second time changes nothing."""
        payload = reading.payload()
        if self.holds(reading.meter, reading.sequence, payload):
            return
        leaf = {"payload": payload.decode(), "signature": base64.b64encode(signature).decode(), "type": "reading"}
        with _Transaction(self) as transaction:
            position = transaction.append(canonical_json(leaf))
            row = (reading.meter, reading.sequence, reading.member, payload, signature, position)
            self.connection.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)", row)
            energy = (f"{reading.period_start:{INSTANT}}", reading.energy_mj, reading.meter, reading.device_seconds)
            self.connection.execute("INSERT INTO energies VALUES (?, ?, ?, ?)", energy)
            self.connection.execute(
                "DELETE FROM complaints WHERE member = ? AND meter = ?", (reading.member, reading.meter)
            )

    def refuse(
        self, member: str, source: str, message: str, payload: bytes, *, in_chain: Reading | None = None
    ) -> bool:
        """Record that a reading was refused, and why; True if that is a new complaint.

        `in_chain` is the reading where it was in its place: the meter's next one follows it.
        """
        leaf = {"member": member, "message": message, "payload": payload.decode(errors="replace"), "type": "refusal"}
        with _Transaction(self) as transaction:
            position = transaction.append(canonical_json(leaf))
            if in_chain is not None:
                row = (in_chain.meter, in_chain.sequence, payload, position)
                self.connection.execute("INSERT INTO refused VALUES (?, ?, ?, ?)", row)
            return self.complain(member, source, message)

    def complain(self, member: str, source: str, message: str) -> bool:
        """Keep what is wrong with a meter until its next good reading; True if it was not known."""
        known = "SELECT 1 FROM complaints WHERE member = ? AND meter = ? AND message = ?"
        row = (member, source, message)
        if self.connection.execute(known, row).fetchone():
            return False
        self.connection.execute("INSERT OR REPLACE INTO complaints VALUES (?, ?, ?)", row)
        return True

    def complaint(self, member: str, *, of_use: bool = False) -> str:
        """What is wrong with one of a member's meters, or of its claims and receipts, and with how many more.

        Empty if nothing is. What a use is called has a space in it, and no meter's UUID has.
        """
        query = "SELECT meter, message FROM complaints WHERE member = ? AND (INSTR(meter, ' ') > 0) = ? ORDER BY meter"
        rows = self.connection.execute(query, (member, of_use)).fetchall()
        if not rows:
            return ""
        what = "claims and receipts" if of_use else "meters"
        more = f"; and {len(rows) - 1} more of its {what}" if len(rows) > 1 else ""
        return f"{rows[0][0]}: {rows[0][1]}{more}"

    def unsettled(self) -> tuple[Reading, ...]:
        """Accepted readings that no statement has credited yet, oldest first."""
        query = """
            SELECT payload FROM readings LEFT JOIN settled USING (meter, sequence)
            WHERE settled.statement IS NULL ORDER BY position
        """
        return tuple(Reading.model_validate_json(payload) for (payload,) in self.connection.execute(query))

    def earlier(self, meter: str, count: int) -> tuple[Reading, ...]:
        """The last accepted readings of a meter, newest first."""
        query = "SELECT payload FROM readings WHERE meter = ? ORDER BY sequence DESC LIMIT ?"
        return tuple(
            Reading.model_validate_json(payload) for (payload,) in self.connection.execute(query, (meter, count))
        )

    def equals(self, meter: str, period_start: datetime, energy_mj: int) -> frozenset[str]:
        """The other meters that read exactly so many millijoules in a period."""
        query = "SELECT meter FROM energies WHERE period_start = ? AND energy_mj = ? AND meter <> ?"
        return frozenset(
            row[0] for row in self.connection.execute(query, (f"{period_start:{INSTANT}}", energy_mj, meter))
        )

    def energies(self, period_start: datetime) -> dict[str, tuple[int, int]]:
        """What each meter read in a period: millijoules, and the seconds of it that were seen."""
        query = "SELECT meter, energy_mj, device_seconds FROM energies WHERE period_start = ?"
        return {
            meter: (energy_mj, seconds)
            for meter, energy_mj, seconds in self.connection.execute(query, (f"{period_start:{INSTANT}}",))
        }

    # -- use ----------------------------------------------------------------------------------------------------

    def accept_use(self, side: Side, usage: Usage, signature: bytes) -> None:
        """Record a verified claim or receipt; a second time changes nothing."""
        payload = usage.payload()
        if self.holds_use(side, payload):
            return
        leaf = {"payload": payload.decode(), "signature": base64.b64encode(signature).decode(), "type": side}
        with _Transaction(self) as transaction:
            position = transaction.append(canonical_json(leaf))
            row = (side, *_use_key(usage), payload, signature, position)
            self.connection.execute("INSERT INTO uses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            complaint = (usage.signer(side), use_name(side, usage.job))
            self.connection.execute("DELETE FROM complaints WHERE member = ? AND meter = ?", complaint)

    def holds_use(self, side: Side, payload: bytes) -> bool:
        """Whether exactly this was signed and accepted before."""
        query = "SELECT 1 FROM uses WHERE side = ? AND payload = ?"
        return self.connection.execute(query, (side, payload)).fetchone() is not None

    def use_is_settled(self, usage: Usage) -> bool:
        """Whether a statement has closed this job's period."""
        query = """
            SELECT 1 FROM uses_settled
            WHERE consumer = ? AND provider = ? AND job = ? AND unit = ? AND period_start = ?
        """
        return self.connection.execute(query, _use_key(usage)).fetchone() is not None

    def last_own_use(self, member: str, job: str) -> datetime | None:
        """The start of the last period for which a member claimed its own use of its own machines."""
        query = "SELECT MAX(period_start) FROM uses WHERE side = ?1 AND consumer = ?2 AND provider = ?2 AND job = ?3"
        (last,) = self.connection.execute(query, (Side.CLAIM, member, job)).fetchone()
        return datetime.strptime(last, INSTANT).replace(tzinfo=UTC) if last else None

    def unsettled_use(self, *, before: datetime, member: str = "") -> dict[Side, tuple[Usage, ...]]:
        """Claims and receipts of periods that start before, and that no statement has closed; of one member if named.

        In the order in which they were accepted.
        """
        query = """
            SELECT side, payload FROM uses
            LEFT JOIN uses_settled USING (consumer, provider, job, unit, period_start)
            WHERE statement IS NULL AND period_start < ?1 AND ?2 IN ('', consumer, provider) ORDER BY position
        """
        found: dict[Side, list[Usage]] = {side: [] for side in Side}
        for side, payload in self.connection.execute(query, (f"{before:{INSTANT}}", member)):
            found[Side(side)].append(Usage.model_validate_json(payload))
        return {side: tuple(usages) for side, usages in found.items()}

    # -- contributions ------------------------------------------------------------------------------------------

    def record_claim(self, claim: Claim, now: datetime) -> None:
        """Record a claim without a fault; a second time changes nothing."""
        if evidence.recorded_at(self.connection, claim) is not None:
            return
        with _Transaction(self) as transaction:
            row = (claim.id, claim.uid, f"{now:{INSTANT}}", transaction.append(evidence.leaf_of(claim, now)))
            self.connection.execute("INSERT INTO contributions VALUES (?, ?, ?, ?)", row)

    def refuse_claim(self, claim: Claim, message: str) -> None:
        """Record that a claim was refused, and why; the same words are recorded once."""
        known = "SELECT 1 FROM contributions_refused WHERE id = ? AND message = ?"
        if self.connection.execute(known, (claim.id, message)).fetchone():
            return
        leaf = {
            "member": claim.member,
            "message": message,
            "payload": canonical_json(claim.spec.record.wire()).decode(),
            "type": "refusal",
        }
        with _Transaction(self) as transaction:
            row = (claim.id, message, transaction.append(canonical_json(leaf)))
            self.connection.execute("INSERT INTO contributions_refused VALUES (?, ?, ?)", row)

    # -- statements ---------------------------------------------------------------------------------------------

    def settle(
        self,
        name: str,
        spec: EquityStatementSpec,
        readings: Iterable[Reading],
        record: bytes,
        *,
        use: Iterable[Settlement] = (),
        brought: Brought = NOTHING_BROUGHT,
    ) -> EquityStatementSpec:
        """Post what readings and use moved, log the statement's record, and keep it with the log's new position.

        `use` are jobs' periods whose clock has run out; they are closed, also where nothing of them counts. `brought`
        is what was decided of contributions.
        """
        readings, use = tuple(readings), tuple(use)
        with _Transaction(self) as transaction:
            moved = [transfer for reading in readings for transfer in transfers_of(reading)]
            moved += [transfer for settlement in use for transfer in settlement.transfers]
            moved += brought.transfers
            for leaf in evidence.leaves(brought):
                transaction.append(leaf)
            for transfer in moved:
                transaction.append(transfer.record())
                transaction.append(Post(transfer.id).record())
            transaction.append(record)
            final = spec.model_copy(update={"log": transaction.position()})
            row = (name, spec.period_end.isoformat(), final.model_dump_json(by_alias=True))
            self.connection.execute("INSERT INTO statements VALUES (?, ?, ?)", row)
            pairs = [(reading.meter, reading.sequence, name) for reading in readings]
            self.connection.executemany("INSERT INTO settled VALUES (?, ?, ?)", pairs)
            closed = [(*_use_key(settlement.usage), name) for settlement in use]
            self.connection.executemany("INSERT INTO uses_settled VALUES (?, ?, ?, ?, ?, ?)", closed)
            evidence.keep(self.connection, brought, name)
            self.connection.executemany(
                "INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_posting(one, name) for one in moved]
            )
        return final

    def statement(self, name: str) -> EquityStatementSpec | None:
        """A statement as it was made."""
        row = self.connection.execute("SELECT spec FROM statements WHERE name = ?", (name,)).fetchone()
        return EquityStatementSpec.model_validate_json(row[0]) if row else None

    def last_statement(self) -> tuple[str, EquityStatementSpec] | None:
        """The newest statement and its name."""
        row = self.connection.execute("SELECT name, spec FROM statements ORDER BY period_end DESC LIMIT 1").fetchone()
        return (str(row[0]), EquityStatementSpec.model_validate_json(row[1])) if row else None

    def settled_in(self, statement: str) -> tuple[Reading, ...]:
        """The readings that a statement credited."""
        query = (
            "SELECT payload FROM readings JOIN settled USING (meter, sequence) WHERE statement = ? ORDER BY position"
        )
        return tuple(
            Reading.model_validate_json(payload) for (payload,) in self.connection.execute(query, (statement,))
        )

    def leaves(self, start: int, end: int) -> list[bytes]:
        """The log's records from a position to another, exclusive."""
        query = "SELECT leaf FROM log WHERE position >= ? AND position < ? ORDER BY position"
        return [leaf for (leaf,) in self.connection.execute(query, (start, end))]

    def position(self) -> LogPosition:
        """Where the log stands."""
        return _position(self.frontier)


def posted(path: Path, *, after: str = "") -> Iterator[tuple[str, Transfer]]:
    """Read every posting and its statement's name out of a file of books, in order; the file may be in use.

    `after` is a statement's name: only those of later statements.

    Raises:
        BooksError: not the hub's books, or a posting whose name is not the hash of its content.
    """
    names = ", ".join(POSTING)
    query = f"SELECT {names} FROM postings WHERE statement > ? ORDER BY statement, rowid"  # noqa: S608 - our own names
    for id_, debit, credit, unit, amount, period_start, evidence_sha256, statement in read(path, query, (after,)):
        transfer = Transfer(
            debit=debit,
            credit=credit,
            unit=Unit(unit),
            amount=amount,
            period_start=datetime.strptime(period_start, INSTANT).replace(tzinfo=UTC),
            evidence_sha256=evidence_sha256,
        )
        if transfer.id != id_:
            raise BooksError(f"{path}: posting {id_} is not the hash of its content; the books were altered")
        yield statement, transfer


def events(path: Path) -> Iterator[bytes]:
    """Read the record of every ledger event out of a file of books, in the order of the log; it may be in use.

    Raises:
        BooksError: not the hub's books.
    """
    for (leaf,) in read(path, "SELECT leaf FROM log ORDER BY position"):
        if "event" in json.loads(leaf):
            yield leaf


def read(path: Path, query: str, values: tuple[str | int, ...] = ()) -> Iterator[Any]:
    """Read rows out of a file of books, in one transaction; it may be in use.

    Raises:
        BooksError: not the hub's books.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            yield from connection.execute(query, values)
    except sqlite3.Error as error:
        raise BooksError(f"{path}: {error}; give a hub's books.sqlite3") from error


class _Transaction:
    """All or nothing, for the file and for the frontier in memory."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.frontier = books.frontier

    def __enter__(self) -> "_Transaction":
        self.books.connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.books.connection.execute("ROLLBACK")
            return
        self.books.connection.execute("COMMIT")
        self.books.frontier = self.frontier

    def append(self, leaf: bytes) -> int:
        position = self.frontier.size
        self.books.connection.execute("INSERT INTO log VALUES (?, ?)", (position, leaf))
        self.frontier = self.frontier.appended(leaf_hash(leaf))
        return position

    def position(self) -> LogPosition:
        return _position(self.frontier)


def _position(frontier: Frontier) -> LogPosition:
    return LogPosition(tree_size=frontier.size, root_sha256=frontier.root().hex())


def _refuse_changes(table: str) -> str:
    return "".join(
        f"CREATE TRIGGER IF NOT EXISTS {table}_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;"
        for verb in ("UPDATE", "DELETE")
    )


def use_name(side: Side, job: str) -> str:
    """What a member's claims or receipts of a job are called where something is wrong with them."""
    return f"{side} {job}"


def _use_key(usage: Usage) -> tuple[str, ...]:
    return usage.consumer, usage.provider, usage.job, usage.unit.value, f"{usage.period_start:{INSTANT}}"


def _posting(transfer: Transfer, statement: str) -> tuple[str | int, ...]:
    return (
        transfer.id, transfer.debit, transfer.credit, transfer.unit.value, transfer.amount,
        f"{transfer.period_start:{INSTANT}}",
        transfer.evidence_sha256, statement,
    )  # fmt: skip
