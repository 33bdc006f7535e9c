"""The durable books of what releases may still cost, and of what each beneficiary was already told.

SQLite with a write-ahead log, synced at every commit; rows are only ever added. A charge is on disk before a question
runs, and posted on disk before anything leaves, so that a crash between the two gives the budget back and mints none:
what is pending when the books are opened belongs to a process that is gone and has sent nothing.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Self

from commonweal.differencing import Part, Release, RowSet, objection
from commonweal.kinds.federation import NoiseRules
from commonweal.ledger import LedgerError, Post, Void
from commonweal.ledger import event_of as ledger_event_of
from commonweal.privacy import Charge, Event, PrivacyBooks, PrivacyError, charge_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (position INTEGER PRIMARY KEY, record BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS releases (
    position INTEGER PRIMARY KEY, trust TEXT NOT NULL, dataset TEXT NOT NULL, beneficiary TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS releases_by_whom ON releases (trust, dataset, beneficiary);
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS events_are_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS releases_stay BEFORE UPDATE ON releases BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER IF NOT EXISTS releases_are_kept BEFORE DELETE ON releases BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""


class PrivacyLedgerError(Exception):
    """The books cannot be written, or not be trusted, so nothing may be released; the message says what to do."""


class PrivacyLedger:
    """The file, open for one process; any of its threads may ask."""

    def __init__(self, path: Path) -> None:
        """Open or make the books, and void what a dead process left pending.

        Raises:
            PrivacyLedgerError: another process holds them, they were changed, or the disk takes nothing.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._path = path
        # One connection for all threads, of which the lock lets one in at a time.
        self._disk = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1)
        try:
            self._open()
        except (sqlite3.Error, OSError, PrivacyError, LedgerError) as error:
            self._disk.close()
            raise PrivacyLedgerError(
                f"{path}: {error}; run one gateway a member, free the disk, or restore the file from its backup"
            ) from error

    def _open(self) -> None:
        # Exclusive, since the balances are kept in memory; FULL syncs the log at every commit.
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._disk.execute(f"PRAGMA {setting}")
        self._disk.executescript(_SCHEMA)
        self._path.chmod(0o600)
        self._books = PrivacyBooks(map(_event, self._disk.execute("SELECT record FROM events ORDER BY position")))
        for charge in self._books.pending():
            self._append(Void(charge.id, "the gateway stopped before anything left"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a later call fails."""
        with self._lock:
            self._disk.close()

    def used(self, charge: Charge) -> int:
        """What the charge's account has posted and pending, in the charge's unit."""
        with self._lock:
            return self._books.used(charge.account, charge.unit)

    def reserve(self, charge: Charge, rules: NoiseRules) -> None:
        """Set a charge's amount aside, durably.

        Raises:
            BudgetError: it is not there to be set aside.
            PrivacyLedgerError: it is not on disk, and what it pays for must not happen.
        """
        with self._guarded():
            self._books.check(charge, rules)
            self._append(charge)

    def post(self, charge: Charge) -> None:
        """Say durably that what the charge pays for leaves now; after that it is spent, whatever happens.

        Raises:
            PrivacyLedgerError: it is not on disk, and nothing may leave.
        """
        with self._guarded():
            self._append(Post(charge.id))

    def void(self, charge: Charge, reason: str) -> None:
        """Give a charge's amount back, since nothing left and nothing will.

        Raises:
            PrivacyLedgerError: it is not on disk; the amount comes back when the books are opened again.
        """
        with self._guarded():
            self._append(Void(charge.id, reason))

    def release(  # what is compared, and by which bounds
        self, whose: tuple[str, str, str], release: Release, minimum_rows: int, minimum_members: int
    ) -> str | None:
        """Remember a release before it leaves, unless an earlier one forbids it; return the objection, or None.

        Args:
            whose: trust, dataset and beneficiary.
            release: what would leave.
            minimum_rows: see `differencing.objection`.
            minimum_members: see `differencing.objection`.

        Raises:
            PrivacyLedgerError: it is not on disk, and nothing may leave.
        """
        with self._guarded():
            found = self._disk.execute(
                "SELECT content FROM releases WHERE trust = ? AND dataset = ? AND beneficiary = ?", whose
            )
            reason = objection(release, (_release(text) for (text,) in found), minimum_rows, minimum_members)
            if reason is None:
                content = json.dumps(asdict(release), separators=(",", ":"))
                self._disk.execute(
                    "INSERT INTO releases (trust, dataset, beneficiary, content) VALUES (?, ?, ?, ?)", (*whose, content)
                )
            return reason

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise PrivacyLedgerError(f"{self._path}: {error}; free the disk and restart the gateway") from error

    def _append(self, event: Event) -> None:
        """On disk first, then in memory: the books never know more than the disk, nor less."""
        self._books.verify(event)
        self._disk.execute("INSERT OR IGNORE INTO events (record) VALUES (?)", (event.record(),))
        self._books.record(event)


def _event(row: tuple[bytes]) -> Event:
    if json.loads(row[0])["event"] == "charge":
        return charge_of(row[0])
    event = ledger_event_of(row[0])
    if not isinstance(event, Post | Void):
        raise PrivacyError("event: a transfer has no place in these books")
    return event


def _release(text: str) -> Release:
    fields = json.loads(text)
    return Release(
        members=tuple(fields["members"]),
        sets=tuple(
            RowSet(
                condition=each["condition"],
                parts=tuple(
                    Part(column=part["column"], domain=part["domain"], labels=tuple(part["labels"]))
                    for part in each["parts"]
                ),
                over=each["over"],
                rows=each["rows"],
            )
            for each in fields["sets"]
        ),
    )
