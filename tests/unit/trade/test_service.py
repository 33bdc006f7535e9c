"""The HTTP surface over members in memory."""

import hashlib
import html
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from apps.trade.audit.verifier import verify
from apps.trade.customs import MEAN_KG, planted
from apps.trade.disclosures import DisclosureRow
from apps.trade.pact.register import Register
from apps.trade.questions import CUSTOMS, DISCLOSURES
from apps.trade.rule_packs import load_exact
from apps.trade.service import create_app
from apps.trade.sources import Ages

from .conftest import ROWS, Pool

ROOT = Path(__file__).parents[3]
STEEL = {
    "cn_code": "72081000",
    "country": "KR",
    "installation_id": "EC-EXAMPLE-2",
    "net_mass_kg": 25000,
    "import_year": 2026,
}


@pytest.fixture
def client(pool: Pool) -> Iterator[TestClient]:
    """A client of the running app."""
    with TestClient(create_app(pool, ages=Ages(retry_s=0)), raise_server_exceptions=False) as running:
        yield running


def assessed(client: TestClient, **changes: object) -> dict[str, Any]:
    answer = client.post("/v1/assessments", json={**STEEL, **changes})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(client: TestClient, **changes: object) -> dict[str, Any]:
    answer = client.post("/v1/assessments", json={**STEEL, **changes})
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    return body


def test_a_disclosed_consignment_names_member_grant_pack_and_evidence(
    client: TestClient, example_rows: list[DisclosureRow]
) -> None:
    answer = assessed(client)
    row = next(row for row in example_rows if (row.cn_code, row.rule_pack) == ("72081000", "eu-2025-2547"))
    assert Decimal(answer["tonnes_direct"]) == row.see_direct_t_per_t * 25
    assert Decimal(answer["tonnes_indirect"]) == Decimal("0.2035539825") * 25
    assert answer["tonnes_counted"] == answer["tonnes_direct"]
    told = {name: answer[name] for name in ("source", "member", "grant", "rule_pack", "celex", "evidence_sha256")}
    assert told == {
        "source": "disclosure",
        "member": "kr",
        "grant": "trade-emissions",
        "rule_pack": "eu-2025-2547",
        "celex": "32025R2547",
        "evidence_sha256": row.evidence_sha256,
    }
    assert answer["data_age_s"] == 0


def test_an_unknown_installation_gets_the_default_with_the_reason(client: TestClient) -> None:
    answer = assessed(client, installation_id="NOBODY")
    assert (answer["source"], answer["default_share"], answer["member"]) == ("default", "1", None)
    assert answer["tonnes_counted"] == "58.245"
    assert "unknown to every member asked" in answer["why"]
    assert answer["tonnes_indirect"] is None
    assert (answer["markup_bp"], answer["release"]) == (1000, "2025/2621 Annex I as amended by 2026/1740")


def test_a_good_without_value_is_refused_by_field_and_remedy(client: TestClient) -> None:
    refused = problem(client, cn_code="73041100", installation_id=None)
    assert (refused["status"], refused["type"]) == (422, "urn:commonweal:trade:unassessable")
    assert refused["errors"][0]["field"] == "cn_code"
    assert "give an installation" in refused["errors"][0]["remedy"]


def test_every_wrong_field_is_named_with_its_remedy(client: TestClient) -> None:
    refused = problem(client, cn_code="7208100", country="kr", net_mass_kg=-1, import_year=1999, colour="blue")
    assert refused["status"] == 422
    remedies = {each["field"]: each["remedy"] for each in refused["errors"]}
    assert set(remedies) == {"cn_code", "country", "net_mass_kg", "import_year", "colour"}
    assert remedies["cn_code"] == "give 8 digits of the Combined Nomenclature"
    assert "cn_code: '7208100' does not fit" in refused["detail"]


