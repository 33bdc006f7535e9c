"""Writes a table's current state to another root: every file below it, every path in it.

Iceberg names files by whole addresses, so a table that is copied still points to where it was. Data files are copied
byte for byte; manifests, manifest list, metadata and positional deletes, which hold addresses, are written anew. Only
the current snapshot goes along: history, branches, tags and statistics stay behind.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRef
from pyiceberg.table.snapshots import Snapshot, SnapshotLogEntry

from data_trusts.table_files import PLACES, FilesError, address_of, key_of

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")  # what readers of an address may take for something else
_CODEC: Final = "deflate"
_PATH, _RECORDS, _SIZE, _METRICS = 1, 4, 5, (*range(6, 12), 13)  # places in a data_file record


class LocatedIO(PyArrowFileIO):
    """Reads each address where it lies now."""

    def __init__(self, located: Callable[[str], Path]) -> None:
        super().__init__()
        self._located = located

    def new_input(self, location: str) -> PyArrowFile:
        """The file that stands for an address."""
        return super().new_input(address_of(self._located(location)))


class _DeletesWriter(ManifestWriterV2):
    """A manifest of delete files, which the library reads and does not write."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


@dataclass
class Relocation:
    """One table on its way: read through `source`, written below `target`, and naming files below `uri`."""

    metadata: TableMetadata
    source: FileIO
    target: Path
    uri: str
    names: dict[str, str] = field(default_factory=dict)

    def run(self) -> str:
        """Write the table; returns the path of its metadata file below `target`.

        Raises:
            FilesError: the table is of a format that is not carried.
            OSError: a file cannot be read or written.
        """
        if self.metadata.format_version > 2:
            raise FilesError(f"{self.metadata.location}: is of format version 3; only 1 and 2 are carried")
        for folder in ("data", "metadata"):
            (self.target / folder).mkdir(parents=True, exist_ok=True)
        snapshot = self.metadata.current_snapshot()
        moved = self._without_history(self._snapshot(snapshot) if snapshot else None)
        name = f"metadata/00000-{self.metadata.table_uuid}.metadata.json"
        ToOutputFile.table_metadata(moved, PyArrowFileIO().new_output(address_of(self.target / name)))
        return name

    def _without_history(self, snapshot: Snapshot | None) -> TableMetadata:
        head: dict[str, object] = {"snapshots": [], "snapshot_log": [], "refs": {}}
        if snapshot is not None:
            entry = SnapshotLogEntry(snapshot_id=snapshot.snapshot_id, timestamp_ms=snapshot.timestamp_ms)
            main = SnapshotRef.model_validate({"snapshot-id": snapshot.snapshot_id, "type": "branch"})
            head = {"snapshots": [snapshot], "snapshot_log": [entry], "refs": {"main": main}}
        kept = {name: value for name, value in self.metadata.properties.items() if name not in PLACES}
        dropped: dict[str, object] = {"metadata_log": [], "statistics": [], "partition_statistics": []}
        return self.metadata.model_copy(update={"location": self.uri, "properties": kept, **head, **dropped})

    def _snapshot(self, snapshot: Snapshot) -> Snapshot:
        manifests = [(each, each.fetch_manifest_entry(self.source)) for each in snapshot.manifests(self.source)]
        manifests = [(manifest, entries) for manifest, entries in manifests if entries]
        self._name(entry.data_file for _, entries in manifests for entry in entries)
        written = [
            moved
            for place, (manifest, entries) in enumerate(manifests)
            if (moved := self._manifest(snapshot, place, manifest, entries)) is not None
        ]
        name = f"metadata/snap-{snapshot.snapshot_id}.avro"
        output = PyArrowFileIO().new_output(address_of(self.target / name))
        version, sequence = self.metadata.format_version, snapshot.sequence_number
        with write_manifest_list(version, output, snapshot.snapshot_id, None, sequence, _CODEC) as listing:
            listing.add_manifests(written)
        return snapshot.model_copy(update={"manifest_list": f"{self.uri}/{name}", "parent_snapshot_id": None})

    def _name(self, files: Iterator[DataFile]) -> None:
        """New names in the order of the old addresses, since positional deletes are sorted by them."""
        for place, address in enumerate(sorted({each.file_path for each in files})):
            self.names[address] = f"data/{place:05d}-{_UNSAFE.sub('_', key_of(address).rpartition('/')[2])}"

    def _manifest(
        self, snapshot: Snapshot, place: int, manifest: ManifestFile, entries: list[ManifestEntry]
    ) -> ManifestFile | None:
        moved = [entry for entry in entries if self._moved(entry.data_file)]
        if not moved:
            return None
        name = f"metadata/{snapshot.snapshot_id}-m{place}.avro"
        with self._writer(manifest, name, snapshot.snapshot_id) as writer:
            for entry in moved:
                writer.existing(entry)
        written = writer.to_manifest_file()
        written[0] = f"{self.uri}/{name}"
        return written

    def _writer(self, manifest: ManifestFile, name: str, snapshot_id: int) -> ManifestWriter:
        spec = self.metadata.specs()[manifest.partition_spec_id]
        schema, output = self._schema_of(spec), PyArrowFileIO().new_output(address_of(self.target / name))
        if manifest.content == ManifestContent.DELETES:
            return _DeletesWriter(spec, schema, output, snapshot_id, _CODEC)
        return write_manifest(self.metadata.format_version, spec, schema, output, snapshot_id, _CODEC)

    def _schema_of(self, spec: PartitionSpec) -> Schema:
        """The newest schema that still has the columns of a partition spec."""
        wanted = {each.source_id for each in spec.fields}
        newest = [self.metadata.schema(), *reversed(self.metadata.schemas)]
        return next(schema for schema in newest if wanted <= schema.field_ids)

    def _moved(self, file: DataFile) -> bool:
        """Put a file in its new place and its record in order; false where nothing of it is left."""
        source, target = self.source.new_input(file.file_path), self.target / self.names[file.file_path]
        if file.content == DataFileContent.POSITION_DELETES:
            if file.file_format != FileFormat.PARQUET:
                raise FilesError(
                    f"{file.file_path}: is a delete file in {file.file_format.value}; rewrite the table first"
                )
            with source.open() as deletes:
                rows = _redirected(pq.read_table(deletes, partitioning=None), self.uri, self.names)
            if not rows.num_rows:
                return False
            pq.write_table(rows, target)
            for metric in _METRICS:
                file[metric] = None  # the bounds name the old addresses
            file[_RECORDS] = rows.num_rows
        else:
            with source.open(seekable=False) as content, target.open("wb") as copy:
                shutil.copyfileobj(content, copy)
        synced(target)
        file[_PATH], file[_SIZE] = f"{self.uri}/{self.names[file.file_path]}", target.stat().st_size
        return True


def _redirected(deletes: pa.Table, uri: str, names: Mapping[str, str]) -> pa.Table:
    """Positional deletes with new addresses; those of files that are live no longer are left out."""
    addresses = deletes["file_path"].to_pylist()
    known = deletes.filter(pa.array([address in names for address in addresses]))
    moved = [f"{uri}/{names[address]}" for address in addresses if address in names]
    place, of_type = known.schema.get_field_index("file_path"), known.schema.field("file_path")
    redirected = known.set_column(place, of_type, pa.array(moved, of_type.type))
    return redirected.take(pc.sort_indices(redirected, [("file_path", "ascending"), ("pos", "ascending")]))


def synced(path: Path) -> None:
    """Wait until a file is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
