"""An erased value is in no byte under the table's root; PyIceberg alone, in the same run, leaves it there."""

import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from loadtests import datasets
from loadtests.bars import Measurement

NEEDS_DEMO = False
COLUMN = "consignment_id"


def measure() -> list[Measurement]:
    """Erase one consignment from two copies of the same rows: one by PyIceberg alone, one by our command."""
    with tempfile.TemporaryDirectory() as scratch:
        peer, ours = Path(scratch) / "peer", Path(scratch) / "ours"
        for folder in (peer, ours):
            datasets.member_folder(folder)
        file = datasets.generated(ours, "rows.parquet")
        value = str(pq.read_table(file, columns=[COLUMN])[COLUMN][0].as_py())
        for folder in (peer, ours):
            datasets.ingest(folder, file)
        rows = pq.read_metadata(file).num_rows
        _by_pyiceberg_alone(peer, value)
        receipt = datasets.erase(ours, COLUMN, value)["receipt"]
        left = Measurement(
            name="trust-erasure",
            value=len(_holding(ours, value)),
            unit="files-with-the-value",
            bound=0,
            note=f"{receipt['removedFiles']} files removed, {len(receipt['files'])} searched",
        )
        kept = receipt["keptRows"] + receipt["erasedRows"] - rows
        by_peer = _holding(peer, value)
    return [
        left,
        Measurement(name="trust-erasure-lost", value=abs(kept), unit="other-rows", bound=0),
        # The baseline must show what it is there to show, or the search itself proves nothing.
        Measurement(
            name="trust-erasure-pyiceberg-alone",
            value=len(by_peer),
            unit="files-with-the-value",
            bound=1,
            at_most=False,
            note="deleted, every other snapshot expired",
        ),
    ]


def _by_pyiceberg_alone(folder: Path, value: str) -> None:
    table = datasets.catalog(folder / "data").load_table((datasets.TRUST, datasets.DATASET))
    table.delete(f"{COLUMN} == '{value}'")
    current = table.current_snapshot()
    old = [each.snapshot_id for each in table.snapshots() if current and each.snapshot_id != current.snapshot_id]
    table.maintenance.expire_snapshots().by_ids(old).commit()


def _holding(folder: Path, value: str) -> list[Path]:
    """A search of its own: the bytes as they lie, and every text column of every Parquet file."""
    files = [path for path in (folder / "data" / "warehouse").rglob("*") if path.is_file()]
    return [path for path in files if value.encode() in path.read_bytes() or _decoded(path, value)]


def _decoded(path: Path, value: str) -> bool:
    return path.suffix == ".parquet" and value in pq.read_table(path, columns=[COLUMN])[COLUMN].to_pylist()
