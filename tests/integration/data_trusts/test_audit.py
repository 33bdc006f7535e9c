"""The audit log: what is not on disk did not happen, and what was signed cannot be changed unseen."""

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commonweal.checkpoints import read_vkey
from commonweal.tiles import Tree
from commonweal.transparency import Json, leaf_hash, root, verify_inclusion
from data_trusts.audit import AuditError, AuditLog, EntryError, entry
from data_trusts.tlog import TlogError, reader
from data_trusts.witness import check_entries

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVENTS: list[dict[str, Json]] = [
    {"kind": "asked", "sql": "SELECT count(*)\nFROM x", "reads": ["a", "b"]},
    {"kind": "answered", "rows": 3},
    {"kind": "refused", "reason": "ä \u2028 \x00", "policy_hash": None},
]
# As the gateway wrote before there was a tree.
OLD_FORM = b'{"at":"2026-11-24T12:00:00+00:00","hash":"ab","kind":"asked","position":0,"previous":"00"}\n'


def wrote(path: Path, count: int) -> list[bytes]:
    """Entries of a log that was closed in order."""
    with AuditLog(path, NOON) as log:
        for number in range(count):
            log.append(NOON, {"kind": "answered", "rows": number})
    return path.read_bytes().splitlines()


def checked(folder: Path) -> int:
    return check_entries(read_vkey((folder / "vkey").read_text()), reader(str(folder))).size


def test_a_log_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "audit.jsonl"
    with AuditLog(path, NOON) as log:
        assert [log.append(NOON, event) for event in EVENTS] == [0, 1, 2]
    with AuditLog(path, NOON) as log:
        assert log.size == 3
        assert log.append(NOON, EVENTS[0]) == 3
    assert [json.loads(raw)["position"] for raw in path.read_bytes().splitlines()] == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [0, 1, 256, 600])
def test_whoever_reads_the_public_files_can_check_every_entry(tmp_path: Path, count: int) -> None:
    entries = wrote(tmp_path / "audit.jsonl", count)
    assert checked(tmp_path) == count
    tree = Tree(count, reader(str(tmp_path)))
    for index in {0, count - 1} if count else ():
        proof = tree.inclusion_proof(index)
        assert verify_inclusion(leaf_hash(entries[index]), index, count, proof, root([leaf_hash(e) for e in entries]))


def test_a_log_that_grew_in_steps_has_no_partial_file_beside_a_full_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(6):
        wrote(path, 50)
    assert checked(tmp_path) == 300
    assert not (tmp_path / "tile" / "0" / "000.p").exists()
    assert not (tmp_path / "tile" / "entries" / "000.p").exists()


def test_many_threads_share_syncs_and_each_gets_its_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, sync = 0, os.fdatasync
    first_is_writing, others_wait = threading.Event(), threading.Event()

    def counted(file: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 1:
            first_is_writing.set()
            others_wait.wait(10)
        sync(file)

    path = tmp_path / "audit.jsonl"
    with AuditLog(path, NOON) as log, ThreadPoolExecutor(33) as pool:
        monkeypatch.setattr(os, "fdatasync", counted)
        first = pool.submit(log.append, NOON, {"number": 0})
        assert first_is_writing.wait(10)
        others = [pool.submit(log.append, NOON, {"number": number}) for number in range(1, 33)]
        while len(log._queue) < len(others):
            pass
        others_wait.set()
        places = [first.result(10), *(each.result(10) for each in others)]
    assert sorted(places) == list(range(33))
    assert syncs == 2
    written = {json.loads(raw)["number"]: json.loads(raw)["position"] for raw in path.read_bytes().splitlines()}
    assert written == dict(enumerate(places))


def test_a_torn_last_line_is_cut_and_the_cut_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    wrote(path, 3)
    with path.open("ab") as file:
        file.write(b'{"kind":"asked","posi')
    with AuditLog(path, NOON) as log:
        assert log.size == 4
    assert json.loads(path.read_bytes().splitlines()[3])["kind"] == "recovered"
    assert checked(tmp_path) == 4


def flip(lines: list[bytes]) -> list[bytes]:
    return [*lines[:7], lines[7].replace(b'"rows":7', b'"rows":8'), *lines[8:]]


def drop(lines: list[bytes]) -> list[bytes]:
    return lines[:7] + lines[8:]


def reorder(lines: list[bytes]) -> list[bytes]:
    return [*lines[:7], lines[8], lines[7], *lines[9:]]


def truncate(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (flip, "one of the first 300 entries is not as it was signed"),
        (drop, "ends after 299 entries, but 300 were signed"),
        (reorder, "one of the first 300 entries is not as it was signed"),
        (truncate, "ends after 299 entries, but 300 were signed"),
    ],
)
def test_a_changed_log_is_not_opened(
    tmp_path: Path, tamper: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    path = tmp_path / "audit.jsonl"
    changed = tamper(wrote(path, 300))
    path.write_bytes(b"".join(line + b"\n" for line in changed))
    for _ in range(2):
        with pytest.raises(AuditError, match=message):
            AuditLog(path, NOON)


def test_a_changed_bundle_or_tile_is_found_by_who_reads_it_and_written_again_by_the_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    wrote(path, 300)
    for name, message in (
        ("tile/entries/000", "an entry is not what was signed"),
        ("tile/0/000", "is not what the entries"),
    ):
        file = tmp_path / name
        content = bytearray(file.read_bytes())
        content[100] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(TlogError, match=message):
            checked(tmp_path)
        AuditLog(path, NOON).close()
        assert checked(tmp_path) == 300


def test_lines_of_the_older_form_are_entries_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(OLD_FORM)
    with AuditLog(path, NOON) as log:
        assert log.append(NOON, EVENTS[0]) == 1
    assert checked(tmp_path) == 2


@pytest.mark.parametrize("raw", [b"no json", b"[]", b'{"position":1}', OLD_FORM[:-1].replace(b'n":0', b'n":"0"')])
def test_what_is_no_entry_is_not_taken_for_one(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(raw + b"\n")
    with pytest.raises(AuditError, match="audit entry 0: is not what was written there"):
        AuditLog(path, NOON)


def test_a_log_whose_key_is_gone_is_not_opened_under_another(tmp_path: Path) -> None:
    wrote(tmp_path / "audit.jsonl", 1)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(AuditError, match="tell the witnesses why"):
        AuditLog(tmp_path / "audit.jsonl", NOON)


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
    assert path.read_bytes() == entry(0, NOON, EVENTS[0]) + b"\n"


def test_a_log_that_cannot_be_signed_takes_no_more_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with AuditLog(tmp_path / "audit.jsonl", NOON) as log:
        log.append(NOON, EVENTS[0])

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(AuditError, match="No space left"):
            log.publish()
        with pytest.raises(AuditError, match="No space left"):
            log.append(NOON, EVENTS[1])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"position": 7}, "position is the log's own"),
        ({"sql": "x" * 65_536}, "more than 65535"),
        ({"sql": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_an_event_that_cannot_be_recorded_is_refused_alone(
    tmp_path: Path, event: dict[str, Json], message: str
) -> None:
    with AuditLog(tmp_path / "audit.jsonl", NOON) as log:
        with pytest.raises(EntryError, match=message):
            log.append(NOON, event)
        assert log.append(NOON, EVENTS[0]) == 0
