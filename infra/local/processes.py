"""Processes of ours, known by PID and start time, never by name.

The kernel reuses process numbers; a number with its start time and boot is one process for ever. Each process of ours
also carries a marker in its environment, so that one whose PID file was never written is still found as ours.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MARKER = "COMMONWEAL_SUPERVISED"
POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process for ever: its number, its start in clock ticks since boot, and the boot."""

    pid: int
    start_ticks: int
    boot: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a PID file holds: the process, and the hash of the specification it was started from."""

    identity: Identity
    spec_hash: str


def boot_id() -> str:
    """What this boot of the machine is called."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the state on, or None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def identify(pid: int) -> Identity | None:
    """The identity of a live process; None where there is none, or only its remains."""
    fields = stat_fields(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return None
    return Identity(pid=pid, start_ticks=int(fields[19]), boot=boot_id())


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs, not another one of the same number."""
    return identify(identity.pid) == identity


def write_record(path: Path, record: Record) -> None:
    """Write a PID file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(record)))
    draft.rename(path)


def read_record(path: Path) -> Record | None:
    """Read a PID file; None where there is none or it is torn."""
    try:
        content = json.loads(path.read_text())
        return Record(identity=Identity(**content["identity"]), spec_hash=content["spec_hash"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def all_pids() -> Iterator[int]:
    """Numbers of the processes that this process namespace shows."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def variables(task: Path) -> list[bytes]:
    """The environment of a process or thread by its folder in /proc; none once it ended, or where it is not ours."""
    try:
        return (task / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def marker_of(pid: int) -> str | None:
    """The marker that the supervisor put into this process's environment, or None."""
    prefix = f"{MARKER}=".encode()
    found = next((item for item in variables(Path(f"/proc/{pid}")) if item.startswith(prefix)), None)
    return None if found is None else found.removeprefix(prefix).decode(errors="replace")


def marked(prefix: str) -> list[Identity]:
    """Live processes whose marker is `prefix` or lies below it; never this process or one of its ancestors."""
    spared = set(ancestors(os.getpid()))
    matches = (pid for pid in all_pids() if pid not in spared and _below(marker_of(pid), prefix))
    return [identity for pid in matches if (identity := identify(pid)) is not None]


def _below(marker: str | None, prefix: str) -> bool:
    return marker is not None and (marker == prefix or marker.startswith(f"{prefix}/"))


def ancestors(pid: int) -> Iterator[int]:
    """The process, its parent, and so on up to the first."""
    while pid > 0:
        yield pid
        fields = stat_fields(pid)
        pid = int(fields[1]) if fields else 0


def group_members(group: int, marker: str) -> list[Identity]:
    """Live processes of one process group that carry exactly this marker."""
    matches = (pid for pid in all_pids() if (stat_fields(pid) or ["", "", "-1"])[2] == str(group))
    return [found for pid in matches if marker_of(pid) == marker and (found := identify(pid)) is not None]


def end(identities: Sequence[Identity], grace_s: float) -> list[Identity]:
    """Send SIGTERM, wait at most `grace_s`, then SIGKILL; return those that outlive even that by 5 s."""
    _send(identities, signal.SIGTERM)
    left = _wait_gone(identities, grace_s)
    _send(left, signal.SIGKILL)
    return _wait_gone(left, 5)


def _send(identities: Sequence[Identity], number: signal.Signals) -> None:
    for identity in identities:
        if is_alive(identity):
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, number)


def _wait_gone(identities: Sequence[Identity], limit_s: float) -> list[Identity]:
    deadline = time.monotonic() + limit_s
    left = list(identities)
    while left and time.monotonic() < deadline:
        _reap(left)
        left = [identity for identity in left if is_alive(identity)]
        if left:
            time.sleep(POLL_S)
    return left


def _reap(identities: Sequence[Identity]) -> None:
    """Collect children of this very process, which would otherwise stay as remains until it ends."""
    for identity in identities:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(identity.pid, os.WNOHANG)
