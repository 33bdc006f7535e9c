"""What everyone is told of use: whole hours, no small counts, no word of an asker, signed by the gateway."""

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.public_reports import (
    HOUR,
    KEPT,
    MINIMUM_COUNT,
    Report,
    ReportError,
    Tally,
    Use,
    envelope,
    read_report,
    uses,
)
from commonweal.transparency import Json
from data_trusts.gateway.certificates import make_identity, sign
from tests.unit.grants.samples import NOON, PURPOSE

DECLARED = {("trade", PURPOSE)}
IDENTITY = make_identity("ca", ["127.0.0.1"], NOON)


def entries(kind: str, count: int, at: datetime = NOON, *, start: int = 0, **changes: Json) -> list[dict[str, Json]]:
    named: dict[str, Json] = {"trust": "trade", "purpose": PURPOSE, "at": at.isoformat(), **changes}
    asked = [{**named, "kind": "asked", "request": f"{kind}{start + each}"} for each in range(count)]
    if kind == "refused":
        return [{**each, "kind": "refused"} for each in asked]
    outcome: dict[str, Json] = {"kind": kind, "at": at.isoformat()}
    return [entry for each in asked for entry in (each, {**outcome, "request": each["request"]})]


def told(*logs: list[dict[str, Json]], now: datetime = NOON + HOUR) -> tuple[Use, ...]:
    tally = Tally()
    for entry in (entry for log in logs for entry in log):
        tally.add(entry)
    tally.forget(now)
    return uses(tally.counts, DECLARED, now)


def test_questions_are_counted_by_trust_purpose_and_hour() -> None:
    early, late = NOON, NOON + timedelta(minutes=59, seconds=59)
    [use] = told(entries("answered", 4, early), entries("answered", 3, late, start=4), entries("refused", 12))
    assert (use.trust, use.purpose, use.hour, use.answered, use.refused) == ("trade", PURPOSE, NOON, 7, 12)


def test_an_hour_that_goes_on_and_one_of_last_week_are_not_told() -> None:
    log = entries("answered", 9)
    assert told(log, now=NOON + HOUR - timedelta(seconds=1)) == ()
    assert len(told(log, now=NOON + KEPT)) == 1
    assert told(log, now=NOON + KEPT + timedelta(seconds=1)) == ()


@given(answered=st.integers(0, 12), refused=st.integers(0, 12))
def test_no_count_of_few_questions_is_told_and_none_is_made_zero(answered: int, refused: int) -> None:
    lines = told(entries("answered", answered), entries("refused", refused))
    shown = [(line.answered, line.refused) for line in lines]
    expected = tuple(count if count == 0 or count >= MINIMUM_COUNT else None for count in (answered, refused))
    assert shown == ([expected] if answered or refused else [])


@given(words=st.text(max_size=30).filter(lambda text: text != PURPOSE))
def test_what_an_asker_writes_is_never_repeated(words: str) -> None:
    [use] = told(entries("refused", 6, purpose=words), entries("refused", 5, trust=words))
    assert (use.trust, use.purpose, use.refused) == (None, None, 11)


def test_a_failure_and_a_crash_count_for_nothing() -> None:
    failed = entries("failed", 9)
    crashed = [entry for entry in entries("answered", 9, start=100) if entry["kind"] == "asked"]
    assert told(failed, crashed) == ()


def test_a_masked_part_counts_only_where_it_is_combined() -> None:
    parts = [
        {**entry, "masked_for": "ke"} if entry["kind"] == "answered" else entry for entry in entries("answered", 9)
    ]
    released: list[dict[str, Json]] = [
        {"kind": "released", "request": f"answered{each}", "at": NOON.isoformat()} for each in range(9)
    ]
    assert told(parts) == ()
    assert told(parts, released)[0].answered == 9


def report(**changes: object) -> Report:
    common = {"member": "ca", "as_of": NOON, "uses": (), "vkey": "v", "checkpoint": "c", "witnesses": ()}
    return Report.model_validate({**common, **changes})


def published(made: Report) -> bytes:
    return envelope(made, lambda content: sign(content, IDENTITY))


def test_a_report_is_read_as_it_was_signed() -> None:
    made = report(uses=told(entries("answered", 7)))
    assert read_report(published(made), "ca", IDENTITY.certificate_pem) == made


def test_a_report_that_was_changed_forged_or_moved_is_not_believed() -> None:
    content = published(report())
    changed = json.loads(content)
    changed["report"] = changed["report"].replace('"checkpoint":"c"', '"checkpoint":"d"')
    stranger = make_identity("ca", ["127.0.0.1"], NOON)
    wrong = [
        (json.dumps(changed).encode(), "ca", IDENTITY.certificate_pem, "not signed by its gateway's key"),
        (content, "ca", stranger.certificate_pem, "not signed by its gateway's key"),
        (content, "ca", "no certificate", "not signed by its gateway's key"),
        (content, "kr", IDENTITY.certificate_pem, "is of ca"),
    ]
    for text, member, certificate, message in wrong:
        with pytest.raises(ReportError, match=message):
            read_report(text, member, certificate)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"report":"{}","signature":"eA=="}',
        b'{"report":"{}","signature":1}',
    ],
)
def test_what_is_no_report_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(ReportError, match="report of ca: cannot be read"):
        read_report(content, "ca", IDENTITY.certificate_pem)
