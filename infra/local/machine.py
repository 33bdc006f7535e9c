"""What the local consortium asks of the machine: root, disk, Debian packages, and where its files may lie.

Every refusal is a `LocalError` whose one sentence says what is wrong, where, and what to do.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

# Debian package -> the file or program that shows it is there, and what it does for us.
DEBIAN_PACKAGES = {
    "containerd": ("containerd", "runs the pods of each member"),
    "containernetworking-plugins": ("/usr/lib/cni/bridge", "gives each pod its address"),
    "gcc": ("cc", "compiles the pause program and the simulated NVML library"),
    "haproxy": ("haproxy", "is the front door of the hub"),
    "iproute2": ("ip", "makes bridges and network namespaces"),
    "ipset": ("ipset", "names the pods that a NetworkPolicy speaks of"),
    "iptables": ("iptables", "drops what no NetworkPolicy opens"),
    "libc6-dev": ("/usr/include/stdio.h", "is what the compiler links with"),
    "maven": ("mvn", "fetches the Trino server"),
    "mmdebstrap": ("mmdebstrap", "makes the base of our images"),
    "nftables": ("nft", "carries the services of each member"),
    "runc": ("runc", "starts containers"),
}
SERVICES = {"containerd", "haproxy"}  # packages that start a service of their name

Say = Callable[[str], None]


class LocalError(Exception):
    """The machine or the caller does not meet a condition; the message names the remedy."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where files lie: `state` survives a reboot, `run` holds sockets and PID files, `cache` is shared by all runs."""

    state: Path
    run: Path
    cache: Path

    @property
    def kubeconfigs(self) -> Path:
        """Kubeconfig files, named by cluster."""
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        """Logs of processes, named by process."""
        return self.state / "logs"


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for built engines and images: $COMMONWEAL_CACHE, else the user's cache folder."""
    if explicit := environ.get("COMMONWEAL_CACHE"):
        return Path(explicit)
    home = Path(environ.get("HOME", "/root"))
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "commonweal"


def default_places(environ: Mapping[str, str] = os.environ) -> Places:
    """The places of the one local consortium of this machine.

    Sockets live under /run because a Unix socket's path may have 107 bytes only.
    """
    return Places(
        state=Path(environ.get("COMMONWEAL_STATE", "/var/lib/commonweal")),
        run=Path("/run/commonweal"),
        cache=cache_dir(environ),
    )


def require_linux_root() -> None:
    """Raise `LocalError` unless this is Linux and we are root."""
    if sys.platform != "linux":
        raise LocalError(f"the local provider needs Linux, and this is {sys.platform}; use --provider kind")
    if os.geteuid() != 0:
        raise LocalError("the local provider makes namespaces and bridges; run it as root, or use --provider kind")


def require_disk(path: Path, needed_bytes: int, purpose: str) -> None:
    """Raise `LocalError` unless the file system of `path` has `needed_bytes` free."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise LocalError(
            f"{existing} has {free_bytes / 1e9:.1f} GB free and {purpose} needs {needed_bytes / 1e9:.1f} GB; "
            f"free some, or point COMMONWEAL_CACHE and COMMONWEAL_STATE at a larger disk"
        )


def run(argv: Sequence[str | Path], *, stdin: str | None = None, timeout_s: float = 60) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        LocalError: It is missing, failed or took longer than `timeout_s`; with the last lines of its error output.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
    except FileNotFoundError as error:
        raise LocalError(f"{words[0]} is not installed; install it or run as root so that we can") from error
    except subprocess.TimeoutExpired as error:
        raise LocalError(f"`{' '.join(words)}` took longer than {timeout_s:.0f} s; run again") from error
    if done.returncode != 0:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise LocalError(f"`{' '.join(words)}` failed with {done.returncode}: {tail}")
    return done.stdout


def missing_packages(is_there: Callable[[str], bool] | None = None) -> dict[str, str]:
    """Debian packages that are not installed, with what each does for us; `is_there` finds a file or program."""
    found = is_there or (lambda name: Path(name).exists() if name.startswith("/") else shutil.which(name) is not None)
    return {package: why for package, (sign, why) in DEBIAN_PACKAGES.items() if not found(sign)}


def install_missing_packages(say: Callable[[str], None]) -> None:
    """Install what `missing_packages` lists, by apt-get.

    Raises:
        LocalError: The machine has no apt-get, we are not root, or the installation failed.
    """
    missing = missing_packages()
    if not missing:
        return
    names = " ".join(missing)
    for name, why in missing.items():
        say(f"installing {name}: it {why}")
    if shutil.which("apt-get") is None:
        raise LocalError(f"this machine has no apt-get; install {names} by its own package manager and run again")
    require_linux_root()
    run(["apt-get", "update", "--quiet"], timeout_s=300)
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"]
    run([*install, *missing], timeout_s=600)
    # We run these programs ourselves, in places of our own; the services that came with them would only hold ports.
    if Path("/run/systemd/system").exists():
        for unit in SERVICES & missing.keys():
            run(["systemctl", "disable", "--now", unit])


@contextmanager
def exclusive(lock: Path, what: str, wait_s: float = 0) -> Iterator[None]:
    """Hold `lock`, a file, while the block runs; at most `wait_s` of waiting for another holder.

    Raises:
        LocalError: Someone else holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with lock.open("a+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LocalError(f"{what} is already under way (lock {lock}); wait for it and run again") from None
                time.sleep(0.2)
        yield
