"""A gateway tells everyone how often it was asked, from its own audit log and under its own signature."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from commonweal.checkpoints import read_checkpoint, read_vkey
from commonweal.public_reports import HOUR, Report, read_report
from data_trusts.audit import AuditLog
from tests.integration.data_trusts.conftest import Issuer, RunningGateway, StartGateway
from tests.integration.data_trusts.test_gateway import fill, post, question, written_policy
from tests.unit.grants.samples import PURPOSE

SECRET = "SELECT secret FROM payroll"


@pytest.fixture
def ca(start_gateway: StartGateway, issuer: Issuer, tmp_path: Path) -> RunningGateway:
    """A gateway that was asked two hours ago, and is asked now."""
    fill(tmp_path / "ca" / "data")
    before = datetime.now(UTC) - 2 * HOUR
    with AuditLog(tmp_path / "ca" / "data" / "audit" / "audit.jsonl", before, "commonweal.dev/audit/ca") as log:
        for each in range(8):
            asked = {"request": f"r{each}", "trust": "trade", "purpose": PURPOSE, "sql": SECRET}
            log.append(before, {**asked, "kind": "asked"})
            log.append(before, {"kind": "answered", "request": f"r{each}", "rows": 1, "result_sha256": "0" * 64})
        for each in range(6):
            log.append(before, {"request": f"s{each}", "trust": SECRET, "purpose": SECRET, "kind": "refused"})
        log.append(before, {"request": "t", "trust": "trade", "purpose": PURPOSE, "kind": "refused"})
    return start_gateway("ca", written_policy("ca", issuer))


def told(gateway: RunningGateway) -> Report:
    answer = gateway.get("/v1/public")
    assert answer.status_code == httpx.codes.OK
    assert SECRET not in answer.text
    return read_report(answer.content, "ca", gateway.address.ca_pem)


def test_everyone_may_know_how_often_and_nobody_what(ca: RunningGateway, issuer: Issuer) -> None:
    assert post(ca, issuer.token(), question()).status_code == 200
    report = told(ca)
    unnamed, named = sorted(report.uses, key=lambda use: use.trust or "")
    assert (named.trust, named.purpose, named.answered, named.refused) == ("trade", PURPOSE, 8, None)
    assert (unnamed.trust, unnamed.purpose, unnamed.answered, unnamed.refused) == (None, None, 0, 6)
    assert report.as_of - named.hour < timedelta(hours=4)
    log = read_vkey(report.vkey)
    assert log.name == "commonweal.dev/audit/ca"
    assert read_checkpoint(report.checkpoint, log).size >= 23


def test_the_counts_survive_a_restart_because_the_log_does(
    ca: RunningGateway, start_gateway: StartGateway, issuer: Issuer
) -> None:
    before = told(ca).uses
    ca.process.terminate()
    ca.process.wait(timeout=30)
    assert told(start_gateway("ca", written_policy("ca", issuer))).uses == before


def test_without_policies_nothing_is_told(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = start_gateway("ca", written_policy("ca", issuer))
    gateway.publish("{}")
    report = told(gateway)
    assert report.uses == ()