def test_a_missing_field_is_said_to_be_missing(client: TestClient) -> None:
    refused = client.post("/v1/assessments", json={"cn_code": "72081000"}).json()
    assert "country: missing; give two capital letters" in refused["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_a_body_that_is_no_consignment_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/assessments", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "the fields are cn_code" in answer.json()["detail"]


def test_a_number_that_is_none_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/assessments", content=json.dumps(STEEL).replace("25000", "NaN"))
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["net_mass_kg"]


def test_a_body_without_end_is_refused(client: TestClient) -> None:
    assert client.post("/v1/assessments", content=b" " * 70_000).status_code == 413


def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: TestClient) -> None:
    assert client.get("/v2").json()["status"] == 404
    wrong = client.get("/v1/assessments")
    assert (wrong.status_code, wrong.headers["content-type"]) == (405, "application/problem+json")


def test_a_number_keeps_its_decimals(client: TestClient) -> None:
    body = json.dumps(STEEL).replace("25000", "25000.1")
    answer = client.post("/v1/assessments", content=body).json()
    assert answer["net_mass_kg"] == "25000.1"


def test_totals_match_what_was_planted(client: TestClient) -> None:
    answer = client.get("/v1/totals", params={"cn_prefix": "7208", "year": 2026}).json()
    rows = {each.cn_code: 0 for each in planted(ROWS)}
    for stratum, count in planted(ROWS).items():
        rows[stratum.cn_code] += 2 * count
    wanted = rows["72081000"] + rows["72083900"]
    assert answer["rows"] == answer["synthetic_rows"] == wanted
    assert Decimal(answer["mass_t"]) == wanted * MEAN_KG // 1000
    assert answer["synthetic"] is True
    assert {each["member"]: each["dataset"] for each in answer["sources"]} == {
        "ca": CUSTOMS,
        "ke": CUSTOMS,
        "kr": DISCLOSURES,
    }


def test_totals_of_everything_show_what_was_left_out(client: TestClient) -> None:
    answer = client.get("/v1/totals", params={"cn_prefix": "25", "year": 2026}).json()
    assert "clinker_t_per_t: missing" in answer["unassessed"][0]["reason"]
    assert Decimal(answer["tonnes_not_split"]) == Decimal(answer["tonnes_counted"]) > 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "cn_prefix"),
        ("?cn_prefix=7&year=2026", "cn_prefix"),
        ("?cn_prefix=72&year=x", "year"),
        ("?cn_prefix=72&y=1", "y"),
    ],
)
def test_wrong_parameters_of_totals_are_named(client: TestClient, query: str, field: str) -> None:
    answer = client.get(f"/v1/totals{query}")
    assert answer.status_code == 422
    assert field in [each["field"] for each in answer.json()["errors"]]


def test_a_year_without_rows_is_an_empty_total_with_an_unknown_share(client: TestClient) -> None:
    answer = client.get("/v1/totals", params={"cn_prefix": "72", "year": 2031}).json()
    assert (answer["rows"], answer["tonnes_counted"], answer["default_share"]) == (0, "0", None)


def test_a_refusal_names_member_and_rule(client: TestClient, pool: Pool) -> None:
    pool.members["kr"].refuses = True
    refused = problem(client)
    assert refused["status"] == 403
    assert "kr refused (UnknownGrant): the grant trade-emissions is revoked" in refused["detail"]


def test_an_absent_member_is_named_and_the_caller_told_to_try_again(client: TestClient, pool: Pool) -> None:
    pool.members["ke"].absent = True
    answer = client.get("/v1/totals", params={"cn_prefix": "72", "year": 2026})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "ke gave no answer" in answer.json()["detail"]


def test_a_missing_grant_is_said(client: TestClient, pool: Pool) -> None:
    del pool.holders[DISCLOSURES]
    refused = problem(client)
    assert refused["status"] == 503
    assert "no grant covers facility_disclosures" in refused["detail"]


def test_a_pod_is_ready_once_the_disclosures_answer(client: TestClient, pool: Pool) -> None:
    pool.members["kr"].absent = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    pool.members["kr"].absent = False
    assert client.get("/readyz").text == "ready\n"


