"""The audit log: whatever happens to the file is found, and what is not on disk did not happen."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_trusts.audit import GENESIS, AuditError, AuditLog, Head, Json, line, verify

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVENTS: list[dict[str, Json]] = [
    {"kind": "asked", "sql": "SELECT count(*)\nFROM x", "reads": ["a", "b"]},
    {"kind": "answered", "rows": 3},
    {"kind": "refused", "reason": "ä \u2028 \x00", "policy_hash": None},
]


def chain(events: list[dict[str, Json]]) -> list[bytes]:
    head, lines = Head(length=0, hash=GENESIS), []
    for event in events:
        raw, head = line(head, NOON, event)
        lines.append(raw)
    return lines


LINES = chain(EVENTS)
HEAD = verify(LINES)


@given(st.integers(0, len(b"".join(LINES)) - 1), st.integers(1, 255))
def test_any_changed_byte_is_found(place: int, change: int) -> None:
    content = bytearray(b"".join(LINES))
    content[place] ^= change
    with pytest.raises(AuditError, match="audit line"):
        verify(bytes(content).splitlines(keepends=True))


@given(st.permutations(range(len(LINES))))
def test_any_other_order_is_found(order: list[int]) -> None:
    lines = [LINES[index] for index in order]
    if lines == LINES:
        assert verify(lines) == HEAD
        return
    with pytest.raises(AuditError, match="does not follow"):
        verify(lines)


@pytest.mark.parametrize("dropped", [0, 1])
def test_a_dropped_line_is_found(dropped: int) -> None:
    with pytest.raises(AuditError, match=f"audit line {dropped + 1}: does not follow"):
        verify(LINES[:dropped] + LINES[dropped + 1 :])


def test_a_cut_end_is_found_by_whoever_kept_a_later_head() -> None:
    assert verify(LINES[:2]).length == 2
    with pytest.raises(AuditError, match=r"line 3 with hash [0-9a-f]+ is gone"):
        verify(LINES[:2], HEAD)


def test_a_second_history_is_found_by_whoever_kept_the_first() -> None:
    fork = chain([*EVENTS[:2], {"kind": "answered", "rows": 4}])
    with pytest.raises(AuditError, match="is gone"):
        verify(fork, HEAD)


def test_a_log_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "audit.jsonl"
    with AuditLog(path, NOON) as log:
        assert [log.append(NOON, event) for event in EVENTS] == [0, 1, 2]
    with AuditLog(path, NOON) as log:
        assert log.head == HEAD
        assert log.append(NOON, EVENTS[0]) == 3
    assert verify(path.read_bytes().splitlines(keepends=True), HEAD).length == 4


def test_a_torn_last_line_is_cut_and_the_cut_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(LINES) + b'{"kind":"asked","posi')
    with AuditLog(path, NOON) as log:
        assert log.head.length == 4
    assert b'"kind":"recovered"' in path.read_bytes().splitlines()[3]
    assert verify(path.read_bytes().splitlines(keepends=True), HEAD).length == 4


def test_a_changed_log_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(LINES).replace(b'"rows":3', b'"rows":4'))
    with pytest.raises(AuditError, match="audit line 2: its hash does not match"):
        AuditLog(path, NOON)


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, NOON), pytest.raises(AuditError, match="another process"):
        AuditLog(path, NOON)


def test_a_full_disk_shuts_the_log_and_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path, NOON) as log:
        log.append(NOON, EVENTS[0])
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, raw: write(file, raw[:10]))
        with pytest.raises(AuditError, match="free the disk"):
            log.append(NOON, EVENTS[1])
        monkeypatch.undo()
        assert log.broken == "the disk is full"
        with pytest.raises(AuditError, match="the disk is full"):
            log.append(NOON, EVENTS[1])
    assert path.read_bytes() == LINES[0]


def test_an_event_cannot_take_the_logs_own_names() -> None:
    with pytest.raises(AuditError, match="previous is the log's own"):
        line(HEAD, NOON, {"previous": GENESIS})
