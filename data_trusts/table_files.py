"""The files of one Iceberg table: which lie in its folder, and which of them its snapshots name.

What a table no longer names is not gone: expiring snapshots with PyIceberg forgets files and leaves them on disk.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot


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


def path_of(location: str) -> Path:
    """The path that a file's address means."""
    return Path(unquote(urlsplit(location).path))


def files_of(root: Path) -> list[Path]:
    """Every file below a folder, in order."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def named_by(table: Table, snapshots: Iterable[Snapshot]) -> set[Path]:
    """The files that some snapshots need: manifest lists, manifests, data and delete files that are live in them."""
    named: set[Path] = set()
    for snapshot in snapshots:
        named.add(path_of(snapshot.manifest_list))
        for manifest in snapshot.manifests(table.io):
            if path_of(manifest.manifest_path) not in named:
                named.add(path_of(manifest.manifest_path))
                named |= {path_of(entry.data_file.file_path) for entry in manifest.fetch_manifest_entry(table.io)}
    return named


def named_by_table(table: Table) -> set[Path]:
    """Every file that the table still needs: those of all its snapshots, its metadata, and its statistics."""
    metadata = table.metadata
    earlier = (entry.metadata_file for entry in metadata.metadata_log)
    statistics = (each.statistics_path for each in (*metadata.statistics, *metadata.partition_statistics))
    return named_by(table, table.snapshots()) | {
        path_of(location) for location in (table.metadata_location, *earlier, *statistics)
    }


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