def test_a_pod_that_was_ready_and_is_refused_stays_ready_to_say_so(pool: Pool) -> None:
    ages = Ages(fresh_s=-1, patient_s=-1, retry_s=0)  # every request asks
    with TestClient(create_app(pool, ages=ages)) as client:
        pool.members["kr"].refuses = True
        assert client.get("/readyz").status_code == 403
        pool.members["kr"].refuses = False
        assert client.get("/readyz").status_code == 200
        pool.members["kr"].refuses = True
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert "UnknownGrant" in answer.text


def test_the_description_resolves_and_lists_every_path(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    references = [part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]]
    assert references
    assert set(references) <= set(schemas)
    assert set(document["paths"]) == {
        "/v1/assessments",
        "/v1/assessments/bundle",
        "/v1/totals",
        "/healthz",
        "/readyz",
    }
    assert set(schemas["AssessmentView"]["properties"]) == set(assessed(client))


def test_the_page_answers_in_its_first_sentence(client: TestClient) -> None:
    text = client.get("/", params={**STEEL, "cn_prefix": "7208", "year": "2026"}).text
    assert (
        "This consignment embeds <b>38.474 t CO2e</b>, from what the producer disclosed; it may really be 35.4" in text
    )
    assert "32025R2547 (eu-2025-2547)" in text
    assert "rows are synthetic" in text
    assert "Indirect, t CO2e, does not count" in text


def test_the_page_shows_a_problem_in_words_and_never_raw_input(client: TestClient) -> None:
    text = client.get("/", params={**STEEL, "country": "<script>alert(1)</script>"}).text
    assert "two capital letters" in text
    assert "<script>" not in text


def test_the_empty_page_asks_no_member(client: TestClient, pool: Pool) -> None:
    assert "What does this consignment embed?" in client.get("/").text
    assert not any(member.asked for member in pool.members.values())


def test_an_answer_and_a_total_come_with_their_intervals(client: TestClient) -> None:
    disclosed, default = assessed(client)["interval"], assessed(client, installation_id=None)["interval"]
    assert disclosed["high_t"] / disclosed["low_t"] < default["high_t"] / default["low_t"]
    assert disclosed["method"] == "shifted-lognormal-1"
    totals = client.get("/v1/totals", params={"cn_prefix": "7208", "year": "2026"}).json()
    assert totals["interval"]["low_t"] < float(totals["tonnes_counted"]) < totals["interval"]["high_t"]
    assert "May really be, 90 %" in client.get("/", params={"cn_code": "72081000", **COIL}).text
    assert assessed(client, country="DE", installation_id=None)["interval"] is None


COIL = {"country": "KR", "net_mass_kg": "25000", "import_year": "2026"}


def test_the_page_says_where_actual_data_does_not_pay(client: TestClient) -> None:
    asked = {"cn_code": "76011010", "country": "KR", "net_mass_kg": "10000", "import_year": "2026"}
    shown = client.get("/", params={**asked, "installation_id": "EC-EXAMPLE-6"}).text
    assert "Actual data does not pay here: 1.676 certificates" in shown
    assert "What would lower it:<ul><li>Declare by the default value" in shown
    assert "the mark-up of 10 %" in client.get("/", params=asked).text


def test_the_page_of_a_transitional_year_knows_no_certificates(client: TestClient) -> None:
    asked = {"cn_code": "72081000", "country": "DE", "net_mass_kg": "10000", "import_year": "2025"}
    assert "This method knows no certificates" in client.get("/", params=asked).text


def test_a_bundle_holds_the_released_row_and_the_services_answer(pool: Pool) -> None:
    key = Ed25519PrivateKey.generate()
    with TestClient(create_app(pool, signer=key)) as client:
        answer = client.post("/v1/assessments/bundle", json=STEEL)
        view = assessed(client)
    assert answer.headers["content-type"] == "application/zip"
    held = json.loads(verify(answer.content, key.public_key()).result)
    assert held == {name: value for name, value in view.items() if name in held}
    assert view.keys() - held.keys() == {"bill", "data_age_s", "grant", "interval", "members_asked"}


