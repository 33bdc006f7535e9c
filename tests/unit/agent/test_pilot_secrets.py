"""A pod gets the Secrets that the member labelled for it, mounted, and no others by any way."""

import pytest

from operators.agent.pilot_secrets import HeldSecret
from operators.agent.rollout import SECRET_VERSIONS, Observed, Ref, Step, desired, step
from operators.frame.plan import stamped
from operators.kube import DEPLOYMENTS, Json
from tests.unit.agent.test_rollout import TRADE, applied, assignment, deployment, ready, service

OURS = HeldSecret(pilot="trade", version="7")
MOUNT = {"volumes": [{"name": "secret-0", "secret": {"secretName": "signing", "defaultMode": 0o440}}]}


def with_pod(**pod: object) -> Json:
    body = deployment()
    body["spec"]["template"]["spec"] |= pod
    return body


def after(body: Json, secrets: dict[str, HeldSecret], live: dict[Ref, Json] | None = None) -> Step:
    given = assignment(body, service())
    return step(
        Observed(
            member="ke",
            node_address="10.0.0.9",
            assignment=given,
            name="pilot-trade",
            live=live or {},
            pods=(),
            refusals={},
            secrets=secrets,
        )
    )


def test_a_labelled_secret_is_mounted_and_its_version_marks_the_pods() -> None:
    template = after(with_pod(**MOUNT), {"signing": OURS}).apply[0].body["spec"]["template"]
    assert template["spec"]["volumes"] == MOUNT["volumes"]
    assert template["metadata"]["annotations"][SECRET_VERSIONS] == "signing=7"


def test_a_changed_secret_means_new_pods() -> None:
    given = assignment(with_pod(**MOUNT), service())
    live = {item.ref: stamped(item.body) for item in desired(given, "ke", {"signing": OURS})}
    assert after(with_pod(**MOUNT), {"signing": OURS}, live).apply == ()
    newer = after(with_pod(**MOUNT), {"signing": HeldSecret(pilot="trade", version="8")}, live)
    assert [item.ref.resource for item in newer.apply] == [DEPLOYMENTS]


def test_a_pod_without_secrets_carries_no_mark_of_them() -> None:
    template = after(deployment(), {"signing": OURS}).apply[0].body["spec"]["template"]
    assert SECRET_VERSIONS not in template["metadata"]["annotations"]


def test_a_missing_secret_keeps_the_whole_app_away_and_says_how_to_make_it() -> None:
    result = after(with_pod(**MOUNT), {})
    assert not result.apply
    holds, reason, message = ready(result)
    assert (holds, reason) == (False, "SecretMissing")
    assert message == (
        "Secret commonweal-apps/signing: this member shows none; "
        "`python -m infra.sites.pilot_secret --pilot trade --secret signing` makes it"
    )


@pytest.mark.parametrize("pilot", [None, "nature", "trade-2"])
def test_a_secret_of_another_pilot_or_of_none_is_not_given(pilot: str | None) -> None:
    result = after(with_pod(**MOUNT), {"signing": HeldSecret(pilot=pilot, version="7")})
    assert not result.apply
    holds, reason, message = ready(result)
    assert (holds, reason) == (False, "SecretNotAllowed")
    assert "has not labelled it commonweal.dev/pilot=trade" in message


def test_pods_go_when_the_member_takes_the_label_back_and_stay_while_a_secret_is_only_away() -> None:
    given = assignment(with_pod(**MOUNT), service())
    live = {item.ref: stamped(item.body) for item in desired(given, "ke", {"signing": OURS})}
    gone = after(with_pod(**MOUNT), {"signing": HeldSecret(pilot=None, version="8")}, live)
    assert gone.delete == (Ref(DEPLOYMENTS, "commonweal-apps", "trade"),)
    assert gone.status == {"readyReplicas": 0}
    away = after(with_pod(**MOUNT), {}, live)
    assert (away.delete, away.apply) == ((), ())


def test_only_an_application_gets_secrets() -> None:
    given = assignment(with_pod(**MOUNT))
    owner = given.spec.owner.model_copy(update={"kind": "DataTrust"})
    trust = given.model_copy(update={"spec": given.spec.model_copy(update={"owner": owner})})
    secrets = {"signing": OURS}
    result = step(
        Observed(
            member="ke", node_address="", assignment=trust, name="x", live={}, pods=(), refusals={}, secrets=secrets
        )
    )
    assert ready(result)[1] == "SecretNotAllowed"


ENV = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "hub-credentials", "key": "tls.key"}}}


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        ({"containers": [{"name": "a", "image": "x:1", "env": [ENV]}]}, "containers[0].env[0].valueFrom.secretKeyRef"),
        (
            {"initContainers": [{"name": "a", "image": "x:1", "envFrom": [{"secretRef": {"name": "s"}}]}]},
            "initContainers[0].envFrom[0].secretRef",
        ),
        ({"imagePullSecrets": [{"name": "s"}]}, "imagePullSecrets"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "signing"}}]}}]},
            "volumes[0].projected.sources[0].secret",
        ),
        (
            {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}]},
            "volumes[0].csi.nodePublishSecretRef",
        ),
        ({"volumes": [{"name": "v", "azureFile": {"secretName": "s", "shareName": "f"}}]}, "volumes[0].azureFile"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "../../kube-system/secrets/x"}}]}, "volumes"),
        ({"volumes": [{"name": "v", "secret": {"optional": True}}]}, "volumes"),
    ],
)
def test_no_other_way_to_a_secret_is_taken(pod: Json, field: str) -> None:
    held = {"signing": OURS, "s": OURS, "hub-credentials": OURS}
    result = after(with_pod(**pod), held)
    assert not result.apply
    _, reason, message = ready(result)
    assert reason == "ObjectRefused"
    assert f"spec.template.spec.{field}" in message
    assert "spec.component.secrets" in message


def test_a_service_account_brings_no_secrets_along() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": deployment()["metadata"]}
    account |= {"imagePullSecrets": [{"name": "registry"}]}
    result = after(account, {})
    assert "ServiceAccount commonweal-apps/trade: imagePullSecrets" in ready(result)[2]


def test_what_names_no_secret_is_applied_as_before() -> None:
    live = applied(TRADE, readyReplicas=2, updatedReplicas=2)
    assert ready(after(deployment(), {}, live)) == (True, "Running", "2 of 2 replicas ready")
