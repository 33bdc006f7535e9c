"""Takes the local consortium down, whatever state it is in, and leaves the machine as it was.

What is ours is recognised by where it is: processes by our marker or by our control groups, mounts by lying below our
folders, links by our prefix. No process is ever ended by its name.
"""

import contextlib
import shutil
from pathlib import Path

from infra.local import cgroups, network, sysctls
from infra.local.machine import LocalError, Places, run
from infra.local.node import FIXED_FOLDERS
from infra.local.supervisor import Supervisor

CLAIM = ".commonweal"


def claim(places: Places) -> None:
    """Mark the folders as ours, so that `down` may remove them later.

    Raises:
        LocalError: The state folder holds something else, or another consortium runs on this machine.
    """
    mark = places.state / CLAIM
    if places.state.exists() and not mark.exists() and any(places.state.iterdir()):
        raise LocalError(f"{places.state} holds files that are not ours; point COMMONWEAL_STATE at an empty folder")
    owner = places.run / CLAIM
    if owner.exists() and owner.read_text() != str(places.state):
        raise LocalError(f"a consortium with its state in {owner.read_text()} is up; take that down first")
    places.run.mkdir(parents=True, exist_ok=True)
    places.state.mkdir(parents=True, exist_ok=True)
    owner.write_text(str(places.state))
    mark.write_text("made by commonweal, removed by `python -m infra.local down`\n")
    for folder in FIXED_FOLDERS:
        if not folder.exists():
            _made(places, folder).touch()


def down(places: Places) -> None:
    """End every process of ours, then remove mounts, groups, links and files, and put the settings back.

    Each part stands alone, so that one left half-done by a crash does not keep the others from going.

    Raises:
        LocalError: Something stays, with its name.
    """
    # The state goes too, so nobody needs time to write: no grace.
    Supervisor(places.run).stop_everything(grace_s=0)
    cgroups.remove()
    network.remove_links()
    _unmount_below(places.state)
    _unmount_below(places.run)
    sysctls.restore(places.state / "sysctls.json")
    for folder in FIXED_FOLDERS:
        if _made(places, folder).exists():
            with contextlib.suppress(OSError):  # not there, or not empty: somebody else began to use it
                folder.rmdir()
    for folder in (places.state, places.run):
        if (folder / CLAIM).exists():
            _remove(folder)


def _made(places: Places, folder: Path) -> Path:
    """The mark that a folder outside of ours was not there before."""
    return places.state / f"made-{folder.name}"


def mounts_below(folder: Path, mounts: str) -> list[Path]:
    """Mount points at or below `folder`, deepest first, from the text of /proc/mounts."""
    points = [Path(line.split()[1].encode().decode("unicode_escape")) for line in mounts.splitlines()]
    ours = [point for point in points if point == folder or folder in point.parents]
    return sorted(ours, key=lambda point: -len(point.parts))


def _unmount_below(folder: Path) -> None:
    for point in mounts_below(folder, Path("/proc/mounts").read_text()):
        run(["umount", "--lazy", point])


def _remove(folder: Path) -> None:
    """Remove a folder of ours, its claim last, so that an interrupted removal can be repeated."""
    for path in folder.iterdir():
        if path.name != CLAIM:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (folder / CLAIM).unlink()
    folder.rmdir()
