"""One question, from the caller's token to the answer: identify, decide, compile, remember, run, remember, answer.

Knows nothing of HTTP. Blocks while the engine runs, so callers give it a thread.
"""

import hashlib
import json
import math
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from commonweal.emergencies import emergency_entry
from commonweal.grants import Ask, PolicyDataset, Refusal, Rule, decide
from commonweal.kinds.meta import Name, SqlName
from commonweal.transparency import Json
from data_trusts.audit import AuditLog
from data_trusts.engines import Engine, EngineError, StoppedError
from data_trusts.gateway.policies import Policies, PolicyBook
from data_trusts.gateway.tokens import Caller, TokenError, identify
from data_trusts.lineage import Lineage, Read
from data_trusts.queries import MAX_ROWS, compile_question
from data_trusts.releases import CompiledQuestion, NotFiniteError, OutputColumn, finish

DEADLINE_S = 60.0
Rows = list[list[Json | float]]


class Question(BaseModel):
    """The body of `POST /v1/query`. The purpose is free text here, so that a wrong one is refused by the policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trust: Name
    dataset: SqlName
    purpose: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    grant: Name
    sql: Annotated[str, StringConstraints(max_length=20_000)]
    deadline_s: Annotated[float, Field(gt=0, le=DEADLINE_S)] = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What leaves the member. Decimals, dates and instants are strings; `columns` says what they are.

    `filters` and `masks` name the rules because of which the answer speaks of fewer rows or coarser values.
    """

    columns: tuple[OutputColumn, ...]
    rows: Rows
    group_rows: tuple[int, ...]
    filters: tuple[str, ...]
    masks: tuple[str, ...]
    licence: str
    synthetic: bool
    policy_hash: str
    audit_position: int


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why nothing leaves, and the audit line that says so."""

    refusal: Refusal
    policy_hash: str | None
    audit_position: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The dry run: what would be run under which grant, filtered and masked by what, or which rule refuses."""

    allowed: bool
    rule: str
    reason: str
    remedy: str
    policy_hash: str | None
    statement: str | None = None
    minimum_group_size: int | None = None
    filters: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A question that may run, over the dataset as this asker sees it; setting `stop` ends it."""

    ask: Ask
    dataset: PolicyDataset
    compiled: CompiledQuestion
    stop: threading.Event = field(default_factory=threading.Event)


class QuestionService:
    """Answers questions of one member's rows."""

    def __init__(
        self,
        *,
        member: str,
        book: PolicyBook,
        engine: Engine,
        audit: AuditLog,
        clock: Callable[[], datetime],
        lineage: Lineage | None = None,
        complete: Callable[[str, str], Collection[str]] = lambda *_: (),
    ) -> None:
        """Make the service.

        `complete` names the columns of a trust's dataset that have a value in every row.
        """
        self._member = member
        self._book = book
        self._engine = engine
        self._audit = audit
        self._clock = clock
        self._lineage = lineage
        self._complete = complete
        self._running: dict[str, _Ready] = {}
        self.outcomes: Counter[str] = Counter()

    @property
    def lineage_lost(self) -> int:
        """Answers of which no lineage event could be sent."""
        return self._lineage.lost if self._lineage is not None else 0

    def stop_ended(self) -> None:
        """Stop every running question that could not be asked any more; call it often, from any thread."""
        for running in list(self._running.values()):
            if self._ended(running) is not None:
                running.stop.set()

    def identify(self, token: str) -> Caller:
        """Say who asks.

        Raises:
            TokenError: the token proves nothing, or there is no policy that names an issuer.
        """
        now = self._clock()
        policies = self._book.current(now)
        if not policies.by_trust:
            raise TokenError("policy: this gateway has none, so it knows no issuer; wait until the hub has written one")
        return identify(token, policies.by_trust.values(), now)

    def why(self, caller: Caller, question: Question) -> Verdict:
        """Say what would happen to a question. Nothing runs, so nothing is remembered."""
        now = self._clock()
        policies = self._book.current(now)
        policy_hash = _hash_of(policies, question)
        decision = self._decide(policies, caller, question, now)
        if isinstance(decision, Refusal):
            return Verdict(
                allowed=False,
                rule=decision.rule,
                reason=decision.reason,
                remedy=decision.remedy,
                policy_hash=policy_hash,
            )
        return Verdict(
            allowed=True,
            rule="Granted",
            reason=f"the grant {question.grant} allows {caller.beneficiary} this for {question.purpose}",
            remedy="",
            policy_hash=policy_hash,
            statement=decision.compiled.sql,
            minimum_group_size=decision.compiled.minimum_group_size,
            filters=decision.compiled.filters,
            masks=decision.compiled.masks,
        )

    def answer(self, caller: Caller, question: Question) -> Answer | Refused:
        """Answer or refuse, with a line in the log before the engine sees anything and one before rows leave.

        Raises:
            AuditError: the log takes no line, so nothing ran, or nothing may leave.
            EngineError: the engine did not answer; the log says so.
            NotFiniteError: there is no true answer; the log says so.
        """
        now = self._clock()
        policies = self._book.current(now)
        asked = self._asked(policies, caller, question)
        decision = self._decide(policies, caller, question, now)
        if isinstance(decision, Refusal):
            return self._refuse(asked, decision, policies, question)
        compiled = decision.compiled
        self._audit.append(now, {**asked, **compiled.entry()})
        try:
            rows = self._run(asked, decision, question.deadline_s)
            # Whoever was revoked while the engine ran gets nothing, even where it was faster than the stop.
            ended = self._ended(decision)
        except StoppedError:
            ended = self._ended(decision) or _policy_changed()
        if ended is not None:
            return self._refuse(asked, ended, self._book.current(self._clock()), question)
        if len(rows) > MAX_ROWS:
            return self._refuse(asked, _too_many(), policies, question)
        answer = self._release(asked, decision, rows)
        if self._lineage is not None:
            self._lineage.tell(self._read(asked, decision.compiled, answer, now))
        return answer

    def _ended(self, running: _Ready) -> Refusal | None:
        """Why a question that runs could not be asked again now, or None where it could."""
        now = self._clock()
        decision = decide(self._book.current(now).by_trust.get(running.ask.trust), running.ask, now)
        if isinstance(decision, Refusal):
            return decision
        return None if decision.dataset == running.dataset else _policy_changed()

    def _asked(self, policies: Policies, caller: Caller, question: Question) -> dict[str, Json]:
        return {
            "request": uuid.uuid4().hex,
            "member": self._member,
            "beneficiary": caller.beneficiary,
            "asked_from": caller.member,
            "trust": question.trust,
            "dataset": question.dataset,
            "purpose": question.purpose,
            "grant": question.grant,
            "sql": question.sql,
            "policy_hash": _hash_of(policies, question),
            "grant_hash": _grant_hash(policies, question),
            **emergency_entry(policies.by_trust.get(question.trust), question.grant),
        }

    def _decide(self, policies: Policies, caller: Caller, question: Question, now: datetime) -> _Ready | Refusal:
        ask = Ask(
            trust=question.trust,
            dataset=question.dataset,
            purpose=question.purpose,
            grant=question.grant,
            beneficiary=caller.beneficiary,
            member=caller.member,
        )
        decision = decide(policies.by_trust.get(question.trust), ask, now)
        if isinstance(decision, Refusal):
            return decision
        compiled = compile_question(
            question.sql,
            question.trust,
            decision.dataset,
            self._engine.dialect,
            lambda: self._complete(question.trust, question.dataset),
        )
        if isinstance(compiled, Refusal):
            return compiled
        return _Ready(ask=ask, dataset=decision.dataset, compiled=compiled)

    def _refuse(self, asked: Mapping[str, Json], refusal: Refusal, policies: Policies, question: Question) -> Refused:
        position = self._audit.append(
            self._clock(), {**asked, "kind": "refused", "rule": refusal.rule, "reason": refusal.reason}
        )
        self.outcomes["refused"] += 1
        return Refused(refusal=refusal, policy_hash=_hash_of(policies, question), audit_position=position)

    def _run(self, asked: Mapping[str, Json], ready: _Ready, deadline_s: float) -> Rows:
        request = str(asked["request"])
        self._running[request] = ready
        try:
            rows = finish(ready.compiled, self._engine.run(ready.compiled.sql, deadline_s, ready.stop).rows)
            return [[wire_value(value) for value in row] for row in rows]
        except StoppedError:
            raise  # a refusal, and no failure of the engine
        except (EngineError, NotFiniteError) as error:
            self._audit.append(
                self._clock(),
                {
                    "kind": "failed",
                    "request": request,
                    "grant_hash": asked["grant_hash"],
                    "error": type(error).__name__,
                    "detail": str(error),
                },
            )
            self.outcomes["failed"] += 1
            raise
        finally:
            del self._running[request]

    def _release(self, asked: Mapping[str, Json], ready: _Ready, rows: Rows) -> Answer:
        content = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
        position = self._audit.append(
            self._clock(),
            {
                "kind": "answered",
                "request": asked["request"],
                "grant_hash": asked["grant_hash"],
                "rows": len(rows),
                "result_sha256": hashlib.sha256(content).hexdigest(),
            },
        )
        self.outcomes["answered"] += 1
        return Answer(
            columns=ready.compiled.columns,
            rows=rows,
            group_rows=tuple(int(str(row[-1])) for row in rows),
            filters=ready.compiled.filters,
            masks=ready.compiled.masks,
            licence=ready.dataset.licence,
            synthetic=ready.dataset.synthetic,
            policy_hash=str(asked["policy_hash"]),
            audit_position=position,
        )

    def _read(self, asked: Mapping[str, Json], compiled: CompiledQuestion, answer: Answer, asked_at: datetime) -> Read:
        return Read(
            member=self._member,
            request=str(asked["request"]),
            trust=str(asked["trust"]),
            dataset=str(asked["dataset"]),
            grant=str(asked["grant"]),
            purpose=str(asked["purpose"]),
            beneficiary=str(asked["beneficiary"]),
            policy_hash=answer.policy_hash,
            audit_position=answer.audit_position,
            rows=len(answer.rows),
            columns=[(column.name, column.type) for column in answer.columns],
            statement=compiled.sql,
            dialect=self._engine.dialect,
            reads=compiled.reads,
            asked_at=asked_at,
            answered_at=self._clock(),
        )


def _hash_of(policies: Policies, question: Question) -> str | None:
    policy = policies.by_trust.get(question.trust)
    return None if policy is None else policy.hash


def _grant_hash(policies: Policies, question: Question) -> str | None:
    """The agreement under which is asked; None where no grant of that name is live here."""
    policy = policies.by_trust.get(question.trust)
    return None if policy is None else policy.hash_of_grant(question.grant)


def _policy_changed() -> Refusal:
    return Refusal(
        rule=Rule.POLICY_CHANGED,
        reason="what may be seen of the dataset changed while the question ran",
        remedy="Ask again",
    )


def _too_many() -> Refusal:
    return Refusal(
        rule=Rule.TOO_MANY_ROWS,
        reason=f"the answer has more than {MAX_ROWS} rows",
        remedy="Narrow it with WHERE, group it more coarsely, or set a LIMIT",
    )


def wire_value(value: object) -> Json | float:
    """A value as JSON carries it without loss."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotFiniteError
        return value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise EngineError(f"the engine returned a {type(value).__name__}, which no column can hold")
