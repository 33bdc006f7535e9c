"""The files of one Iceberg table: which lie in its folder, and which of them its snapshots name.

What a table no longer names is not gone: expiring snapshots with PyIceberg forgets files and leaves them on disk.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

# Properties of a table that name a place of their own for some of its files.
PLACES = ("write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path")


class FilesError(Exception):
    """The files of a table are not as they must be; the message says where and what to do."""


@dataclass(frozen=True, kw_only=True)
class FileLeft:
    """A file that is left after rows were destroyed, as it was searched."""

    path: str
    size_bytes: int
    sha256: str


def root_of(table: Table) -> Path:
    """The folder of a table.

    Raises:
        FilesError: the table does not lie in a folder.
    """
    if urlsplit(table.location()).scheme not in {"", "file"}:
        raise FilesError(f"{table.location()}: only a table in a folder can be searched file by file")
    return path_of(table.location())


def path_of(address: str) -> Path:
    """The path that a file's address means: engines take an address as it stands, and decode no percent sign."""
    return Path(PyArrowFileIO.parse_location(address)[2])


def address_of(path: Path) -> str:
    """The address of a path, encoded as little as engines decode it."""
    return f"file://{path}"


def files_of(root: Path) -> list[Path]:
    """Every file below a folder, in order."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def addresses_of(snapshots: Iterable[Snapshot], io: FileIO) -> set[str]:
    """What some snapshots need: manifest lists, manifests, and the data and delete files that are live in them."""
    named: set[str] = set()
    for snapshot in snapshots:
        named.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(io):
            if manifest.manifest_path not in named:
                named.add(manifest.manifest_path)
                named |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(io)}
    return named


def named_by(table: Table, snapshots: Iterable[Snapshot]) -> set[Path]:
    """The files that some snapshots of a table need."""
    return {path_of(address) for address in addresses_of(snapshots, table.io)}


def named_by_table(table: Table) -> set[Path]:
    """Every file that the table still needs: those of all its snapshots, its metadata, and its statistics.

    Raises:
        FilesError: one of them is not there, so nobody may conclude which others are in excess.
    """
    metadata = table.metadata
    earlier = {path_of(entry.metadata_file) for entry in metadata.metadata_log}
    statistics = (each.statistics_path for each in (*metadata.statistics, *metadata.partition_statistics))
    needed = named_by(table, table.snapshots()) | {path_of(each) for each in (table.metadata_location, *statistics)}
    if lost := [path for path in needed if not path.exists()]:
        raise FilesError(f"{min(lost)}: the table names it and it is gone; restore it from the backup")
    return needed | earlier


def drop_history(table: Table) -> None:
    """Drop every branch, tag and snapshot but the current one."""
    with table.manage_snapshots() as manage:
        for name, reference in table.metadata.refs.items():
            if name != "main":
                drop = manage.remove_tag if reference.snapshot_ref_type == "tag" else manage.remove_branch
                drop(name)
    current = table.current_snapshot()
    old = [each.snapshot_id for each in table.snapshots() if current is None or each.snapshot_id != current.snapshot_id]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()


def left(path: Path, root: Path) -> FileLeft:
    """A file as a receipt names it."""
    content = path.read_bytes()
    return FileLeft(
        path=str(path.relative_to(root)), size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
