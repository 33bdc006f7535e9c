"""Four writers of fifteen commits each lose none of sixty; stock PyIceberg on SQLite, in the same run, loses some."""

import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.exceptions import CommitFailedException
from sqlalchemy.exc import SQLAlchemyError

from loadtests import datasets
from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
WRITERS, COMMITS = 4, 15
TABLE = ("trade", "stock")


def measure() -> list[Measurement]:
    """Sixty files through our ingest, four at a time; then sixty appends by four processes of stock PyIceberg."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        datasets.member_folder(folder)
        source = pq.read_table(datasets.generated(folder, "rows.parquet"))
        files = [_slice(folder, source, number) for number in range(WRITERS * COMMITS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            refused = [why for why in pool.map(lambda file: _ingested(folder, file), files) if why]
        missing = sum(range(1, len(files) + 1)) - _rows(folder / "data", (datasets.TRUST, datasets.DATASET))
        stock = _stock(folder / "stock")
    return [
        Measurement(name="trust-commits", value=len(files) - len(refused), unit="of-60", bound=60, at_most=False),
        Measurement(name="trust-commits-missing", value=missing, unit="rows", bound=0, note="; ".join(refused[:2])),
        Measurement(
            name="trust-commits-stock", value=stock, unit="of-60", bound=60, note="the baseline, for comparison"
        ),
    ]


def _slice(folder: Path, source: pa.Table, number: int) -> Path:
    """Each file has a length of its own, so that none is taken for another."""
    path = folder / f"part-{number:02d}.parquet"
    pq.write_table(source.slice(0, number + 1), path)
    return path


def _ingested(folder: Path, file: Path) -> str | None:
    try:
        datasets.ingest(folder, file)
    except WireError as error:
        return str(error)
    return None


def _rows(folder: Path, table: tuple[str, str]) -> int:
    return int(datasets.catalog(folder).load_table(table).scan().to_arrow().num_rows)


def _stock(folder: Path) -> int:
    folder.mkdir()
    catalog = datasets.catalog(folder)
    catalog.create_namespace(TABLE[0])
    catalog.create_table(TABLE, schema=pa.schema([("number", pa.int64())]))
    with ProcessPoolExecutor(WRITERS) as pool:
        return sum(pool.map(_appended, [folder] * WRITERS))


def _appended(folder: Path) -> int:
    landed = 0
    for number in range(COMMITS):
        try:
            datasets.catalog(folder).load_table(TABLE).append(pa.table({"number": [number]}))
        except (CommitFailedException, SQLAlchemyError):
            continue
        landed += 1
    return landed
