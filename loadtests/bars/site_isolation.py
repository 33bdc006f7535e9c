"""A member's run opens nothing of another member's stack, all its files are its owner's alone, none shows a secret."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

from loadtests.bars import Measurement
from loadtests.sites import TOKEN, DrillSite, empty_clusters
from loadtests.wire import WireError

NEEDS_DEMO = False
MEMBER, OTHER = "zz", "yy"
PATHS = re.compile(r'"(/[^"]*)"')


def measure() -> list[Measurement]:
    """Two members in one state folder; a change to the one, with every system call that names a file recorded."""
    with empty_clusters(MEMBER, OTHER) as sites:
        site, other = sites[MEMBER], sites[OTHER]
        site.up()
        other.up()
        named = _named_files(site)
        foreign = sorted(path for path in named if _is_below(path, other))
        own = sum(_is_below(path, site) for path in named)
        open_files = [str(path.relative_to(site.stack)) for path in _open_to_others(site.stack)]
        shown = [f"{what} in {path.name}" for path in _files(site.stack) for what in _secrets_in(path, site, other)]
    if not own:
        raise WireError(f"strace saw no file of {MEMBER}'s own stack; it cannot have watched the run")
    return [
        Measurement(
            name="site-isolation", value=len(foreign), unit="files-of-another-member", bound=0,
            note="; ".join([*foreign[:5], f"{len(named)} files named, {own} of its own stack"]),
        ),
        Measurement(
            name="site-isolation-modes", value=len(open_files), unit="files-open-to-others", bound=0,
            note="; ".join(open_files[:5]),
        ),
        Measurement(
            name="site-isolation-secrets", value=len(shown), unit="secrets-in-plain-text", bound=0,
            note="; ".join(shown[:5]),
        ),
    ]  # fmt: skip


def _named_files(site: DrillSite) -> frozenset[str]:
    """Absolute paths that an `up` which changes something names in a system call, its children's too.

    Raises:
        WireError: strace is missing, or the run failed under it.
    """
    if shutil.which("strace") is None:
        raise WireError("strace is missing; apt-get install strace")
    log = site.folder / "strace.log"
    watched = ["strace", "--follow-forks", "--seccomp-bpf", "--trace=%file", "--string-limit=4096", f"--output={log}"]
    done = subprocess.run(
        [*watched, *site.command("up", "--pledge-cpu-millis=2000")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WireError(f"up of {site.member} under strace: {done.stderr.strip()[-300:]}")
    return frozenset(path for line in log.read_text(errors="replace").splitlines() for path in PATHS.findall(line))


def _is_below(path: str, site: DrillSite) -> bool:
    return Path(path).is_relative_to(site.stack) or Path(path) in {site.kubectl.kubeconfig, site.invitation}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _open_to_others(folder: Path) -> list[Path]:
    """Files and folders that anyone but their owner may read, write or enter."""
    every = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    return [path for path in every if stat.S_IMODE(path.stat().st_mode) & 0o077]


def _secrets_in(path: Path, site: DrillSite, other: DrillSite) -> list[str]:
    """Which secrets stand in a file in plain text: invitation, the administrators' keys, the passphrases."""
    text = path.read_text(errors="replace")
    secrets = {"the invitation's token": TOKEN, f"the passphrase of {other.member}": _passphrase(other)}
    for each in (site, other):
        key = re.search(r"client-key-data: (\S+)", each.kubectl.kubeconfig.read_text())
        if key is None:
            raise WireError(f"{each.kubectl.kubeconfig} holds no client key to look for")
        secrets[f"the key of {each.member}"] = key[1]
    if path != site.stack / "passphrase":
        secrets[f"the passphrase of {site.member}"] = _passphrase(site)
    return [what for what, secret in secrets.items() if secret in text]


def _passphrase(site: DrillSite) -> str:
    return (site.stack / "passphrase").read_text()
