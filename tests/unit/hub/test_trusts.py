"""What the hub says of a trust whose rules cannot be applied, and what it writes where grants are too many."""

from commonweal.grants import MAX_GRANTS, Policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import TrustReason
from commonweal.policy_parcels import unpack
from operators.frame import Apply, Plan, Store
from operators.hub.trusts import Observed, SourceMember, TrustController, judge
from tests.unit.grants.samples import CUSTOMS, DISCLOSURES, NOON, grants, site, trust


def test_a_rule_that_cannot_be_applied_outranks_what_members_do() -> None:
    rule = {"name": "old", "anyOf": [{"column": "day", "operator": "Below", "values": ["yesterday"]}]}
    faulty = trust({"datasets": [{**CUSTOMS, "rowRules": [rule]}, DISCLOSURES]})
    finding = judge(Observed(name="trade", body={}, trust=faulty, members={}), ["ca", "ke", "kr"], [])
    assert (finding.holds, finding.reason) == (False, TrustReason.RULE_UNUSABLE)
    assert finding.message == (
        "spec.datasets[customs_rows].rowRules[old].anyOf[0]: 'yesterday' is no date, which day is; "
        "write a value of that type; until then the dataset answers nothing"
    )


def test_a_trust_whose_rules_fit_is_judged_by_its_members() -> None:
    finding = judge(Observed(name="trade", body={}, trust=trust(), members={}), ["ca"], [])
    assert finding.reason is TrustReason.SOURCE_UNKNOWN


def planned(live: tuple[DataGrant, ...]) -> Plan:
    well = {
        name: SourceMember(name=name, accepted=True, site=site(name), ready=True, message="", applied=True)
        for name in ("ca", "ke", "kr")
    }
    observed = Observed(
        name="trade",
        body={"kind": "DataTrust", "metadata": {"name": "trade", "uid": "u", "generation": 4}},
        trust=trust(),
        grants=live,
        sites={"ca": site("ca")},
        members=well,
        assigned=("ca", "ke", "kr"),
    )
    return TrustController(Store({})).plan(observed, NOON)


def policies(plan: Plan) -> list[Policy]:
    config_maps = [write.body["spec"]["objects"][0] for write in plan.writes if isinstance(write, Apply)]
    return [Policy.parse(unpack(each) or "") for each in config_maps]


def test_grants_that_do_not_fit_leave_a_policy_without_any_and_the_trust_says_so() -> None:
    many = grants(*(f"g{number}" for number in range(MAX_GRANTS + 1)))
    assert [len(policy.grants) for policy in policies(planned(many[:1]))] == [1, 1, 1]
    plan = planned(many)
    assert [len(policy.grants) for policy in policies(plan)] == [0, 0, 0]
    ready = plan.findings[0]
    assert (ready.type, ready.holds, ready.reason) == ("Ready", False, TrustReason.POLICY_TOO_LARGE)
    assert ready.message == (
        "10001 live grants are more than the 10000 of a policy; revoke grants, or divide the datasets among several "
        "trusts; until then no grant is served"
    )
