"""The states of a grant, what reaches a gateway, and what a gateway decides."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.agreements import grant_state, negotiate_all
from commonweal.grants import (
    Allowed,
    Ask,
    Policy,
    PolicyUnreadableError,
    Refusal,
    Rule,
    compile_policy,
    decide,
)
from commonweal.kinds.data_grant import GrantReason
from tests.unit.grants.samples import CUSTOMS, DISCLOSURES, NOON, PURPOSE, grant, policy, site, trust

ASK = Ask(trust="trade", dataset="customs_rows", purpose=PURPOSE, grant="steel", beneficiary="steel-pilot", member="ca")


def ask(**changes: str) -> Ask:
    return Ask(**{**ASK.__dict__, **changes})


def rule(decision: Allowed | Refusal) -> Rule | None:
    return decision.rule if isinstance(decision, Refusal) else None


def test_a_quorum_of_trustees_makes_a_grant_live() -> None:
    state = grant_state(grant(), trust(), NOON)
    assert (state.ready, state.reason) == (True, GrantReason.APPROVED)
    assert state.changes_at == NOON + timedelta(days=30)


def test_an_approval_by_a_member_who_is_no_trustee_does_not_count() -> None:
    state = grant_state(grant(approved_by=("ca", "ch")), trust(), NOON)
    assert (state.ready, state.reason) == (False, GrantReason.AWAITING_APPROVAL)
    asked = grant_state(grant(approved_by=()), trust(), NOON).agreement
    assert asked is not None
    assert state.message == f"1 of 2 trustees approved agreement {asked.sha256}; ke, kr may still approve"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"revoked": True}, GrantReason.REVOKED),
        ({"trust": "other"}, GrantReason.UNKNOWN_TRUST),
        ({"purpose": "public-statistics"}, GrantReason.UNDECLARED_PURPOSE),
        ({"datasets": ["customs_rows", "payroll"]}, GrantReason.UNKNOWN_DATASET),
        ({"expiresAt": NOON}, GrantReason.EXPIRED),
    ],
)
def test_a_grant_that_cannot_be_live_says_why(spec: dict[str, object], reason: GrantReason) -> None:
    state = grant_state(grant(spec), trust(), NOON)
    assert (state.ready, state.reason) == (False, reason)


def test_a_grant_on_a_trust_that_does_not_exist_waits_for_nothing() -> None:
    assert grant_state(grant(), None, NOON).reason is GrantReason.UNKNOWN_TRUST


def test_revocation_outranks_expiry() -> None:
    state = grant_state(grant({"revoked": True, "expiresAt": NOON}), trust(), NOON)
    assert state.reason is GrantReason.REVOKED


@given(approved=st.sets(st.sampled_from(["ca", "ke", "kr", "ch"])), days=st.integers(-2, 2))
def test_another_approval_never_makes_a_grant_less_ready(approved: set[str], days: int) -> None:
    expires = {"expiresAt": NOON + timedelta(days=days)}
    before = grant_state(grant(expires, approved_by=sorted(approved)), trust(), NOON)
    after = grant_state(grant(expires, approved_by=sorted(approved | {"ke"})), trust(), NOON)
    assert after.ready >= before.ready


def test_a_policy_holds_only_what_lies_at_the_member() -> None:
    at_ca, at_kr, at_ch = policy("ca"), policy("kr"), policy("ch")
    assert [dataset.name for dataset in at_ca.datasets] == ["customs_rows"]
    assert [live.datasets for live in at_kr.grants] == [("facility_disclosures",)]
    assert (at_ch.datasets, at_ch.grants) == ((), ())


def test_only_live_grants_reach_a_gateway() -> None:
    dead = (
        grant(name="waiting", approved_by=("ca",)),
        grant({"revoked": True}, name="no"),
        grant({"expiresAt": NOON}, name="old"),
    )
    assert [live.name for live in policy("ca", grant(), *dead).grants] == ["steel"]


def test_smallest_and_largest_values_leave_only_where_single_rows_may() -> None:
    customs, disclosures = policy("ca").dataset("customs_rows"), policy("kr").dataset("facility_disclosures")
    assert customs is not None
    assert disclosures is not None
    quantity, emissions = customs.column("quantity_in_kg"), disclosures.column("see_direct_t_per_t")
    assert quantity is not None
    assert emissions is not None
    assert set(quantity.releases) == {"count", "sum", "avg"}
    assert set(emissions.releases) == {"count", "sum", "avg", "min", "max"}
    assert emissions.type == "decimal(38,18)"


def test_a_policy_survives_the_wire_and_its_text_is_one_for_one_content() -> None:
    written = policy("ca", grant(name="b"), grant(name="a"))
    assert Policy.parse(written.render()) == written
    assert policy("ca", grant(name="a"), grant(name="b")).render() == written.render()


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        (f'"purposes":["{PURPOSE}"]', '"purposes":["marketing"]', "purposes.0"),
        ('"trust":"trade"', '"trust":"trade","allowAll":true', "allowAll"),
        ('"role":"hidden"', '"role":"measure"', "hash"),
        ('"minimumGroupSize":3', '"minimumGroupSize":1', "hash"),
        ('"version":"commonweal-policy-v1"', '"version":"commonweal-policy-v9"', "version"),
        ('{"datasets"', "", "document"),
    ],
)
def test_a_changed_policy_is_unreadable_and_the_message_names_the_place(old: str, new: str, where: str) -> None:
    text = policy("ca").render()
    assert old in text
    with pytest.raises(PolicyUnreadableError, match=where):
        Policy.parse(text.replace(old, new))


def test_an_expiry_without_a_time_zone_is_no_policy() -> None:
    text = policy("ca").render().replace("2026-12-24T12:00:00Z", "2026-12-24T12:00:00")
    with pytest.raises(PolicyUnreadableError, match="timezone"):
        Policy.parse(text)


def test_what_policy_dataset_grant_beneficiary_purpose_and_time_allow_is_allowed() -> None:
    decision = decide(policy("ca"), ASK, NOON)
    assert isinstance(decision, Allowed)
    assert (decision.grant.name, decision.dataset.name) == ("steel", "customs_rows")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trust": "other"}, Rule.NO_POLICY),
        ({"dataset": "facility_disclosures"}, Rule.UNKNOWN_DATASET),
        ({"grant": "steal"}, Rule.UNKNOWN_GRANT),
        ({"beneficiary": "other-pilot"}, Rule.NOT_BENEFICIARY),
        ({"purpose": "public-statistics"}, Rule.UNDECLARED_PURPOSE),
        ({"purpose": PURPOSE.upper()}, Rule.UNDECLARED_PURPOSE),
        ({"purpose": ""}, Rule.UNDECLARED_PURPOSE),
    ],
)
def test_each_thing_that_is_not_known_is_denied_by_its_own_rule(changes: dict[str, str], expected: Rule) -> None:
    assert rule(decide(policy("ca"), ask(**changes), NOON)) is expected


def test_without_a_policy_everything_is_denied() -> None:
    assert rule(decide(None, ASK, NOON)) is Rule.NO_POLICY


def test_a_grant_stops_at_its_end_even_if_no_newer_policy_comes() -> None:
    written = policy("ca")
    assert rule(decide(written, ASK, NOON + timedelta(days=30))) is Rule.EXPIRED
    assert rule(decide(written, ASK, NOON + timedelta(days=30) - timedelta(seconds=1))) is None


def test_a_grant_covers_only_its_own_datasets() -> None:
    disclosures_here = {**DISCLOSURES, "sources": ["ca"]}
    both = trust({"datasets": [disclosures_here, CUSTOMS | {"sources": ["ca"]}]})
    narrow = grant({"datasets": ["facility_disclosures"]}, of=both)
    written = compile_policy(both, negotiate_all(both, [narrow], NOON), {"ca": site("ca")}, "ca")
    assert rule(decide(written, ASK, NOON)) is Rule.DATASET_NOT_GRANTED


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_other_words_are_ever_allowed(purpose: str, name: str, beneficiary: str, dataset: str) -> None:
    decision = decide(policy("ca"), ask(purpose=purpose, grant=name, beneficiary=beneficiary, dataset=dataset), NOON)
    assert isinstance(decision, Refusal)
    assert decision.reason
    assert decision.remedy
