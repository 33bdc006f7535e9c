"""A witness finds every kind of changed history, keeps what convicts the log, and lets an honest log go on."""

import base64
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from commonweal.checkpoints import Verdict, cosigned_at, proves_fork, read_checkpoint, read_vkey
from commonweal.tiles import Tree
from data_trusts.audit import AuditLog
from data_trusts.tlog import TlogError, reader
from data_trusts.witness import UnknownLogError, Witness, WitnessError, look, main
from data_trusts.witness_server import app

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORIGIN = "commonweal.dev/audit"
NAME = "ke.example/witness"
Lines = list[bytes]


def grow(folder: Path, count: int) -> None:
    with AuditLog(folder / "audit.jsonl", NOON) as log:
        for _ in range(count):
            log.append(NOON, {"kind": "answered", "rows": log.size})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    grow(folder, 300)
    return folder


@pytest.fixture
def witness(tmp_path: Path, log: Path) -> Witness:
    made = Witness(tmp_path / "witness", NAME)
    made.add((log / "vkey").read_text())
    return made


def rewritten(folder: Path, change: Callable[[Lines], Lines], more: int = 0) -> None:
    """What a member does who changes its own log and signs it anew with its own key."""
    lines = change((folder / "audit.jsonl").read_bytes().splitlines())
    entries = [json.loads(line) for line in lines]
    shutil.rmtree(folder / "tile")
    (folder / "checkpoint").unlink()
    renumbered = [{**entry, "position": place} for place, entry in enumerate(entries)]
    text = "".join(f"{json.dumps(entry, sort_keys=True, separators=(',', ':'))}\n" for entry in renumbered)
    (folder / "audit.jsonl").write_text(text)
    grow(folder, more)


def evidence(witness: Witness) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(witness._folder.rglob("evidence/*.json"))]


def test_an_honest_log_is_cosigned_again_and_again(log: Path, witness: Witness) -> None:
    for _ in range(3):
        line = look(witness, ORIGIN, reader(str(log)), NOON)
        assert cosigned_at((log / "checkpoint").read_text() + line, witness.verifier) == NOON.timestamp()
        grow(log, 200)
    assert evidence(witness) == []


@pytest.mark.parametrize(
    ("change", "more", "verdict"),
    [
        (lambda lines: [*lines[:7], lines[7].replace(b":7", b":8"), *lines[8:]], 0, Verdict.FORKED),
        (lambda lines: [*lines[:7], lines[7].replace(b":7", b":8"), *lines[8:]], 9, Verdict.UNPROVEN),
        (lambda lines: lines[:7] + lines[8:], 0, Verdict.ROLLED_BACK),
        (lambda lines: lines[:7] + lines[8:], 9, Verdict.UNPROVEN),
        (lambda lines: [*lines[:7], lines[8], lines[7], *lines[9:]], 9, Verdict.UNPROVEN),
        (lambda lines: lines[:-1], 0, Verdict.ROLLED_BACK),
        (lambda lines: lines[:-1], 1, Verdict.FORKED),
    ],
    ids=["flip", "flip-and-grow", "drop", "drop-and-grow", "reorder", "truncate", "truncate-and-grow"],
)
def test_a_rewritten_log_is_refused_and_what_it_signed_is_kept(
    log: Path, witness: Witness, change: Callable[[Lines], Lines], more: int, verdict: Verdict
) -> None:
    look(witness, ORIGIN, reader(str(log)), NOON)
    before = witness.seen(ORIGIN)
    rewritten(log, change, more)
    if verdict is Verdict.FORKED and more:
        # The new entry must differ from the one that was cut: same place, another time.
        rewritten(log, lambda lines: [*lines[:-1], lines[-1].replace(b"answered", b"refused")])
    with pytest.raises(WitnessError) as refused:
        look(witness, ORIGIN, reader(str(log)), NOON)
    assert refused.value.verdict is verdict
    assert witness.seen(ORIGIN) == before
    assert evidence(witness)


