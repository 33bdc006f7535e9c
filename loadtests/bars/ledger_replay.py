"""Ten million postings become equity in a minute, one more period in a second, and both ways give the same bytes."""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
MEMBERS = ("ca", "ch", "ke", "kr", "uy")
DEVICES = 125  # of each member; each is two postings an hour: seconds and millijoules
HOURS = 8000  # x 5 members x 125 devices x 2 = 10,000,000 postings
RUNS = 5  # of what takes about a second; the least of them is what the machine's other work disturbed least
REPLAYED = 10_000  # postings that a later statement has again; none may count
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
KEPT_PPB = 999_037_758  # floor(10^9 x 2^(-1 / 720)): the charter's half-life is 720 hours
EQUITY = {
    "weights": {"computeBp": 10_000, "energyBp": 0, "talentBp": 0},
    "basicShareBp": 1000,
    "capBp": 10_000,
    "beyondPledgeBp": 5000,
    "energyCapMilliwatts": 700_000,
    "decayHalfLifePeriods": 720,
}
POSTINGS = f"""
    SELECT 'pool' AS debit, 'member/' || member || '/delivered' AS credit,
        CASE WHEN i % 2 = 0 THEN 'gpu_seconds' ELSE 'energy_mj' END AS unit,
        CASE WHEN i % 2 = 0 THEN 3600 - hash(i) % 600 ELSE 1_000_000_000 + hash(i) % 999_999_937 END::BIGINT AS amount,
        ({int(FIRST.timestamp())} + 3600 * (i // {2 * DEVICES * len(MEMBERS)}))::BIGINT AS period_start_unix_s,
        unhex(sha256((i // 2)::VARCHAR)) AS evidence_sha256,
        name AS statement
    FROM (SELECT i, {list(MEMBERS)!r}[1 + (i // 2) % {len(MEMBERS)}] AS member FROM range({{first}}, {{last}}) rows(i))
    JOIN names ON names.hour = {{hour}}
"""  # noqa: S608 - only our own constants


