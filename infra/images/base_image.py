"""The base of our images: Debian bookworm with Python and the public certificate authorities, and little else."""

from pathlib import Path

from infra.images import oci, workshop
from infra.local.machine import require_linux_root, run

SUITE = "bookworm"
PACKAGES = "python3,ca-certificates,libstdc++6"  # the last for engines in Python wheels
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
USER_LINE = "commonweal:x:65532:65532::/tmp:/usr/sbin/nologin"  # some programs ask for the name of their user
HOOK = f'echo "{USER_LINE}" >> "$1/etc/passwd"; rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/log/*'


def folder(cache: Path) -> Path:
    """The folder that holds the base as `base.tar`, and unpacked as `root`, made once.

    Raises:
        LocalError: We are not root, or the Debian archive cannot be reached.
    """
    return debian(cache, PACKAGES)


def debian(cache: Path, packages: str) -> Path:
    """A folder that holds Debian's essential packages and `packages` as `base.tar`, and unpacked as `root`, made once.

    Raises:
        LocalError: We are not root, or the Debian archive cannot be reached.
    """
    key = workshop.key_of(SUITE, packages, HOOK, *LEFT_OUT)
    return workshop.make_once(cache / "images" / f"base-{key}", lambda target: _make(target, packages))


def layer(cache: Path) -> oci.Layer:
    """The base as a layer."""
    return oci.read_layer(folder(cache) / "base.tar")


def root(cache: Path) -> Path:
    """The base unpacked; whoever runs something in it works on a linked copy."""
    return folder(cache) / "root"


def _make(target: Path, packages: str) -> None:
    require_linux_root()
    tar = target / "base.tar"
    exclusions = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    options = ["--quiet", "--variant=essential", f"--include={packages}", f"--customize-hook={HOOK}", *exclusions]
    environment = ["env", f"SOURCE_DATE_EPOCH={oci.FIXED_TIME}"]
    run([*environment, "mmdebstrap", *options, SUITE, tar], timeout_s=900)
    (target / "root").mkdir()
    run(["tar", "--extract", "--numeric-owner", f"--file={tar}", f"--directory={target / 'root'}"], timeout_s=300)
