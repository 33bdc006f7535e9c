"""The files of one Iceberg table: which lie in its folder, and which of them its snapshots name.

What a table no longer names is not gone: expiring snapshots with PyIceberg forgets files and leaves them on disk.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from data_trusts import bucket

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


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file as its file system lists it."""

    path: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, kw_only=True)
class Root:
    """Where a table's files lie, in a folder or below a prefix of a bucket; paths are as `files` takes them."""

    files: FileSystem
    path: str

    def within(self, path: str) -> str:
        """A path as it stands below the root."""
        return path.removeprefix(f"{self.path}/")

    def read(self, path: str) -> bytes:
        """The content of a file."""
        with self.files.open_input_file(path) as file:
            content: bytes = file.read()
        return content

    def remove(self, path: str) -> None:
        """Remove a file, unless it is gone already."""
        with suppress(FileNotFoundError):
            self.files.delete_file(path)


def root_of(table: Table) -> Root:
    """Where a table lies.

    Raises:
        FilesError: neither in a folder nor in a bucket.
    """
    return root_at(table.location(), table.io)


def root_at(address: str, io: FileIO) -> Root:
    """What an address of a folder or a prefix means.

    Raises:
        FilesError: it is of neither.
    """
    scheme, netloc, path = PyArrowFileIO.parse_location(address)
    if scheme not in {"file", *bucket.SCHEMES} or not isinstance(io, PyArrowFileIO):
        raise FilesError(f"{address}: only a table in a folder or in S3 can be searched file by file")
    return Root(files=io.fs_by_scheme(scheme, netloc), path=path.rstrip("/"))


def final_root_of(table: Table) -> Root:
    """Where a table lies, if what is removed there is gone.

    Raises:
        FilesError: it is neither in a folder nor in a bucket, or its bucket keeps what is removed.
        BucketError: the store does not say.
    """
    root, (store, _) = root_of(table), _bucket_of(table)
    if store and (kept := store.versioning()):
        raise FilesError(
            f"s3://{store.name}: has versioning {kept}, so it keeps what is removed and no receipt could be given; "
            "move the warehouse into a bucket that never had versioning"
        )
    return root


def forget_uploads(table: Table, before: datetime) -> None:
    """Remove the parts that killed writers left in a bucket, which no list of files shows, if begun before `before`.

    Raises:
        BucketError: the store does not answer, or forbids it.
    """
    store, prefix = _bucket_of(table)
    if store:
        store.abort_uploads(f"{prefix}/", before)


def _bucket_of(table: Table) -> tuple[bucket.Bucket | None, str]:
    scheme, name, path = PyArrowFileIO.parse_location(table.location())
    store = bucket.Bucket.of(name, table.io.properties) if scheme in bucket.SCHEMES else None
    return store, path.removeprefix(f"{name}/").rstrip("/")


def key_of(address: str) -> str:
    """The path that a file's address means: engines take an address as it stands, and decode no percent sign."""
    return PyArrowFileIO.parse_location(address)[2]


def path_of(address: str) -> Path:
    """The path that the address of a file in a folder means."""
    return Path(key_of(address))


def address_of(path: Path) -> str:
    """The address of a path, encoded as little as engines decode it."""
    return f"file://{path}"


def files_of(root: Root) -> list[StoredFile]:
    """Every file below a root, in order."""
    below = root.files.get_file_info(FileSelector(root.path, recursive=True, allow_not_found=True))
    return sorted(_files_in(below), key=lambda each: each.path)


def there(root: Root, paths: Iterable[str]) -> list[StoredFile]:
    """Those of some files that are there, below the root or elsewhere in its file system."""
    return list(_files_in(root.files.get_file_info(sorted(paths))))


def _files_in(found: Iterable[FileInfo]) -> Iterator[StoredFile]:
    for each in found:
        if each.type == FileType.File:
            yield StoredFile(path=each.path, size_bytes=each.size, modified_at=each.mtime)


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


def named_by_current(table: Table) -> set[str]:
    """The files that a table's current snapshot needs."""
    snapshot = table.current_snapshot()
    return {key_of(address) for address in addresses_of([snapshot] if snapshot else [], table.io)}


def named_by_table(table: Table, below: Iterable[StoredFile]) -> set[str]:
    """Every file that the table still needs: those of all its snapshots, its metadata, and its statistics.

    Args:
        table: as it stands.
        below: every file below its root, listed since.

    Raises:
        FilesError: one of them is not there, so nobody may conclude which others are in excess.
    """
    metadata = table.metadata
    earlier = {key_of(entry.metadata_file) for entry in metadata.metadata_log}
    statistics = (each.statistics_path for each in (*metadata.statistics, *metadata.partition_statistics))
    named = addresses_of(table.snapshots(), table.io) | {table.metadata_location, *statistics}
    needed = {key_of(address) for address in named}
    elsewhere = needed - {each.path for each in below}
    if lost := elsewhere - {each.path for each in there(root_of(table), elsewhere)}:
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


def searched(root: Root, holds: Callable[[str, bytes], bool]) -> tuple[tuple[FileLeft, ...], list[str]]:
    """Read every file below a root, once: each as a receipt names it, and which of them `holds` finds to hold."""
    found: list[FileLeft] = []
    holding: list[str] = []
    for file in files_of(root):
        content, name = root.read(file.path), root.within(file.path)
        found.append(FileLeft(path=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()))
        if holds(name, content):
            holding.append(name)
    return tuple(found), holding
