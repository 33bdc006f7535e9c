"""What a partner's system gets from the endpoints: the conformance cases, and the doors that stay shut."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from apps.trade.pact import tokens
from apps.trade.pact.callbacks import Callbacks

from .conftest import MOST_ANSWERS, NOW, SECRET, TOKEN_KEY, Clock, Partner, basic, bearer
from .test_footprints import WHOLE

STEEL_ID = "urn:gtin:1234567890123"
EVENTS = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
GRANT = {"grant_type": "client_credentials"}


def listed(client: TestClient, query: str = "", client_id: str = "full") -> list[dict[str, Any]]:
    answer = client.get(f"/3/footprints{query}", headers=bearer(client, client_id))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def event(kind: str, data: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {
        "type": f"org.wbcsd.pact.ProductFootprint.{kind}.3",
        "specversion": "1.0",
        "id": "event-1",
        "source": "https://partner.invalid",
        "time": "2027-02-01T00:00:00Z",
        "data": data,
        **changes,
    }


def posted(client: TestClient, content: object, client_id: str = "full", **headers: str) -> Any:  # noqa: ANN401
    return client.post(
        "/3/events", content=json.dumps(content), headers={**bearer(client, client_id), **EVENTS, **headers}
    )


def test_a_token_is_granted_for_an_hour_and_never_cached(client: TestClient) -> None:
    answer = client.post("/auth/token", data=GRANT, headers=basic("full"))
    assert (answer.status_code, answer.json()["token_type"], answer.json()["expires_in"]) == (200, "Bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"


def test_credentials_that_were_not_form_encoded_are_taken_too(client: TestClient) -> None:
    assert client.post("/auth/token", data=GRANT, auth=("full", SECRET)).status_code == 200


@pytest.mark.parametrize(
    ("data", "headers", "status", "error"),
    [
        (GRANT, basic("full", "wrong"), 401, "invalid_client"),
        (GRANT, basic("nobody"), 401, "invalid_client"),
        (GRANT, {}, 401, "invalid_client"),
        (GRANT, {"Authorization": "Basic !!"}, 401, "invalid_client"),
        ({"grant_type": "password"}, basic("full"), 400, "unsupported_grant_type"),
        ({}, basic("full"), 400, "invalid_request"),
    ],
)
def test_a_token_is_refused_in_the_words_of_oauth(
    client: TestClient, data: dict[str, str], headers: dict[str, str], status: int, error: str
) -> None:
    answer = client.post("/auth/token", data=data, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_the_list_holds_every_period_of_a_product_and_only_the_newest_is_active(client: TestClient) -> None:
    steel = listed(client, f"?productId={STEEL_ID}")
    assert [(each["status"], each["pcf"]["referencePeriodStart"][:4]) for each in steel] == [
        ("Active", "2026"),
        ("Deprecated", "2025"),
    ]
    assert steel[0]["precedingPfIds"] == [steel[1]["id"]]


def test_numbers_are_strings_and_are_see_with_what_lies_beyond_it(client: TestClient) -> None:
    pcf = listed(client, f"?productId={STEEL_ID}")[0]["pcf"]
    assert pcf["fossilGhgEmissions"] == pcf["pcfExcludingBiogenicUptake"] == "1.7"
    assert (pcf["declaredUnitOfMeasurement"], pcf["declaredUnitAmount"]) == ("kilogram", "1")


def test_one_footprint_is_found_by_its_id(client: TestClient) -> None:
    first = listed(client)[0]
    answer = client.get(f"/3/footprints/{first['id'].upper()}", headers=bearer(client))
    assert answer.json() == {"data": first}


@pytest.mark.parametrize("wanted", ["00000000-0000-0000-0000-000000000000", "non-existent-id"])
def test_an_unknown_id_is_not_found(client: TestClient, wanted: str) -> None:
    answer = client.get(f"/3/footprints/{wanted}", headers=bearer(client))
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


def test_pages_are_linked_absolutely_and_together_make_the_list(client: TestClient) -> None:
    url, seen = "https://testserver/3/footprints?limit=1&companyId=urn:company:example:mill", []
    while url:
        answer = client.get(url, headers=bearer(client))
        assert len(answer.json()["data"]) == 1
        seen += answer.json()["data"]
        url = answer.links.get("next", {}).get("url", "")
        assert url.startswith("https://testserver/3/footprints?") or not url
    assert seen == listed(client, "?companyId=urn:company:example:mill")
    assert len(seen) == 2


def test_a_page_of_nothing_leads_to_the_rest(client: TestClient) -> None:
    answer = client.get("/3/footprints?limit=0", headers=bearer(client))
    assert answer.json() == {"data": []}
    assert client.get(answer.links["next"]["url"], headers=bearer(client)).json()["data"] == listed(client)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?productId=URN:GTIN:1234567890123", 2),
        ("?productId=urn:gtin:1234567890123&productId=urn:gtin:9999999999999", 3),
        ("?companyId=urn:company:example:wire", 1),
        ("?companyId=urn:company:example:wire&productId=urn:gtin:1234567890123", 0),
        ("?companyId=urn:company:example:wire&companyId=urn:bogus:1&companyId=urn:bogus:2", 1),
        ("?geography=kr", 2),
        ("?geography=XX", 0),
        ("?classification=urn:pact:productclassification:cn:76051900", 1),
        ("?classification=urn:bogus:x", 0),
        ("?status=active", 2),
        ("?status=Deprecated&productId=urn:gtin:1234567890123", 1),
        ("?status=BogusStatusValue", 0),
        ("?validOn=2026-01-01T00:00:00Z", 2),
        ("?validOn=2027-01-01T00:00:00Z", 3),
        ("?validOn=1900-01-01T00:00:00Z", 0),
        ("?validAfter=2026-06-01T00:00:00Z", 1),
        ("?validAfter=2027-01-01T00:00:00Z", 0),
        ("?validBefore=2029-01-01T00:00:01Z", 2),
        ("?validBefore=2029-01-01T00:00:00Z", 0),
        ("?productId=urn:bogus:product:1&companyId=urn:bogus:company:1", 0),
    ],
)
def test_filters_find_what_they_name(client: TestClient, query: str, count: int) -> None:
    assert len(listed(client, query)) == count


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?limit=-1", "limit"),
        ("?limit=x", "limit"),
        ("?offset=-1", "offset"),
        ("?validOn=yesterday", "validOn"),
        ("?validOn=2026-01-01T00:00:00", "validOn"),
        ("?status=Active&status=Deprecated", "status"),
        ("?colour=blue", "colour"),
    ],
)
def test_a_wrong_filter_is_refused_and_never_ignored(client: TestClient, query: str, field: str) -> None:
    answer = client.get(f"/3/footprints{query}", headers=bearer(client))
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")
    assert field in answer.json()["message"]


def test_a_summary_client_sees_summaries_of_what_is_meant_for_it(client: TestClient) -> None:
    seen = listed(client, client_id="summary")
    assert {each["productIds"][0] for each in seen} == {STEEL_ID}
    assert all("comment" not in each and "allocationRulesDescription" not in each["pcf"] for each in seen)
    full = listed(client, f"?productId={STEEL_ID}")
    assert [each["id"] for each in full] == [each["id"] for each in seen]
    assert "direct 1.4, indirect 0.2 kg CO2e/kg" in full[0]["comment"]


def test_a_footprint_of_another_tier_is_denied(client: TestClient) -> None:
    wire = listed(client, "?companyId=urn:company:example:wire")[0]["id"]
    answer = client.get(f"/3/footprints/{wire}", headers=bearer(client, "summary"))
    assert (answer.status_code, answer.json()["code"]) == (403, "AccessDenied")


@pytest.mark.parametrize("path", ["/3/footprints", "/3/footprints/b1f8c0d2-7c4e-4e67-9a9c-2e4c12345678", "/3/events"])
@pytest.mark.parametrize("header", ["Bearer invalid", "Bearer ", "Basic Zm9vOmJhcg==", ""])
def test_nothing_is_told_without_a_token_of_ours(client: TestClient, path: str, header: str) -> None:
    answer = client.request("POST" if path == "/3/events" else "GET", path, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")
    assert "data" not in answer.json()


def test_an_old_token_is_expired(client: TestClient, clock: Clock) -> None:
    headers = bearer(client)
    clock.now = NOW + timedelta(hours=1)
    answer = client.get("/3/footprints", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "TokenExpired")


@pytest.mark.parametrize(
    "token",
    [
        tokens.issue("full", "other" * 20, NOW),
        base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + ".e30.",
    ],
)
def test_a_token_that_another_key_or_none_signed_is_refused(client: TestClient, token: str) -> None:
    answer = client.get("/3/footprints", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


def test_a_client_that_left_the_register_is_denied(client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {tokens.issue('former', TOKEN_KEY, NOW)}"}
    assert client.get("/3/footprints", headers=headers).status_code == 403


def test_over_http_there_is_neither_token_nor_data(client: TestClient) -> None:
    headers = bearer(client)
    assert "access_token" not in client.post("http://testserver/auth/token", data=GRANT, headers=basic("full")).json()
    for path in ("/3/footprints", "/3/footprints/b1f8c0d2-7c4e-4e67-9a9c-2e4c12345678"):
        answer = client.get(f"http://testserver{path}", headers=headers)
        assert answer.status_code == 403
        assert "data" not in answer.json()
    assert client.post("http://testserver/3/events", headers=headers).status_code == 403


def test_a_request_is_answered_later_with_what_fits(client: TestClient, partner: Partner, callbacks: Callbacks) -> None:
    answer = posted(client, event("RequestCreatedEvent", {"productId": [STEEL_ID], "comment": "please"}))
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.portal is not None
    client.portal.call(callbacks.settled)
    (sent,) = partner.events
    assert sent["type"] == "org.wbcsd.pact.ProductFootprint.RequestFulfilledEvent.3"
    assert sent["data"]["requestEventId"] == "event-1"
    assert sent["data"]["pfs"] == listed(client, f"?productId={STEEL_ID}")


def test_a_request_for_nothing_is_rejected_later(client: TestClient, partner: Partner, callbacks: Callbacks) -> None:
    assert posted(client, event("RequestCreatedEvent", {"productId": ["urn:pact:null"]})).status_code == 200
    assert client.portal is not None
    client.portal.call(callbacks.settled)
    assert partner.events[0]["type"] == "org.wbcsd.pact.ProductFootprint.RequestRejectedEvent.3"
    assert partner.events[0]["data"]["error"]["code"] == "NotFound"


def test_an_answer_is_sent_again_until_it_is_taken(client: TestClient, partner: Partner, callbacks: Callbacks) -> None:
    partner.failures = 3
    posted(client, event("RequestCreatedEvent", {}))
    assert client.portal is not None
    client.portal.call(callbacks.settled)
    assert partner.waited_s == [1, 2, 4]
    assert len(partner.events) == 1


def test_no_more_answers_wait_than_memory_is_meant_for(client: TestClient, partner: Partner) -> None:
    partner.failures, partner.blocked = 10**6, True
    request = event("RequestCreatedEvent", {})
    headers = {**bearer(client), **EVENTS}
    answers = [client.post("/3/events", json=request, headers=headers).status_code for _ in range(MOST_ANSWERS)]
    assert set(answers) == {200}
    refused = client.post("/3/events", json=request, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "InternalError")


def test_a_request_that_no_answer_could_reach_is_refused_at_once(client: TestClient) -> None:
    answer = posted(client, event("RequestCreatedEvent", {}), "summary")
    assert answer.status_code == 400
    assert "no callback of summary is registered" in answer.json()["message"]


@pytest.mark.parametrize(
    "content",
    [
        event("PublishedEvent", {"pfIds": ["3a6c14a7-4deb-498a-b5ea-16ce2535b576"]}),
        event("RequestFulfilledEvent", {"requestEventId": "event-0", "pfs": [WHOLE]}),
        event("RequestRejectedEvent", {"requestEventId": "event-0", "error": {"code": "NotFound", "message": "none"}}),
    ],
)
def test_the_events_of_others_are_taken(client: TestClient, content: dict[str, Any]) -> None:
    assert posted(client, content).status_code == 200


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pcfExcludingBiogenicUptake": "1.8"}, "parts add up to 1.7"),
        ({"declaredUnitAmount": "-0.5"}, "declaredUnitAmount"),
    ],
)
def test_footprints_that_are_wrong_are_refused_with_the_event(
    client: TestClient, changes: dict[str, str], said: str
) -> None:
    wrong = {**WHOLE, "pcf": {**WHOLE["pcf"], **changes}}
    answer = posted(client, event("RequestFulfilledEvent", {"requestEventId": "event-0", "pfs": [wrong]}))
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")
    assert said in answer.json()["message"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        event("UnheardOfEvent", {}),
        event("PublishedEvent", {"pfIds": ["urn:gtin:1"]}),
        event("PublishedEvent", {"pfIds": []}),
        event("RequestFulfilledEvent", {"requestEventId": "x", "pfs": []}),
        event("RequestCreatedEvent", {"colour": "blue"}),
        event("PublishedEvent", {"pfIds": ["3a6c14a7-4deb-498a-b5ea-16ce2535b576"]}, specversion="0.3"),
        event("PublishedEvent", {"pfIds": ["3a6c14a7-4deb-498a-b5ea-16ce2535b576"]}, time="noon"),
        event("PublishedEvent", {"pfIds": ["3a6c14a7-4deb-498a-b5ea-16ce2535b576"]}, id=""),
    ],
)
def test_a_malformed_event_is_refused(client: TestClient, content: object) -> None:
    answer = posted(client, content)
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


def test_an_event_of_another_media_type_is_refused(client: TestClient) -> None:
    content = event("PublishedEvent", {"pfIds": ["3a6c14a7-4deb-498a-b5ea-16ce2535b576"]})
    assert posted(client, content, **{"Content-Type": "application/json"}).status_code == 400
