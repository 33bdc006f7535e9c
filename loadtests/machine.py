"""What a machine has that a demo could leave behind, seen from outside: /proc, /sys and iproute2."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

SYSCTLS = (
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/netfilter/nf_conntrack_max",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
# How a command of the demo can be told from what else a machine starts meanwhile.
OURS = ("commonweal", "containerd", "haproxy", "kube", "operators.", "pause", "pulumi", "streamlit", "trino")
KERNEL_THREAD = 2  # the parent of every kernel thread


def snapshot() -> dict[str, frozenset[str]]:
    """Processes of a consortium (by pid and command), mounts, namespaces, links, routes, rules, cgroups and sysctls."""
    return {
        "processes": frozenset(_processes()),
        "mounts": frozenset(line.split()[4] for line in _lines(Path("/proc/self/mountinfo"))),
        "namespaces": frozenset(_output("ip", "netns", "list")),
        "links": frozenset(line.split()[1] for line in _output("ip", "-o", "link")),
        "routes": frozenset(_output("ip", "route", "show", "table", "all")),
        "nft": frozenset(_output("nft", "list", "tables")),
        "cgroups": frozenset(_cgroups()),
        "sysctls": frozenset(f"{name}={_sysctl(name)}" for name in SYSCTLS),
    }


def differences(before: dict[str, frozenset[str]], after: dict[str, frozenset[str]]) -> list[str]:
    """What is there after and was not before, or the reverse; a process that ended meanwhile is no trace of ours."""
    found = []
    for what, held in before.items():
        found += [f"{what}: left {item}" for item in sorted(after[what] - held)]
        if what != "processes":
            found += [f"{what}: lost {item}" for item in sorted(held - after[what])]
    return found


def _processes() -> Iterable[str]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent != KERNEL_THREAD and any(word in command for word in OURS):
            yield f"{folder.name} {command[:160]}"


def _cgroups() -> Iterable[str]:
    root = Path("/sys/fs/cgroup")
    return (str(path) for path in root.rglob("*") if path.is_dir())


def _sysctl(name: str) -> str:
    path = Path("/proc/sys") / name
    return path.read_text().strip() if path.exists() else "absent"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _output(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
