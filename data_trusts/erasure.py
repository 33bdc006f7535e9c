"""Makes a value gone from a table's files, and proves it by reading every file that is left.

Deleting rows only writes new files beside the old ones; expiring snapshots with PyIceberg drops them from the metadata
and leaves them on disk. So: rewrite without the rows, expire every other snapshot on every branch and tag, remove each
file that the one remaining snapshot does not name, then search what is left.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table

from data_trusts.table_files import (
    FileLeft,
    FilesError,
    Root,
    drop_history,
    files_of,
    final_root_of,
    forget_uploads,
    key_of,
    named_by_current,
    searched,
)

LEAST_RAW_BYTES = 6  # shorter text turns up in compressed bytes by chance, and is searched for in decoded files only
_AVRO_MAGIC = b"Obj\x01"


class ErasureError(FilesError):
    """The value cannot be erased as asked, or is still there; the message says where and what to do."""


@dataclass(frozen=True, kw_only=True)
class Erased:
    """What was done to one table; paths are relative to its root."""

    erased_rows: int
    kept_rows: int
    snapshot_id: int | None
    removed_files: int
    removed_bytes: int
    files: tuple[FileLeft, ...]


def value_of(text: str, column: str, schema: pa.Schema) -> pa.Scalar:
    """The text as a value of the column's type.

    Raises:
        ErasureError: the table has no such column, or the text is no such value.
    """
    if column not in schema.names:
        raise ErasureError(f"--column {column}: unknown; the table has {', '.join(schema.names)}")
    of_type = schema.field(column).type
    try:
        return pa.scalar(text, pa.string()).cast(of_type)
    except pa.ArrowInvalid as error:
        raise ErasureError(f"--value: it is no {of_type} as {column} holds ({error})") from error


def erase(table: Table, column: str, text: str) -> Erased:
    """Erase every row whose column equals the value, from the table and from every earlier version of it.

    Safe to repeat after a crash at any point: what is left to do is found in the files themselves. A question that runs
    meanwhile may fail, because its files are gone; it is asked again.

    Raises:
        ErasureError: bad input, or a file still holds the value.
        FilesError: the table lies where removed files are kept.
        BucketError: its store does not say.
    """
    root = final_root_of(table)
    rows = table.scan().to_arrow()
    value = value_of(text, column, rows.schema)
    gone = pc.fill_null(pc.equal(rows[column], value), False)
    kept = rows.filter(pc.invert(gone))
    # A row that another engine deleted by its position is in no scan, and still in a file that is live.
    if kept.num_rows < rows.num_rows or any(
        _holds(path, root.read(path), column, text) for path in named_by_current(table)
    ):
        table.overwrite(kept)
    drop_history(table)
    kept_files = {key_of(table.metadata_location), *named_by_current(table)}
    removed = [file for file in files_of(root) if file.path not in kept_files]
    forget_uploads(table, datetime.max.replace(tzinfo=UTC))
    for file in removed:
        root.remove(file.path)
    files, holding = searched(root, lambda path, content: _holds(path, content, column, text))
    if holding:
        raise ErasureError(
            f"{column}: the value is still in {', '.join(holding)}; another writer is at work, run it again"
        )
    snapshot = table.current_snapshot()
    return Erased(
        erased_rows=rows.num_rows - kept.num_rows,
        kept_rows=kept.num_rows,
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        removed_files=len(removed),
        removed_bytes=sum(file.size_bytes for file in removed),
        files=files,
    )


def holders(root: Root, column: str, text: str) -> list[str]:
    """The files below `root` in which the value can still be read, as it stands or by who decodes the file."""
    return [file.path for file in files_of(root) if _holds(file.path, root.read(file.path), column, text)]


def _holds(path: str, content: bytes, column: str, text: str) -> bool:
    wanted = text.encode()
    plain = (content, b"".join(avro_blocks(content)))
    if len(wanted) >= LEAST_RAW_BYTES and any(wanted in part for part in plain):
        return True
    return path.endswith(".parquet") and _parquet_holds(pa.BufferReader(content), column, text)


def _parquet_holds(file: pa.BufferReader, column: str, text: str) -> bool:
    if column not in pq.read_schema(file).names:
        return False
    table = pq.read_table(file, columns=[column], partitioning=None)
    return bool(pc.any(pc.equal(table[column], value_of(text, column, table.schema))).as_py())


def avro_blocks(content: bytes) -> Iterator[bytes]:
    """The blocks of an Avro object container file, inflated; nothing for any other file (Avro 1.11, section 4)."""
    if not content.startswith(_AVRO_MAGIC):
        return
    place, deflated = len(_AVRO_MAGIC), False
    while (count := _long(content, place))[0]:
        place = count[1]
        if count[0] < 0:
            _, place = _long(content, place)
        for _ in range(abs(count[0])):
            key, place = _bytes(content, place)
            held, place = _bytes(content, place)
            deflated = deflated or (key == b"avro.codec" and held == b"deflate")
    place = count[1] + 16  # the mark that ends every block
    while place < len(content):
        _, place = _long(content, place)
        block, place = _bytes(content, place)
        yield zlib.decompress(block, -zlib.MAX_WBITS) if deflated else block
        place += 16


def _long(content: bytes, place: int) -> tuple[int, int]:
    """A zig-zag number of variable length, and the place behind it."""
    shift = number = 0
    while True:
        byte = content[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), place


def _bytes(content: bytes, place: int) -> tuple[bytes, int]:
    length, place = _long(content, place)
    return content[place : place + length], place + length