def test_a_fork_is_proven_to_anyone_from_the_kept_file_alone(log: Path, witness: Witness, tmp_path: Path) -> None:
    """The log shows one history to the witness and another to an asker, each signed and each consistent in itself."""
    other = tmp_path / "other"
    shutil.copytree(log, other)
    grow(log, 5)
    look(witness, ORIGIN, reader(str(log)), NOON)
    with AuditLog(other / "audit.jsonl", NOON) as forked:
        for _ in range(9):
            forked.append(NOON, {"kind": "refused"})
    with pytest.raises(WitnessError, match="cannot prove that what was seen is still in it"):
        look(witness, ORIGIN, reader(str(other)), NOON)
    [proof] = [each for each in evidence(witness) if each["verdict"] == Verdict.FORKED]
    key = read_vkey((log / "vkey").read_text())
    assert proves_fork(
        read_checkpoint(proof["seen"], key),
        read_checkpoint(proof["offered"], key),
        base64.b64decode(proof["prefix_root"]),
        [base64.b64decode(each) for each in proof["proof"]],
    )


def test_tiles_that_contradict_their_checkpoint_convict_nobody(log: Path, witness: Witness) -> None:
    look(witness, ORIGIN, reader(str(log)), NOON)
    grow(log, 300)
    tile = log / "tile" / "0" / "001"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    with pytest.raises(TlogError, match="do not add up"):
        look(witness, ORIGIN, reader(str(log)), NOON)
    assert evidence(witness) == []


def test_an_unknown_log_and_a_second_key_for_a_known_one_are_refused(
    log: Path, witness: Witness, tmp_path: Path
) -> None:
    with pytest.raises(UnknownLogError, match="add its vkey first"):
        look(witness, "elsewhere", reader(str(log)), NOON)  # and whatever it shows
    stranger = tmp_path / "stranger"
    grow(stranger, 1)
    with pytest.raises(UnknownLogError, match="another key is known"):
        witness.add((stranger / "vkey").read_text())


def test_the_commands_say_it_in_one_line(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--folder", str(tmp_path / "w"), "--name", NAME]
    assert main([*common, "look", ORIGIN, str(log)]) == 1
    assert "is not watched here" in capsys.readouterr().err
    assert main([*common, "add", (log / "vkey").read_text()]) == 0
    assert main([*common, "look", ORIGIN, str(log)]) == 0
    assert main([*common, "verify", ORIGIN, str(log)]) == 0
    assert "300 entries of commonweal.dev/audit are as they were signed" in capsys.readouterr().out
    assert main([*common, "look", ORIGIN, str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def request(log: Path, old: int) -> str:
    note = (log / "checkpoint").read_text()
    size = int(note.split("\n")[1])
    proof = Tree(size, reader(str(log))).consistency_proof(old) if 0 < old < size else ()
    lines = "".join(f"{base64.b64encode(each).decode()}\n" for each in proof)
    return f"old {old}\n{lines}\n{note}"


def test_the_witness_protocol_answers_as_specified(log: Path, witness: Witness) -> None:
    with TestClient(app(witness)) as client:

        def ask(body: str) -> tuple[int, str]:
            answer = client.post("/add-checkpoint", content=body.encode())
            return answer.status_code, answer.text

        status, line = ask(request(log, 0))
        assert status == 200
        assert cosigned_at((log / "checkpoint").read_text() + line, witness.verifier)
        earlier = request(log, 300)
        grow(log, 9)
        stale = client.post("/add-checkpoint", content=request(log, 0).encode())
        assert (stale.status_code, stale.text) == (409, "300\n")
        assert stale.headers["content-type"].startswith("text/x.tlog.size")
        unproven = request(log, 300).replace(request(log, 300).split("\n")[1], base64.b64encode(bytes(32)).decode())
        assert ask(unproven)[0] == 422
        assert ask(request(log, 300))[0] == 200
        assert ask(earlier) == (409, "309\n")
        assert ask(earlier.replace("old 300", "old 309"))[0] == 400
        assert ask(request(log, 309).replace(ORIGIN, "elsewhere"))[0] == 404
        assert ask(request(log, 309).replace("\n309\n", "\n310\n"))[0] == 403
        malformed = ["", "old 1", "old 01\n\nx", "old 1\n*\n\nx", "old 1\nAAAA\n\nx", "old 1\n" + "AAAA\n" * 64 + "\nx"]
        for body in malformed:
            assert ask(body)[0] == 400, body
