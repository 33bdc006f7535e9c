"""The order of things: no line, no rows; and whoever loses a grant while the engine runs gets nothing."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from commonweal.agreements import negotiate_all
from commonweal.grants import EmergencyNote, LiveGrant, compile_policy
from data_trusts.audit import AuditError, AuditLog
from data_trusts.engines import DeadlineError, EngineRows, StoppedError
from data_trusts.gateway.policies import MAX_SILENCE, PolicyBook
from data_trusts.gateway.service import Answer, Question, QuestionService, Refused
from data_trusts.gateway.tokens import Caller
from data_trusts.queries import Dialect
from data_trusts.releases import NotFiniteError
from tests.unit.grants.samples import NOON, PURPOSE, grant, policy, site, trust

CALLER = Caller(beneficiary="steel-pilot", member="ca")
QUESTION = Question(
    trust="trade", dataset="customs_rows", purpose=PURPOSE, grant="steel", sql="SELECT count(*) FROM customs_rows"
)
NEVER = Event()


class ScriptedEngine:
    """An engine that does what a test says while a question runs."""

    dialect = Dialect.DUCKDB

    def __init__(self) -> None:
        self.runs = self.stopped = 0
        self.rows: list[list[object]] = [[5, 5]]
        self.meanwhile: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        return True

    def run(self, sql: str, deadline_s: float, stop: Event = NEVER) -> EngineRows:
        assert sql
        assert deadline_s > 0
        self.runs += 1
        self.meanwhile()
        if stop.is_set():
            self.stopped += 1
            raise StoppedError("stopped")
        return EngineRows(columns=("0$", "1$"), rows=self.rows)


class Desk:
    """A service with all that it stands on."""

    def __init__(self, path: Path) -> None:
        self.now = NOON
        self.path = path
        self.engine = ScriptedEngine()
        self.book = PolicyBook("ca")
        self.book.replace({"policy-trade": policy("ca").render()}, NOON)
        self.audit = AuditLog(path, NOON)
        self.service = QuestionService(
            member="ca", book=self.book, engine=self.engine, audit=self.audit, clock=self.clock
        )

    def clock(self) -> datetime:
        return self.now

    def kinds(self) -> list[str]:
        return [part.split('"')[0] for part in self.path.read_text().split('"kind":"')[1:]]

    def revoke(self) -> None:
        self.book.replace({"policy-trade": policy("ca", grant({"revoked": True})).render()}, self.now)

    def ask(self) -> Answer | Refused:
        return self.service.answer(CALLER, QUESTION)

    def refused(self) -> str:
        answer = self.ask()
        assert isinstance(answer, Refused)
        return answer.refusal.rule


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "audit.jsonl")
    yield made
    made.audit.close()


def test_the_line_is_there_before_the_engine_runs(desk: Desk) -> None:
    seen: list[list[str]] = []
    desk.engine.meanwhile = lambda: seen.append(desk.kinds())
    answer = desk.ask()
    assert isinstance(answer, Answer)
    assert (answer.rows, answer.group_rows, answer.audit_position) == ([[5, 5]], (5,), 1)
    assert seen == [["asked"]]
    assert desk.kinds() == ["asked", "answered"]


def test_when_the_log_takes_no_line_nothing_runs(desk: Desk) -> None:
    desk.audit.close()
    with pytest.raises(AuditError):
        desk.ask()
    assert desk.engine.runs == 0


def test_when_the_outcome_cannot_be_written_no_rows_leave(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    desk.engine.meanwhile = lambda: monkeypatch.setattr(os, "fdatasync", full_disk)
    with pytest.raises(AuditError, match="No space left"):
        desk.ask()
    monkeypatch.undo()
    assert desk.engine.runs == 1
    assert desk.kinds() == ["asked"], "the line of which nobody knows whether it is on disk was taken back"
    with pytest.raises(AuditError):
        desk.ask()
    assert desk.engine.runs == 1


def test_whoever_is_revoked_while_the_engine_runs_gets_nothing(desk: Desk) -> None:
    desk.engine.meanwhile = desk.revoke
    assert desk.refused() == "UnknownGrant"
    assert desk.kinds() == ["asked", "refused"]


def test_a_revoked_question_is_stopped_and_the_others_run_on(desk: Desk) -> None:
    desk.engine.meanwhile = desk.service.stop_ended
    assert isinstance(desk.ask(), Answer), "nothing was revoked, so nothing stops"

    def revoked_while_it_runs() -> None:
        desk.revoke()
        desk.service.stop_ended()

    desk.engine.meanwhile = revoked_while_it_runs
    assert desk.refused() == "UnknownGrant"
    assert desk.kinds() == ["asked", "answered", "asked", "refused"]
    assert dict(desk.service.outcomes) == {"answered": 1, "refused": 1}


def test_a_question_is_stopped_when_the_policy_source_falls_silent(desk: Desk) -> None:
    def silence() -> None:
        desk.now += MAX_SILENCE + timedelta(seconds=1)
        desk.service.stop_ended()

    desk.engine.meanwhile = silence
    assert desk.refused() == "NoPolicy"


@pytest.mark.parametrize("stopped", [True, False])
def test_rows_seen_under_rules_of_before_do_not_leave_under_rules_of_now(desk: Desk, *, stopped: bool) -> None:
    rule = {"name": "imports", "anyOf": [{"column": "flow", "operator": "In", "values": ["1"]}]}
    narrowed = grant({"narrowing": [{"dataset": "customs_rows", "rowRules": [rule]}]})

    def narrow() -> None:
        desk.book.replace({"policy-trade": policy("ca", narrowed).render()}, desk.now)
        if stopped:
            desk.service.stop_ended()

    desk.engine.meanwhile = narrow
    assert desk.refused() == "PolicyChanged"
    desk.engine.meanwhile = lambda: None
    answer = desk.ask()
    assert isinstance(answer, Answer)
    assert answer.filters == ("steel/imports: flow In 1",)
    assert '"filters":["steel/imports: flow In 1"]' in desk.path.read_text()


def test_a_question_under_an_emergency_is_recorded_with_it(desk: Desk) -> None:
    note = EmergencyNote(reason="The port is under water.", opened_by=("ca: ada", "kr: min"))
    live = LiveGrant(
        name="emergency-flood",
        beneficiary="steel-pilot",
        purpose=PURPOSE,
        datasets=("customs_rows",),
        expires_at=NOON + timedelta(hours=6),
        hash="e" * 64,
        emergency=note,
    )
    compiled = compile_policy(
        trust(), negotiate_all(trust(), [grant()], NOON), {"ca": site("ca")}, "ca", emergencies=[live]
    )
    desk.book.replace({"policy-trade": compiled.render()}, NOON)
    asked = QUESTION.model_copy(update={"grant": "emergency-flood"})
    assert isinstance(desk.service.answer(CALLER, asked), Answer)
    hidden = asked.model_copy(update={"sql": "SELECT count(consignment_id) FROM customs_rows"})
    assert isinstance(desk.service.answer(CALLER, hidden), Refused)
    desk.ask()
    entries = [json.loads(line) for line in desk.path.read_text().splitlines()]
    noted = {"reason": "The port is under water.", "opened_by": ["ca: ada", "kr: min"]}
    assert [(entry["kind"], entry.get("emergency")) for entry in entries] == [
        ("asked", noted),
        ("answered", None),
        ("refused", noted),
        ("asked", None),
        ("answered", None),
    ]
    desk.now += timedelta(hours=6)
    desk.book.replace({"policy-trade": compiled.render()}, desk.now)
    ended = desk.service.answer(CALLER, asked)
    assert isinstance(ended, Refused)
    assert ended.refusal.rule == "Expired"


def test_a_dry_run_says_which_rules_filter_and_mask(desk: Desk) -> None:
    narrowing = {"dataset": "customs_rows", "masks": [{"column": "day", "mask": {"kind": "Month"}}]}
    desk.book.replace({"policy-trade": policy("ca", grant({"narrowing": [narrowing]})).render()}, desk.now)
    sql = "SELECT day, count(*) FROM customs_rows GROUP BY day"
    verdict = desk.service.why(CALLER, QUESTION.model_copy(update={"sql": sql}))
    assert (verdict.allowed, verdict.filters, verdict.masks) == (True, (), ("day: Month",))


def test_a_grant_that_ends_while_the_engine_runs_releases_nothing(desk: Desk) -> None:
    def a_month_passes() -> None:
        desk.now += timedelta(days=30)
        desk.book.replace({"policy-trade": policy("ca").render()}, desk.now)

    desk.engine.meanwhile = a_month_passes
    assert desk.refused() == "Expired"


def test_a_silent_policy_source_allows_nothing(desk: Desk) -> None:
    desk.now += MAX_SILENCE
    assert isinstance(desk.ask(), Answer)
    desk.now += timedelta(seconds=1)
    assert desk.refused() == "NoPolicy"


def test_more_rows_than_may_leave_are_refused_whole(desk: Desk) -> None:
    desk.engine.rows = [[5, 5]] * 10_001
    assert desk.refused() == "TooManyRows"


def test_a_failure_of_the_engine_is_remembered_with_its_words(desk: Desk) -> None:
    def fail() -> None:
        raise DeadlineError("stopped after 30 s")

    desk.engine.meanwhile = fail
    with pytest.raises(DeadlineError):
        desk.ask()
    assert desk.kinds() == ["asked", "failed"]
    assert "stopped after 30 s" in desk.path.read_text()


def test_a_number_that_is_not_finite_does_not_leave(desk: Desk) -> None:
    desk.engine.rows = [[float("inf"), 5]]
    with pytest.raises(NotFiniteError, match="not finite"):
        desk.ask()
    assert desk.kinds() == ["asked", "failed"]


def test_two_policies_for_one_trust_are_none(desk: Desk) -> None:
    desk.book.replace({"policy-trade": policy("ca").render(), "policy-trade-2": policy("ca").render()}, NOON)
    assert desk.refused() == "NoPolicy"
    assert len(desk.book.current(NOON).problems) == 2
