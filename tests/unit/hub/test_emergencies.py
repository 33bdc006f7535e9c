"""What the hub writes of an emergency: two conditions, one Event a change, and the same at the trust."""

from datetime import timedelta
from typing import Any

from commonweal.kinds.emergency_access import EmergencyAccess, ReviewReason
from operators.frame import Plan
from operators.frame.store import Store
from operators.hub.emergencies import EmergencyController, Observed, Tell, emergency_findings
from tests.unit.emergencies.test_emergencies import TRUST, access
from tests.unit.grants.samples import NOON

CONTROLLER = EmergencyController(Store())


def planned(one: EmergencyAccess, before: str | None, after: timedelta = timedelta(0)) -> Plan:
    body: dict[str, Any] = {"metadata": {"name": one.metadata.name, "uid": "0123456789abcdef"}}
    if before is not None:
        body["status"] = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": before}]}
    return CONTROLLER.plan(Observed(body=body, access=one, trust=TRUST), NOON + after)


def told(plan: Plan) -> list[tuple[str, str, str]]:
    events = [write.body for write in plan.writes if isinstance(write, Tell)]
    return [(event["metadata"]["name"], event["reason"], event["type"]) for event in events]


def test_opening_is_told_once_as_a_warning() -> None:
    first, again = planned(access(), "AwaitingTrustees"), planned(access(), "Open")
    assert told(first) == [("emergency-flood.open.01234567", "Open", "Warning")]
    assert told(again) == []
    assert [(each.type, each.holds, each.reason) for each in first.findings] == [
        ("Ready", True, "Open"),
        ("ReviewDue", False, "StillOpen"),
    ]


def test_it_is_looked_at_again_when_its_hours_are_over() -> None:
    assert planned(access(), "Open").requeue_in_s == 6 * 3600
    ended = planned(access(), "Open", timedelta(hours=6))
    assert told(ended) == [("emergency-flood.ended.01234567", "Ended", "Normal")]
    assert ended.requeue_in_s is None


def test_what_nobody_can_open_is_no_news() -> None:
    assert told(planned(access(hours=100), None)) == []


def test_trustees_see_at_the_trust_what_is_open_and_what_is_due() -> None:
    late = access().model_copy(update={"metadata": access().metadata.model_copy(update={"name": "emergency-old"})})
    quiet = emergency_findings([], TRUST, NOON)
    both = emergency_findings([access()], TRUST, NOON), emergency_findings([late], TRUST, NOON + timedelta(hours=6))
    assert [(each.type, each.holds, each.reason) for each in quiet] == [
        ("EmergencyOpen", False, "NoEmergency"),
        ("ReviewDue", False, "NothingToReview"),
    ]
    assert (both[0][0].holds, both[0][0].reason) == (True, "Open")
    assert "The port is under water." in both[0][0].message
    assert (both[1][0].holds, both[1][1].holds, both[1][1].reason) == (False, True, ReviewReason.AWAITING_REVIEW)
    assert both[1][1].message.startswith("emergency-old: 0 of 2 trustees reviewed it")
