"""What a newcomer sees after `make demo`, and what the consortium answers to wrong input."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import yaml

from apps.trade.audit.envelope import key_id
from apps.trade.audit.keys import parse_public
from apps.trade.audit.verifier import verify
from tests.e2e.conftest import STATE, Demo

EXAMPLES = STATE / "examples"  # as the demo applied them: our image by digest
WAIT_S = 90


def eventually(look: Callable[[], Any], holds: Callable[[Any], bool], within_s: float = WAIT_S) -> Any:  # noqa: ANN401 - whatever `look` sees
    """Look until it holds; the last thing seen is what the caller then asserts on."""
    deadline = time.monotonic() + within_s
    seen = look()
    while not holds(seen) and time.monotonic() < deadline:
        time.sleep(0.5)
        seen = look()
    return seen


def ready(body: dict[str, Any]) -> dict[str, Any]:
    conditions = body.get("status", {}).get("conditions", [])
    return next(
        (each for each in conditions if each["type"] == "Ready"), {"status": "absent", "reason": "", "message": ""}
    )


@contextmanager
def applied(demo: Demo, body: dict[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
    """Apply one object while the block runs; yields how to read it."""
    done = demo.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body))
    assert done.returncode == 0, done.stderr
    try:
        yield lambda: demo.get(body["kind"].lower(), body["metadata"]["name"])
    finally:
        demo.kubectl("delete", body["kind"].lower(), body["metadata"]["name"], "--timeout=60s")


def trade(name: str, **spec: object) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((EXAMPLES / "50-trade-pilot.yaml").read_text())
    return {**body, "metadata": {"name": name}, "spec": {**body["spec"], "grants": [], **spec}}


def test_every_object_of_the_examples_is_ready(demo: Demo) -> None:
    done = demo.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "-f", str(EXAMPLES))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("member", ["ca", "kr", "ke"])
def test_every_container_that_runs_is_named_by_digest(member: str, demo: Demo) -> None:
    pods = demo.get("pods", "-A", "--field-selector=status.phase=Running", cluster=member)["items"]
    images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    assert images
    assert [image for image in images if "@sha256:" not in image] == []


def test_it_ends_with_members_a_consignment_equity_and_the_dashboard(demo: Demo) -> None:
    for words in ("ca", "kr", "ke", "t CO2e", "EquityStatement", demo.dashboard):
        assert words in demo.said


def test_the_pilot_answers_the_worked_example_from_a_row_that_stayed_at_kr(demo: Demo) -> None:
    address = demo.get("pilotapp", "trade")["status"]["address"]
    question = {
        "cn_code": "72081000",
        "country": "KR",
        "installation_id": "EC-EXAMPLE-2",
        "net_mass_kg": "1000",
        "import_year": 2026,
    }
    answer = httpx.post(f"{address}/v1/assessments", json=question, timeout=30)
    assert answer.status_code == httpx.codes.OK, answer.text
    body = answer.json()
    assert body["source"] == "disclosure"
    assert body["members_asked"] == ["kr"]
    assert float(body["see_direct_t_per_t"]) == pytest.approx(1.5389760645578654, rel=1e-12)


def test_the_pilot_signs_its_answer_with_a_key_that_a_member_made_and_the_hub_never_saw(demo: Demo) -> None:
    address = demo.get("pilotapp", "trade")["status"]["address"]
    question = {"cn_code": "72081000", "country": "KR", "net_mass_kg": "1000", "import_year": 2026}
    answer = httpx.post(f"{address}/v1/assessments/bundle", json=question, timeout=30)
    assert answer.status_code == httpx.codes.OK, answer.text
    signer = verify(answer.content).key_id
    signers = set()
    for member in ("ca", "kr", "ke"):
        held = demo.get("secret", "trade-signing", "-n", "commonweal-apps", cluster=member)["data"]
        signers.add(key_id(parse_public(base64.b64decode(held["key.pem.pub"]))))
    assert len(signers) == 3
    assert signer in signers
    assert "PRIVATE KEY" not in json.dumps(demo.get("commonweal", "-A"))


def test_totals_come_from_the_customs_rows_of_two_members_and_say_synthetic(demo: Demo) -> None:
    address = demo.get("pilotapp", "trade")["status"]["address"]
    body = httpx.get(f"{address}/v1/totals", params={"cn_prefix": "7208", "year": 2026}, timeout=30).json()
    assert {"ca", "ke"} <= set(json.dumps(body).replace('"', " ").split())
    assert body["synthetic"] is True


@pytest.mark.parametrize("member", ["ca", "kr", "ke"])
def test_a_gateway_answers_no_one_without_an_identity(demo: Demo, member: str) -> None:
    question = {"trust": "trade", "dataset": "customs_rows", "grant": "trade-emissions", "sql": "SELECT 1"}
    url = f"{demo.get('member', member)['status']['site']['gatewayUrl']}/v1/query"
    answer = httpx.post(url, json=question, verify=False, timeout=10)  # noqa: S501 - the refusal is what matters
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_equity_is_recomputed_from_the_statement(demo: Demo) -> None:
    def statements() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = demo.get("equitystatements")["items"]
        return found

    found = eventually(statements, lambda seen: any(ready(each)["reason"] == "Recomputed" for each in seen))
    assert any(ready(each)["reason"] == "Recomputed" for each in found)
    explained = demo.commonweal("equity", "explain", "ca")
    assert explained.returncode == 0, explained.stderr
    assert "simulated" in explained.stdout.lower()


def test_what_members_claim_counts_once_others_approved_it_and_makes_energy_green(demo: Demo) -> None:
    def counted() -> dict[str, int]:
        statements = demo.get("equitystatements")["items"]
        entries = [entry for each in statements for entry in each["spec"]["entries"]]
        return {
            name: sum(entry[name] for entry in entries) for name in ("talentSeconds", "keptRowSeconds", "greenEnergyMj")
        }

    # The claims were recorded before `up` ended; a minute's clock and the next statement's end are still to come.
    found = eventually(counted, lambda seen: all(seen.values()), within_s=200)
    assert (found["talentSeconds"], found["keptRowSeconds"]) == (12_600, 2000 * 3600)
    assert found["greenEnergyMj"] > 0


def test_the_service_level_of_the_trade_pilot_is_measured(demo: Demo) -> None:
    promises = httpx.get(f"{demo.dashboard}/data/service-levels/promises.json", timeout=30).json()
    measured = {row["measured"] for row in promises["rows"] if row["pilot"] == "trade"}
    assert measured
    assert None not in measured


def test_a_pilot_that_no_member_can_hold_is_told_why_of_every_member(demo: Demo) -> None:
    body = trade("too-large", resources={"cpuMillis": 900_000, "memoryMib": 64})
    with applied(demo, body) as read:
        condition = ready(eventually(read, lambda seen: ready(seen)["reason"] == "Unplaceable"))
        assert condition["reason"] == "Unplaceable"
        assert all(f"{member}: cpu" in condition["message"] for member in ("ca", "kr", "ke"))


def test_an_image_that_does_not_exist_is_named(demo: Demo) -> None:
    component = {"image": "localhost/commonweal/none-such:1", "args": [], "port": 8080}
    with applied(demo, trade("no-image", component=component)) as read:
        condition = ready(eventually(read, lambda seen: ready(seen)["reason"] == "ImagePullFailed"))
        assert condition["reason"] == "ImagePullFailed"
        assert "localhost/commonweal/none-such:1" in condition["message"]


def test_a_grant_for_a_purpose_that_the_trust_does_not_serve_is_told_which_it_serves(demo: Demo) -> None:
    body: dict[str, Any] = yaml.safe_load((EXAMPLES / "40-grant.yaml").read_text())
    body = {**body, "metadata": {"name": "other-purpose"}, "spec": {**body["spec"], "purpose": "nature-valuation"}}
    with applied(demo, body) as read:
        condition = ready(eventually(read, lambda seen: ready(seen)["reason"] == "UndeclaredPurpose"))
        assert condition["reason"] == "UndeclaredPurpose"
        assert "trade-embedded-emissions" in condition["message"]


def test_a_deleted_pod_is_healed_while_the_one_address_keeps_answering(demo: Demo) -> None:
    pilot = demo.get("pilotapp", "trade")
    member = pilot["status"]["placements"][0]["member"]
    pods = demo.get("pods", "-n", "commonweal-apps", cluster=member)["items"]
    [victim] = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"].startswith("trade-")]
    demo.kubectl("delete", "pod", victim, "-n", "commonweal-apps", "--wait=false", cluster=member)
    address = pilot["status"]["address"]

    def answers_and_is_healed() -> tuple[int, str]:
        answer = httpx.get(f"{address}/readyz", timeout=10)
        assert answer.status_code == httpx.codes.OK
        seen = demo.get("pods", "-n", "commonweal-apps", cluster=member)["items"]
        fresh = [pod for pod in seen if pod["metadata"]["name"] != victim and _is_ready(pod)]
        return len(fresh), str([pod["metadata"]["name"] for pod in seen])

    count, _ = eventually(answers_and_is_healed, lambda seen: seen[0] >= 1)
    assert count >= 1


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def test_a_second_up_changes_nothing(demo: Demo) -> None:
    before = demo.get("commonweal", "-A")
    generations = {(each["kind"], each["metadata"]["name"]): each["metadata"]["generation"] for each in before["items"]}
    again = demo.commonweal("setup")
    assert again.returncode == 0, again.stderr
    assert demo.kubectl("apply", "--server-side", "-f", str(EXAMPLES)).returncode == 0
    after = {
        (each["kind"], each["metadata"]["name"]): each["metadata"]["generation"]
        for each in demo.get("commonweal", "-A")["items"]
    }
    assert {key: after[key] for key in generations} == generations
