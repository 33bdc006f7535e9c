"""The gateway's memory: one entry before a question runs, one with its outcome; no entry on disk, no rows.

`audit.jsonl` is what counts: an entry is one line of JSON, and the line's bytes are a leaf of a Merkle tree. From it
come the tiles, bundles and signed checkpoints beside it (data_trusts/tlog.py), with which a witness at another member
finds whatever was changed (data_trusts/witness.py).
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Self

from commonweal.checkpoints import Verifier
from commonweal.tiles import MAX_ENTRY_BYTES, WIDTH
from commonweal.transparency import Json, canonical_json
from data_trusts.tlog import Publication, TlogError, sync_folder

ORIGIN = "commonweal.dev/audit"
_PUBLIC = re.compile(r"checkpoint|vkey|witnessed/[0-9a-f]{8}|tile/\d{1,2}/(x\d{3}/)*\d{3}(\.p/\d{1,3})?")


class AuditError(Exception):
    """The log cannot take an entry, or cannot be trusted; the message says where and what to do."""


class EntryError(AuditError):
    """One entry cannot be recorded as it is; the log takes others."""


def entry(position: int, at: datetime, event: Mapping[str, Json]) -> bytes:
    """The bytes of an entry: what is hashed, and with a line end what is on disk.

    Raises:
        EntryError: the event uses a name that the log keeps for itself, is too long or is no JSON without floats.
    """
    if taken := {"position", "at"} & event.keys():
        raise EntryError(f"audit event: {min(taken)} is the log's own; name the field otherwise")
    try:
        raw = canonical_json({**event, "position": position, "at": at.isoformat()})
    except (TypeError, ValueError) as error:
        raise EntryError(f"audit event: {error}") from error
    if len(raw) > MAX_ENTRY_BYTES:
        raise EntryError(f"audit event: has {len(raw)} bytes, more than {MAX_ENTRY_BYTES}; shorten the question")
    return raw


def _taken() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


@dataclass
class _Waiting:
    """An event in the queue; afterwards either its position or why it was not written."""

    at: datetime
    event: Mapping[str, Json]
    position: int | None = None
    error: AuditError | None = None
    leads: bool = False
    woken: Lock = field(default_factory=_taken)


class AuditLog:
    """The file, open for one process. `append` returns when the entry is on disk; many threads share one sync."""

    def __init__(self, path: Path, now: datetime, origin: str = ORIGIN) -> None:
        """Open or make the log; its key and public files lie in the same folder.

        A last line without its end was never acknowledged, so what it announced did not happen: it is cut off, and an
        entry says so. Lines of the older form, which carry a chain of hashes, are entries like any other.

        Args:
            path: the file of entries.
            now: when a cut is said to have been found.
            origin: the name of the log in its checkpoints, unique among all logs.

        Raises:
            AuditError: another process holds the log, an entry is not what was signed, or the disk takes none.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._queue: list[_Waiting] = []
        self._led = False  # whether someone writes, or was told to
        self._queueing, self._writing, self._publishing = Lock(), Lock(), Lock()
        self._unpublished: list[bytes] = []
        self._broken: str | None = None
        self._size = self._bytes = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._public = Publication(path.parent, origin)
            self._recover(now)
            sync_folder(path.parent)
        except BaseException as error:
            self._shut("the log was not opened")
            if isinstance(error, BlockingIOError):
                raise AuditError(f"{path}: another process writes this log; run one gateway a member") from None
            if isinstance(error, TlogError):
                raise AuditError(str(error)) from error
            raise

    def _recover(self, now: datetime) -> None:
        signed = self._public.signed
        chunk: list[bytes] = []
        with self._path.open("rb") as lines:
            for raw in _whole(lines):
                chunk.append(raw)
                self._size, self._bytes = self._size + 1, self._bytes + len(raw) + 1
                if len(chunk) == WIDTH or (signed and self._size == signed.size):
                    self._add(chunk)
                    chunk = []
        self._add(chunk)
        if signed and self._size < signed.size:
            raise AuditError(
                f"{self._path}: ends after {self._size} entries, but {signed.size} were signed; "
                "restore it from the backup"
            )
        torn = self._torn()
        if torn:
            os.ftruncate(self._file, self._bytes)
            event: dict[str, Json] = {"kind": "recovered", "cut_bytes": len(torn)}
            self.append(now, {**event, "cut_sha256": hashlib.sha256(torn).hexdigest()})
        self.publish()

    def _torn(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._bytes)
            return file.read()

    def _add(self, chunk: list[bytes]) -> None:
        """Hash what was read, and compare it with what was signed before."""
        signed, first = self._public.signed, self._size - len(chunk)
        for place, raw in enumerate(chunk, start=first):
            known = signed is not None and place < signed.size
            if len(raw) > MAX_ENTRY_BYTES or not (known or _position(raw) == place):
                raise AuditError(
                    f"audit entry {place}: is not what was written there; restore {self._path} from the backup"
                )
        self._public.add(chunk)
        if signed and self._size == signed.size and self._public.head != signed:
            raise AuditError(
                f"{self._path}: one of the first {signed.size} entries is not as it was signed; restore it from the "
                "backup, and keep this file as evidence"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Publish what is there and let go of the file; a later append fails."""
        with suppress(AuditError):  # a full disk has shut it already
            self.publish()
        with self._writing:
            self._shut("the log is closed")

    @property
    def size(self) -> int:
        """How many entries are on disk."""
        return self._size

    @property
    def vkey(self) -> str:
        """The log's public key, as a witness takes it."""
        return self.verifier.vkey()

    @property
    def verifier(self) -> Verifier:
        """What verifies the log's checkpoints."""
        return self._public.verifier

    @property
    def entries_path(self) -> Path:
        """The file of entries; the last line is being written while it has no end."""
        return self._path

    @property
    def folder(self) -> Path:
        """Where the log's public files lie."""
        return self._path.parent

    def public_file(self, path: str) -> bytes | None:
        """The checkpoint, the key, a cosigned note or a tile by its path; None for anything else, the entries too."""
        file = self._path.parent / path
        return file.read_bytes() if _PUBLIC.fullmatch(path) and file.is_file() else None

    @property
    def broken(self) -> str | None:
        """Why no entry can be written any more, or None."""
        return self._broken

    def append(self, at: datetime, event: Mapping[str, Json]) -> int:
        """Write one entry durably and return its position.

        Whoever comes first writes for all that wait, with one sync. After a failed sync nobody knows what the disk
        holds, so the log stays shut until it is opened and read again.

        Raises:
            AuditError: the entry is not on disk, and what it announces must not happen.
        """
        waiting = _Waiting(at, event)
        with self._queueing:
            self._queue.append(waiting)
            waiting.leads, self._led = not self._led, True
        if not waiting.leads:
            waiting.woken.acquire()  # by who has written for us, or has left the next batch to us
        if waiting.leads:
            self._lead(waiting)
        if waiting.error is not None:
            raise waiting.error
        if waiting.position is None:
            raise AuditError("audit: the entry was not written; ask again")
        return waiting.position

    def _lead(self, leader: _Waiting) -> None:
        with self._queueing:
            batch, self._queue = self._queue, []
        try:
            with self._writing:
                self._write(batch)
        finally:
            with self._queueing:
                followers = [each for each in batch if each is not leader]
                self._led = bool(self._queue)
                if self._queue:
                    self._queue[0].leads = True
                    followers.append(self._queue[0])
            for each in followers:
                each.woken.release()

    def _write(self, batch: Sequence[_Waiting]) -> None:
        written: list[_Waiting] = []
        raws: list[bytes] = []
        for waiting in batch:
            try:
                raws.append(entry(self._size + len(raws), waiting.at, waiting.event))
                written.append(waiting)
            except EntryError as error:
                waiting.error = error
        failed = self._sync(b"".join(raw + b"\n" for raw in raws))
        for place, waiting in enumerate(written, start=self._size):
            if failed is None:
                waiting.position = place
            else:
                waiting.error = AuditError(failed)
        if failed is None:
            self._size += len(raws)
            self._unpublished += raws

    def _sync(self, content: bytes) -> str | None:
        """Write and sync; return why that was not possible."""
        if self._broken is None:
            try:
                if os.write(self._file, content) != len(content):
                    raise OSError("the disk is full")  # noqa: TRY301 -- a short write needs the same undoing
                os.fdatasync(self._file)
            except OSError as error:
                self._undo(error)
        if self._broken is not None:
            return f"audit: {self._broken}; free the disk and restart the gateway"
        self._bytes += len(content)
        return None

    def _undo(self, error: OSError) -> None:
        """Take back what nobody knows to be on disk, and shut the log."""
        with suppress(OSError):
            os.ftruncate(self._file, self._bytes)
        self._shut(str(error))

    def _shut(self, why: str) -> None:
        if self._broken is None:
            self._broken = why
            os.close(self._file)

    def publish(self) -> None:
        """Sign a checkpoint over every entry that is on disk, and write the tiles below it.

        Raises:
            AuditError: the disk takes no more; the log shuts, since what nobody can check must not go on.
        """
        with self._publishing:
            with self._writing:
                if self._broken is not None:
                    return
                entries, self._unpublished = self._unpublished, []
            if not entries and self._public.signed == self._public.head:
                return
            try:
                self._public.add(entries)
                self._public.publish()
            except OSError as error:
                with self._writing:
                    self._shut(str(error))
                raise AuditError(f"audit: {error}; free the disk and restart the gateway") from error


def _whole(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Lines that have their end, without it."""
    return (line[:-1] for line in lines if line.endswith(b"\n"))


def _position(raw: bytes) -> int | None:
    """The place that an entry claims; None where it is no entry."""
    try:
        position = json.loads(raw)["position"]
    except (ValueError, TypeError, KeyError):
        return None
    return position if isinstance(position, int) else None
