"""What reaches the member from an Assignment, what does not, and what is said of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.assignment import Assignment
from operators.agent.rollout import (
    ASSIGNMENT,
    ORIGIN,
    ORIGIN_UID,
    Observed,
    Ref,
    Step,
    assignment_of,
    desired,
    refusal,
    step,
)
from operators.frame.plan import spec_hash, stamped
from operators.kube import CONFIG_MAPS, DEPLOYMENTS, SERVICES, Json


def deployment(name: str = "trade", replicas: int = 2) -> Json:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": "x:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "commonweal-apps"},
        "spec": spec,
    }


def service(name: str = "trade", **spec: object) -> Json:
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "commonweal-apps"}}
    return body | {"spec": {"type": "NodePort", "ports": [{"port": 80}], **spec}}


def policy(name: str = "policy-steel", namespace: str = "commonweal-data") -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"policy.json": "{}"}}


def assignment(*objects: Json, uid: str = "u1") -> Assignment:
    owner = {"kind": "PilotApp", "name": "trade", "uid": uid, "generation": 1}
    return Assignment.read(
        {
            "apiVersion": "commonweal.dev/v1alpha1",
            "kind": "Assignment",
            "metadata": {"name": "pilot-trade", "namespace": "member-ke", "generation": 1},
            "spec": {"owner": owner, "objects": list(objects)},
        }
    )


def observed(given: Assignment | None, live: dict[Ref, Json] | None = None, **more: object) -> Observed:
    values: dict[str, Any] = {"pods": (), "refusals": {}} | more
    return Observed(
        member="ke", node_address="10.0.0.9", assignment=given, name="pilot-trade", live=live or {}, **values
    )


def applied(given: Assignment, **status: object) -> dict[Ref, Json]:
    """The live objects after everything was applied and the controllers said `status` of the Deployments."""
    live = {}
    for item in desired(given, "ke"):
        body = stamped(item.body)
        if body["kind"] == "Deployment":
            body = body | {"status": {"observedGeneration": 1, **status}}
            body["metadata"] = body["metadata"] | {"generation": 1}
        if body["kind"] == "Service":
            ports = [port | {"nodePort": 30080} for port in body["spec"]["ports"]]
            body = body | {"spec": body["spec"] | {"ports": ports}}
        live[item.ref] = body
    return live


TRADE = assignment(deployment(), service())


def ready(result: Step) -> tuple[bool | None, str, str]:
    finding = next(finding for finding in result.findings if finding.type == "Ready")
    return finding.holds, finding.reason, finding.message


def test_every_object_is_applied_with_where_it_comes_from() -> None:
    result = step(observed(TRADE))
    assert [str(item.ref) for item in result.apply] == [
        "Deployment commonweal-apps/trade",
        "Service commonweal-apps/trade",
    ]
    metadata = result.apply[0].body["metadata"]
    assert metadata["annotations"] == {ORIGIN: "PilotApp/trade", ORIGIN_UID: "u1", ASSIGNMENT: "pilot-trade"}
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "commonweal", "commonweal.dev/member": "ke"}
    assert result.findings == ()


def test_pods_lead_back_to_their_assignment() -> None:
    template = step(observed(TRADE)).apply[0].body["spec"]["template"]
    assert assignment_of(template) == "pilot-trade"


def test_what_is_applied_is_not_applied_again_and_reported_ready() -> None:
    result = step(observed(TRADE, applied(TRADE, readyReplicas=2, updatedReplicas=2)))
    assert result.apply == ()
    assert ready(result) == (True, "Running", "2 of 2 replicas ready")
    assert result.status == {"readyReplicas": 2, "endpoints": ["http://10.0.0.9:30080"]}


def test_a_rollout_under_way_is_not_ready() -> None:
    holds, reason, message = ready(step(observed(TRADE, applied(TRADE, readyReplicas=1, updatedReplicas=2))))
    assert (holds, reason, message) == (False, "Progressing", "1 of 2 replicas ready")


def test_old_replicas_that_still_serve_do_not_make_a_new_version_ready() -> None:
    assert ready(step(observed(TRADE, applied(TRADE, readyReplicas=2, updatedReplicas=0))))[0] is False


def test_a_policy_alone_is_ready_when_applied() -> None:
    trust = assignment(policy())
    assert ready(step(observed(trust, applied(trust))))[:2] == (True, "Applied")


def test_a_hand_made_change_is_repaired_and_reported_in_one_pass() -> None:
    live = applied(TRADE, readyReplicas=2, updatedReplicas=2)
    ref = Ref(DEPLOYMENTS, "commonweal-apps", "trade")
    live[ref] = live[ref] | {"spec": live[ref]["spec"] | {"replicas": 5}}
    result = step(observed(TRADE, live))
    assert [item.ref for item in result.apply] == [ref]
    assert not result.unreported


def test_an_object_that_the_assignment_no_longer_names_is_deleted() -> None:
    live = applied(TRADE, readyReplicas=2, updatedReplicas=2)
    result = step(observed(assignment(deployment()), live))
    assert result.delete == (Ref(SERVICES, "commonweal-apps", "trade"),)


def test_everything_goes_with_its_assignment() -> None:
    assert set(step(observed(None, applied(TRADE))).delete) == set(applied(TRADE))


def test_nothing_else_goes() -> None:
    foreign = {Ref(CONFIG_MAPS, "commonweal-data", "gateway-site"): policy("gateway-site")}
    other = applied(TRADE)
    for body in other.values():
        body["metadata"]["annotations"][ASSIGNMENT] = "pilot-other"
    assert step(observed(None, foreign | other)).delete == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (deployment() | {"kind": "DaemonSet"}, "DaemonSet commonweal-apps/trade: this member takes only"),
        (deployment() | {"apiVersion": "apps/v1beta1"}, "this member takes only"),
        (policy(namespace="commonweal-system"), "ConfigMap commonweal-system/policy-steel: this member takes only"),
        (policy(namespace="kube-system"), "this member takes only"),
        (policy("gateway-site"), "only names that start with policy- are taken"),
        (service(type="LoadBalancer"), "spec.type must be ClusterIP or NodePort"),
        (service(type="ExternalName"), "spec.type must be ClusterIP or NodePort"),
        (service(externalIPs=["10.0.0.1"]), "without externalIPs"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "commonweal-apps"}}, "Secret"),
        ({}, "object /: this member takes only"),
    ],
)
def test_an_object_off_the_allow_list_is_refused_by_name(body: Json, words: str) -> None:
    result = step(observed(assignment(deployment(), body)))
    assert result.apply == ()
    holds, reason, message = ready(result)
    assert (holds, reason) == (False, "ObjectRefused")
    assert words in message


def test_a_name_that_somebody_else_holds_is_refused() -> None:
    foreign = {Ref(DEPLOYMENTS, "commonweal-apps", "trade"): deployment()}
    assert "was not made by Commonweal" in ready(step(observed(TRADE, foreign)))[2]
    theirs = applied(TRADE)
    for body in theirs.values():
        body["metadata"]["annotations"][ASSIGNMENT] = "pilot-other"
    assert "belongs to Assignment pilot-other" in ready(step(observed(TRADE, theirs)))[2]


def test_the_member_s_own_refusal_is_passed_on_and_not_repeated_at_once() -> None:
    first = step(observed(TRADE))
    refusals = {spec_hash(first.apply[0].body): "exceeded quota: pledge"}
    result = step(observed(TRADE, refusals=refusals))
    assert result.apply == ()
    assert ready(result)[2] == "Deployment commonweal-apps/trade: exceeded quota: pledge"


def pod(name: str, reason: str, message: str, **last: object) -> Json:
    status = {"image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}, "lastState": last}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [status]}}


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        ("ErrImagePull", "ImagePullFailed"),
        ("ImagePullBackOff", "ImagePullFailed"),
        ("InvalidImageName", "ImagePullFailed"),
        ("CrashLoopBackOff", "Crashing"),
        ("ContainerCreating", "Progressing"),
    ],
)
def test_a_pod_that_does_not_start_is_reported_in_its_own_words(reason: str, verdict: str) -> None:
    pods = (pod("trade-1", reason, "the pod's own words"),)
    live = applied(TRADE, readyReplicas=0, updatedReplicas=2)
    _, said, message = ready(step(observed(TRADE, live, pods=pods)))
    assert said == verdict
    assert ("the pod's own words" in message) == (verdict != "Progressing")


def test_a_quota_and_a_scheduler_are_quoted() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota: pledge'}
    live = applied(TRADE, updatedReplicas=0, conditions=[failure])
    assert ready(step(observed(TRADE, live)))[1] == "QuotaExceeded"
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    pods = ({"metadata": {"name": "trade-1"}, "status": {"conditions": [unscheduled]}},)
    message = ready(step(observed(TRADE, applied(TRADE, updatedReplicas=2), pods=pods)))[2]
    assert message == "0 of 2 replicas ready; pod trade-1: 0/1 nodes are available"


names = st.sampled_from(["trade", "policy-a", "gateway-site", ""])
bodies = st.fixed_dictionaries(
    {
        "apiVersion": st.sampled_from(["v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"]),
        "kind": st.sampled_from(["Deployment", "Service", "ConfigMap", "ServiceAccount", "Secret", "Pod", "Job"]),
        "metadata": st.fixed_dictionaries(
            {
                "name": names,
                "namespace": st.sampled_from(
                    ["commonweal-apps", "commonweal-data", "commonweal-system", "default", ""]
                ),
            }
        ),
    }
)


@given(body=bodies)
def test_only_apps_and_policies_ever_pass_the_allow_list(body: Json) -> None:
    if refusal(body) is None:
        namespace, kind = body["metadata"]["namespace"], body["kind"]
        assert namespace == "commonweal-apps" or (
            kind == "ConfigMap" and body["metadata"]["name"].startswith("policy-") and namespace == "commonweal-data"
        )
        assert kind in {"Deployment", "Service", "ConfigMap", "ServiceAccount"}


@given(wanted=st.sets(st.sampled_from("abcd")), had=st.sets(st.sampled_from("abcd")))
def test_two_passes_settle_any_change_of_the_objects(wanted: set[str], had: set[str]) -> None:
    before = assignment(*(deployment(name) for name in sorted(had)))
    after = assignment(*(deployment(name) for name in sorted(wanted)))
    live = applied(before, readyReplicas=2, updatedReplicas=2)
    first = step(observed(after, live))
    live = {ref: body for ref, body in live.items() if ref not in first.delete}
    live |= applied(after, readyReplicas=2, updatedReplicas=2)
    second = step(observed(after, live))
    assert (second.apply, second.delete) == ((), ())
    assert ready(second)[0] is True
