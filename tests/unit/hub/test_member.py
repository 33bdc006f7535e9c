"""A member's health follows what the hub itself saw; nothing but the clock and the Lease moves it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.consortium import HeartbeatRules
from commonweal.kinds.member import Engine, Member, Scheduling, Site, SiteDeclaration, SiteDrift
from commonweal.kinds.meta import Resources
from operators.frame import Delete, Plan, Store
from operators.hub.member import Heartbeats, MemberController, Observed, reachability
from operators.hub.resources import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS
from operators.kube import Json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULES = HeartbeatRules(interval_seconds=5, silent_after_seconds=20, unreachable_after_seconds=60)


def body(*, accepts: bool = True, scheduling: Scheduling = Scheduling.ACTIVE) -> Json:
    spec = {
        "displayName": "Canada",
        "country": "CA",
        "identityKey": "A" * 43 + "=",
        "hubAccepts": accepts,
        "scheduling": scheduling.value,
    }
    metadata = {"name": "ca", "uid": "u", "resourceVersion": "1", "generation": 1}
    return {"apiVersion": "commonweal.dev/v1alpha1", "kind": "Member", "metadata": metadata, "spec": spec}


def plan(
    live: Json, *, pilots: int = 0, heartbeat_at: datetime | None = NOON, joined: bool = True, site: Site | None = None
) -> Plan:
    observed = Observed(
        name="ca",
        body=live,
        member=Member.read(live),
        rules=RULES,
        heartbeat_at=heartbeat_at,
        certificate_not_after=NOON + timedelta(days=1) if joined else None,
        pilots=pilots,
        site=site,
    )
    return MemberController(Store()).plan(observed, NOON)


def said(planned: Plan, kind: str) -> tuple[bool | None, str]:
    [finding] = [finding for finding in planned.findings if finding.type == kind]
    return finding.holds, finding.reason


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [
        (0, (True, "Heartbeat")),
        (19, (True, "Heartbeat")),
        (20, (None, "AgentSilent")),
        (59, (None, "AgentSilent")),
        (60, (False, "ClusterUnreachable")),
    ],
)
def test_silence_becomes_unknown_and_then_unreachable(silent_s: int, expected: tuple[bool | None, str]) -> None:
    finding, _ = reachability(NOON - timedelta(seconds=silent_s), RULES, NOON)
    assert (finding.holds, finding.reason) == expected


@given(st.integers(0, 200))
def test_the_next_look_is_when_silence_changes_the_answer(silent_s: int) -> None:
    heartbeat_at = NOON - timedelta(seconds=silent_s)
    before, look_s = reachability(heartbeat_at, RULES, NOON)
    if look_s is None:
        assert before.holds is False
        return
    after, _ = reachability(heartbeat_at, RULES, NOON + timedelta(seconds=look_s))
    just_before, _ = reachability(heartbeat_at, RULES, NOON + timedelta(seconds=look_s - 0.001))
    assert after.reason != before.reason == just_before.reason


def test_before_the_first_heartbeat_nothing_is_known() -> None:
    assert said(plan(body(), heartbeat_at=None), "Reachable") == (None, "NoHeartbeatYet")


def test_a_members_own_clock_does_not_matter() -> None:
    heartbeats, fast = Heartbeats(), {"spec": {"renewTime": "2026-11-24T15:00:00.000000Z"}}
    assert heartbeats.at("ca", None, NOON) is None
    assert heartbeats.at("ca", fast, NOON) == NOON
    slow = {"spec": {"renewTime": "2026-11-24T09:00:00.000000Z"}}
    later = NOON + timedelta(seconds=10)
    assert heartbeats.at("ca", slow, later) == later
    assert heartbeats.at("ca", slow, later + timedelta(minutes=5)) == later


def test_a_silent_member_stays_silent_when_the_hub_operator_restarts() -> None:
    lease = {"spec": {"renewTime": "2026-11-24T11:00:00.000000Z"}}
    assert Heartbeats().at("ca", lease, NOON) == NOON - timedelta(hours=1)


def test_rights_are_bound_only_while_the_hub_accepts() -> None:
    accepted, refused = plan(body()).writes, plan(body(accepts=False)).writes
    assert not [write for write in accepted if isinstance(write, Delete)]
    assert all(isinstance(write, Delete) for write in refused)
    assert {write.resource for write in refused if isinstance(write, Delete)} >= {ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS}


def test_a_deleted_member_loses_its_rights() -> None:
    gone = MemberController(Store()).plan(Observed(name="ca", body=None), NOON)
    assert gone.writes == plan(body(accepts=False)).writes
    assert not gone.findings


def test_a_member_is_drained_when_no_pilot_is_left() -> None:
    draining = body(scheduling=Scheduling.DRAINING)
    assert said(plan(draining, pilots=2), "Drained") == (False, "Draining")
    assert said(plan(draining, pilots=0), "Drained") == (True, "Drained")
    assert said(plan(body(), pilots=0), "Drained") == (False, "Active")
    assert said(plan(body(scheduling=Scheduling.CORDONED)), "Cordoned") == (True, "Cordoned")


def test_ready_names_the_first_thing_that_is_missing() -> None:
    assert said(plan(body(accepts=False), heartbeat_at=None), "Ready") == (False, "AwaitingAcceptance")
    assert said(plan(body(), heartbeat_at=None), "Ready") == (False, "NoHeartbeatYet")
    assert said(plan(body()), "Ready") == (False, "SiteUnknown")


def test_a_member_has_left_once_it_had_joined_and_is_accepted_no_more() -> None:
    assert said(plan(body()), "Left") == (False, "Accepted")
    assert said(plan(body(accepts=False), joined=False), "Left") == (False, "AwaitingAcceptance")
    assert said(plan(body(accepts=False)), "Left") == (True, "Left")


def site(drift: SiteDrift | None, declaration: SiteDeclaration | None = None) -> Site:
    return Site(
        issuer="https://ca",
        jwks="{}",
        node_address="10.0.0.1",
        allocatable=Resources(),
        agent_version="1",
        kubernetes_version="v1.36.2",
        drift=drift,
        declaration=declaration,
    )


def test_a_site_that_was_never_compared_is_unknown_and_not_as_declared() -> None:
    assert said(plan(body(), site=site(None)), "SiteAsDeclared") == (None, "SiteNotCompared")
    assert said(plan(body()), "SiteAsDeclared") == (None, "SiteNotCompared")


def test_drift_is_said_with_its_objects_and_leaves_the_member_ready() -> None:
    differing = ("update Deployment ca/commonweal-data/gateway",)
    planned = plan(body(), site=site(SiteDrift(checked_at=NOON, objects=1, differing=differing)))
    assert said(planned, "SiteAsDeclared") == (False, "SiteDrifted")
    assert said(planned, "Ready") == (True, "Active")
    [finding] = [finding for finding in planned.findings if finding.type == "SiteAsDeclared"]
    assert "Differing objects as of 2026-11-24T12:00:00" in finding.message
    assert differing[0] in finding.message


@given(objects=st.integers(0, 10**6), age_s=st.integers(0, 10**6))
def test_a_site_is_as_declared_exactly_if_a_comparison_found_nothing_and_drift_never_unreadies(
    objects: int, age_s: int
) -> None:
    drift = SiteDrift(checked_at=NOON - timedelta(seconds=age_s), objects=objects, differing=())
    planned = plan(body(), site=site(drift))
    assert said(planned, "SiteAsDeclared")[0] is (objects == 0)
    assert said(planned, "Ready") == (True, "Active")


def declared(country: str) -> SiteDeclaration:
    return SiteDeclaration(
        country=country,
        engine=Engine.DUCKDB,
        gateway_url="https://gateway",
        images=(f"site@sha256:{'0' * 64}",),
        objects=40,
        digest="f" * 64,
    )


def of_this_site(country: str) -> Site:
    return site(None, declared(country)).model_copy(update={"engine": Engine.DUCKDB, "gateway_url": "https://gateway"})


def test_a_declaration_is_a_condition_that_says_its_digest() -> None:
    planned = plan(body(), site=of_this_site("CA"))
    assert said(planned, "SiteDeclared") == (True, "SiteDeclared")
    (finding,) = (each for each in planned.findings if each.type == "SiteDeclared")
    assert f"40 objects, sha256:{'f' * 64}" in finding.message


def test_a_member_that_says_two_things_is_seen_to_and_stays_ready() -> None:
    planned = plan(body(), site=of_this_site("US"))
    assert said(planned, "SiteDeclared") == (False, "SiteContradicted")
    assert said(planned, "Ready") == (True, "Active")


def test_without_a_declaration_nothing_is_known_of_it() -> None:
    assert said(plan(body(), site=site(None)), "SiteDeclared") == (None, "SiteNotDeclared")
    assert said(plan(body()), "SiteDeclared") == (None, "SiteNotDeclared")


def test_a_document_that_the_member_did_not_sign_declares_nothing() -> None:
    live = body()
    observed = Observed(name="ca", body=live, member=Member.read(live), rules=RULES, site_problem="not signed by ca")
    assert said(MemberController(Store()).plan(observed, NOON), "SiteDeclared") == (False, "SiteSignatureInvalid")
