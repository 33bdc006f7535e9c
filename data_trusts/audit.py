"""The gateway's memory: one line before a question runs, one with its outcome; no line, no rows.

A line is canonical JSON and carries the hash of the line before it, so that a changed, dropped or moved line is found
by anyone who reads the file. That lines were cut from the end is found by whoever kept a later head (`Head`).
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

GENESIS = "0" * 64
Json = str | int | bool | None | list["Json"] | dict[str, "Json"]


class AuditError(Exception):
    """The log cannot take a line, or cannot be trusted; the message says where and what to do."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """How many lines there are, and the hash of the last."""

    length: int
    hash: str


def line(head: Head, at: datetime, event: Mapping[str, Json]) -> tuple[bytes, Head]:
    """The next line, with its line end, and the head after it.

    Raises:
        AuditError: the event uses a name that the log keeps for itself.
    """
    taken = {"position", "previous", "at", "hash"} & event.keys()
    if taken:
        raise AuditError(f"audit event: {min(taken)} is the log's own; name the field otherwise")
    record: dict[str, Json] = {**event, "position": head.length, "previous": head.hash, "at": at.isoformat()}
    digest = hashlib.sha256(_canonical(record)).hexdigest()
    return _canonical({**record, "hash": digest}) + b"\n", Head(length=head.length + 1, hash=digest)


def verify(lines: Iterable[bytes], kept: Head | None = None) -> Head:
    """Read a log from its first line, and say where it ends.

    Args:
        lines: the file's lines, each with its line end.
        kept: a head seen earlier, which the log must still pass through.

    Raises:
        AuditError: at the first line that is not as it was written, or where the kept head is missing.
    """
    head = Head(length=0, hash=GENESIS)
    passed = kept is None or kept == head
    for raw in lines:
        head = _follow(head, raw)
        passed = passed or head == kept
    if not passed and kept is not None:
        raise AuditError(f"audit: line {kept.length} with hash {kept.hash} is gone; compare with the kept copy")
    return head


def _follow(head: Head, raw: bytes) -> Head:
    where = f"audit line {head.length + 1}"
    try:
        record = json.loads(raw)
    except ValueError:
        raise AuditError(f"{where}: is not JSON; compare with a kept copy") from None
    if not isinstance(record, dict) or raw != _canonical(record) + b"\n":
        raise AuditError(f"{where}: is not in canonical form; compare with a kept copy")
    claimed = record.pop("hash", None)
    if record.get("position") != head.length or record.get("previous") != head.hash:
        raise AuditError(f"{where}: does not follow the line before it; compare with a kept copy")
    digest = hashlib.sha256(_canonical(record)).hexdigest()
    if claimed != digest:
        raise AuditError(f"{where}: its hash does not match its content; compare with a kept copy")
    return Head(length=head.length + 1, hash=digest)


def _canonical(record: Mapping[str, Json]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


class AuditLog:
    """The file, open for one process. `append` returns when the line is on disk."""

    def __init__(self, path: Path, now: datetime) -> None:
        """Open or make the log.

        A last line without its end was never acknowledged, so what it announced did not happen: it is cut off, and a
        line says so.

        Raises:
            AuditError: another process holds the log, a line in it was changed, or the disk takes no line.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._broken: str | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover(path.read_bytes(), now)
            _sync_folder(path.parent)
        except BlockingIOError:
            os.close(self._file)
            raise AuditError(f"{path}: another process writes this log; run one gateway a member") from None
        except BaseException:
            self.close()
            raise

    def _recover(self, content: bytes, now: datetime) -> None:
        self._size = content.rfind(b"\n") + 1
        self._head = verify(content[: self._size].splitlines(keepends=True))
        torn = content[self._size :]
        if torn:
            os.ftruncate(self._file, self._size)
            event: dict[str, Json] = {"kind": "recovered", "cut_bytes": len(torn)}
            self.append(now, {**event, "cut_sha256": hashlib.sha256(torn).hexdigest()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a later append fails."""
        with self._lock:
            if self._broken is None:
                self._broken = "the log is closed"
                os.close(self._file)

    @property
    def head(self) -> Head:
        """Where the log ends now."""
        return self._head

    @property
    def broken(self) -> str | None:
        """Why no line can be written any more, or None."""
        return self._broken

    def append(self, at: datetime, event: Mapping[str, Json]) -> int:
        """Write one line durably and return its position.

        After a failed sync nobody knows what the disk holds, so the log stays shut until it is opened and read again.

        Raises:
            AuditError: the line is not on disk, and what it announces must not happen.
        """
        with self._lock:
            if self._broken is not None:
                raise AuditError(f"audit: {self._broken}; free the disk and restart the gateway")
            raw, head = line(self._head, at, event)
            try:
                if os.write(self._file, raw) != len(raw):
                    raise OSError("the disk is full")  # noqa: TRY301 -- a short write needs the same undoing
                os.fdatasync(self._file)
            except OSError as error:
                self._undo(error)
                raise AuditError(f"audit: {error}; free the disk and restart the gateway") from error
            self._head, self._size = head, self._size + len(raw)
            return head.length - 1

    def _undo(self, error: OSError) -> None:
        self._broken = str(error)
        try:
            os.ftruncate(self._file, self._size)
        finally:
            os.close(self._file)


def _sync_folder(folder: Path) -> None:
    """A new file is only there after a crash when its folder is synced too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
