"""A member leaves with all its rows and none of them differs elsewhere; three engines read the bundle where it lies."""

import json
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from pyiceberg.table import StaticTable, Table

from infra.local.trino import Run, administrator, serving
from loadtests import datasets
from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
COPIES = 5
NAME = (datasets.TRUST, datasets.DATASET)


def measure() -> list[Measurement]:
    """Delete some rows with Trino, export, read the bundle with each engine, import elsewhere, compare every row."""
    with tempfile.TemporaryDirectory() as scratch:
        here, there = Path(scratch) / "here", Path(scratch) / "there"
        for folder in (here, there):
            datasets.member_folder(folder)
        file = datasets.generated(here, "rows.parquet")
        datasets.ingest(here, file)
        with serving(here, here / "data", controlled=False) as server:
            run = administrator(server)
            run("DELETE FROM trade.customs_rows WHERE quantity_in_kg % 7 = 0")  # leaves positional deletes
            out = Path(scratch) / "bundle"
            began = time.monotonic()
            root = _exported(here, out)
            took = time.monotonic() - began
            before = _rows(_table(here))
            readers = _readers(run, root, sum(before.values()))
        datasets.command_succeeds(there, "data_trusts.bundle", "import", str(out), *_certificate(here))
        differing = before - (after := _rows(_table(there)))
        note = f"{sum(before.values())} rows of {pq.read_metadata(file).num_rows} in {took:.1f} s; {', '.join(readers)}"
        return [
            Measurement(
                name="trust-exit", value=len(differing) + len(after - before), unit="differing-rows", bound=0, note=note
            ),
            Measurement(name="trust-exit-engines", value=len(readers), unit="engines", bound=3, at_most=False),
            Measurement(name="trust-exit-tamper", value=_unnoticed(here, out), unit="unnoticed-changes", bound=0),
            # The baseline must show that a copy is not enough, or the rewriting proves nothing.
            Measurement(
                name="trust-exit-copy-alone",
                value=_strays(here),
                unit="files-at-the-old-place",
                bound=1,
                at_most=False,
                note="the table's folder copied as it is",
            ),
        ]


def _exported(folder: Path, out: Path) -> Path:
    done = datasets.command_succeeds(
        folder, "data_trusts.bundle", "export", "--trust", datasets.TRUST, "--out", str(out)
    )
    if json.loads(done)["tables"].keys() != {".".join(NAME)}:
        raise WireError(f"the bundle holds other tables than {'.'.join(NAME)}: {done}")
    return out / "tables" / NAME[0] / NAME[1]


def _table(folder: Path) -> Table:
    return datasets.catalog(folder / "data").load_table(NAME)


def _rows(table: Table) -> Counter[str]:
    return Counter(map(str, table.scan().to_arrow().to_pylist()))


def _readers(run: Run, root: Path, rows: int) -> list[str]:
    """The engines that read every row below the bundle's root; each by its own means, and none by our code."""
    static = StaticTable.from_metadata(f"file://{root}")
    run("CREATE SCHEMA taken")
    run(f"CALL commonweal.system.register_table('taken', '{NAME[1]}', 'file://{root}')")
    counts = {
        "PyIceberg": static.scan().count(),
        "Trino": run(f"SELECT count(*) FROM taken.{NAME[1]}")[0][0],  # noqa: S608 -- names of this bar
        "DuckDB": _duckdb(root),
    }
    return [name for name, count in counts.items() if count == rows]


def _duckdb(root: Path) -> int:
    """DuckDB 2 has no Iceberg extension to be had offline: data files without the rows that delete files name."""
    sql = """
        SELECT count(*) FROM read_parquet($data, filename = true, file_row_number = true) AS held
        WHERE NOT EXISTS (
            SELECT 1 FROM read_parquet($deletes) AS gone
            WHERE gone.file_path = 'file://' || held.filename AND gone.pos = held.file_row_number
        )
    """
    files = sorted((root / "data").glob("*.parquet"))
    deletes = [str(path) for path in files if "file_path" in pq.read_schema(path).names]
    data = [str(path) for path in files if str(path) not in deletes]
    found = duckdb.connect().execute(sql, {"data": data, "deletes": deletes}).fetchone()
    return int(found[0]) if found else 0


def _certificate(folder: Path) -> tuple[str, str]:
    return "--certificate", str(folder / "data" / "tls" / "certificate.pem")


def _unnoticed(folder: Path, bundle: Path) -> int:
    """How many bundles pass in which one byte of one file was changed."""
    files = [path for path in sorted(bundle.rglob("*")) if path.is_file() and path.stat().st_size]
    unnoticed = 0
    for path in files[:: max(1, len(files) // COPIES)]:
        copy = bundle.with_name("changed")
        shutil.copytree(bundle, copy)
        changed = copy / path.relative_to(bundle)
        content = bytearray(changed.read_bytes())
        content[len(content) // 2] ^= 1
        changed.write_bytes(content)
        done = datasets.command(folder, "data_trusts.bundle", "verify", str(copy), *_certificate(folder))
        unnoticed += done.returncode == 0
        shutil.rmtree(copy)
    return unnoticed


def _strays(folder: Path) -> int:
    """Data files that a plain copy of the table's folder still names where they were."""
    table = _table(folder)
    source = Path(table.location().removeprefix("file://"))
    copy = folder / "copy"
    shutil.copytree(source, copy)
    static = StaticTable.from_metadata(f"file://{copy}/metadata/{Path(table.metadata_location).name}")
    named = [task.file.file_path for task in static.scan().plan_files()]
    return sum(not each.startswith(f"file://{copy}/") for each in named)