def test_a_service_without_a_key_signs_nothing_and_says_so(client: TestClient) -> None:
    answer = client.post("/v1/assessments/bundle", json=STEEL)
    assert answer.status_code == 501
    assert "COMMONWEAL_SIGNING_KEY" in answer.json()["detail"]


def test_the_page_says_that_a_value_is_not_the_countrys_own(client: TestClient) -> None:
    asked = {"cn_code": "72081000", "country": "VN", "net_mass_kg": "10000", "import_year": "2026"}
    assert (
        "VN has no default value of its own for this good: that of other countries counts"
        in client.get("/", params=asked).text
    )
    assert "has no default value of its own" not in client.get("/", params={**asked, "country": "KR"}).text


def test_the_page_leads_to_the_evidence_where_it_can_be_signed(pool: Pool, client: TestClient) -> None:
    key = Ed25519PrivateKey.generate()
    with TestClient(create_app(pool, signer=key)) as signing:
        shown = signing.get("/", params={**STEEL, "import_quarter": "", "cn_prefix": "7208", "year": "2026"}).text
        link = html.unescape(shown.split("href='")[1].split("'")[0])
        held = verify(signing.get(link).content, key.public_key())
        assert signing.get("/evidence", params={"cn_code": "1"}).status_code == 422
    assert json.loads(held.result)["tonnes_counted"] == assessed(client)["tonnes_counted"]
    assert "Evidence for" not in client.get("/", params=STEEL).text
    assert client.get("/evidence", params=STEEL).status_code == 501


def test_a_bundle_of_what_cannot_be_assessed_is_a_problem(pool: Pool) -> None:
    with TestClient(create_app(pool, signer=Ed25519PrivateKey.generate())) as client:
        wrong = client.post("/v1/assessments/bundle", json={**STEEL, "cn_code": "1"})
        none = client.post("/v1/assessments/bundle", json={**STEEL, "cn_code": "73041100", "installation_id": None})
    assert (wrong.status_code, none.status_code) == (422, 422)


def documented_register() -> Register:
    """The register of docs/trade.md, with its placeholders filled in."""
    text = (ROOT / "docs" / "trade.md").read_text("utf-8").split("```yaml\n")[1].split("```")[0]
    filled = re.sub("tokenKey: <[^>]*>", f"tokenKey: {'k' * 64}", text)
    digest = hashlib.sha256(b"drawn").hexdigest()
    return Register.model_validate(load_exact(re.sub("secretSha256: <[^>]*>", f"secretSha256: {digest}", filled)))


def test_footprints_are_served_beside_the_api_by_the_register_that_the_page_shows(
    pool: Pool, example_rows: list[DisclosureRow]
) -> None:
    app = create_app(pool, register=documented_register())
    with TestClient(app, base_url="https://testserver") as client:
        grant = {"grant_type": "client_credentials"}
        token = client.post("/auth/token", data=grant, auth=("buyer", "drawn")).json()["access_token"]
        listed = client.get("/3/footprints", headers={"Authorization": f"Bearer {token}"}).json()["data"]
        assert client.get("/healthz").status_code == 200
    row = next(row for row in example_rows if (row.cn_code, row.rule_pack) == ("72081000", "eu-2023-1773"))
    see = row.see_direct_t_per_t + row.see_indirect_t_per_t
    assert [Decimal(each["pcf"]["fossilGhgEmissions"]) for each in listed] == [see + Decimal("0.1")]


def test_footprints_are_unavailable_while_no_member_answers(pool: Pool) -> None:
    pool.members["kr"].absent = True
    with TestClient(create_app(pool, register=documented_register()), base_url="https://testserver") as client:
        grant = {"grant_type": "client_credentials"}
        token = client.post("/auth/token", data=grant, auth=("buyer", "drawn")).json()["access_token"]
        answer = client.get("/3/footprints", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "InternalError")


def test_without_a_register_there_are_no_footprints(client: TestClient) -> None:
    assert client.get("/3/footprints").status_code == 404
