"""A process that answers questions and is killed without warning between the engine's result and the audit entry.

The child forks from the bar, so that a kill costs milliseconds. It tells over one pipe when the engine has a result,
and sends what it answers over another, as the network would carry it. `ROWS_FIRST` answers before it records: the
mistake that the drill must catch.
"""

import hashlib
import json
import os
import random
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Any

from data_trusts.audit import AuditLog
from data_trusts.engines import NEVER, EngineRows
from data_trusts.gateway.policies import PolicyBook
from data_trusts.gateway.service import Answer, Question, QuestionService
from data_trusts.gateway.tokens import Caller
from data_trusts.queries import Dialect
from loadtests import datasets
from loadtests.wire import WireError

MOST_DELAY_S = 0.004  # an answer takes about two milliseconds from the engine's result to the wire
CALLER = Caller(beneficiary="trade", member=datasets.MEMBER)
QUESTION = Question(
    trust=datasets.TRUST,
    dataset=datasets.DATASET,
    purpose="trade-embedded-emissions",
    grant="trade-emissions",
    sql="SELECT sum(quantity_in_kg) AS kg FROM customs_rows",
)


class Order(StrEnum):
    """What a gateway does first once it has the rows."""

    ENTRY_FIRST = "entry-first"
    ROWS_FIRST = "rows-first"


@dataclass
class Seen:
    """What came out of all the children that were killed."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    before_entry: int = 0
    after_entry: int = 0
    after_rows: int = 0


class _Engine:
    """One row with a number that never comes again, so that a row names the question it answers."""

    dialect = Dialect.DUCKDB

    def __init__(self, started: int, rows: int | None) -> None:
        self._started = started
        self._rows = rows

    def ready(self) -> bool:
        return True

    def run(self, sql: str, deadline_s: float, stop: Event = NEVER) -> EngineRows:
        if not sql or deadline_s <= 0 or stop.is_set():
            raise WireError("the engine was asked nothing")
        rows = [[random.getrandbits(60), 5]]
        if self._rows is not None:
            _send(self._rows, rows)
        os.write(self._started, b".")
        return EngineRows(columns=("0$", "1$"), rows=rows)


def killed(folder: Path, kills: int, order: Order = Order.ENTRY_FIRST) -> Seen:
    """Start and kill a gateway's heart that many times over one log in `folder`.

    Raises:
        WireError: a child ended by itself.
    """
    seen = Seen()
    for _ in range(kills):
        before = _lines(folder)
        answers = _kill_once(folder, order)
        kinds = [json.loads(line)["kind"] for line in _lines(folder)[len(before) :]]
        seen.answers += answers
        if len(answers) >= kinds.count("asked"):
            seen.after_rows += 1
        elif kinds and kinds[-1] == "answered":
            seen.after_entry += 1
        else:
            seen.before_entry += 1
    return seen


def sha256(rows: object) -> str:
    """The hash that an entry holds of its rows."""
    return hashlib.sha256(json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _lines(folder: Path) -> list[bytes]:
    log = folder / "audit.jsonl"
    return [line for line in log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if log.exists() else []


def _kill_once(folder: Path, order: Order) -> list[dict[str, Any]]:
    started, say_started = os.pipe()
    rows, say_rows = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _answer_for_ever(folder, order, say_started, say_rows)
        finally:
            os._exit(1)
    os.close(say_started)
    os.close(say_rows)
    try:
        for _ in range(random.randint(1, 3)):
            if not os.read(started, 1):
                raise WireError("the child ended by itself; run the bar again and read its error")
        time.sleep(random.uniform(0, MOST_DELAY_S))
        os.kill(child, signal.SIGKILL)
        with os.fdopen(rows, "rb") as wire:
            sent = wire.read()
    finally:
        os.waitpid(child, 0)
        os.close(started)
    return [json.loads(line) for line in sent.splitlines(keepends=True) if line.endswith(b"\n")]


def _answer_for_ever(folder: Path, order: Order, say_started: int, say_rows: int) -> None:
    now = datetime.now(UTC)
    book = PolicyBook(datasets.MEMBER)
    book.replace({"policy-trade": datasets.example_policy(now).render()}, now)
    engine = _Engine(say_started, say_rows if order is Order.ROWS_FIRST else None)
    with AuditLog(folder / "audit.jsonl", now) as audit:
        service = QuestionService(
            member=datasets.MEMBER, book=book, engine=engine, audit=audit, clock=lambda: datetime.now(UTC)
        )
        while True:
            answer = service.answer(CALLER, QUESTION)
            if isinstance(answer, Answer) and order is Order.ENTRY_FIRST:
                _send(say_rows, answer.rows)


def _send(pipe: int, rows: object) -> None:
    os.write(pipe, json.dumps({"rows": rows, "sha256": sha256(rows)}).encode() + b"\n")
