"""The rules as ValidatingAdmissionPolicies of the member's own API server, which also hold when nobody runs Pulumi.

One policy and binding for each kind of target; a breach is refused with the rule's sentence.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from collections.abc import Iterator, Sequence
from typing import Any

from commonweal.site_policy.rule import NAMESPACES, OURS_PREFIX, WHERE_CEL, Facts, ObjectRule, Target, cel_text
from commonweal.site_policy.table import rules
from commonweal.site_policy.targets import OURS_CEL

API = "admissionregistration.k8s.io/v1"
Body = dict[str, Any]


def policies(facts: Facts) -> tuple[Body, ...]:
    """Each policy followed by its binding; objects without namespace, labels or owner, which the caller adds."""
    by_target: dict[str, list[ObjectRule]] = {}
    for rule in rules(facts):
        if isinstance(rule, ObjectRule):
            by_target.setdefault(rule.target.name, []).append(rule)
    return tuple(body for group in by_target.values() for body in _policy(group))


def _policy(group: Sequence[ObjectRule]) -> Iterator[Body]:
    target = group[0].target
    name = f"{OURS_PREFIX}{target.name}"
    spec: Body = {
        "failurePolicy": "Fail",
        "matchConstraints": _matched(target),
        "variables": [{"name": key, "expression": text} for key, text in _variables(group).items()],
        "validations": [_validation(rule) for rule in group],
    }
    if target.cluster_scoped:
        spec["matchConditions"] = [{"name": "ours", "expression": OURS_CEL}]
    yield {"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    yield {"apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": binding}


def _matched(target: Target) -> Body:
    groups: dict[str, list[str]] = {}
    for group, plural in target.resources.values():
        groups.setdefault(group, []).append(plural)
    groups.setdefault("", []).extend(target.subresources)
    own = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(NAMESPACES)}
    # Defaults are said, too: the whole has one owner, so what an API server adds would pass for another's change.
    return {
        "matchPolicy": "Equivalent",
        "objectSelector": {},
        "namespaceSelector": {"matchExpressions": [own]},
        "resourceRules": [
            {
                "apiGroups": [group],
                "apiVersions": ["v1"],
                "resources": plurals,
                "operations": ["CREATE", "UPDATE"],
                "scope": "*",
            }
            for group, plurals in groups.items()
            if plurals
        ],
    }


def _variables(group: Sequence[ObjectRule]) -> dict[str, str]:
    """What the validations share: where the object is, what the target knows of it, and each rule's offenders."""
    return {"where": WHERE_CEL, **group[0].target.variables, **{_name(rule): rule.cel for rule in group}}


def _validation(rule: ObjectRule) -> Body:
    offenders = f"variables.{_name(rule)}"
    said = f"variables.where + ': ' + {offenders}.join(', ') + {cel_text(f' {rule.complaint}')}"
    return {"expression": f"{offenders}.size() == 0", "message": rule.title, "messageExpression": said}


def _name(rule: ObjectRule) -> str:
    return rule.id.replace("-", "_")
