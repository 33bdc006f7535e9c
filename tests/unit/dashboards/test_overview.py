"""The overview answers from Ready conditions, and never takes silence for health."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.figures import Label, Standing, View, as_csv
from dashboards.hub import Snapshot
from dashboards.views import overview
from tests.unit.dashboards import objects
from tests.unit.dashboards.objects import NOON, Body, condition, member
from tests.unit.dashboards.snapshots import snapshot

SILENT = condition(status="False", reason="AgentSilent", message="No heartbeat for 65 s; check the agent at ke.")


def rows(view: View, key: str) -> list[dict[str, object]]:
    figure = view.figure(key)
    assert figure is not None
    return [dict(row) for row in figure.rows]


def test_a_healthy_consortium_is_said_to_be_in_order() -> None:
    view = overview.view(snapshot())
    assert view.standing is Standing.GOOD
    assert view.answer == "Yes: all 3 members, 3 pledges, 1 data trust, 1 grant and 1 pilot are ready."


def test_an_unready_member_is_named_with_its_own_words() -> None:
    view = overview.view(snapshot(members=[member("ca"), member("kr"), member("ke", SILENT)]))
    assert view.standing is Standing.BAD
    assert view.answer == (
        "No: member ke is not ready: No heartbeat for 65 s; check the agent at ke. 9 of 10 objects are ready."
    )
    assert rows(view, "why-not-ready")[0]["reason"] == "AgentSilent"


def test_an_object_without_status_is_unknown_and_not_ready() -> None:
    silent = member("ke")
    del silent["status"]
    view = overview.view(snapshot(members=[silent]))
    assert view.standing is Standing.UNKNOWN
    assert rows(view, "why-not-ready")[0]["message"] == "no operator has reported on it yet"
    assert rows(view, "members")[0]["heartbeat"] is None


def test_a_condition_about_an_earlier_generation_is_unknown() -> None:
    edited = member("ca")
    edited["metadata"]["generation"] = 2
    assert overview.view(snapshot(members=[edited])).standing is Standing.UNKNOWN


def test_an_object_that_cannot_be_read_is_named() -> None:
    view = overview.view(snapshot(unreadable=("Member/zz: spec.country: Field required",)))
    assert view.standing is Standing.BAD
    assert rows(view, "why-not-ready")[-1]["object"] == "Member/zz"
    assert rows(view, "why-not-ready")[-1]["message"] == "spec.country: Field required"


def test_an_empty_hub_is_unknown_and_not_good() -> None:
    view = overview.view(Snapshot(taken_at=NOON))
    assert view.standing is Standing.UNKNOWN
    assert "unknown" in as_csv(view.figures[0])


def test_the_pilot_shows_its_one_address() -> None:
    assert rows(overview.view(snapshot()), "pilots")[0]["address"] == "http://127.0.0.1:18080"


def test_an_address_not_yet_known_is_unknown() -> None:
    assert rows(overview.view(snapshot(pilotapps=[objects.pilot(address=None)])), "pilots")[0]["address"] is None


def test_a_simulated_period_labels_the_pledges() -> None:
    figure = overview.view(snapshot()).figure("pledges")
    assert figure is not None
    assert figure.labels == (Label.SIMULATED,)


def test_a_pledge_without_a_closed_period_delivered_an_unknown_amount() -> None:
    fresh = objects.pledge("montreal", "ca")
    fresh["status"] = {"conditions": fresh["status"]["conditions"]}
    row = rows(overview.view(snapshot(pooledclusters=[fresh])), "pledges")[0]
    assert row["delivered_gpu_seconds"] is None


CONDITIONS = st.sampled_from(
    [objects.ready(), SILENT, condition(status="Unknown", reason="NoHeartbeatYet", message="Wait for the agent.")]
)


@given(said=st.lists(CONDITIONS, min_size=3, max_size=3))
def test_every_object_is_counted_once(said: list[Body]) -> None:
    members = [member(name, one) for name, one in zip(objects.MEMBERS, said, strict=True)]
    row = next(one for one in rows(overview.view(snapshot(members=members)), "readiness") if one["kind"] == "members")
    counted = [row["ready"], row["not_ready"], row["unknown"]]
    statuses = [one["status"] for one in said]
    assert counted == [statuses.count("True"), statuses.count("False"), statuses.count("Unknown")]


@given(said=st.lists(CONDITIONS, min_size=3, max_size=3))
def test_only_a_consortium_without_a_doubt_is_good(said: list[Body]) -> None:
    members = [member(name, one) for name, one in zip(objects.MEMBERS, said, strict=True)]
    healthy = all(one["status"] == "True" for one in said)
    assert (overview.view(snapshot(members=members)).standing is Standing.GOOD) == healthy


@pytest.mark.parametrize("key", ["readiness", "why-not-ready", "members", "pledges", "pilots"])
def test_every_figure_says_when_it_was_true_and_how_far_the_log_was(key: str) -> None:
    figure = overview.view(snapshot()).figure(key)
    assert figure is not None
    assert figure.position.sentence().startswith("As of 2026-11-24 12:00:00 UTC · log position 9, root ")
