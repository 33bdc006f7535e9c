"""The whole way: a pilot's token over TLS, the policy, the rows, the audit line, and every kind of no."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from commonweal.checkpoints import Checkpoint, read_checkpoint
from commonweal.grants import Policy
from data_trusts.catalog import Warehouse
from data_trusts.client import Gateway, Refused, TrustClient, Unreachable
from data_trusts.gateway.certificates import make_identity
from data_trusts.tlog import reader
from data_trusts.witness import Witness, look
from tests.integration.data_trusts.conftest import (
    Issuer,
    RunningGateway,
    StartGateway,
    customs_file,
    gateways,
    wait_for,
)
from tests.unit.grants.samples import PURPOSE, dataset, grant, policy, site

SQL = "SELECT flow, sum(quantity_in_kg) AS kg, avg(share) AS share FROM customs_rows GROUP BY flow"


def written_policy(member: str, issuer: Issuer, *, revoked: bool = False, purpose: str = PURPOSE) -> str:
    """A policy of now, since gateways run on the machine's clock."""
    now = datetime.now(UTC)
    spec = {"expiresAt": now + timedelta(days=1), "revoked": revoked, "purpose": purpose}
    sites = {"ca": site("ca", issuer.jwks()), "kr": site("kr", Issuer("https://kr.example").jwks())}
    return policy(member, grant(spec), now=now, **sites).render()


