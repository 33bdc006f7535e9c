"""64 askers at once never overspend a privacy budget; 100 kills between reserve and post lose none and mint none."""

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import opendp.prelude as dp

from commonweal.kinds.federation import Mechanism, NoiseRules
from commonweal.privacy import BudgetError, Charge, LossUnit
from data_trusts.privacy_ledger import PrivacyLedger
from loadtests.bars import Measurement

NEEDS_DEMO = False
SEED = 20261126
ASKERS, QUESTIONS = 64, 2_000
KILLS, SLOWEST_S = 100, 0.02
PRICE, BUDGET = 1_000, 1_000_000
RULES = NoiseRules(mechanism=Mechanism.DISCRETE_LAPLACE, budget_micro_epsilon=BUDGET, unit="one row", rows_per_unit=1)
_FORKED = multiprocessing.get_context("fork")


def measure() -> list[Measurement]:
    """Ask from 64 threads; then kill a writing process again and again, and compare the books with what it had said."""
    with tempfile.TemporaryDirectory() as scratch:
        spent, rate = _crowd(Path(scratch) / "crowd.db")
        lost, minted, halfway = _killed(Path(scratch) / "killed.db")
    peer = _peer()
    return [
        Measurement(
            name="trust-budget", value=spent - BUDGET, unit="micro-epsilon", bound=0, note=f"{ASKERS} askers at once"
        ),
        Measurement(
            name="trust-budget-unspent", value=BUDGET - spent, unit="micro-epsilon", bound=0, note="none was withheld"
        ),
        Measurement(
            name="trust-budget-minted", value=minted, unit="micro-epsilon", bound=0, note=f"over {KILLS} kills -9"
        ),
        Measurement(
            name="trust-budget-lost",
            value=lost,
            unit="micro-epsilon",
            bound=0,
            note=f"{halfway} of {KILLS} kills fell between reserve and post",
        ),
        Measurement(name="trust-budget-kills", value=halfway, unit="halfway", bound=20, at_most=False),
        Measurement(
            name="trust-budget-rate", value=rate, unit="charges/s", bound=50, at_most=False, note="each synced"
        ),
        Measurement(
            name="trust-budget-peer",
            value=peer,
            unit="budgets-spent",
            bound=1,
            at_most=False,
            note="the baseline: OpenDP's compositor, whose account is in memory, over one kill",
        ),
    ]


def _charge(number: int) -> Charge:
    return Charge(
        account="bar",
        unit=LossUnit.MICRO_EPSILON,
        amount=PRICE,
        at=datetime(2026, 11, 26, tzinfo=UTC),
        evidence_sha256=f"{number:064x}",
    )


def _crowd(file: Path) -> tuple[int, float]:
    """What was posted in all, and charges a second; every third charge is given back, as if the engine had failed."""
    with PrivacyLedger(file) as ledger:

        def ask(number: int) -> int:
            charge = _charge(number)
            try:
                ledger.reserve(charge, RULES)
            except BudgetError:
                return 0
            if number % 3 == 0:
                ledger.void(charge, "the engine failed")
                return 0
            ledger.post(charge)
            return PRICE

        started = time.perf_counter()
        with ThreadPoolExecutor(ASKERS) as askers:
            spent = sum(askers.map(ask, range(QUESTIONS)))
        took_s = time.perf_counter() - started
    return spent, QUESTIONS / took_s


def _killed(file: Path) -> tuple[int, int, int]:
    """Budget that was lost, budget that was minted, and how many kills fell between reserve and post.

    The process says what it did after each step. It may be killed after a post and before it says so; such a charge is
    spent, and no more than one a kill.
    """
    luck = random.Random(SEED)
    posted = number = lost = minted = halfway = 0
    for _ in range(KILLS):
        said = _run_and_kill(partial(_spend, file, number), luck.uniform(0, SLOWEST_S))
        number += 1_000
        posted += PRICE * said.count("posted")
        halfway += bool(said) and said[-1] == "reserved"
        with PrivacyLedger(file) as ledger:
            used = ledger.used(_charge(0))
        minted += max(0, posted - used)
        unsaid = used - posted
        lost += max(0, unsaid - (PRICE if said and said[-1] == "reserved" else 0))
        posted = used
    return lost, minted, halfway


def _spend(file: Path, number: int, pipe: Connection) -> None:
    """Reserve, wait as a question would run, post; until killed."""
    whole = RULES.model_copy(update={"budget_micro_epsilon": 10**9})
    ledger = PrivacyLedger(file)
    pipe.send("open")
    while True:
        number += 1
        ledger.reserve(_charge(number), whole)
        pipe.send("reserved")
        time.sleep(0.002)
        ledger.post(_charge(number))
        pipe.send("posted")


def _run_and_kill(work: Callable[[Connection], None], after_s: float) -> list[str]:
    """What a process said until it was killed, so long after it had opened the books."""
    ours, theirs = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=work, args=(theirs,))
    process.start()
    theirs.close()
    ours.recv()
    time.sleep(after_s)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    said: list[str] = []
    try:
        while True:
            said.append(ours.recv())
    except EOFError:
        ours.close()
    return said


def _peer() -> float:
    """How many budgets OpenDP's own account allows, where its process is killed half-way through the first."""
    answers = [_run_and_kill(partial(_ask_opendp, most), 2.0).count("released") for most in (5, 99)]
    return sum(answers) / 10


def _ask_opendp(most: int, pipe: Connection) -> None:
    dp.enable_features("contrib")
    context = dp.Context.compositor(
        data=[1, 2, 3],
        privacy_unit=dp.unit_of(contributions=1),
        privacy_loss=dp.loss_of(epsilon=1.0),
        split_evenly_over=10,
    )
    pipe.send("open")
    for _ in range(most):
        try:
            context.query().count().laplace().release()
        except ValueError:
            break
        pipe.send("released")
    pipe.send("done")
    time.sleep(60)
