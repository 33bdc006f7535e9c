"""What each identity of the hub may do, pinned: a wider right is a decision that shows in a diff."""

from pathlib import Path

from commonweal.kinds import KINDS
from operators.hub.setup import manifests
from operators.kube import Json

SNAPSHOT = Path(__file__).parent / "rights.txt"
ROLES = [body for body in manifests() if body["kind"] in {"ClusterRole", "Role"}]


def lines(role: Json) -> list[str]:
    metadata = role["metadata"]
    where = f" in {metadata['namespace']}" if "namespace" in metadata else ""
    return [f"{metadata['name']}{where}: {right(rule)}" for rule in role["rules"]]


def right(rule: Json) -> str:
    kinds = [f"{kind}.{group}".rstrip(".") for group in rule["apiGroups"] for kind in rule["resources"]]
    named = ["named", *rule["resourceNames"]] if "resourceNames" in rule else []
    return " ".join([*rule["verbs"], *kinds, *named])


def test_the_rights_are_those_of_the_snapshot() -> None:
    assert [line for role in ROLES for line in lines(role)] == SNAPSHOT.read_text().splitlines()


def test_nobody_has_a_wildcard() -> None:
    assert not [role["metadata"]["name"] for role in ROLES if "*" in str(role["rules"])]


def test_nobody_may_escalate_or_impersonate_and_binding_is_named() -> None:
    for rule in [rule for role in ROLES for rule in role["rules"]]:
        assert not {"escalate", "impersonate"} & set(rule["verbs"])
        assert "bind" not in rule["verbs"] or rule.get("resourceNames")


def test_only_kinds_that_exist_are_named() -> None:
    known = {kind.definition.plural for kind in KINDS}
    named = {
        resource.partition("/")[0]
        for role in ROLES
        for rule in role["rules"]
        if rule["apiGroups"] == ["commonweal.dev"]
        for resource in rule["resources"]
    }
    assert named <= known


def test_every_policy_of_admission_is_bound_and_denies() -> None:
    policies = {body["metadata"]["name"] for body in manifests() if body["kind"] == "ValidatingAdmissionPolicy"}
    bindings = [body for body in manifests() if body["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert {body["spec"]["policyName"] for body in bindings} == policies
    assert all(body["spec"]["validationActions"] == ["Deny"] for body in bindings)


def test_who_stands_for_a_program_of_the_hub_has_a_name_and_a_namespace() -> None:
    accounts = {
        (subject["namespace"], subject["name"])
        for body in manifests()
        for subject in body.get("subjects", ())
        if subject["kind"] == "ServiceAccount"
    }
    assert accounts == {("commonweal-system", name) for name in ("dashboard", "front-door", "hub-operator")}
