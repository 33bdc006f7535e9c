"""Removes rows whose retention has passed from a table's files, and proves it by reading every file that is left.

First the rows leave the table (`end_rows`); then, when no question can still read the old files, these are removed
(`remove`). Which rows have ended is decided in commonweal/retention.py.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import ParquetFileFormat, ParquetFileFragment
from pyiceberg.manifest import FileFormat
from pyiceberg.table import Table

from data_trusts.table_files import (
    FileLeft,
    FilesError,
    Root,
    StoredFile,
    drop_history,
    files_of,
    final_root_of,
    forget_uploads,
    named_by_current,
    named_by_table,
    root_of,
    searched,
    there,
)

ORPHAN_AGE = timedelta(hours=1)  # a file that is in no snapshot and younger may belong to a commit under way


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Rows that have left a table, and files that may still hold them."""

    rows: int
    files: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What was done to one table; paths are relative to its root. `undated_rows` have no date, and are kept unseen."""

    ended_rows: int
    kept_rows: int
    undated_rows: int
    snapshot_id: int | None
    removed_files: int
    removed_bytes: int
    files: tuple[FileLeft, ...]


def ended_files(table: Table, column: str, first: date | datetime) -> list[StoredFile]:
    """The data files below a table's root that hold a row from before `first`, whether or not a snapshot names them."""
    root = root_of(table)
    return [file for file in files_of(root) if _holds_at(root, file.path, column, first)]


def end_rows(table: Table, column: str, first: date | datetime) -> Ending:
    """Take the rows from before `first` out of the table and of its history; the files stay for the moment.

    Raises:
        FilesError: the table lies where removed files are kept, or has data files that cannot be searched.
        BucketError: its store does not say.
    """
    root = final_root_of(table)
    _forbid_other_formats(table)
    needed = named_by_table(table, files_of(root))
    ended = f"\"{column}\" < '{first.isoformat()}'"
    rows = table.scan(row_filter=ended).count()
    if rows:
        table.delete(ended)
    # A row that another engine deleted by its position is in no scan, and still in a file that is live.
    hidden = any(_holds_at(root, path, column, first) for path in named_by_current(table))
    if hidden:
        table.overwrite(table.scan().to_arrow())
    if rows or hidden:
        # Manifests that tell of removed files, with their bounds, are left behind by the next snapshot.
        with table.transaction() as transaction, transaction.update_snapshot().fast_append():
            pass
        needed |= named_by_table(table, files_of(root))
    drop_history(table)
    return Ending(rows=rows, files=frozenset(needed))


def remove(table: Table, column: str, first: date | datetime, ending: Ending, now: datetime) -> Ended:
    """Remove the files that the table needed before `ending` and no longer needs, and search what is left.

    What a killed run left behind is removed as well, once it is older than `ORPHAN_AGE`.

    Raises:
        FilesError: a file still holds an ended row.
    """
    root = final_root_of(table)
    forget_uploads(table, now - ORPHAN_AGE)
    below = files_of(root)
    needed = named_by_table(table, below)
    old = {file.path for file in below if now - file.modified_at > ORPHAN_AGE} - needed
    orphans = {path for path in old if _holds_at(root, path, column, first)}
    doomed = there(root, (ending.files - needed) | orphans)
    for file in doomed:
        root.remove(file.path)
    of = ParquetFileFormat().make_fragment
    files, holding = searched(root, lambda path, content: _holds(path, of(pa.BufferReader(content)), column, first))
    if holding:
        raise FilesError(
            f"{column}: rows from before {first.isoformat()} are still in {', '.join(holding)}; another writer is at "
            "work, run it again in an hour"
        )
    current = table.current_snapshot()
    return Ended(
        ended_rows=ending.rows,
        kept_rows=table.scan().count(),
        undated_rows=table.scan(row_filter=f'"{column}" IS NULL').count(),
        snapshot_id=current.snapshot_id if current else None,
        removed_files=len(doomed),
        removed_bytes=sum(file.size_bytes for file in doomed),
        files=files,
    )


def _forbid_other_formats(table: Table) -> None:
    for task in table.scan().plan_files():
        if task.file.file_format != FileFormat.PARQUET:
            raise FilesError(
                f"{task.file.file_path}: is {task.file.file_format.value}, and only Parquet can be "
                "searched; set write.format.default to parquet and rewrite the table"
            )


def _holds_at(root: Root, path: str, column: str, first: date | datetime) -> bool:
    return _holds(path, ParquetFileFormat().make_fragment(path, root.files), column, first)


def _holds(path: str, rows: ParquetFileFragment, column: str, first: date | datetime) -> bool:
    """Row groups whose statistics say that all is younger are not read."""
    if not path.endswith(".parquet") or column not in rows.physical_schema.names:
        return False
    return bool(rows.count_rows(filter=pc.field(column) < first))
