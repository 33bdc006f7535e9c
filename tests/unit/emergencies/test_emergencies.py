"""Two people of two trustees, for hours, within what the trust hides; then trustees review it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.agreements import negotiate_all
from commonweal.emergencies import emergency_entry, emergency_state, ends_at, live_emergencies, review_state
from commonweal.grants import Allowed, Ask, Policy, Refusal, Rule, compile_policy, decide
from commonweal.kinds.data_trust import ColumnRole
from commonweal.kinds.emergency_access import EmergencyAccess, EmergencyReason, ReviewReason
from tests.unit.grants.samples import NOON, PURPOSE, grant, site, trust

TRUST = trust({"emergencyHours": 24})
TRUSTEES = ("ca", "ke", "kr")
TWO = (("ca", "ada"), ("kr", "min"))


def access(
    openings: Iterable[tuple[str, str]] = TWO,
    *,
    seen: ReviewReason | None = ReviewReason.STILL_OPEN,
    reviews: Iterable[str] = (),
    **changes: object,
) -> EmergencyAccess:
    condition = {
        "type": "ReviewDue",
        "status": "False",
        "reason": seen,
        "message": "",
        "lastTransitionTime": NOON,
        "observedGeneration": 1,
    }
    body: dict[str, Any] = {
        "metadata": {"name": "emergency-flood", "creationTimestamp": NOON},
        "spec": {
            "trust": "trade",
            "beneficiary": {"pilotApp": "relief"},
            "purpose": PURPOSE,
            "datasets": ["customs_rows"],
            "reason": "The port is under water.",
            "hours": 6,
            "openings": [{"trustee": trustee, "person": person} for trustee, person in openings],
            "reviews": [{"trustee": each, "finding": "Justified", "words": "It was."} for each in reviews],
            **changes,
        },
        "status": {"conditions": [condition] if seen else []},
    }
    return EmergencyAccess.model_validate(body)


def policy(*accesses: EmergencyAccess, after: timedelta = timedelta(0)) -> Policy:
    now = NOON + after
    return compile_policy(
        TRUST,
        negotiate_all(TRUST, [grant()], now),
        {"ca": site("ca")},
        "ca",
        emergencies=live_emergencies(accesses, TRUST, now),
    )


def ask(**changes: str) -> Ask:
    named = {"trust": "trade", "dataset": "customs_rows", "purpose": PURPOSE, "grant": "emergency-flood"}
    return Ask(**{**named, "beneficiary": "relief", "member": "ca", **changes})


def test_two_people_of_two_trustees_open_it_for_its_hours() -> None:
    state = emergency_state(access(), TRUST, NOON)
    assert (state.ready, state.reason, state.changes_at) == (True, EmergencyReason.OPEN, NOON + timedelta(hours=6))
    assert state.message.endswith("by ada for ca, min for kr: The port is under water.")
    ended = emergency_state(access(), TRUST, NOON + timedelta(hours=6))
    assert (ended.ready, ended.reason, ended.changes_at) == (False, EmergencyReason.ENDED, None)


@given(
    openings=st.lists(
        st.tuples(st.sampled_from([*TRUSTEES, "ch", "uy"]), st.sampled_from(["ada", "min", "wanjiru"])),
        max_size=5,
        unique_by=lambda each: each[0],
    ),
    minutes=st.integers(0, 600),
)
def test_it_is_open_only_while_two_people_of_two_trustees_say_so(openings: list[tuple[str, str]], minutes: int) -> None:
    spoken = [(trustee, person) for trustee, person in openings if trustee in TRUSTEES]
    two = any(one[0] != other[0] and one[1] != other[1] for one in spoken for other in spoken)
    now = NOON + timedelta(minutes=minutes)
    assert emergency_state(access(openings), TRUST, now).ready == (two and minutes < 360)


@given(hours=st.integers(1, 168), most=st.one_of(st.none(), st.integers(0, 168)))
def test_no_access_is_longer_than_the_trust_allows_and_none_is_the_default(hours: int, most: int | None) -> None:
    declared = trust({} if most is None else {"emergencyHours": most})
    state = emergency_state(access(hours=hours), declared, NOON)
    assert state.ready == (most is not None and hours <= most)
    assert state.reason in {EmergencyReason.OPEN, EmergencyReason.NOT_ALLOWED, EmergencyReason.TOO_LONG}


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"closed": True}, EmergencyReason.CLOSED, "open a new one"),
        ({"trust": "nature"}, EmergencyReason.UNKNOWN_TRUST, "spec.trust: there is no DataTrust nature"),
        ({"hours": 25}, EmergencyReason.TOO_LONG, "spec.hours: 25 is above the 24 that trade allows"),
        ({"purpose": "public-statistics"}, EmergencyReason.UNDECLARED_PURPOSE, f"trade serves {PURPOSE} only"),
        ({"datasets": ["payroll"]}, EmergencyReason.UNKNOWN_DATASET, "has no dataset payroll"),
        ({"openings": []}, EmergencyReason.AWAITING_TRUSTEES, "Opened by nobody; 2 people of different trustees"),
    ],
)
def test_what_cannot_open_says_why(changes: dict[str, Any], reason: EmergencyReason, words: str) -> None:
    state = emergency_state(access(**changes), TRUST, NOON)
    assert (state.ready, state.reason) == (False, reason)
    assert words in state.message


def test_no_policy_carries_an_access_before_its_status_says_that_it_is_open() -> None:
    assert live_emergencies([access(seen=None)], TRUST, NOON) == ()
    assert live_emergencies([access(seen=ReviewReason.NEVER_OPENED)], TRUST, NOON) == ()
    assert [each.name for each in live_emergencies([access()], TRUST, NOON)] == ["emergency-flood"]


def test_the_beneficiary_may_ask_under_it_and_the_entry_says_so() -> None:
    current = policy(access())
    allowed = decide(current, ask(), NOON)
    assert isinstance(allowed, Allowed)
    assert allowed.grant.expires_at == ends_at(access())
    noted = {"reason": "The port is under water.", "opened_by": ["ca: ada", "kr: min"]}
    assert emergency_entry(current, "emergency-flood") == {"emergency": noted}
    assert emergency_entry(current, "steel") == {}
    assert emergency_entry(None, "steel") == {}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"beneficiary": "steel-pilot"}, Rule.NOT_BENEFICIARY),
        ({"purpose": "public-statistics"}, Rule.UNDECLARED_PURPOSE),
        ({"dataset": "facility_disclosures"}, Rule.UNKNOWN_DATASET),
        ({"grant": "emergency-other"}, Rule.UNKNOWN_GRANT),
    ],
)
def test_nobody_else_and_nothing_else_is_opened_by_it(changes: dict[str, str], rule: Rule) -> None:
    refused = decide(policy(access()), ask(**changes), NOON)
    assert isinstance(refused, Refusal)
    assert refused.rule is rule


def test_it_ends_at_the_gateway_by_the_clock_alone() -> None:
    refused = decide(policy(access()), ask(), NOON + timedelta(hours=6))
    assert isinstance(refused, Refusal)
    assert refused.rule is Rule.EXPIRED


def test_what_the_trust_denies_stays_denied() -> None:
    ordinary, opened = (policy().dataset("customs_rows"), policy(access()).dataset("customs_rows"))
    assert ordinary == opened
    assert opened is not None
    assert opened.minimum_group_size == 3
    hidden = opened.column("consignment_id")
    assert hidden is not None
    assert hidden.role is ColumnRole.HIDDEN


def test_a_review_is_due_from_the_end_until_a_quorum_gave_one() -> None:
    end = NOON + timedelta(hours=6)
    assert review_state(access(), TRUST, NOON).reason is ReviewReason.STILL_OPEN
    due = review_state(access(reviews=["ke"]), TRUST, end)
    assert (due.due, due.reason) == (True, ReviewReason.AWAITING_REVIEW)
    assert due.message == "1 of 2 trustees reviewed it; ca, kr may still do so"
    done = review_state(access(reviews=["ke", "ca"]), TRUST, end)
    assert (done.due, done.reason, done.message) == (False, ReviewReason.REVIEWED, "ca: Justified; ke: Justified")


@given(reviewers=st.sets(st.sampled_from([*TRUSTEES, "ch", "uy"])), once_open=st.booleans())
def test_only_trustees_reviews_end_the_duty_and_only_what_was_open_has_one(
    reviewers: set[str],
    once_open: bool,
) -> None:
    seen = ReviewReason.AWAITING_REVIEW if once_open else None
    state = review_state(access(seen=seen, reviews=sorted(reviewers)), TRUST, NOON + timedelta(hours=7))
    assert state.due == (once_open and len(reviewers & set(TRUSTEES)) < TRUST.spec.quorum)


def test_no_change_of_the_trust_takes_the_duty_away() -> None:
    end = NOON + timedelta(hours=6)
    for changed in (trust({"emergencyHours": 0}), trust({"trustees": ["ke", "uy"], "emergencyHours": 24}), None):
        assert review_state(access(seen=ReviewReason.STILL_OPEN), changed, end).due
