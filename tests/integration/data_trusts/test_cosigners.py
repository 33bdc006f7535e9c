"""A log sends its checkpoints to witnesses by itself; one that is away is counted and delays nothing."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from commonweal.checkpoints import cosigned_at, read_checkpoint, read_vkey
from data_trusts.audit import AuditLog
from data_trusts.cosigners import Cosigner, CosignerError, Cosigners, metrics, read_cosigners
from data_trusts.witness import Witness
from data_trusts.witness_server import app
from infra.local.trino import free_port
from tests.integration.data_trusts.conftest import Issuer, StartGateway, wait_for
from tests.integration.data_trusts.test_gateway import fill, post, question, written_policy

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ORIGIN = "commonweal.dev/audit/ca"


@contextmanager
def listening(witness: Witness) -> Iterator[str]:
    """The witness over HTTP, as `witness serve` runs it."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app(witness), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def grow(folder: Path, count: int) -> AuditLog:
    log = AuditLog(folder / "audit.jsonl", NOON, ORIGIN)
    for _ in range(count):
        log.append(NOON, {"kind": "answered", "rows": log.size})
    log.close()
    return log


def cosigner(witness: Witness, url: str) -> Cosigner:
    [one] = read_cosigners(f"{witness.verifier.vkey()} {url}")
    return one


def send(log: AuditLog, *whom: Cosigner, at: datetime = NOON) -> Cosigners:
    cosigners = Cosigners(log.folder, log.verifier, whom, lambda: at)

    async def once() -> None:
        async with httpx.AsyncClient(timeout=2) as client:
            await cosigners.send_all(client)

    asyncio.run(once())
    return cosigners


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return grow(tmp_path / "log", 300)


@pytest.fixture
def witness(tmp_path: Path, log: AuditLog) -> Witness:
    made = Witness(tmp_path / "witness", "ke.example/witness")
    made.add(log.vkey)
    return made


def test_a_cosignature_is_kept_beside_the_checkpoint_and_public(log: AuditLog, witness: Witness) -> None:
    with listening(witness) as url:
        cosigners = send(log, cosigner(witness, url))
        grown = grow(log.folder, 40)
        cosigners = send(grown, cosigner(witness, url))
    [(verifier, note)] = cosigners.notes()
    assert verifier == witness.verifier
    assert read_checkpoint(note, log.verifier).size == 340
    assert cosigned_at(note, witness.verifier) > 0
    assert log.public_file(f"witnessed/{verifier.key_id.hex()}") == note.encode()
    assert cosigners.standings["ke.example/witness"].failures == 0


def test_a_restart_or_a_lost_folder_goes_on_from_what_the_witness_has_seen(log: AuditLog, witness: Witness) -> None:
    with listening(witness) as url:
        whom = cosigner(witness, url)
        send(log, whom)
        (log.folder / whom.file).unlink()
        grown = grow(log.folder, 7)
        assert send(grown, whom).standings["ke.example/witness"].size == 307


def test_a_quiet_log_is_shown_again_when_the_cosignature_is_an_hour_old(log: AuditLog, witness: Witness) -> None:
    with listening(witness) as url:
        whom = cosigner(witness, url)
        first = send(log, whom).standings["ke.example/witness"].at
        (log.folder / whom.file).touch()
        soon, later = (datetime.fromtimestamp(first, UTC) + timedelta(minutes=after) for after in (1, 61))
        witness_file = (log.folder / whom.file).read_bytes()
        time.sleep(1.1)  # a cosignature counts seconds
        send(log, whom, at=soon)
        assert (log.folder / whom.file).read_bytes() == witness_file
        assert send(log, whom, at=later).standings["ke.example/witness"].at > first


