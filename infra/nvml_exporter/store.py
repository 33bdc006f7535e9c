"""Where closed readings and open meters survive a crash: one SQLite file, one transaction for both.

A reading and the meter that has moved past it become durable together, so no crash loses an hour or writes one twice.
What the process wrote outlives the process at once; what was `synced` outlives the machine too.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from commonweal.attribution import Account, Share
from commonweal.metering import Flag, Measurement, Scope
from commonweal.transparency import canonical_json
from infra.nvml_exporter.host import Zone
from infra.nvml_exporter.register import Meter, Sample

PAGE_SEQUENCES = 100  # of each meter; sixteen devices make an answer of about half a megabyte

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reading (
    meter TEXT NOT NULL, sequence INTEGER NOT NULL, content TEXT NOT NULL, PRIMARY KEY (sequence, meter)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meter (uuid TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account (uuid TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS zone (key TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
"""


class Store:
    """The exporter's state directory. Only one exporter may write to it."""

    def __init__(self, directory: Path) -> None:
        """Open or create the file.

        Raises:
            OSError: the directory cannot be written to, or the file is not ours; the message names the setting.
        """
        self._path = directory / "readings.sqlite"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # Kept open, because the last connection to close copies the whole journal into the file.
            self._writer = sqlite3.connect(self._path, check_same_thread=False)
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise OSError(
                f"COMMONWEAL_STATE_DIR: {directory}: {error}; name a directory of this user's with room"
            ) from error

    def save(
        self,
        meters: Iterable[Meter],
        closed: Iterable[Measurement],
        accounts: Mapping[str, Account] | None = None,
        *,
        zones: Mapping[str, Zone] | None = None,
        synced: bool = True,
    ) -> None:
        """Make the readings, the meters, the pods' accounts and the host's zones durable at once; one thread writes.

        Without `synced` it does not wait for the disk: a power cut may lose it, with all that was not synced since, and
        then the devices' registers have restarted as well. The end of the process loses nothing.

        Raises:
            sqlite3.IntegrityError: a reading of that sequence is there: another exporter writes here.
        """
        self._writer.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
        with self._writer as db:
            db.executemany(
                "INSERT INTO reading VALUES (?, ?, ?)",
                [(m.meter, m.sequence, canonical_json(m.model_dump(mode="json")).decode()) for m in closed],
            )
            db.executemany(
                "INSERT INTO meter VALUES (?, ?) ON CONFLICT (uuid) DO UPDATE SET content = excluded.content",
                [(meter.uuid, _meter_json(meter)) for meter in meters],
            )
            db.executemany(
                "INSERT INTO account VALUES (?, ?) ON CONFLICT (uuid) DO UPDATE SET content = excluded.content",
                [(uuid, json.dumps(asdict(account), sort_keys=True)) for uuid, account in (accounts or {}).items()],
            )
            db.executemany(
                "INSERT INTO zone VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET content = excluded.content",
                [(key, json.dumps(asdict(zone), sort_keys=True)) for key, zone in (zones or {}).items()],
            )

    def _reader(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self._path))

    def meters(self) -> dict[str, Meter]:
        """Return every meter as it was last saved, by UUID."""
        with self._reader() as db:
            return {uuid: _meter(content) for uuid, content in db.execute("SELECT uuid, content FROM meter")}

    def accounts(self) -> dict[str, Account]:
        """Return every device's account as it was last saved, by UUID; it is of the same instant as the meter."""
        with self._reader() as db:
            return {uuid: _account(content) for uuid, content in db.execute("SELECT uuid, content FROM account")}

    def zones(self) -> dict[str, Zone]:
        """Return every zone of the host as it was last saved."""
        with self._reader() as db:
            return {key: Zone(**json.loads(content)) for key, content in db.execute("SELECT key, content FROM zone")}

    def last_sequences(self) -> dict[str, int]:
        """Return the last closed sequence of every meter; 0 where none is closed yet."""
        return {uuid: meter.sequence - 1 for uuid, meter in self.meters().items()}

    def readings(self, after: int, meter: str | None = None) -> list[Measurement]:
        """Return closed readings of a higher sequence, lowest first: those of the next `PAGE_SEQUENCES` sequences."""
        with self._reader() as db:
            (first,) = db.execute(
                "SELECT MIN(sequence) FROM reading WHERE sequence > ?1 AND meter = COALESCE(?2, meter)", (after, meter)
            ).fetchone()
            rows = db.execute(
                "SELECT content FROM reading WHERE sequence >= ?1 AND sequence < ?1 + ?3"
                " AND meter = COALESCE(?2, meter) ORDER BY sequence, meter",
                (first, meter, PAGE_SEQUENCES),
            ).fetchall()
        return [Measurement.model_validate_json(content) for (content,) in rows]


def _account(content: str) -> Account:
    fields = json.loads(content)
    return Account(
        metered=Share(**fields["metered"]),
        pods={pod: Share(**share) for pod, share in fields["pods"].items()},
        departed=Share(**fields["departed"]),
        unattributed=Share(**fields["unattributed"]),
        idle_mw=fields["idle_mw"],
    )


def _meter_json(meter: Meter) -> str:
    return json.dumps(asdict(meter) | {"flags": sorted(meter.flags)}, sort_keys=True)


def _meter(content: str) -> Meter:
    fields = json.loads(content)
    return Meter(
        **fields
        | {
            "flags": frozenset(Flag(flag) for flag in fields["flags"]),
            "scope": Scope(fields["scope"]),
            "last": Sample(**fields["last"]),
        }
    )
