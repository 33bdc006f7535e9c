"""Everyone sees who may ask, how often it was asked, and what proves it; nobody sees a hidden column or a question."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from commonweal.kinds.emergency_access import EmergencyAccess
from commonweal.public_reports import envelope
from dashboards import gateways
from dashboards.figures import Standing, View, as_csv
from dashboards.hub import Snapshot
from dashboards.public_document import PublicDocument, document
from dashboards.views import public
from data_trusts.gateway.certificates import make_identity, sign
from tests.unit.dashboards import objects
from tests.unit.dashboards.objects import NOON, Body, condition
from tests.unit.dashboards.reports import PURPOSE, report, reports
from tests.unit.dashboards.snapshots import snapshot

USES = [
    {"trust": "trade", "purpose": PURPOSE, "hour": NOON - timedelta(hours=2), "answered": 40, "refused": None},
    {"trust": None, "purpose": None, "hour": NOON - timedelta(hours=1), "answered": 0, "refused": 9},
]
TOLD = reports(report("ca", USES), report("kr"), ke="its gateway does not answer: ConnectTimeout")


IDENTITY = make_identity("ca", ["ca.example"], NOON)


def with_gateway() -> Body:
    member = objects.member("ca")
    gateway = {"gatewayUrl": "https://ca.example:8443", "gatewayCertificatePem": IDENTITY.certificate_pem}
    member["status"]["site"] |= gateway
    return member


def emergency(reason: str = "Open", review: str = "StillOpen") -> Body:
    spec = {
        "trust": "trade",
        "beneficiary": {"pilotApp": "relief"},
        "purpose": PURPOSE,
        "datasets": ["customs_rows"],
        "reason": "The port is under water.",
        "hours": 6,
        "openings": [{"trustee": "ca", "person": "ada@ca.example"}, {"trustee": "kr", "person": "min@kr.example"}],
    }
    said = [
        condition(status="True" if reason == "Open" else "False", reason=reason, message="x"),
        condition(status="False", reason=review, message="x") | {"type": "ReviewDue"},
    ]
    whole = objects.body(EmergencyAccess, "emergency-flood", spec, {"conditions": said})
    whole["metadata"]["creationTimestamp"] = NOON.isoformat()
    return whole


def hidden() -> Body:
    """A trust with a hidden column, and a row rule over it."""
    trust = objects.trust()
    dataset = trust["spec"]["datasets"][0]
    dataset["columns"] = [
        *dataset["columns"],
        {"name": "kg", "type": "long", "role": "measure", "unit": "kg", "description": "Net mass."},
        {"name": "declarant_tin", "type": "string", "role": "hidden"},
    ]
    dataset["rowRules"] = [
        {"name": "own-imports", "anyOf": [{"column": "declarant_tin", "operator": "In", "claim": "beneficiary"}]}
    ]
    return trust


def shown(taken: Snapshot, told: gateways.Reports = TOLD) -> View:
    return public.view(taken, document(taken, told))


def rows(view: View, key: str) -> list[dict[str, Any]]:
    figure = view.figure(key)
    assert figure is not None
    return [dict(row) for row in figure.rows]


def test_the_first_sentence_says_under_what_data_can_be_asked_and_what_is_unknown() -> None:
    view = shown(snapshot())
    assert view.answer == "1 data trust can be asked under 1 live grant to trade. Use is unknown at ke."
    assert view.standing is Standing.UNKNOWN
    assert shown(snapshot(), reports(report("ca"))).standing is Standing.GOOD


def test_hidden_columns_row_rules_and_people_are_nowhere() -> None:
    taken = snapshot(datatrusts=[hidden()], emergencyaccesses=[emergency()])
    whole = document(taken, TOLD).model_dump_json() + "".join(as_csv(figure) for figure in shown(taken).figures)
    for secret in ("declarant_tin", "own-imports", "ada@ca.example"):
        assert secret not in whole
    assert [(row["column"], row["role"], row["unit"]) for row in rows(shown(taken), "columns")] == [
        ("partner", "dimension", "none"),
        ("kg", "measure", "kg"),
    ]


def test_a_grant_is_shown_with_its_state_its_end_and_who_approved() -> None:
    waiting = objects.grant()
    waiting["status"]["conditions"] = [condition(status="False", reason="AwaitingApproval", message="1 of 2")]
    [row] = rows(shown(snapshot(datagrants=[waiting])), "grants")
    assert (row["state"], row["expires"].year, row["approved_by"]) == ("AwaitingApproval", 2030, "ca, kr")
    assert shown(snapshot(datagrants=[waiting])).answer.startswith("1 data trust can be asked under no grant now.")


def test_use_is_counted_and_small_counts_are_neither_told_nor_zero() -> None:
    view = shown(snapshot())
    late, early = rows(view, "use")
    assert (early["answered"], early["refused"], early["trust"]) == (40, None, "trade")
    assert (late["answered"], late["refused"], late["trust"]) == (0, 9, "what no trust declares")
    figure = view.figure("use")
    assert figure is not None
    assert "Counts above 0 and below 5 are not told." in figure.sentence
    refused = next(column for column in figure.columns if column.key == "refused")
    assert refused.show(early["refused"]) == "fewer than told"
    assert ",40,unknown,5," in as_csv(figure)


def test_an_open_emergency_is_in_the_first_sentence() -> None:
    view = shown(snapshot(emergencyaccesses=[emergency()]))
    assert "Open beyond the grants: emergency-flood." in view.answer
    assert view.standing is Standing.BAD
    [row] = rows(view, "emergencies")
    assert (row["opened_by"], row["until"], row["reason"]) == (
        "ca, kr",
        NOON + timedelta(hours=6),
        "The port is under water.",
    )


def test_an_emergency_that_nobody_reviewed_is_in_the_first_sentence() -> None:
    view = shown(snapshot(emergencyaccesses=[emergency("Ended", "AwaitingReview")]))
    assert "Waiting for a review by trustees: emergency-flood." in view.answer
    assert view.standing is Standing.BAD


def test_logs_are_shown_as_signed_and_how_far_witnesses_came() -> None:
    view = shown(snapshot())
    by_member = {row["member"]: row for row in rows(view, "audit-logs")}
    assert by_member["Canada (ca)"]["entries"] == 12
    assert by_member["Kenya (ke)"]["entries"] is None
    assert by_member["Kenya (ke)"]["problem"] == "its gateway does not answer: ConnectTimeout"
    [first, _] = rows(view, "witnesses")
    assert (first["witness"], first["entries"], first["behind"], first["cosigned_at"]) == (
        "kr.example/witness",
        10,
        2,
        NOON,
    )


def test_whoever_wants_to_check_finds_address_certificate_and_command() -> None:
    taken = snapshot(members=[with_gateway()])
    [log] = document(taken, reports(report("ca"))).logs
    assert (log.gateway_url, log.gateway_certificate_pem) == ("https://ca.example:8443", IDENTITY.certificate_pem)
    check = shown(taken, reports(report("ca"))).check
    assert check is not None
    assert "look commonweal.dev/audit/ca https://ca.example:8443/v1/audit" in check.command
    assert log.vkey is not None
    assert log.vkey in check.command


def test_a_cosignature_that_does_not_hold_is_unknown_and_counts_for_nothing() -> None:
    told = report("ca")
    forged = told.witnesses[0].model_copy(update={"note": told.checkpoint})
    view = shown(snapshot(), reports(told.model_copy(update={"witnesses": (forged,)})))
    assert rows(view, "audit-logs")[0]["witnesses"] == 0
    assert rows(view, "witnesses")[0]["entries"] is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"checkpoint": "nothing"}, "note: has no empty line"),
        ({"vkey": "x"}, "vkey: is not NAME+ID+KEY"),
        ({"vkey": report("kr").vkey}, "its key is that of the log commonweal.dev/audit/kr"),
        ({"checkpoint": report("kr").checkpoint}, "is of commonweal.dev/audit/kr"),
    ],
)
def test_a_log_that_contradicts_itself_is_a_problem_of_its_member_alone(changes: dict[str, str], problem: str) -> None:
    told = reports(report("ca").model_copy(update=changes), report("kr"))
    logs = {log.member: log for log in document(snapshot(), told).logs}
    assert problem in str(logs["ca"].problem)
    assert (logs["ca"].size, logs["kr"].size) == (None, 12)


def test_the_document_follows_its_schema_and_can_be_read_back() -> None:
    made = document(snapshot(datatrusts=[hidden()], emergencyaccesses=[emergency()]), TOLD)
    text = made.model_dump_json(by_alias=True)
    assert PublicDocument.model_validate_json(text) == made
    schema = PublicDocument.model_json_schema(by_alias=True, mode="serialization")
    assert set(json.loads(text)) == set(schema["properties"])


def test_no_trust_is_unknown_and_not_good() -> None:
    view = shown(snapshot(datatrusts=[], datagrants=[]))
    assert (view.standing, view.answer) == (Standing.UNKNOWN, "Unknown: no data trust can be seen yet.")
    assert shown(snapshot(datatrusts=[], datagrants=[]), reports()).check is None


def at_gateway(answer: bytes, status: int = 200) -> gateways.Reports:
    """What the dashboard makes of a gateway's answer."""
    members = snapshot(members=[with_gateway(), objects.member("kr")]).members

    def told(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://ca.example:8443/v1/public"
        return httpx.Response(status, content=answer)

    return gateways.ask(members, httpx.MockTransport(told))


def test_a_signed_report_is_taken_and_a_member_without_a_gateway_is_silent() -> None:
    made = report("ca", USES)
    found = at_gateway(envelope(made, lambda content: sign(content, IDENTITY)))
    assert found.told == {"ca": made}
    assert found.silent == {"kr": "the member has reported no gateway"}


def test_a_gateway_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "TIMEOUT_SECONDS", -1.0)
    made = report("ca", USES)
    found = at_gateway(envelope(made, lambda content: sign(content, IDENTITY)))
    assert found.silent["ca"] == "its gateway was not done telling after -1 s"


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (b"", 503, "does not answer"),
        (b"{}", 200, "cannot be read"),
        (b"x" * (gateways.MAX_BYTES + 1), 200, "told more than"),
    ],
)
def test_a_gateway_that_tells_nothing_to_believe_is_silent_with_a_reason(answer: bytes, status: int, why: str) -> None:
    found = at_gateway(answer, status)
    assert found.told == {}
    assert why in found.silent["ca"]
