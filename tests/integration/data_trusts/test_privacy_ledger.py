import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commonweal.differencing import Release, row_sets
from commonweal.kinds.federation import Mechanism, NoiseRules
from commonweal.privacy import BudgetError, Charge, LossUnit, PrivacyError
from data_trusts.privacy_ledger import PrivacyLedger, PrivacyLedgerError

RULES = NoiseRules(
    mechanism=Mechanism.DISCRETE_LAPLACE, budget_micro_epsilon=1_000_000, unit="one consignment", rows_per_unit=1
)
WHOSE = ("trade", "customs_rows", "steel-pilot")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def charge(number: int, amount: int = 100_000) -> Charge:
    evidence = f"{number:064x}"
    return Charge(account="a", unit=LossUnit.MICRO_EPSILON, amount=amount, at=NOON, evidence_sha256=evidence)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "privacy" / "ledger.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[PrivacyLedger]:
    with PrivacyLedger(file) as opened:
        yield opened


def test_many_askers_at_once_never_overspend(ledger: PrivacyLedger) -> None:
    def ask(number: int) -> int:
        try:
            ledger.reserve(charge(number), RULES)
        except BudgetError:
            return 0
        if number % 3 == 0:
            ledger.void(charge(number), "the engine failed")
            return 0
        ledger.post(charge(number))
        return 1

    with ThreadPoolExecutor(64) as askers:
        assert sum(askers.map(ask, range(256))) == 10
    assert ledger.used(charge(0)) == 1_000_000


def test_what_was_spent_stays_spent_and_what_was_pending_comes_back(file: Path) -> None:
    with PrivacyLedger(file) as ledger:
        ledger.reserve(charge(1), RULES)
        ledger.post(charge(1))
        ledger.reserve(charge(2), RULES)
    with PrivacyLedger(file) as ledger:
        assert ledger.used(charge(1)) == 100_000
    with closing(sqlite3.connect(file, isolation_level=None)) as disk:
        [(last,)] = disk.execute("SELECT record FROM events ORDER BY position DESC LIMIT 1")
    assert b"the gateway stopped before anything left" in last


def test_a_kill_between_reserve_and_post_gives_the_budget_back(file: Path) -> None:
    """A process that reserves, says so, and is killed before it can post."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from data_trusts.privacy_ledger import PrivacyLedger\n"
        "from tests.integration.data_trusts.test_privacy_ledger import RULES, charge\n"
        "ledger = PrivacyLedger(Path(sys.argv[1]))\n"
        "paid = charge(len(sys.argv[2]), 900_000); ledger.reserve(paid, RULES)\n"
        "ledger.post(paid) if sys.argv[2] == 'post' else None\n"
        "print('reserved', flush=True); time.sleep(60)\n"
    )
    for when, used in (("before", 0), ("post", 900_000)):
        process = subprocess.Popen([sys.executable, "-c", program, str(file), when], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"reserved\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with PrivacyLedger(file) as ledger:
            assert ledger.used(charge(1)) == used, when


def test_an_end_that_cannot_be_is_not_written(file: Path) -> None:
    with PrivacyLedger(file) as ledger:
        ledger.reserve(charge(1), RULES)
        ledger.void(charge(1), "the engine failed")
        with pytest.raises(PrivacyError, match="has a void already"):
            ledger.post(charge(1))
    PrivacyLedger(file).close()


def test_two_processes_never_hold_the_books(ledger: PrivacyLedger, file: Path) -> None:
    ledger.reserve(charge(1), RULES)
    with pytest.raises(PrivacyLedgerError, match="run one gateway a member"):
        PrivacyLedger(file)


def test_nothing_in_the_books_can_be_changed(file: Path) -> None:
    with PrivacyLedger(file) as ledger:
        ledger.reserve(charge(1), RULES)
    with closing(sqlite3.connect(file, isolation_level=None)) as disk:
        for statement in ("DELETE FROM events", "UPDATE events SET record = x'00'"):
            with pytest.raises(sqlite3.IntegrityError, match="append only"):
                disk.execute(statement)


def test_books_that_someone_else_wrote_into_are_not_trusted(file: Path) -> None:
    PrivacyLedger(file).close()
    with closing(sqlite3.connect(file, isolation_level=None)) as disk:
        disk.execute("INSERT INTO events (record) VALUES (?)", (b'{"event":"charge","amount":5}',))
    with pytest.raises(PrivacyLedgerError, match="no charge can be read"):
        PrivacyLedger(file)


def test_a_full_disk_releases_nothing(ledger: PrivacyLedger) -> None:
    ledger._disk.execute("PRAGMA max_page_count = 1")
    with pytest.raises(PrivacyLedgerError, match="free the disk"):
        reserve_many(ledger)
    used = ledger.used(charge(0))
    [(stored,)] = ledger._disk.execute("SELECT count(*) FROM events")
    assert used == stored


def reserve_many(ledger: PrivacyLedger) -> None:
    for number in range(1000):
        ledger.reserve(charge(number, 1), RULES)


def test_a_release_is_remembered_over_a_restart_and_forbids_a_near_one(file: Path) -> None:
    whole = Release(members=("ca", "ke", "kr"), sets=row_sets("", [((), 100)]))
    almost = Release(members=("ca", "ke", "kr"), sets=row_sets("day <> '2026-01-01'", [((), 99)]))
    with PrivacyLedger(file) as ledger:
        assert ledger.release(WHOSE, whole, 3, 3) is None
    with PrivacyLedger(file) as ledger:
        reason = ledger.release(WHOSE, almost, 3, 3)
        assert reason is not None
        assert "fewer than 3 rows" in reason
        assert ledger.release((*WHOSE[:2], "other-pilot"), almost, 3, 3) is None
