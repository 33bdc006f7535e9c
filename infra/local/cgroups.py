"""The control groups of our pods, under every hierarchy of the machine: v1, v2 or both."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from infra.local.machine import LocalError
from infra.local.processes import Identity, end, identify

ROOT = "commonweal"
REMOVE_WITHIN_S = 10.0


def hierarchies(mounts: str | None = None) -> list[Path]:
    """Mount points of the cgroup hierarchies, from the text of /proc/mounts."""
    text = Path("/proc/mounts").read_text() if mounts is None else mounts
    rows = [line.split() for line in text.splitlines()]
    return sorted(Path(row[1]) for row in rows if row[2] in {"cgroup", "cgroup2"})


def create(name: str) -> None:
    """Make `commonweal/<name>` in every hierarchy, usable for child groups."""
    for hierarchy in hierarchies():
        parent = hierarchy
        for part in (ROOT, *name.split("/")):
            group = parent / part
            group.mkdir(exist_ok=True)
            _inherit(parent, group)
            parent = group
        _delegate(parent)


def _inherit(parent: Path, group: Path) -> None:
    """Version 1 starts a group without processors and memory nodes; version 2 must be told what to pass on."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        target, source = group / setting, parent / setting
        if (
            source.exists()
            and target.exists()
            and not (group / "cgroup.type").exists()
            and not target.read_text().strip()
        ):
            target.write_text(source.read_text())
    _delegate(parent)


def _delegate(group: Path) -> None:
    available, subtree = group / "cgroup.controllers", group / "cgroup.subtree_control"
    if available.exists():
        for controller in available.read_text().split():
            with contextlib.suppress(OSError):  # one that the machine keeps for itself
                subtree.write_text(f"+{controller}")


def groups() -> Iterator[Path]:
    """Our groups in every hierarchy, deepest first."""
    for hierarchy in hierarchies():
        root = hierarchy / ROOT
        if root.exists():
            yield from sorted((path for path in root.rglob("*") if path.is_dir()), key=lambda p: -len(p.parts))
            yield root


def members() -> list[Identity]:
    """Live processes in any of our groups."""
    listed = (_read_pids(group / "cgroup.procs") for group in groups())
    return [found for pid in {pid for pids in listed for pid in pids} if (found := identify(pid)) is not None]


def _read_pids(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text().split()]
    except OSError:
        return []


def remove() -> None:
    """End every process in our groups and remove the groups.

    Raises:
        LocalError: A group is still busy after 10 s.
    """
    end(members(), grace_s=0)
    deadline = time.monotonic() + REMOVE_WITHIN_S
    while left := list(groups()):
        for group in left:
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            raise LocalError(f"cgroup {left[0]} stays busy; look at its cgroup.procs, end those processes, run again")
        time.sleep(0.05)
