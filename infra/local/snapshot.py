"""What this machine has that a consortium could leave behind, to compare before with after."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from infra.local import cgroups, sysctls
from infra.local.machine import run
from infra.local.processes import all_pids

NAMESPACES = ("mnt", "net", "pid")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of the machine. Processes are user processes as `pid command`; the rest speaks for itself."""

    processes: frozenset[str]
    mounts: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    routes: frozenset[str]
    sysctls: frozenset[str]
    tables: frozenset[str]
    groups: frozenset[str]
    folders: frozenset[str]


def snapshot() -> Snapshot:
    """Look at the machine now."""
    links = json.loads(run(["ip", "-json", "link", "show"]))
    return Snapshot(
        processes=frozenset(f"{pid} {command}" for pid in all_pids() if (command := _command(pid))),
        mounts=frozenset(" ".join(line.split()[:3]) for line in Path("/proc/mounts").read_text().splitlines()),
        namespaces=frozenset(name for pid in all_pids() for name in _namespaces(pid)),
        links=frozenset(link["ifname"] for link in links),
        routes=frozenset(line.strip() for line in run(["ip", "route", "show"]).splitlines()),
        sysctls=frozenset(f"{name}={value}" for name, value in [*sysctls.read().items(), *_forwarding().items()]),
        tables=frozenset(run(["nft", "list", "tables"]).splitlines()),
        groups=frozenset(str(group) for group in cgroups.groups()),
        folders=frozenset(str(path) for path in _watched_folders()),
    )


def appeared(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """What `after` has and `before` had not, by kind; empty where nothing was left behind."""
    news = {each.name: sorted(getattr(after, each.name) - getattr(before, each.name)) for each in fields(Snapshot)}
    return {name: new for name, new in news.items() if new}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return ""


def _namespaces(pid: int) -> list[str]:
    try:
        return [str((Path(f"/proc/{pid}/ns") / kind).readlink()) for kind in NAMESPACES]
    except OSError:
        return []


def _forwarding() -> dict[str, str]:
    return sysctls.read(("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"))


def _watched_folders() -> list[Path]:
    parents = [Path("/run"), Path("/var/run/netns"), Path("/var/lib"), Path("/var/log")]
    return [path for parent in parents if parent.exists() for path in parent.iterdir()]
