"""What the API server itself refuses, with the operator down."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from commonweal.kinds import KINDS, Resource
from tests.integration.conftest import Kubectl

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(kind: str) -> dict[str, Any]:
    for path in sorted(EXAMPLES.glob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            if body["kind"] == kind:
                found: dict[str, Any] = body
                return found
    raise LookupError(kind)


@pytest.fixture(scope="module", autouse=True)
def _namespaces(kubectl: Kubectl) -> None:
    for member in ("ca", "kr", "ke"):
        kubectl("create", "namespace", f"member-{member}")


def refusal(kubectl: Kubectl, body: dict[str, Any]) -> str:
    result = kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(body))
    assert result.returncode != 0, "accepted"
    return result.stderr


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_accepted(kubectl: Kubectl, path: Path) -> None:
    result = kubectl("apply", "--server-side", "--dry-run=server", "-f", str(path))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_kubectl_explains_every_spec(kubectl: Kubectl, kind: type[Resource]) -> None:
    explained = kubectl("explain", f"{kind.definition.singular}.spec").stdout
    assert "FIELDS" in explained
    assert "<no description>" not in explained


def test_the_category_lists_every_kind(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources", "--categories=commonweal", "-o", "name").stdout.split()
    assert sorted(listed) == sorted(f"{kind.definition.plural}.commonweal.dev" for kind in KINDS)


def test_an_unknown_field_is_named(kubectl: Kubectl) -> None:
    body = example("PilotApp")
    body["spec"]["replica"] = 2
    assert 'unknown field "spec.replica"' in refusal(kubectl, body)


def test_a_pledge_below_zero_is_told_the_remedy(kubectl: Kubectl) -> None:
    body = example("PooledCluster")
    body["spec"]["pledge"]["gpus"] = -5
    message = refusal(kubectl, body)
    assert "spec.pledge.gpus" in message
    assert "below 0; pledge 0 to withdraw a resource" in message


def test_a_pledge_of_an_unknown_resource_is_named(kubectl: Kubectl) -> None:
    body = example("PooledCluster")
    body["spec"]["pledge"]["qubits"] = 5
    assert 'unknown field "spec.pledge.qubits"' in refusal(kubectl, body)


def test_a_grant_for_a_purpose_outside_the_vocabulary_is_told_the_vocabulary(kubectl: Kubectl) -> None:
    body = example("DataGrant")
    body["spec"]["purpose"] = "marketing"
    message = refusal(kubectl, body)
    assert "spec.purpose" in message
    assert "trade-embedded-emissions" in message


@pytest.mark.parametrize("kind", ["DataTrust", "DataGrant", "PilotApp"])
def test_a_name_that_no_policy_can_carry_is_refused(kubectl: Kubectl, kind: str) -> None:
    body = example(kind)
    body["metadata"]["name"] = "trade.emissions"
    assert "metadata.name: use at most 63 of a-z, 0-9 and -, without a dot" in refusal(kubectl, body)


def test_a_revoked_grant_stays_revoked(kubectl: Kubectl) -> None:
    body = example("DataGrant")
    body["metadata"]["name"] = "once-revoked"
    body["spec"]["revoked"] = True
    assert kubectl("create", "-f", "-", stdin=yaml.safe_dump(body)).returncode == 0
    patch = '{"spec":{"revoked":false}}'
    result = kubectl("patch", "datagrant", "once-revoked", "--type=merge", "-p", patch)
    assert "a revoked grant stays revoked; ask for a new grant" in result.stderr


def test_weights_that_do_not_sum_are_refused(kubectl: Kubectl) -> None:
    body = example("Consortium")
    body["spec"]["equity"]["weights"]["talentBp"] = 1
    assert "must sum to 10000" in refusal(kubectl, body)


def test_a_second_charter_is_refused(kubectl: Kubectl) -> None:
    body = example("Consortium")
    body["metadata"]["name"] = "another"
    assert "name it charter" in refusal(kubectl, body)


def test_a_pilot_with_fewer_replicas_than_members_is_refused(kubectl: Kubectl) -> None:
    body = example("PilotApp")
    body["spec"]["replicas"] = 1
    assert "raise replicas or lower minMembers" in refusal(kubectl, body)


def member(name: str, key: str) -> str:
    spec = {"displayName": name, "country": "CA", "identityKey": key}
    return yaml.safe_dump(
        {"apiVersion": "commonweal.dev/v1alpha1", "kind": "Member", "metadata": {"name": name}, "spec": spec}
    )


def test_a_second_member_of_one_name_is_refused_and_its_key_cannot_replace_the_first(kubectl: Kubectl) -> None:
    first, second = "A" * 43 + "=", "B" * 43 + "="
    assert kubectl("create", "-f", "-", stdin=member("zz", first)).returncode == 0
    assert "already exists" in kubectl("create", "-f", "-", stdin=member("zz", second)).stderr
    replaced = kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=member("zz", second))
    assert "identityKey cannot be changed; a new identity joins under a new name" in replaced.stderr
    assert kubectl("delete", "member", "zz").returncode == 0


def test_an_equity_statement_cannot_be_edited(kubectl: Kubectl) -> None:
    amounts = {"compute": 0, "energy": 0, "talent": 0}
    counts = ("pledgedGpuSeconds", "deliveredGpuSeconds", "usedGpuSeconds", "selfUsedGpuSeconds", "usedCoreSeconds")
    entry = dict.fromkeys((*counts, "energyMj", "greenEnergyMj", "talentSeconds"), 0)
    body = {
        "apiVersion": "commonweal.dev/v1alpha1",
        "kind": "EquityStatement",
        "metadata": {"name": "edited"},
        "spec": {
            "periodStart": "2026-11-24T00:00:00Z",
            "periodEnd": "2026-11-24T01:00:00Z",
            "charterSha256": "0" * 64,
            "simulated": True,
            "entries": [{"member": "ca", **entry, "credit": amounts, "stock": amounts, "equityBp": 10_000}],
            "log": {"treeSize": 1, "rootSha256": "0" * 64},
        },
    }
    assert kubectl("create", "-f", "-", stdin=yaml.safe_dump(body)).returncode == 0
    patch = '{"spec":{"log":{"treeSize":2}}}'
    result = kubectl("patch", "equitystatement", "edited", "--type=merge", "-p", patch)
    assert "a statement cannot be changed; publish the next period" in result.stderr


def test_scale_reads_and_writes_the_replicas_of_a_pilot(kubectl: Kubectl) -> None:
    body = example("PilotApp")
    body["metadata"]["name"] = "scaled"
    assert kubectl("create", "-f", "-", stdin=yaml.safe_dump(body)).returncode == 0
    assert kubectl("scale", "pilotapp", "scaled", "--replicas=3").returncode == 0
    assert kubectl("get", "pilotapp", "scaled", "-o", "jsonpath={.spec.replicas}").stdout == "3"


@pytest.mark.parametrize(
    "comparison",
    [
        {"operator": "In"},
        {"operator": "Below", "values": ["1", "2"]},
        {"operator": "NotIn", "values": ["1"], "claim": "member"},
    ],
)
def test_a_row_rule_with_the_wrong_operands_is_told_the_right_ones(
    kubectl: Kubectl, comparison: dict[str, object]
) -> None:
    body = example("DataTrust")
    body["spec"]["datasets"][0]["rowRules"] = [{"name": "own", "anyOf": [{"column": "country", **comparison}]}]
    message = refusal(kubectl, body)
    assert "In and NotIn take values or a claim" in message


def test_a_prefix_mask_without_a_size_is_refused(kubectl: Kubectl) -> None:
    body = example("DataTrust")
    body["spec"]["datasets"][0]["columns"][0]["mask"] = {"kind": "Prefix"}
    assert "Prefix and Bucket take a size" in refusal(kubectl, body)


HOLD = {"name": "court", "reason": "Case 7", "declaredBy": "ca"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"declaredBy": "xx"}, "declaredBy is no trustee; name the trustee that answers for the hold"),
        ({"datasets": ["payroll"]}, "the trust has no such dataset; name its datasets, or none for all"),
        ({"until": "soon"}, "spec.legalHolds[0].until"),
    ],
)
def test_a_hold_that_no_trustee_or_dataset_stands_behind_is_refused(
    kubectl: Kubectl, change: dict[str, object], said: str
) -> None:
    body = example("DataTrust")
    held = body["spec"]["datasets"][0]["name"]
    body["spec"]["legalHolds"] = [HOLD, {**HOLD, "name": "own", "datasets": [held], "until": "2027-01-01T00:00:00Z"}]
    accepted = kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(body))
    assert accepted.returncode == 0, accepted.stderr
    body["spec"]["legalHolds"] = [{**HOLD, **change}]
    assert said in refusal(kubectl, body)


def test_a_retention_without_days_is_refused(kubectl: Kubectl) -> None:
    body = example("DataTrust")
    body["spec"]["datasets"][0]["retention"] = {"column": "day", "days": 0}
    assert "retention.days" in refusal(kubectl, body)
