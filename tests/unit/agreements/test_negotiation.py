"""The states of a grant: what is asked, offered, accepted, agreed, in force and over."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.agreements import Deed, agreement_of, grant_state, negotiate_all
from commonweal.grants import compile_policy
from commonweal.kinds.data_grant import DataGrant, GrantPhase, GrantReason
from tests.unit.agreements.cases import LESS, approvals, changed, named, request
from tests.unit.grants.samples import NOON, grant, site, trust


def offer_of(asked: DataGrant) -> str:
    """The name of the one offer."""
    state = grant_state(asked, trust(), NOON)
    [offered] = state.offers
    assert offered.agreement is not None
    return offered.agreement.sha256


def test_a_request_becomes_final_by_a_quorum() -> None:
    asked = request()
    agreed = agreement_of(asked, Deed(trust())).sha256
    one = grant_state(changed(asked, approvals=approvals(ca=agreed)), trust(), NOON)
    two = grant_state(changed(asked, approvals=approvals(ca=agreed, ke=agreed)), trust(), NOON)
    assert (one.phase, one.reason) == (GrantPhase.REQUESTED, GrantReason.AWAITING_APPROVAL)
    assert (two.phase, two.ready, named(two)) == (GrantPhase.FINALIZED, True, agreed)


def test_an_offer_goes_through_every_state_of_a_negotiation() -> None:
    offered = request(offers=[LESS])
    less = offer_of(offered)
    agreed = changed(offered, approvals=approvals(ca=less, kr=less))
    accepted = changed(offered, accepted=less)
    final = changed(agreed, accepted=less)
    phases = [grant_state(each, trust(), NOON).phase for each in (request(), offered, agreed, accepted, final)]
    assert phases == ["Requested", "Offered", "Agreed", "Accepted", "Finalized"]
    in_force = grant_state(final, trust(), NOON).agreement
    assert in_force is not None
    assert in_force.datasets == ("customs_rows",)
    assert in_force.expires_at.day == 1
    over = grant_state(final, trust(), in_force.expires_at)
    assert (over.phase, over.reason) == (GrantPhase.TERMINATED, GrantReason.EXPIRED)


def test_a_policy_carries_what_was_agreed_and_not_what_was_asked() -> None:
    rules = [{"name": "imports", "anyOf": [{"column": "flow", "operator": "In", "values": ["1"]}]}]
    asked = {"narrowing": [{"dataset": "customs_rows", "masks": [{"column": "product_nc", "mask": prefix(4)}]}]}
    masks = [{"column": "product_nc", "mask": prefix(2)}]
    offered = request(
        **asked, offers=[{**LESS, "narrowing": [{"dataset": "customs_rows", "rowRules": rules, "masks": masks}]}]
    )
    less = offer_of(offered)
    final = changed(offered, approvals=approvals(ca=less, kr=less), accepted=less)
    [live] = compile_policy(trust(), negotiate_all(trust(), [final], NOON), {"ca": site("ca")}, "ca").grants
    assert (live.hash, live.datasets, live.expires_at.day) == (less, ("customs_rows",), 1)
    assert [len(each.masks) for each in live.narrowing] == [1, 1]
    assert compile_policy(trust(), negotiate_all(trust(), [final], NOON), {"ca": site("ca")}, "kr").grants == ()


def prefix(size: int) -> dict[str, object]:
    return {"kind": "Prefix", "size": size}


def test_a_yes_to_the_request_is_none_to_an_offer_nor_the_other_way_round() -> None:
    offered = request(offers=[LESS])
    asked, less = agreement_of(offered, Deed(trust())).sha256, offer_of(offered)
    split = changed(offered, approvals=approvals(ca=asked, kr=less))
    assert not grant_state(split, trust(), NOON).ready
    assert not grant_state(changed(split, accepted=less), trust(), NOON).ready


def test_a_yes_to_nothing_in_particular_does_not_count() -> None:
    state = grant_state(changed(request(), approvals=[{"trustee": "ca"}, {"trustee": "ke"}]), trust(), NOON)
    assert not state.ready
    assert "ca, ke approved another text or none, which does not count" in state.message


@pytest.mark.parametrize(
    "change",
    [
        {"datasets": ["customs_rows"]},
        {"expiresAt": NOON + timedelta(days=31)},
        {"beneficiary": {"pilotApp": "other-pilot"}},
        {"beneficiary": {"pilotApp": "steel-pilot", "sponsor": "ke"}},
        {"narrowing": [{"dataset": "customs_rows", "masks": [{"column": "product_nc", "mask": prefix(2)}]}]},
    ],
)
def test_approvals_of_one_text_do_not_count_for_another(change: dict[str, object]) -> None:
    approved = grant()
    assert grant_state(approved, trust(), NOON).ready
    moved = changed(approved, **change)
    assert moved.spec.approvals == approved.spec.approvals
    assert not grant_state(moved, trust(), NOON).ready


def test_an_approval_is_for_one_grant_and_no_copy_of_it() -> None:
    approved = grant()
    copy = approved.model_copy(update={"metadata": approved.metadata.model_copy(update={"name": "copy"})})
    assert not grant_state(copy, trust(), NOON).ready


@pytest.mark.parametrize(
    ("offer", "problem"),
    [
        ({"trustee": "ch"}, "ch does not decide on this grant"),
        ({"trustee": "kr"}, "kr does not decide on this grant"),
        ({"datasets": ["payroll"]}, "datasets: payroll was not asked for"),
        ({"expiresAt": "2027-06-01T00:00:00Z"}, "expiresAt: is later than the request asks"),
        (
            {"narrowing": [{"dataset": "customs_rows", "masks": [{"column": "x", "mask": {"kind": "Null"}}]}]},
            "no column",
        ),
    ],
)
def test_an_offer_that_is_not_narrower_or_comes_from_nobody_who_decides_is_named_and_does_not_count(
    offer: dict[str, object], problem: str
) -> None:
    sponsored = request(beneficiary={"pilotApp": "steel-pilot", "sponsor": "kr"}, offers=[{**LESS, **offer}])
    state = grant_state(sponsored, trust(), NOON)
    [found] = state.offers
    assert found.agreement is None
    assert problem in str(found.problem)
    assert state.phase is GrantPhase.REQUESTED


def test_a_sponsor_does_not_decide_whoever_names_it() -> None:
    stated = {"beneficiary": {"pilotApp": "steel-pilot", "sponsor": "kr"}}
    said = grant_state(grant(stated, approved_by=("ca", "kr")), trust(), NOON)
    known = grant_state(grant(approved_by=("ca", "kr")), trust(), NOON, sponsor="kr")
    assert [state.ready for state in (said, known)] == [False, False]
    assert grant_state(grant(stated, approved_by=("ca", "ke")), trust(), NOON, sponsor="kr").ready


def test_a_sponsor_other_than_the_apps_is_refused() -> None:
    stated = {"beneficiary": {"pilotApp": "steel-pilot", "sponsor": "ke"}}
    state = grant_state(grant(stated), trust(), NOON, sponsor="kr")
    assert (state.ready, state.reason) == (False, GrantReason.SPONSOR_MISMATCH)
    assert state.message.startswith("spec.beneficiary.sponsor: the sponsor of steel-pilot is kr, not ke")


def test_too_few_trustees_without_a_conflict_are_named() -> None:
    asked = grant({"recusals": [{"trustee": "ca", "reason": "owns the mill"}]}, approved_by=("ke", "kr"))
    state = grant_state(asked, trust(), NOON, sponsor="kr")
    assert (state.ready, state.reason) == (False, GrantReason.TOO_FEW_TRUSTEES)
    assert state.message.startswith("ca, kr may not decide, which leaves too few of 3 trustees")


@given(st.sets(st.sampled_from(["ca", "ke", "kr", "ch"])), st.sets(st.sampled_from(["ca", "ke", "kr"])))
def test_the_yes_of_a_recused_trustee_changes_nothing(approved: set[str], recused: set[str]) -> None:
    aside = {"recusals": [{"trustee": each, "reason": "an interest"} for each in sorted(recused)]}
    with_them = grant_state(grant(aside, approved_by=sorted(approved | recused)), trust(), NOON)
    without = grant_state(grant(aside, approved_by=sorted(approved - recused)), trust(), NOON)
    assert (with_them.ready, with_them.phase) == (without.ready, without.phase)


@given(
    approved=st.lists(st.sampled_from(["ca", "ke", "kr"]), unique=True),
    offers=st.lists(st.sampled_from(["ca", "ke", "kr"]), unique=True),
    revoked=st.booleans(),
    days=st.integers(-1, 40),
)
def test_a_grant_is_live_exactly_when_it_is_final(
    approved: list[str], offers: list[str], revoked: bool, days: int
) -> None:
    asked = grant({"offers": [{**LESS, "trustee": each} for each in offers], "revoked": revoked}, approved_by=approved)
    state = grant_state(asked, trust(), NOON + timedelta(days=days))
    assert state.ready == (state.phase is GrantPhase.FINALIZED)
    assert (state.phase is GrantPhase.TERMINATED) == (revoked or days >= 30)
    assert state.ready == (not revoked and days < 30 and len(approved) >= 2)
