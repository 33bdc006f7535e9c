"""The policies for the API server say what the rules say; tests/integration/sites shows that CEL finds the same."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from commonweal.site_policy import Facts, ObjectRule, rules
from commonweal.site_policy.admission import policies
from commonweal.site_policy.rule import cel_text
from tests.unit.site_policy.examples import FACTS

RENDERED = policies(FACTS)
POLICIES = [body for body in RENDERED if body["kind"] == "ValidatingAdmissionPolicy"]
BINDINGS = [body for body in RENDERED if body["kind"] == "ValidatingAdmissionPolicyBinding"]


def test_every_rule_about_one_object_is_in_one_policy() -> None:
    titles = [each["message"] for body in POLICIES for each in body["spec"]["validations"]]
    assert sorted(titles) == sorted(rule.title for rule in rules(FACTS) if isinstance(rule, ObjectRule))


def test_every_message_ends_as_the_rules_sentence_does() -> None:
    said = {each["message"]: each["messageExpression"] for body in POLICIES for each in body["spec"]["validations"]}
    for rule in rules(FACTS):
        if isinstance(rule, ObjectRule):
            assert said[rule.title].endswith(cel_text(f" {rule.complaint}"))


def test_a_policy_that_cannot_be_evaluated_refuses() -> None:
    assert {body["spec"]["failurePolicy"] for body in POLICIES} == {"Fail"}


def test_every_policy_is_bound_and_denies() -> None:
    bound = {body["spec"]["policyName"]: body["spec"]["validationActions"] for body in BINDINGS}
    assert bound == {body["metadata"]["name"]: ["Deny"] for body in POLICIES}


def test_nothing_outside_the_sites_namespaces_is_judged() -> None:
    for body in POLICIES:
        [selected] = body["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
        assert selected["values"] == ["commonweal-system", "commonweal-data", "commonweal-apps"]


def test_kinds_beyond_namespaces_are_judged_only_where_they_are_ours() -> None:
    conditional = {body["metadata"]["name"] for body in POLICIES if "matchConditions" in body["spec"]}
    assert conditional == {"commonweal-rights", "commonweal-bindings", "commonweal-storage"}


def test_without_a_charter_no_policy_asks_for_what_only_a_charter_says() -> None:
    assert "spec.sites" not in repr(policies(Facts()))


@given(text=st.text(alphabet=st.characters(codec="ascii", exclude_characters="\r\x00"), max_size=20))
def test_a_text_becomes_one_cel_literal(text: str) -> None:
    assert ast.literal_eval(cel_text(text)) == text  # CEL and Python read these escapes alike