def test_a_witness_that_is_away_is_counted_and_the_other_still_cosigns(log: AuditLog, witness: Witness) -> None:
    away = Witness(log.folder.parent / "away", "uy.example/witness")
    with listening(witness) as url:
        cosigners = send(log, cosigner(away, f"http://127.0.0.1:{free_port()}"), cosigner(witness, url))
    assert cosigners.standings["uy.example/witness"].failures == 1
    assert "is it up?" in cosigners.standings["uy.example/witness"].problem
    assert cosigners.standings["ke.example/witness"].size == 300
    assert 'commonweal_gateway_witness_failures_total{witness="uy.example/witness"} 1' in metrics(cosigners.standings)
    assert 'commonweal_gateway_witnessed_entries{witness="ke.example/witness"} 300' in metrics(cosigners.standings)


def test_a_log_that_lost_entries_is_told_what_the_witness_saw(log: AuditLog, witness: Witness, tmp_path: Path) -> None:
    with listening(witness) as url:
        send(log, cosigner(witness, url))
        shorter = tmp_path / "shorter"
        shorter.mkdir()
        (shorter / "key.pem").write_bytes((log.folder / "key.pem").read_bytes())
        problem = send(grow(shorter, 10), cosigner(witness, url)).standings["ke.example/witness"].problem
    assert "has seen 300 entries and this log has 10" in problem


def test_an_answer_that_another_key_signed_is_not_kept(log: AuditLog, witness: Witness, tmp_path: Path) -> None:
    stranger = Witness(tmp_path / "stranger", "ke.example/witness")
    with listening(witness) as url:
        cosigners = send(log, cosigner(stranger, url))
    assert cosigners.notes() == []
    assert "has not signed it with the key that is known" in cosigners.standings["ke.example/witness"].problem


def test_a_witness_that_does_not_watch_the_log_says_so(log: AuditLog, tmp_path: Path) -> None:
    other = Witness(tmp_path / "other", "ke.example/witness")
    with listening(other) as url:
        problem = send(log, cosigner(other, url)).standings["ke.example/witness"].problem
    assert "answered 404" in problem
    assert "add its vkey first" in problem


def test_settings_that_name_no_witness_are_refused_by_name(log: AuditLog, witness: Witness) -> None:
    vkey = witness.verifier.vkey()
    wrong = {
        f"{vkey}": "stands alone",
        f"{log.vkey} https://ke:1": "is the key of a log",
        f"{vkey} ke:1": "is no address",
        f"{vkey} https://": "is no address",
        f"{vkey} https://ke:99999999": "is no address",
        f"{vkey} https://ke:1 {vkey} https://ke:2": "named twice",
        "ke https://ke:1": "is not NAME\\+ID\\+KEY",
    }
    for text, message in wrong.items():
        with pytest.raises(CosignerError, match=message):
            read_cosigners(text)


def test_a_gateway_is_witnessed_without_anybodys_doing_and_answers_while_a_witness_is_away(
    start_gateway: StartGateway, issuer: Issuer, tmp_path: Path
) -> None:
    witness, away = (Witness(tmp_path / name, f"{name}.example/witness") for name in ("ke", "uy"))
    fill(tmp_path / "ca" / "data")
    grow(tmp_path / "ca" / "data" / "audit", 1)  # so that its key is there to be watched
    witness.add((tmp_path / "ca" / "data" / "audit" / "vkey").read_text())
    with listening(witness) as url:
        settings = f"{witness.verifier.vkey()} {url} {away.verifier.vkey()} http://127.0.0.1:{free_port()}"
        gateway = start_gateway("ca", written_policy("ca", issuer), COMMONWEAL_WITNESSES=settings)
        assert post(gateway, issuer.token(), question()).status_code == 200
        path = f"/v1/audit/witnessed/{witness.verifier.key_id.hex()}"
        wait_for("a cosignature", lambda: gateway.get(path).status_code == httpx.codes.OK, gateway.process)
        note = gateway.get(path).text
    assert cosigned_at(note, witness.verifier) > 0
    assert read_checkpoint(note, read_vkey(gateway.get("/v1/audit/vkey").text)).size > 0
    assert 'failures_total{witness="uy.example/witness"} 0' not in gateway.get("/metrics").text
