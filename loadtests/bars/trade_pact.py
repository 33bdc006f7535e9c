"""A PACT v3 partner gets what the specification promises from the running server, and nothing that does not add up."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from loadtests.bars import Measurement
from loadtests.pact_partner import GOODS, Partner, running_server

NEEDS_DEMO = False
ANSWER_WITHIN_S = 30.0  # the conformance service's own bound for an asynchronous answer
BOGUS = "urn:bogus:nonexistent:1"
STEEL = f"urn:gtin:{next(iter(GOODS))}"
MAKER = f"urn:company:example:{next(iter(GOODS))}"
REFUSED = {400, 401}
Case = Callable[[Partner], bool]


def measure() -> list[Measurement]:
    """Cases of the handbook that fail against a server of our own, and wrong footprints that it takes."""
    with tempfile.TemporaryDirectory() as name, running_server(Path(name)) as partner:
        cases = {**AUTHENTICATION, **FOOTPRINTS, **_filters(), **EVENTS}
        failed = [case for case, holds in cases.items() if not _holds(holds, partner)]
        taken = [wrong for wrong, changes in WRONG.items() if not _refuses(partner, changes)]
    return [
        Measurement(name="trade-pact", value=len(failed), unit="failed", bound=0, note=_note(len(cases), failed)),
        Measurement(name="trade-pact-wrong", value=len(taken), unit="taken", bound=0, note=_note(len(WRONG), taken)),
    ]


def _note(count: int, named: list[str]) -> str:
    return f"{count} cases" + "".join(f"; {name}" for name in named)


def _holds(case: Case, partner: Partner) -> bool:
    """A case that breaks off has failed too."""
    try:
        return case(partner)
    except (httpx.HTTPError, ValueError, KeyError, IndexError):
        return False


def _listed(partner: Partner, query: str = "", client_id: str = "full") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = partner.get(f"/3/footprints{query}", client_id).raise_for_status().json()["data"]
    return found


def _is(answer: httpx.Response, code: str, statuses: set[int]) -> bool:
    return answer.status_code in statuses and answer.json()["code"] == code and "data" not in answer.json()


def _unreached(method: str, path: str) -> Case:
    """Over http no token and no data comes back; a server of TLS does not even answer."""

    def case(partner: Partner) -> bool:
        try:
            answer = httpx.request(method, f"{partner.plain}{path}", headers=partner.headers(), timeout=10)
        except httpx.TransportError:
            return True
        return not answer.is_success

    return case


def _with_token(method: str, path: str, token: str) -> Case:
    return lambda partner: _is(
        partner.http.request(method, path, headers={"Authorization": f"Bearer {token}"}), "BadRequest", REFUSED
    )


def _pages(partner: Partner) -> bool:
    url, seen = "/3/footprints?limit=1", []
    while url:
        answer = partner.get(url)
        seen += answer.json()["data"]
        url = answer.links.get("next", {}).get("url", "")
        if len(answer.json()["data"]) > 1 or (not url.startswith((str(partner.http.base_url), "/")) and url):
            return False
    return len(seen) == len(GOODS) and seen == _listed(partner)


def _found(query: str, count: int) -> Case:
    return lambda partner: len(_listed(partner, f"?{query}")) == count


def _event(kind: str, data: dict[str, Any], event_id: str = "bar", **changes: str) -> dict[str, Any]:
    return {
        "type": f"org.wbcsd.pact.ProductFootprint.{kind}.3",
        "specversion": "1.0",
        "id": event_id,
        "source": "https://partner.invalid",
        "time": "2027-02-01T00:00:00Z",
        "data": data,
        **changes,
    }


def _answered(event_id: str, data: dict[str, Any], kind: str) -> Case:
    def case(partner: Partner) -> bool:
        if partner.post_event(_event("RequestCreatedEvent", data, event_id)).status_code != 200:
            return False
        until = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < until:
            for event in partner.events:
                if event["data"]["requestEventId"] == event_id:
                    return bool(event["type"] == f"org.wbcsd.pact.ProductFootprint.{kind}.3")
            time.sleep(0.05)
        return False

    return case


def _takes(kind: str, data: Callable[[Partner], dict[str, Any]]) -> Case:
    return lambda partner: partner.post_event(_event(kind, data(partner))).status_code == 200


def _malformed(event: dict[str, Any]) -> Case:
    return lambda partner: _is(partner.post_event(event), "BadRequest", {400})


def _refuses(partner: Partner, changes: dict[str, str]) -> bool:
    """Whether a footprint of the server's own, once changed, is refused when it comes back."""
    footprint = _listed(partner)[0]
    changed = {**footprint, "pcf": {**footprint["pcf"], **changes}}
    answer = partner.post_event(_event("RequestFulfilledEvent", {"requestEventId": "x", "pfs": [changed]}))
    return _is(answer, "BadRequest", {400})


