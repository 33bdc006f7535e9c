"""Answers of members, kept briefly, so that a gateway's short absence does not fail a request.

An answer is fresh for `fresh_s`; then it is served while it is renewed in the background until `patient_s`; then a
request waits for the renewal, and falls back to the old answer until `stale_s` only where the member is unreachable.
A refusal drops what was kept at once: who lost a grant gets nothing, also not from memory.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from apps.trade.questions import Answer, Question

LOG = logging.getLogger(__name__)
MAX_KEPT = 64  # one entry per member, grant and question; a question differs by year only
Key = tuple[str, str, str]
Value = TypeVar("Value")


class RefusedError(Exception):
    """A member's gateway said no; `rule` is its word for why."""

    def __init__(self, member: str, reason: str, rule: str) -> None:
        super().__init__(f"{member} refused ({rule}): {reason}")
        self.member = member
        self.reason = reason
        self.rule = rule


class UnreachableError(Exception):
    """A member gave no answer, and none is kept that is young enough."""

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(f"{member} gave no answer: {reason}")
        self.member = member
        self.reason = reason


class Asker(Protocol):
    """Asks members under one grant: gateways.py over the network, rows in memory in a test."""

    async def aggregate(self, trust: str, dataset: str, sql: str) -> Sequence[Answer]:
        """Answers of every member that is a source.

        Raises:
            RefusedError: a gateway refused.
            UnreachableError: a gateway gave no answer.

        """


@dataclass(frozen=True, kw_only=True)
class Source:
    """One member that holds a dataset, and how it is asked."""

    member: str
    trust: str
    grant: str
    asker: Asker


class Directory(Protocol):
    """Who holds which dataset now."""

    def sources(self, dataset: str) -> Sequence[Source]:
        """The members that hold a dataset under one of our grants, at least one.

        Raises:
            SettingsError: nobody does, as far as this pod was told.

        """


@dataclass(frozen=True, kw_only=True)
class Ages:
    """How long an answer is fresh, may be renewed in the background, and may stand in for an absent member; seconds.

    `wait_s` is how long a request waits for a renewal where an older answer could stand in. After a failure the member
    is left alone for `retry_s`: every question costs it a line in its audit log.
    """

    fresh_s: float = 5.0
    patient_s: float = 30.0
    stale_s: float = 900.0
    wait_s: float = 2.0
    retry_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An answer, when it came (monotonic seconds), and under which grant."""

    answer: Answer
    grant: str
    at_s: float


class Answers:
    """Asks members through a bounded memory. One renewal per member and question at a time."""

    def __init__(self, directory: Directory, clock_s: Callable[[], float], ages: Ages | None = None) -> None:
        self._directory = directory
        self._clock_s = clock_s
        self._ages = ages or Ages()
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._renewals: dict[Key, asyncio.Task[Kept]] = {}
        self._failures: OrderedDict[Key, tuple[float, Exception]] = OrderedDict()

    async def ask(self, question: Question) -> list[Kept]:
        """An answer of every member that holds the dataset.

        Raises:
            RefusedError, UnreachableError: of the first member that has neither answer nor a kept one.
            SettingsError: no member holds the dataset.

        """
        sources = self._directory.sources(question.dataset)
        return list(await asyncio.gather(*(self._of(source, question) for source in sources)))

    def age_s(self, kept: Kept) -> float:
        """Seconds since the answer came."""
        return max(0.0, self._clock_s() - kept.at_s)

    async def close(self) -> None:
        """Stop renewals that run."""
        for task in list(self._renewals.values()):
            task.cancel()
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    async def _of(self, source: Source, question: Question) -> Kept:
        key = (source.member, source.grant, question.sql)
        kept = self._kept.get(key)
        age_s = self.age_s(kept) if kept is not None else math.inf
        if kept is not None and age_s <= self._ages.patient_s:
            if age_s > self._ages.fresh_s and self._recent_failure(key) is None:
                self._renew(key, source, question)
            return kept
        failure = self._recent_failure(key)
        if failure is not None:
            if kept is not None and age_s <= self._ages.stale_s:
                return kept
            raise failure.with_traceback(None)
        # Shielded: a caller that goes away must not stop the renewal that others wait for.
        renewal = asyncio.shield(self._renew(key, source, question))
        if kept is None or age_s > self._ages.stale_s:
            return await renewal
        try:
            return await asyncio.wait_for(renewal, self._ages.wait_s)
        except (UnreachableError, TimeoutError):
            return kept

    def _renew(self, key: Key, source: Source, question: Question) -> "asyncio.Task[Kept]":
        task = self._renewals.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key, source, question))
            self._renewals[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return task

    def _finished(self, key: Key, task: "asyncio.Task[Kept]") -> None:
        self._renewals.pop(key, None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            LOG.warning("renewal failed: %s", error)
            _remember(self._failures, key, (self._clock_s(), error))

    def _recent_failure(self, key: Key) -> Exception | None:
        at_s, error = self._failures.get(key, (-math.inf, None))
        return error if self._clock_s() - at_s < self._ages.retry_s else None

    async def _fetch(self, key: Key, source: Source, question: Question) -> Kept:
        try:
            answers = await source.asker.aggregate(source.trust, question.dataset, question.sql)
        except RefusedError:
            self._kept.pop(key, None)
            raise
        if len(answers) != 1:
            raise UnreachableError(source.member, f"{len(answers)} answers came instead of one")
        kept = Kept(answer=answers[0], grant=source.grant, at_s=self._clock_s())
        _remember(self._kept, key, kept)
        return kept


def _remember(memory: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > MAX_KEPT:
        memory.popitem(last=False)