def measure() -> list[Measurement]:
    """Replay everything at once, then the last hour onto the hours before it; compare what both wrote."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        hours = _histories(folder)
        _write(folder / "charter.json", {"kind": "Consortium", "metadata": {"name": "charter"}, "spec": _charter()})
        statements = list(_statements(hours))
        _write(folder / "all.json", {"items": statements})
        _write(folder / "past.json", {"items": statements[:-1]})
        _write(folder / "last.json", {"items": statements[-1:]})
        busy_s = _busy_s()
        whole_s, whole = _replayed(folder, "all", ("past", "last"))
        busy_s = _busy_s() - busy_s
        _replayed(folder, "past", ("past",))
        since = ("--since", f"{folder}/past.position")
        starts_s = [_timed("--help") for _ in range(RUNS)]
        later = [_replayed(folder, "last", ("past", "last"), *since) for _ in range(RUNS)]
        start_s, step_s = min(starts_s), min(seconds for seconds, _ in later)
        different = sum(record != whole for _, record in later)
        counted = json.loads(whole)["postings"]
    total = 2 * DEVICES * len(MEMBERS) * HOURS
    note = (
        f"{total} postings, {REPLAYED} replays, {HOURS} statements, all as published; {busy_s:.0f} s of processor time"
    )
    started = f"least of {RUNS}, wall {step_s:.2f} s less {start_s:.2f} s that --help takes"
    return [
        Measurement(name="ledger-replay-scratch", value=whole_s, unit="s", bound=60, note=note),
        Measurement(name="ledger-replay-increment", value=step_s - start_s, unit="s", bound=1, note=started),
        Measurement(name="ledger-replay-bytes", value=different, unit="different", bound=0),
        Measurement(name="ledger-replay-repeats", value=abs(counted - total), unit="miscounted", bound=0),
    ]


def _histories(folder: Path) -> dict[str, dict[str, list[int]]]:
    """Write all hours but the last, and the last; return by statement and member the seconds and the millijoules."""
    an_hour, sums = 2 * DEVICES * len(MEMBERS), dict[str, dict[str, list[int]]]()
    with duckdb.connect() as engine:
        engine.execute("CREATE TABLE names (hour BIGINT, name VARCHAR)")
        engine.executemany("INSERT INTO names VALUES (?, ?)", [[hour, _name(hour)] for hour in range(HOURS)])
        for file, first, last in (("past", 0, HOURS - 1), ("last", HOURS - 1, HOURS)):
            fresh = POSTINGS.format(first=first * an_hour, last=last * an_hour, hour=f"i // {an_hour}")
            again = POSTINGS.format(first=0, last=REPLAYED // 2, hour=last - 1)
            rows = f"SELECT * FROM ({fresh} UNION ALL {again}) ORDER BY statement"  # noqa: S608
            engine.execute(f"COPY ({rows}) TO '{folder}/{file}.parquet' (ROW_GROUP_SIZE 100_000, COMPRESSION zstd)")
            query = f"SELECT statement, split_part(credit, '/', 2), unit, sum(amount) FROM ({fresh}) GROUP BY 1, 2, 3"  # noqa: S608
            for statement, member, unit, amount in engine.execute(query).fetchall():
                pair = sums.setdefault(statement, {}).setdefault(member, [0, 0])
                pair[unit == "energy_mj"] = int(amount)
    return dict(sorted(sums.items()))


def _statements(hours: dict[str, dict[str, list[int]]]) -> Iterator[dict[str, Any]]:
    """What a hub would have published, computed here from the charter's few terms by other code than the hub's."""
    stock, previous = dict.fromkeys(MEMBERS, 0), None
    formula = hashlib.sha256(json.dumps(EQUITY, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    for hour, (name, sums) in enumerate(hours.items()):
        credit = {member: sums[member][0] for member in MEMBERS}
        stock = {member: stock[member] * KEPT_PPB // 10**9 + credit[member] for member in MEMBERS}
        share_bp = _shares_bp(stock)
        spec = {
            "periodStart": f"{FIRST + timedelta(hours=hour):%FT%TZ}",
            "periodEnd": f"{FIRST + timedelta(hours=hour + 1):%FT%TZ}",
            "charterSha256": formula,
            "simulated": True,
            "log": {"treeSize": 0, "rootSha256": "0" * 64},
            "entries": [_entry(member, sums[member], stock[member], share_bp[member]) for member in MEMBERS],
        }
        yield {
            "kind": "EquityStatement",
            "metadata": {"name": name},
            "spec": spec | ({"previous": previous} if previous else {}),
        }
        previous = name


def _shares_bp(stock: dict[str, int]) -> dict[str, int]:
    exact = {m: Fraction(1000, len(MEMBERS)) + Fraction(9000 * stock[m], sum(stock.values())) for m in MEMBERS}
    share_bp = {member: int(share) for member, share in exact.items()}
    by_remainder = sorted(MEMBERS, key=lambda member: (share_bp[member] - exact[member], member))
    for member in by_remainder[: 10_000 - sum(share_bp.values())]:
        share_bp[member] += 1
    return share_bp


def _entry(member: str, sums: list[int], stock: int, share_bp: int) -> dict[str, Any]:
    gpu_seconds, energy_mj = sums
    zeros = ("usedGpuSeconds", "selfUsedGpuSeconds", "usedCoreSeconds", "greenEnergyMj", "talentSeconds")
    return dict.fromkeys(zeros, 0) | {
        "member": member,
        "pledgedGpuSeconds": DEVICES * 3600,
        "deliveredGpuSeconds": gpu_seconds,
        "energyMj": energy_mj,
        "credit": {"compute": gpu_seconds, "energy": 0, "talent": 0},
        "stock": {"compute": stock, "energy": 0, "talent": 0},
        "equityBp": share_bp,
    }


def _charter() -> dict[str, Any]:
    promise = {"name": "public", "availabilityBp": 9900, "latencyP95Ms": 500, "errorShareBp": 100}
    return {"title": "Replay", "equity": EQUITY, "serviceClasses": [promise]}


def _name(hour: int) -> str:
    return f"statement-{FIRST + timedelta(hours=hour):%Y%m%d-%H%M%S}"


def _write(path: Path, body: dict[str, Any]) -> None:
    path.write_text(json.dumps(body), "utf-8")


def _replayed(folder: Path, name: str, files: tuple[str, ...], *more: str) -> tuple[float, bytes]:
    chosen = [word for file in files for word in ("--postings", f"{folder}/{file}.parquet")]
    told = ["--statements", f"{folder}/{name}.json", "--charter", f"{folder}/charter.json"]
    seconds = _timed(*chosen, *told, *more, "--out", f"{folder}/{name}.position")
    return seconds, (folder / f"{name}.position").read_bytes()


def _busy_s() -> float:
    """Processor time of all commands run so far: on a busy machine it says what a free one would take."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _timed(*arguments: str) -> float:
    command = [sys.executable, "-m", "operators.cli", "equity", "recompute", *arguments]
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.monotonic() - started
