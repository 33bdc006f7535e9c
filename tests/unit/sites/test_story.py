from pulumi.automation import EngineEvent

from infra.sites.story import Story


def step(op: str, name: str = "ca/commonweal-data/gateway") -> EngineEvent:
    kind = "kubernetes:apps/v1:Deployment"
    urn = f"urn:pulumi:ca::member-site::commonweal:site:MemberSite${kind}::{name}"
    return EngineEvent.from_json(
        {"sequence": 1, "timestamp": 1, "resOutputsEvent": {"metadata": {"op": op, "urn": urn, "type": kind}}}
    )


def complaint(message: str, severity: str = "error", urn: str = "") -> EngineEvent:
    body = {"message": message, "color": "raw", "severity": severity, "urn": urn}
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, "diagnosticEvent": body})


def told(*events: EngineEvent) -> tuple[Story, list[str]]:
    lines: list[str] = []
    story = Story(lines.append)
    for event in events:
        story(event)
    return story, lines


def test_a_change_is_told_as_what_happened_to_what() -> None:
    story, lines = told(step("create"), step("same"))
    assert lines == ["create Deployment ca/commonweal-data/gateway"]
    assert story.changes == {"create": 1}
    assert story.steps == lines


def test_what_is_only_read_is_no_change() -> None:
    story, _ = told(step("update", "ca/cluster"))
    assert not story.changes


def test_what_is_waited_for_is_told_once() -> None:
    body = {"message": "Waiting for the gateway (0/1 Pods available)", "color": "raw", "severity": "info", "urn": ""}
    event = EngineEvent.from_json({"sequence": 1, "timestamp": 1, "diagnosticEvent": {**body, "ephemeral": True}})
    story, lines = told(event, event)
    assert lines == ["Waiting for the gateway (0/1 Pods available)"]
    assert not story.errors
    assert told(EngineEvent.from_json({"sequence": 1, "timestamp": 1, "diagnosticEvent": body}))[1] == []


def test_the_cause_is_the_first_error_that_is_no_echo() -> None:
    story, _ = told(
        complaint("update failed"),
        complaint("<{%reset%}>the quota\n  is too small<{%reset%}>", urn="urn:pulumi:ca::p::t::ca/pledge"),
        complaint("something later"),
    )
    assert story.cause == "ca/pledge: the quota is too small"


def test_chatter_is_not_repeated_and_warnings_are_no_cause() -> None:
    story, lines = told(complaint("Skipping await logic", "info"), complaint("deprecated", "warning"))
    assert lines == ["deprecated"]
    assert story.cause is None
