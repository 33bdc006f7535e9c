"""Where images are made: folders that appear in one rename, root file systems to run a program in, pinned packages."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from infra.images.oci import FIXED_TIME
from infra.local.cache import named
from infra.local.machine import REPOSITORY, LocalError, run

PYTHON_VERSION = "3.11"  # of the base image
UNPRIVILEGED = "65532:65532"

# $1 is the root, $2 the user, the rest a program; mounts end with the process, since its namespace is private.
ENTER = (
    'mount -n -t proc proc "$1/proc" && mount -n --bind /dev "$1/dev" && '
    'root=$1 user=$2 && shift 2 && exec chroot --userspec="$user" "$root" "$@"'
)


def key_of(*parts: str) -> str:
    """A short hash of whatever decides a result."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def key_of_files(files: Iterable[Path], relative_to: Path) -> str:
    """A short hash of the names and contents of files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(relative_to)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Let `make` fill an empty folder, and put that in place as `target`, unless it is there already."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            folder = Path(scratch) / "made"
            folder.mkdir()
            make(folder)
            folder.rename(target)
    return named(target)


def linked_copy(root: Path, target: Path) -> None:
    """A copy of a root file system in a second: its files are links, so what runs in it may add but not change."""
    run(["cp", "--archive", "--link", f"{root}/.", target])


def in_root(root: Path, argv: Sequence[str], user: str = "0:0") -> list[str]:
    """The command that runs a program with `root` as its root folder, with /proc and /dev, as the same process."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(root), user, *argv]


def compile_python(root: Path, folder: str) -> None:
    """Compile the Python files of `folder`, a path inside `root`, with the Python of that root.

    The result names no times, so it stays valid whatever time the layer gives its files.
    """
    flags = ["-q", "--invalidation-mode", "unchecked-hash"]
    argv = in_root(root, ["python3", "-m", "compileall", *flags, folder])
    # Some packages carry files for other versions of Python; those do not compile, and nothing imports them.
    subprocess.run(argv, check=False, capture_output=True, timeout=600)


def requirements(*groups: str, with_project: bool) -> str:
    """Pinned and hashed requirements of dependency groups, from the lock file."""
    chosen = [word for group in groups for word in ("--group" if with_project else "--only-group", group)]
    base = ["--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header", "--no-annotate"]
    return run(["uv", "export", *base, "--project", REPOSITORY, *chosen])


def install_packages(pinned: str, target: Path) -> None:
    """Install pinned requirements as binary packages for the Python of the base image.

    Raises:
        LocalError: The package index cannot be reached, or a package has no binary for this platform.
    """
    machine = platform.machine()
    fit = ["--python-version", PYTHON_VERSION, "--python-platform", f"{machine}-manylinux_2_36"]
    options = ["--quiet", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"]
    run(["uv", "pip", "install", *options, *fit, "--target", target, "--requirement", "-"], stdin=pinned, timeout_s=900)


def fetch_java(artifact: str, target: Path) -> None:
    """Fetch `group:name:version:type` from Maven's central repository into the folder `target`.

    Raises:
        LocalError: It cannot be reached.
    """
    if shutil.which("mvn") is None:
        raise LocalError("mvn is not installed; run as root so that we can, or install the package maven")
    with tempfile.TemporaryDirectory(dir=target.parent) as repository:
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        options = [f"-Dartifact={artifact}", f"-DoutputDirectory={target}", f"-Dmaven.repo.local={repository}"]
        run(["mvn", "--batch-mode", "--quiet", goal, *options], timeout_s=900)


def fix_times(root: Path) -> None:
    """Give every file the time that layers give it."""
    for folder, _, files in os.walk(root):
        for name in files:
            os.utime(Path(folder) / name, (FIXED_TIME, FIXED_TIME), follow_symlinks=False)