def _filters() -> dict[str, Case]:
    found = {
        f"productId={STEEL}": 1,
        f"productId={STEEL.upper()}": 1,
        f"companyId={MAKER}": 1,
        "geography=KR": 2,
        "geography=kr": 2,
        "classification=urn:pact:productclassification:cn:76051900": 1,
        "validOn=2027-01-01T00:00:00Z": 2,
        "validAfter=2026-12-31T00:00:00Z": 2,
        "validBefore=2030-01-02T00:00:00Z": 2,
        "status=Active": 2,
        f"status=Active&productId={STEEL}": 1,
        f"companyId={MAKER}&companyId={BOGUS}": 1,
        f"productId={BOGUS}": 0,
        f"companyId={BOGUS}": 0,
        "geography=XX": 0,
        f"classification={BOGUS}": 0,
        "validOn=1900-01-01T00:00:00Z": 0,
        "validAfter=2099-12-31T23:59:59Z": 0,
        "validBefore=1900-01-01T00:00:00Z": 0,
        "status=BogusStatusValue": 0,
        f"companyId={BOGUS}&productId={BOGUS}": 0,
        f"companyId={BOGUS}1&companyId={BOGUS}2&companyId={BOGUS}3": 0,
    }
    return {f"filter {query}": _found(query, count) for query, count in found.items()}


NOBODY = "/3/footprints/00000000-0000-0000-0000-000000000000"
AUTHENTICATION: dict[str, Case] = {
    "token": lambda partner: set(partner.token().json()) >= {"access_token", "expires_in"},
    "token, wrong secret": lambda partner: partner.token(secret="wrong").status_code in REFUSED,  # noqa: S106
    "token, unknown client": lambda partner: partner.token("nobody").json()["error"] == "invalid_client",
    "list, invalid token": _with_token("GET", "/3/footprints", "very-invalid"),
    "get, invalid token": _with_token("GET", NOBODY, "very-invalid"),
    "event, invalid token": _with_token("POST", "/3/events", "very-invalid"),
    "token over http": _unreached("POST", "/auth/token"),
    "list over http": _unreached("GET", "/3/footprints"),
    "get over http": _unreached("GET", NOBODY),
    "event over http": _unreached("POST", "/3/events"),
}
FOOTPRINTS: dict[str, Case] = {
    "list": lambda partner: len(_listed(partner)) == len(GOODS),
    "get": lambda partner: all(
        partner.get(f"/3/footprints/{each['id']}").json()["data"] == each for each in _listed(partner)
    ),
    "pages": _pages,
    "get, unknown id": lambda partner: _is(partner.get(NOBODY), "NotFound", {404}),
    "list of a lower tier": lambda partner: (
        [each["productIds"] for each in _listed(partner, "", "summary")] == [[STEEL]]
    ),
    "get of a higher tier": lambda partner: any(
        _is(partner.get(f"/3/footprints/{each['id']}", "summary"), "AccessDenied", {403}) for each in _listed(partner)
    ),
}
PUBLISHED = {"pfIds": ["3a6c14a7-4deb-498a-b5ea-16ce2535b576"]}
EVENTS: dict[str, Case] = {
    "request, fulfilled": _answered("bar/13", {"productId": [STEEL], "comment": "please"}, "RequestFulfilledEvent"),
    "request, rejected": _answered("bar/14", {"productId": ["urn:pact:null"]}, "RequestRejectedEvent"),
    "published": _takes("PublishedEvent", lambda _: PUBLISHED),
    "fulfilled": _takes("RequestFulfilledEvent", lambda partner: {"requestEventId": "x", "pfs": _listed(partner)}),
    "rejected": _takes(
        "RequestRejectedEvent", lambda _: {"requestEventId": "x", "error": {"code": "NotFound", "message": "none"}}
    ),
    "malformed, type": _malformed(_event("UnheardOfEvent", {})),
    "malformed, ids": _malformed(_event("PublishedEvent", {"pfIds": ["1"]})),
    "malformed, time": _malformed(_event("PublishedEvent", PUBLISHED, time="noon")),
    "malformed, nothing": _malformed({}),
}
# Changes to a sound footprint, each of which the specification's own schema lets pass or never adds up.
WRONG: dict[str, dict[str, str]] = {
    "declared amount -0.5": {"declaredUnitAmount": "-0.5", "productMassPerDeclaredUnit": "-0.5"},
    "declared amount 5abc": {"declaredUnitAmount": "5abc"},
    "declared amount 1e3": {"declaredUnitAmount": "1e3"},
    "uptake 10": {"biogenicCO2Uptake": "10"},
    "fossil emissions -0.5": {"fossilGhgEmissions": "-0.5"},
    "total above its parts": {"pcfExcludingBiogenicUptake": "100", "pcfIncludingBiogenicUptake": "100"},
    "part beyond the total": {"landUseChangeGhgEmissions": "0.001"},
    "uptake not in the total": {"biogenicCO2Uptake": "-1"},
}