@pytest.fixture(scope="module")
def ca(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for all tests that only ask."""
    folder = tmp_path_factory.mktemp("ca")
    fill(folder / "ca" / "data")
    with gateways(folder) as start:
        yield start("ca", written_policy("ca", issuer))


@pytest.fixture
def own(start_gateway: StartGateway, issuer: Issuer, tmp_path: Path) -> RunningGateway:
    """A gateway whose policy a test may change."""
    fill(tmp_path / "ca" / "data")
    return start_gateway("ca", written_policy("ca", issuer))


def fill(folder: Path, rows: int = 10) -> None:
    warehouse = Warehouse(folder)
    warehouse.ingest("trade", dataset("customs_rows"), customs_file(rows))
    warehouse.close()


def client(issuer: Issuer, *gateways: RunningGateway, **changes: str) -> TrustClient:
    names = {"grant": "steel", "purpose": PURPOSE, **changes}
    return TrustClient([each.address for each in gateways], issuer.token, names["grant"], names["purpose"])


def post(gateway: RunningGateway, token: str | None, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    with gateway.connect() as connection:
        return connection.post("/v1/query", content=content, headers=headers)


def question(**changes: object) -> dict[str, object]:
    return {"trust": "trade", "dataset": "customs_rows", "purpose": PURPOSE, "grant": "steel", "sql": SQL, **changes}


async def test_a_granted_question_is_answered_and_remembered(ca: RunningGateway, issuer: Issuer) -> None:
    before = len(ca.audit())
    async with client(issuer, ca) as asker:
        [result] = await asker.aggregate("trade", "customs_rows", SQL)
    assert [(column.name, column.type, column.unit) for column in result.columns] == [
        ("flow", "int", ""),
        ("kg", "long", "kg"),
        ("share", "decimal(38,18)", ""),
        ("group_rows", "long", "rows"),
    ]
    assert result.records() == [{"flow": 1, "kg": 9045, "share": Decimal("0.625"), "group_rows": 9}]
    assert (result.member, result.synthetic, result.licence) == ("ca", True, "CC-BY-4.0")
    asked, answered = ca.audit()[before:]
    assert (asked["kind"], asked["beneficiary"], asked["asked_from"]) == ("asked", "steel-pilot", "ca")
    assert (asked["purpose"], asked["grant"], asked["reads"]) == (PURPOSE, "steel", ["flow", "quantity_in_kg", "share"])
    assert (answered["kind"], answered["rows"], answered["request"]) == ("answered", 1, asked["request"])
    assert answered["position"] == result.audit_position == before + 1
    written = Policy.parse(written_policy_of(ca))
    assert asked["policy_hash"] == result.policy_hash == written.hash
    assert asked["grant_hash"] == answered["grant_hash"] == written.hash_of_grant("steel") is not None


def written_policy_of(gateway: RunningGateway) -> str:
    return (gateway.policies / "policy-trade.json").read_text()


async def test_members_are_asked_together_and_each_answers_for_itself(
    start_gateway: StartGateway, issuer: Issuer, tmp_path: Path
) -> None:
    started = []
    for member, rows in (("ca", 10), ("ke", 20)):
        fill(tmp_path / member / "data", rows)
        started.append(start_gateway(member, written_policy(member, issuer)))
    async with client(issuer, *started) as asker:
        results = await asker.aggregate("trade", "customs_rows", "SELECT count(*) FROM customs_rows", ["ke", "ca"])
        with pytest.raises(Unreachable, match="no gateway is known"):
            await asker.aggregate("trade", "customs_rows", SQL, ["ch"])
    assert [(result.member, result.rows) for result in results] == [("ke", ((20, 20),)), ("ca", ((10, 10),))]


@pytest.mark.parametrize(
    ("body", "rule", "reason"),
    [
        (question(sql="SELECT count(consignment_id) FROM customs_rows"), "HiddenColumn", "consignment_id is hidden"),
        (question(sql="SELECT count(*) FROM customs_rows; DROP TABLE x"), "Grammar", "2 statements"),
        (question(purpose="public-statistics"), "UndeclaredPurpose", "not for 'public-statistics'"),
        (question(grant="other"), "UnknownGrant", "no live grant other"),
        (question(dataset="facility_disclosures"), "UnknownDataset", "ca holds no dataset facility_disclosures"),
        (question(trust="nature"), "NoPolicy", "no policy for the trust nature"),
    ],
)
def test_a_refusal_is_a_problem_document_and_a_line(
    ca: RunningGateway, issuer: Issuer, body: dict[str, object], rule: str, reason: str
) -> None:
    before = len(ca.audit())
    answer = post(ca, issuer.token(), body)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    problem = answer.json()
    assert (problem["rule"], problem["title"]) == (rule, rule)
    assert reason in problem["reason"]
    assert problem["remedy"]
    [refused] = ca.audit()[before:]
    assert (refused["kind"], refused["rule"], refused["position"]) == ("refused", rule, problem["audit_position"])


def test_whoever_shows_no_good_token_is_nobody(ca: RunningGateway, issuer: Issuer) -> None:
    now, before = datetime.now(UTC), len(ca.audit())
    stranger = Issuer("https://ca.example")
    tokens = {
        "no bearer token": None,
        "not a JWT": "abc",
        "issuer of no member": Issuer("https://ch.example").token(),
        "Signature verification failed": stranger.token(),
        "not for the audience": issuer.token(aud="https://kubernetes.default.svc"),
        "out of date": issuer.token(exp=now - timedelta(minutes=1)),
        "is no pilot": issuer.token(sub="system:serviceaccount:default:steel-pilot"),
    }
    for reason, token in tokens.items():
        answer = post(ca, token, question())
        assert answer.status_code == 401, reason
        assert reason in answer.json()["reason"]
    assert len(ca.audit()) == before


def test_another_pilots_token_does_not_open_the_grant(ca: RunningGateway, issuer: Issuer) -> None:
    token = issuer.token(sub="system:serviceaccount:commonweal-apps:other-pilot")
    assert post(ca, token, question()).json()["rule"] == "NotBeneficiary"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "body"),
        (b"[]", 400, "body"),
        (question(extra=1), 400, "extra"),
        ({"trust": "trade"}, 400, "dataset"),
        (question(trust="../etc"), 400, "trust"),
        (question(deadline_s=1e9), 400, "deadline_s"),
        (question(deadline_s=float("nan")), 400, "deadline_s"),
        (question(sql="SELECT 'x'" + "x" * 20_000), 400, "sql: String should have at most 20000 characters"),
        (b'{"trust": "trade", "sql": "\\ud800"}', 400, "body"),
        (question(sql="x" * 70_000), 413, "the body has more than 65536 bytes"),
    ],
)
def test_a_malformed_question_names_its_field(
    ca: RunningGateway, issuer: Issuer, body: object, status: int, reason: str
) -> None:
    answer = post(ca, issuer.token(), body)
    assert answer.status_code == status
    assert answer.json()["reason"].startswith(reason)


async def ask_again_and_again(asker: TrustClient) -> None:
    for _ in range(100):
        await asker.aggregate("trade", "customs_rows", SQL)
        await asyncio.sleep(0.1)


async def test_a_revoked_grant_is_refused(own: RunningGateway, issuer: Issuer) -> None:
    async with client(issuer, own) as asker:
        assert await asker.aggregate("trade", "customs_rows", SQL)
        own.publish(written_policy("ca", issuer, revoked=True))
        with pytest.raises(Refused) as refused:
            await ask_again_and_again(asker)
    assert (refused.value.member, refused.value.rule) == ("ca", "UnknownGrant")


def test_an_unreadable_policy_allows_nothing(own: RunningGateway, issuer: Issuer) -> None:
    own.publish("{}")
    until_problem(own)
    answer = post(own, issuer.token(), question())
    assert answer.status_code == 401
    assert "this gateway has none" in answer.json()["reason"]


def until_problem(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + 10
    while not gateway.get("/readyz").json()["policy_problems"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_policy_for_another_member_allows_nothing(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = start_gateway("ca", written_policy("ke", issuer))
    assert "ke stands where ca must" in str(gateway.get("/readyz").json()["policy_problems"])
    assert post(gateway, issuer.token(), question()).status_code == 401


def test_a_dataset_without_rows_is_said_to_have_none(start_gateway: StartGateway, issuer: Issuer) -> None:
    gateway = start_gateway("ca", written_policy("ca", issuer))
    answer = post(gateway, issuer.token(), question())
    assert (answer.status_code, answer.json()["rule"]) == (409, "NoRowsYet")
    assert [line["kind"] for line in gateway.audit()] == ["asked", "failed"]


def test_a_dry_run_names_grant_rule_and_statement_and_leaves_no_line(ca: RunningGateway, issuer: Issuer) -> None:
    headers, before = {"authorization": f"Bearer {issuer.token()}"}, len(ca.audit())

    def why(**changes: object) -> dict[str, object]:
        parameters = {key: str(value) for key, value in question(**changes).items()}
        with ca.connect() as connection:
            answer = connection.get("/v1/why", params=parameters, headers=headers)
        assert answer.status_code == 200
        body = answer.json()
        assert isinstance(body, dict)
        return body

    allowed, refused = why(), why(sql="SELECT * FROM customs_rows")
    assert (allowed["allowed"], allowed["rule"], allowed["minimum_group_size"]) == (True, "Granted", 3)
    assert "HAVING COUNT(*) >= 3" in str(allowed["statement"])
    assert (refused["allowed"], refused["rule"], refused["statement"]) == (False, "Aggregate", None)
    assert len(ca.audit()) == before


def test_two_gateways_never_share_a_log(own: RunningGateway, start_gateway: StartGateway, issuer: Issuer) -> None:
    with pytest.raises(AssertionError, match="gateway of ca ended with 1"):
        start_gateway("ca", written_policy("ca", issuer))
    assert own.ready()


def test_a_witness_at_another_member_checks_the_log_over_the_network(
    ca: RunningGateway, issuer: Issuer, tmp_path: Path
) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text(ca.address.ca_pem)
    witness = Witness(tmp_path / "witness", "ke.example/witness")
    log = witness.add(ca.get("/v1/audit/vkey").text)
    read = reader(f"{ca.address.url}/v1/audit", certificate)

    def signed() -> Checkpoint:
        return read_checkpoint(read("checkpoint").decode(), log)

    for _ in range(2):
        assert post(ca, issuer.token(), question()).status_code == 200
        wait_for("a checkpoint", lambda: signed().size == len(ca.audit()), ca.process)
        look(witness, log.name, read, datetime.now(UTC))
    assert (log.name, witness.seen(log.name)) == ("commonweal.dev/audit/ca", signed())


@pytest.mark.parametrize(
    "path", ["tile/entries/000.p/1", "audit.jsonl", "key.pem", "..%2Ftls%2Fkey.pem", "tile/0/..%2F..%2Fkey.pem"]
)
def test_entries_and_keys_stay_at_the_member(ca: RunningGateway, path: str) -> None:
    assert ca.get(f"/v1/audit/{path}").status_code == 404


def test_what_is_counted_can_be_scraped(ca: RunningGateway) -> None:
    lines = ca.get("/metrics").text.splitlines()
    kinds = [line["kind"] for line in ca.audit()]
    assert f'commonweal_gateway_questions_total{{outcome="answered"}} {kinds.count("answered")}' in lines
    assert f'commonweal_gateway_questions_total{{outcome="refused"}} {kinds.count("refused")}' in lines
    assert f"commonweal_gateway_audit_lines {len(kinds)}" in lines
    assert ca.get("/healthz").text == "ok"


async def test_a_gateway_with_another_certificate_is_not_believed(ca: RunningGateway, issuer: Issuer) -> None:
    another = make_identity("ca", ["127.0.0.1"], datetime.now(UTC)).certificate_pem
    address = Gateway(member="ca", url=ca.address.url, ca_pem=another)
    async with TrustClient([address], issuer.token, "steel", PURPOSE) as asker:
        with pytest.raises(Unreachable, match=r"(?i)certificate"):
            await asker.aggregate("trade", "customs_rows", SQL)
