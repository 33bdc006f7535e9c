"""Five million customs rows become totals with intervals in 5 s and 2 GiB, and one consignment is quoted in 5 ms."""

import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from loadtests.bars import Measurement
from loadtests.trade.customs_file import write
from loadtests.wire import WireError

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
ROWS = 5_000_000
RUNS = 3  # what else a machine does only adds
# One consignment from its JSON to the API's JSON with its bill, without the network.
SETUP = """
from apps.trade.assessment import Book, Consignment, assess
from apps.trade.bill import bill_of
from apps.trade.rule_packs import all_packs, benchmarks_of, defaults_of, prices_of
from apps.trade.views import assessment_view
asked = b'{"cn_code": "72081000", "country": "KR", "net_mass_kg": "25000", "import_year": 2026, "import_quarter": 1}'
book = Book(all_packs(), defaults_of, ())
def quote():
    assessment = assess(Consignment.model_validate_json(asked), book)
    bill = bill_of(assessment, book, benchmarks_of, prices_of)
    return assessment_view(assessment, members=(), grant="", age_s=0, bill=bill).model_dump_json()
"""
UNITS_MS = {"nsec": 1e-6, "usec": 1e-3, "msec": 1.0, "sec": 1e3}


def measure() -> list[Measurement]:
    """Time and memory of the batch command beside one bare query of the same file, and the time of one quote."""
    with tempfile.TemporaryDirectory() as name:
        rows, out = Path(name) / "rows.parquet", Path(name) / "totals.parquet"
        write(rows, ROWS)
        runs = [_run(rows, out) for _ in range(RUNS)]
        totals = pq.read_table(out)
        bare_s, cells, mass_kg = _bare(rows)
    found_kg = 1000 * sum(totals.column("mass_t").to_pylist())
    walls = sorted(run.wall_s for run in runs)
    note = (
        f"fastest of {RUNS}, slowest {walls[-1]:.2f} s; {totals.num_rows} totals; "
        f"one bare query that groups and says nothing of emissions: {bare_s:.2f} s"
    )
    return [
        Measurement(name="trade-speed", value=walls[0], unit="s", bound=5.0, note=note),
        Measurement(
            name="trade-speed-cpu",
            value=max(run.cpu_s for run in runs),
            unit="cpu-s",
            bound=5.0,
            note="both cores added",
        ),
        Measurement(name="trade-speed-memory", value=max(run.peak_mib for run in runs), unit="MiB", bound=2048.0),
        Measurement(
            name="trade-speed-lost",
            value=abs(cells - totals.num_rows) + float(abs(mass_kg - found_kg)),
            unit="totals-and-kg",
            bound=0,
            note="against the bare query",
        ),
        Measurement(name="trade-speed-quote", value=_quote_ms(), unit="ms", bound=5.0),
    ]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the command, Python's own start included."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def _run(rows: Path, out: Path) -> Run:
    command = [sys.executable, "-m", "apps.trade", "batch", "--in", str(rows), "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started
    if done.returncode:
        raise WireError(f"batch: {done.stderr.strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(
        wall_s=wall_s,
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        peak_mib=after.ru_maxrss / 1024,
    )


def _bare(rows: Path) -> tuple[float, int, int]:
    started = time.perf_counter()
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET enable_progress_bar = false")
        held = connection.execute(
            f"SELECT product_nc, partner, sum(quantity_in_kg) FROM '{rows}' GROUP BY ALL"  # noqa: S608 - our own name
        ).fetchall()
    return time.perf_counter() - started, len(held), sum(int(mass_kg) for _, _, mass_kg in held)


def _quote_ms() -> float:
    command = [sys.executable, "-m", "timeit", "-n", "200", "-r", "5", "-s", SETUP, "quote()"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    found = re.search(r"([0-9.]+) ([nmu]?sec) per loop", said)
    if found is None:
        raise WireError(f"timeit: {said.strip()}")
    return float(found[1]) * UNITS_MS[found[2]]
