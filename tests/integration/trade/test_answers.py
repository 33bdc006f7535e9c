"""The pilot against real gateways: what it answers, and what it does when a member is lost or a grant revoked."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import httpx
import pytest
import yaml

from apps.trade.audit.verifier import verify
from apps.trade.customs import MEAN_KG, planted

from .consortium import ROOT, Consortium, running

STEEL = {"cn_code": "72081000", "country": "KR", "installation_id": "EC-EXAMPLE-2", "net_mass_kg": 25000}


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with running(tmp_path_factory.mktemp("trade")) as started:
        yield started


def assess(consortium: Consortium) -> httpx.Response:
    return httpx.post(f"{consortium.address}/v1/assessments", json={**STEEL, "import_year": 2026}, timeout=30)


def totals(consortium: Consortium) -> httpx.Response:
    return httpx.get(f"{consortium.address}/v1/totals?cn_prefix=7208&year=2026", timeout=30)


def age_s(answer: httpx.Response, member: str) -> int:
    ages: dict[str, int] = {each["member"]: each["age_s"] for each in answer.json()["sources"]}
    return ages[member]


def eventually(holds: Callable[[], bool], within_s: float = 20) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_a_consignment_is_answered_from_the_members_row_to_1e_12(consortium: Consortium) -> None:
    answer = assess(consortium).json()
    assert (answer["source"], answer["member"], answer["grant"]) == ("disclosure", "kr", "trade-emissions")
    oracle = yaml.safe_load((ROOT / "tests" / "oracles" / "cbam_examples.yaml").read_text("utf-8"))
    expected = next(each for each in oracle["products"] if each["cn_code"] == "72081000")
    for number in ("see_direct_t_per_t", "see_indirect_t_per_t"):
        assert abs(Decimal(answer[number]) / Decimal(expected[number]) - 1) <= Decimal(oracle["relative_bound"])


def test_the_bundle_of_a_released_row_verifies_without_any_member(consortium: Consortium) -> None:
    url = f"{consortium.address}/v1/assessments/bundle"
    content = httpx.post(url, json={**STEEL, "import_year": 2026}, timeout=30).content
    held = json.loads(verify(content, consortium.signer.public_key()).result)
    assert held == {name: value for name, value in assess(consortium).json().items() if name in held}


def test_a_partner_gets_the_members_row_as_a_footprint(consortium: Consortium) -> None:
    # The server trusts a proxy on loopback to say that the partner came over https.
    with httpx.Client(base_url=consortium.address, headers={"X-Forwarded-Proto": "https"}, timeout=30) as partner:
        granted = partner.post("/auth/token", data={"grant_type": "client_credentials"}, auth=("buyer", "drawn"))
        headers = {"Authorization": f"Bearer {granted.json()['access_token']}"}
        (footprint,) = partner.get("/3/footprints", headers=headers).json()["data"]
    answer = assess(consortium).json()
    see = Decimal(answer["see_direct_t_per_t"]) + Decimal(answer["see_indirect_t_per_t"])
    assert Decimal(footprint["pcf"]["pcfExcludingBiogenicUptake"]) == see
    assert httpx.get(f"{consortium.address}/3/footprints", headers=headers, timeout=30).status_code == 403


def test_totals_are_what_was_planted_at_both_members(consortium: Consortium) -> None:
    answer = totals(consortium).json()
    wanted = 2 * sum(count for stratum, count in planted(1000).items() if stratum.cn_code.startswith("7208"))
    assert (answer["rows"], answer["synthetic"]) == (wanted, True)
    assert Decimal(answer["mass_t"]) == wanted * MEAN_KG // 1000
    assert [(each["member"], each["rows"]) for each in answer["sources"]][:2] == [
        ("ca", wanted // 2),
        ("ke", wanted // 2),
    ]


def test_every_question_left_a_line_in_the_members_audit_log(consortium: Consortium) -> None:
    assert assess(consortium).is_success
    lines = (consortium.folder / "kr" / "data" / "audit" / "audit.jsonl").read_text().splitlines()
    assert any("trade-emissions" in line for line in lines)
    assert all(json.loads(line) for line in lines)


def test_a_lost_gateway_fails_no_request_and_the_age_shows(consortium: Consortium) -> None:
    assert totals(consortium).is_success
    consortium.stop("ke")
    try:
        assert eventually(lambda: age_s(totals(consortium), "ke") >= 6)
        assert totals(consortium).is_success
    finally:
        consortium.start_gateway("ke")


def test_a_revoked_grant_ends_the_answers_and_names_the_rule(consortium: Consortium) -> None:
    assert assess(consortium).is_success
    consortium.write_policies(revoked=True)
    try:
        assert eventually(lambda: assess(consortium).status_code == 403)
        assert "UnknownGrant" in assess(consortium).json()["detail"]
        assert httpx.get(f"{consortium.address}/readyz").is_success
    finally:
        consortium.write_policies()
    assert eventually(lambda: assess(consortium).is_success)


def test_the_log_of_the_pilot_holds_no_traceback(consortium: Consortium) -> None:
    assert totals(consortium).is_success
    assert "Traceback" not in consortium.log("pilot")
