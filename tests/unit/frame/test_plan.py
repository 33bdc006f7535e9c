"""Reporting says only what is new; time moves only when a status flips; a child is written only when it differs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operators.frame.plan import (
    SPEC_HASH,
    Finding,
    Plan,
    covers,
    instant,
    merge_conditions,
    merge_patch,
    stamped,
    status_patch,
)
from operators.kube import Json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
# A merge patch cannot write null (RFC 7396), and no status of ours does.
PLAIN = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(max_size=3), PLAIN, max_size=4)


def ready(holds: bool | None, reason: str = "Why", message: str = "because") -> Finding:
    return Finding(type="Ready", holds=holds, reason=reason, message=message)


def patched(held: object, patch: object) -> object:
    """RFC 7396, section 2, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    result: dict[str, object] = dict(held) if isinstance(held, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_turns_one_object_into_the_other(held: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert patched(held, merge_patch(held, wanted)) == wanted


@given(OBJECTS)
def test_equal_objects_need_no_patch(held: dict[str, Any]) -> None:
    assert merge_patch(held, held) == {}


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=10))
def test_the_transition_time_moves_exactly_on_flips(answers: list[bool | None]) -> None:
    held: list[dict[str, Any]] = []
    expected = ""
    for hour, answer in enumerate(answers):
        now = NOON + timedelta(hours=hour)
        if hour == 0 or answer != answers[hour - 1]:
            expected = instant(now)
        held = merge_conditions(held, [ready(answer, reason=f"R{hour}")], generation=hour, now=now)
        [condition] = held
        assert condition["lastTransitionTime"] == expected
        assert (condition["reason"], condition["observedGeneration"]) == (f"R{hour}", hour)


def test_conditions_of_others_stay() -> None:
    other = {"type": "Other", "status": "True", "lastTransitionTime": instant(NOON)}
    merged = merge_conditions([other], [ready(True)], generation=1, now=LATER)
    assert [condition["type"] for condition in merged] == ["Other", "Ready"]
    assert merged[0] == other


def test_an_unchanged_report_is_not_written() -> None:
    live: dict[str, Any] = {"metadata": {"uid": "u", "resourceVersion": "7", "generation": 3}}
    plan = Plan(findings=(ready(True),), status={"members": 3})
    patch = status_patch(live, plan, NOON)
    assert patch["metadata"] == {"uid": "u", "resourceVersion": "7"}
    assert patch["status"]["observedGeneration"] == 3
    again = live | {"status": patch["status"]}
    assert status_patch(again, plan, LATER) == {}


def test_a_status_field_that_a_plan_leaves_out_is_removed() -> None:
    live = {"metadata": {"uid": "u", "resourceVersion": "7", "generation": 1}, "status": {"members": 3}}
    assert status_patch(live, Plan(findings=(ready(True),)), NOON)["status"]["members"] is None


@given(JSON)
def test_everything_covers_itself(value: object) -> None:
    assert covers(value, value)


def test_defaults_beside_what_was_asked_are_no_difference_but_a_changed_value_is() -> None:
    wanted = {"spec": {"ports": [{"port": 80}]}}
    assert covers({"spec": {"ports": [{"port": 80, "protocol": "TCP"}], "type": "ClusterIP"}}, wanted)
    assert not covers({"spec": {"ports": [{"port": 81, "protocol": "TCP"}]}}, wanted)
    assert not covers({"spec": {"ports": [{"port": 80}, {"port": 81}]}}, wanted)


def test_the_stamp_depends_on_the_object_alone() -> None:
    body: Json = {"kind": "X", "metadata": {"name": "a", "annotations": {"kept": "1"}}, "spec": {"b": 1, "a": 2}}
    reordered: Json = {"spec": {"a": 2, "b": 1}, "metadata": {"annotations": {"kept": "1"}, "name": "a"}, "kind": "X"}
    assert stamped(body) == stamped(reordered)
    assert stamped(body)["metadata"]["annotations"]["kept"] == "1"
    assert SPEC_HASH not in body["metadata"]["annotations"]
