"""No question gets a row, column or value that rules hide, none in the grammar is denied, and both engines agree.

Two gateways hold the same rows, one on DuckDB and one on a real Trino. Each is asked the same questions: some
inside the grammar, whose right answers plain Python computes from the rows that the rules allow, and more outside it,
which must get no answer. What may not be seen holds the word CANARY, which must be in no reply.
`COMMONWEAL_LEAKS_SEED` and `COMMONWEAL_LEAKS_QUESTIONS` (per engine) change what is asked.
"""

import json
import os
import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from infra.local import trino
from loadtests import datasets
from loadtests.bars import Measurement
from loadtests.gateways import Pilot, RunningGateway, document, gateway, publish
from loadtests.leaks import attacks, oracle, questions, rows

NEEDS_DEMO = False
SEED = int(os.environ.get("COMMONWEAL_LEAKS_SEED", "20261126"))
QUESTIONS = int(os.environ.get("COMMONWEAL_LEAKS_QUESTIONS", "1050"))
AT_ONCE = 2  # questions to each engine
TELLING = 0.25  # of the questions: fewer, and a gateway without rules could pass


@dataclass(frozen=True, kw_only=True)
class Case:
    """A text, and what must come back: the right rows, or None for a refusal."""

    kind: str
    dataset: str
    grant: str
    sql: str
    expected: list[str] | None
    ordered: bool = False
    telling: bool = False


def measure() -> list[Measurement]:
    """Ask every case of both gateways."""
    pilot = Pilot("steel-pilot")
    randomly = random.Random(SEED)
    planted = rows.generate(pilot.name, randomly)
    cases = _cases(planted, pilot, randomly)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {engine: Path(scratch) / engine for engine in ("duckdb", "trino")}
        for folder in folders.values():
            _fill(folder, planted, pilot)
        with (
            trino.serving(folders["trino"], folders["trino"] / "data") as server,
            gateway(folders["trino"], server) as on_trino,
            gateway(folders["duckdb"]) as on_duckdb,
            ThreadPoolExecutor(2 * AT_ONCE) as pool,
        ):
            begun = time.monotonic()
            replies = [pool.map(partial(_ask, one, pilot), cases) for one in (on_duckdb, on_trino)]
            of_duckdb, of_trino = (list(each) for each in replies)
            seconds = time.monotonic() - begun
    return _figures(cases, of_duckdb, of_trino, seconds)


def _fill(folder: Path, planted: list[rows.Row], pilot: Pilot) -> None:
    publish(folder, rows.policy(pilot))
    for dataset in rows.MINIMUM:
        rows.write(planted, folder / f"{dataset}.parquet")
        datasets.ingest(folder, folder / f"{dataset}.parquet", dataset)


def _cases(planted: list[rows.Row], pilot: Pilot, randomly: random.Random) -> list[Case]:
    kinds = sorted(attacks.TEMPLATES)
    cases = [_attack(kinds[number % len(kinds)], randomly) for number in range(QUESTIONS * 3 // 5)]
    while len(cases) < QUESTIONS:
        question = questions.draw(randomly)
        expected = oracle.answer(question, oracle.seen(planted, pilot.name, question.grant))
        cases.append(
            Case(
                kind="allowed",
                dataset=question.dataset,
                grant=question.grant,
                sql=questions.write(question, randomly),
                expected=expected,
                ordered=bool(question.orders),
                telling=expected != oracle.answer(question, planted),
            )
        )
    return cases


def _attack(kind: str, randomly: random.Random) -> Case:
    sql, dataset = attacks.draw(randomly, kind)
    return Case(kind=kind, dataset=dataset, grant=randomly.choice(rows.GRANTS), sql=sql, expected=None)


def _ask(one: RunningGateway, pilot: Pilot, case: Case) -> httpx.Response:
    names = {"trust": datasets.TRUST, "dataset": case.dataset, "purpose": rows.PURPOSE, "grant": case.grant}
    return one.ask(pilot.token(), {**names, "sql": case.sql})


def _answered(case: Case, reply: httpx.Response) -> list[str] | None:
    """The rows as the oracle writes them, or None where there is no answer."""
    if not reply.is_success:
        return None
    texts = [json.dumps(row) for row in document(reply)["rows"]]
    return texts if case.ordered else sorted(texts)


def _figures(
    cases: list[Case], of_duckdb: list[httpx.Response], of_trino: list[httpx.Response], seconds: float
) -> list[Measurement]:
    wrong: Counter[str] = Counter()
    first: dict[str, str] = {}
    for case, *replies in zip(cases, of_duckdb, of_trino, strict=True):
        for what in _faults(case, replies):
            wrong[what] += 1
            first.setdefault(what, case.sql[:200])
    telling = sum(case.telling for case in cases)
    asked = f"seed {SEED}, {sum(case.expected is None for case in cases)} outside the grammar, in {seconds:.0f} s"
    faults = (
        ("trust-leaks", "leak", "replies"),
        ("trust-leaks-wrong-denials", "denied", "replies"),
        ("trust-leaks-wrong-answers", "differs", "replies"),
        ("trust-leaks-accidents", "accident", "replies"),
        ("trust-leaks-disagreements", "disagree", "questions"),
    )
    return [
        Measurement(
            name="trust-leaks-asked", value=len(cases), unit="per-engine", bound=1000, at_most=False, note=asked
        ),
        Measurement(
            name="trust-leaks-telling", value=telling, unit="questions", bound=TELLING * len(cases), at_most=False
        ),
        *(
            Measurement(name=name, value=wrong[what], unit=unit, bound=0, note=first.get(what, ""))
            for name, what, unit in faults
        ),
    ]


def _faults(case: Case, replies: list[httpx.Response]) -> list[str]:
    """What is wrong with the replies of both engines to one case; one word a reply."""
    answers = [_answered(case, reply) for reply in replies]
    faults = []
    for reply, answer in zip(replies, answers, strict=True):
        echoed = rows.CANARY in case.sql
        if (case.expected is None and answer is not None) or (rows.CANARY in reply.text and not echoed):
            faults.append("leak")
        elif reply.is_server_error:
            faults.append("accident")
        elif case.expected is not None and answer is None:
            faults.append("denied")
        elif case.expected is not None and answer != case.expected:
            faults.append("differs")
    if answers[0] != answers[1] or replies[0].status_code != replies[1].status_code:
        faults.append("disagree")
    return faults
