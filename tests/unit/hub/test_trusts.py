"""What the hub says of a trust whose rules cannot be applied."""

from commonweal.kinds.data_trust import TrustReason
from operators.hub.trusts import Observed, judge
from tests.unit.grants.samples import CUSTOMS, DISCLOSURES, trust


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
