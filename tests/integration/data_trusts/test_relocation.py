"""Positional deletes name the files that they delete from, so they move with them. Trino's own are in another test."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.metadata import TableMetadata

from data_trusts.relocation import Relocation
from data_trusts.table_files import FilesError, address_of

IO = PyArrowFileIO()
# The field ids that the Iceberg specification reserves for positional deletes.
DELETES = pa.schema(
    [
        pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
    ]
)


class DeletesWriter(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES


def deleted_from(table: Table, folder: Path, deleted: list[tuple[str, int]]) -> TableMetadata:
    """The table's metadata with one more delete file in its snapshot, as an engine that merges on read writes it."""
    snapshot, metadata = table.current_snapshot(), table.metadata
    assert snapshot is not None
    paths, places = zip(*sorted(deleted), strict=True)
    pq.write_table(pa.table({"file_path": paths, "pos": places}, schema=DELETES), folder / "deletes.parquet")
    file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=address_of(folder / "deletes.parquet"),
        file_format=FileFormat.PARQUET,
        partition=next(iter(table.scan().plan_files())).file.partition,
        record_count=len(deleted),
        file_size_in_bytes=(folder / "deletes.parquet").stat().st_size,
    )
    entry = ManifestEntry.from_args(
        status=ManifestEntryStatus.ADDED,
        snapshot_id=snapshot.snapshot_id,
        sequence_number=snapshot.sequence_number,
        file_sequence_number=snapshot.sequence_number,
        data_file=file,
    )
    manifest, listing = (IO.new_output(address_of(folder / f"{name}.avro")) for name in ("manifest", "list"))
    with DeletesWriter(metadata.spec(), metadata.schema(), manifest, snapshot.snapshot_id, "deflate") as writer:
        writer.add_entry(entry)
    sequence = snapshot.sequence_number
    with write_manifest_list(2, listing, snapshot.snapshot_id, None, sequence, "deflate") as written:
        written.add_manifests([*snapshot.manifests(table.io), writer.to_manifest_file()])
    moved = snapshot.model_copy(update={"manifest_list": listing.location})
    return metadata.model_copy(update={"snapshots": [moved]})


@pytest.fixture
def table(tmp_path: Path) -> Table:
    catalog = SqlCatalog("own", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=(tmp_path / "here").as_uri())
    catalog.create_namespace("lab")
    made = catalog.create_table("lab.notes", pa.schema([("number", pa.int64())]))
    made.append(pa.table({"number": [1, 2, 3]}))
    made.append(pa.table({"number": [4, 5, 6]}))
    return made


def moved_to(folder: Path, metadata: TableMetadata) -> StaticTable:
    name = Relocation(metadata=metadata, source=IO, target=folder, uri=address_of(folder)).run()
    return StaticTable.from_metadata(address_of(folder / name))


def numbers(table: Table) -> list[int]:
    found: list[int] = sorted(table.scan().to_arrow()["number"].to_pylist())
    return found


def test_positional_deletes_move_with_their_files_and_those_of_other_files_stay_behind(
    table: Table, tmp_path: Path
) -> None:
    first, second = sorted(task.file.file_path for task in table.scan().plan_files())
    metadata = deleted_from(table, tmp_path, [(first, 1), (second, 0), (second, 2), ("file:///gone.parquet", 5)])
    once = moved_to(tmp_path / "once", metadata)
    assert len(numbers(once)) == 3
    assert once.inspect.delete_files()["record_count"].to_pylist() == [3]
    kept = numbers(once)
    shutil.rmtree(tmp_path / "here")
    twice = moved_to(tmp_path / "twice", once.metadata)
    shutil.rmtree(tmp_path / "once")
    assert numbers(twice) == kept


def test_deletes_of_files_that_are_gone_leave_no_empty_file(table: Table, tmp_path: Path) -> None:
    moved = moved_to(tmp_path / "moved", deleted_from(table, tmp_path, [("file:///gone.parquet", 0)]))
    assert numbers(moved) == [1, 2, 3, 4, 5, 6]
    assert moved.inspect.delete_files().num_rows == 0


def test_a_format_that_is_not_carried_is_refused(table: Table, tmp_path: Path) -> None:
    newer = table.metadata.model_copy(update={"format_version": 3})
    with pytest.raises(FilesError, match="is of format version 3; only 1 and 2 are carried"):
        moved_to(tmp_path / "moved", newer)
    assert not (tmp_path / "moved").exists()
