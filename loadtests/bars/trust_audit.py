"""5,000 durable audit entries a second; 500 kills lose and leak nothing; a witness finds every change of history."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from commonweal.checkpoints import Verifier, read_vkey
from data_trusts.audit import ORIGIN, AuditLog
from data_trusts.tlog import reader
from data_trusts.witness import Witness, WitnessError, check_entries, look
from loadtests.bars import Measurement
from loadtests.kill_drill import Order, killed

NEEDS_DEMO = False
THREADS, EACH, PEER = 64, 400, 1_000
KILLS, KILLS_OF_PEER = 500, 50
EVENT: dict[str, str | int] = {
    "kind": "answered",
    "request": "0" * 32,
    "rows": 17,
    "result_sha256": "0" * 64,
    "statement": "SELECT partner, SUM(quantity_in_kg) FROM customs_rows GROUP BY partner HAVING COUNT(*) >= 3",
}
Lines = list[bytes]


def measure() -> list[Measurement]:
    """All on the disk that holds the working tree, since a scratch folder may be in memory."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".trust-audit-") as scratch:
        folder = Path(scratch)
        return [*_kills(folder), *_rates(folder), *_histories(folder)]


def _rates(folder: Path) -> list[Measurement]:
    with AuditLog(folder / "rate" / "audit.jsonl", _now()) as log, ThreadPoolExecutor(THREADS) as pool:
        began = time.monotonic()
        for done in [pool.submit(_append, log) for _ in range(THREADS)]:
            done.result()
        rate = THREADS * EACH / (time.monotonic() - began)
    peer = _synced_one_by_one(folder / "peer")
    return [
        Measurement(
            name="trust-audit",
            value=rate,
            unit="durable-entries/s",
            bound=5_000,
            at_most=False,
            note=f"{THREADS} threads; one sync an entry: {peer:.0f}/s",
        )
    ]


def _append(log: AuditLog) -> None:
    for _ in range(EACH):
        log.append(_now(), EVENT)


def _synced_one_by_one(path: Path) -> float:
    """What a log does that syncs each entry by itself."""
    raw = json.dumps(EVENT).encode() + b"\n"
    with path.open("wb", buffering=0) as file:
        began = time.monotonic()
        for _ in range(PEER):
            file.write(raw)
            os.fdatasync(file.fileno())
    return PEER / (time.monotonic() - began)


def _kills(folder: Path) -> list[Measurement]:
    ours, peer = folder / "ours", folder / "rows-first"
    seen = killed(ours, KILLS)
    leaked_by_peer = _without_entry(
        peer, [each["sha256"] for each in killed(peer, KILLS_OF_PEER, Order.ROWS_FIRST).answers]
    )
    AuditLog(ours / "audit.jsonl", _now()).close()
    entries = check_entries(_key(ours), reader(str(ours))).size
    where = f"{seen.before_entry} before the entry, {seen.after_entry} after it, {seen.after_rows} after the rows"
    return [
        Measurement(
            name="trust-audit-leaked",
            value=_without_entry(ours, [each["sha256"] for each in seen.answers]),
            unit="answers-without-entry",
            bound=0,
            note=f"{KILLS} kills: {where}; {len(seen.answers)} answers, {entries} entries, each as signed",
        ),
        Measurement(
            name="trust-audit-kills-in-the-gap",
            value=seen.before_entry,
            unit="kills-between-result-and-entry",
            bound=KILLS // 20,
            at_most=False,
            note="else the drill proves nothing",
        ),
        Measurement(
            name="trust-audit-leaked-rows-first",
            value=leaked_by_peer,
            unit="answers-without-entry",
            bound=1,
            at_most=False,
            note=f"{KILLS_OF_PEER} kills of a gateway that answers before it records, for comparison",
        ),
    ]


def _without_entry(folder: Path, hashes: list[str]) -> int:
    """How many answers came out of which the log knows nothing."""
    entries = [json.loads(line) for line in (folder / "audit.jsonl").read_bytes().splitlines()]
    known = {entry.get("result_sha256") for entry in entries}
    return sum(each not in known for each in hashes)


def _histories(folder: Path) -> list[Measurement]:
    """Every change is made by who holds the log's key and signs the changed log anew: the worst case."""
    honest = folder / "honest"
    _grow(honest, 1_000)
    found = {name: _found(folder / name, honest, change) for name, change in CHANGES.items()}
    missed = [name for name, is_found in found.items() if not is_found]
    wrongly = _found(folder / "as-it-was", honest, lambda lines: lines)
    return [
        Measurement(
            name="trust-audit-found",
            value=len(found) - len(missed),
            unit="of-5-changes",
            bound=5,
            at_most=False,
            note="; ".join([*(f"missed: {name}" for name in missed), ", ".join(found)]),
        ),
        Measurement(name="trust-audit-accused", value=int(wrongly), unit="honest-logs-refused", bound=0),
    ]


CHANGES: dict[str, Callable[[Lines], Lines]] = {
    "flip": lambda lines: [*lines[:500], lines[500].replace(b'"rows":17', b'"rows":16'), *lines[501:]],
    "drop": lambda lines: lines[:500] + lines[501:],
    "reorder": lambda lines: [*lines[:500], lines[501], lines[500], *lines[502:]],
    "truncate": lambda lines: lines[:-1],
    "fork": lambda lines: [*lines[:900], *(line.replace(b'"answered"', b'"refused"') for line in lines[900:])],
}


def _found(folder: Path, honest: Path, change: Callable[[Lines], Lines]) -> bool:
    shutil.copytree(honest, folder)
    witness = Witness(folder / "witness", "ke.example/witness")
    witness.add((folder / "vkey").read_text())
    look(witness, ORIGIN, reader(str(folder)), _now())
    lines = change((folder / "audit.jsonl").read_bytes().splitlines())
    shutil.rmtree(folder / "tile")
    (folder / "checkpoint").unlink()
    (folder / "audit.jsonl").write_bytes(b"".join(_placed(line, place) for place, line in enumerate(lines)))
    _grow(folder, 5)  # so that the length tells nothing
    try:
        look(witness, ORIGIN, reader(str(folder)), _now())
    except WitnessError:
        return True
    return False


def _placed(line: bytes, place: int) -> bytes:
    """An entry renumbered, as a careful forger would."""
    renumbered = {**json.loads(line), "position": place}
    return json.dumps(renumbered, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _grow(folder: Path, count: int) -> None:
    with AuditLog(folder / "audit.jsonl", _now()) as log:
        for _ in range(count):
            log.append(_now(), EVENT)


def _key(folder: Path) -> Verifier:
    return read_vkey((folder / "vkey").read_text())


def _now() -> datetime:
    return datetime.now(UTC)
