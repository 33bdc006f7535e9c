"""What holds of the rules whatever they look at."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.meta import Resources
from commonweal.site_policy import Facts, rules, violations
from tests.strategies import images, kubernetes_names, workloads
from tests.unit.site_policy.examples import EXAMPLES, FACTS

NAMES = st.lists(kubernetes_names(), min_size=1, max_size=3)
FIELDS = ("verbs", "resources", "apiGroups", "nonResourceURLs")


def role(**granted: list[str]) -> dict[str, Any]:
    metadata = {"name": "reader", "namespace": "commonweal-apps"}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": [granted]}


def quota(cpu_millis: int) -> dict[str, Any]:
    hard = {"requests.cpu": f"{cpu_millis}m", "requests.memory": "0", "requests.nvidia.com/gpu": "0"}
    metadata = {"name": "pledge", "namespace": "commonweal-apps"}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}


def sentences(manifests: list[dict[str, Any]], facts: Facts = FACTS) -> list[str]:
    return sorted(found.sentence for found in violations(manifests, facts) if found.rule.id != "overhead")


@given(granted=st.fixed_dictionaries(dict.fromkeys(FIELDS, NAMES)), field=st.sampled_from(FIELDS))
def test_a_star_anywhere_is_found_where_it_is_and_nowhere_else(granted: dict[str, list[str]], field: str) -> None:
    assert sentences([role(**granted)]) == []
    granted[field].append("*")
    [said] = sentences([role(**granted)])
    assert said.startswith(f"Role commonweal-apps/reader: {field} granted by *")


@given(image=images())
def test_an_image_is_taken_by_digest_or_from_a_listed_source_and_not_otherwise(image: str) -> None:
    body = deepcopy(next(each["good"] for each in EXAMPLES if each["rule"] == "image-by-digest"))
    body["spec"]["template"]["spec"]["containers"] = [{"name": "main", "image": image}]
    assert bool(sentences([body])) != ("@sha256:" in image or image.startswith("localhost/commonweal/"))


@given(pledged=st.integers(0, 10**6), hard=st.integers(0, 10**6))
def test_a_quota_is_refused_exactly_when_it_is_above_the_pledge(pledged: int, hard: int) -> None:
    facts = replace(FACTS, pledge=Resources(cpu_millis=pledged))
    assert bool(sentences([quota(hard)], facts)) == (hard > pledged)


def test_a_quota_that_leaves_a_resource_out_limits_nothing_of_it() -> None:
    body = quota(1)
    del body["spec"]["hard"]["requests.nvidia.com/gpu"]
    [said] = sentences([body])
    assert said.startswith("ResourceQuota commonweal-apps/pledge: requests.nvidia.com/gpu may not be above")


@given(bodies=st.lists(workloads(), max_size=4), data=st.data())
def test_the_order_of_objects_changes_nothing(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    assert sentences(data.draw(st.permutations(bodies))) == sentences(bodies)


@given(bodies=st.lists(workloads(), max_size=3), more=workloads())
def test_another_object_mends_no_breach(bodies: list[dict[str, Any]], more: dict[str, Any]) -> None:
    assert set(sentences(bodies)) <= set(sentences([*bodies, more]))


@given(body=workloads())
def test_what_is_not_the_sites_is_not_judged(body: dict[str, Any]) -> None:
    body["metadata"]["namespace"] = "default"
    assert violations([body], FACTS) == ()


@given(body=workloads())
def test_a_longer_list_of_sources_refuses_no_image_that_a_shorter_one_takes(body: dict[str, Any]) -> None:
    longer = replace(FACTS, image_sources=("localhost/commonweal", "ghcr.io/example"))
    assert len(sentences([body], longer)) <= len(sentences([body]))


@given(requests=st.lists(st.integers(0, 400), max_size=4))
def test_the_overhead_is_judged_by_the_sum_of_all_pods(requests: list[int]) -> None:
    good = next(each["good"] for each in EXAMPLES if each["rule"] == "overhead")
    bodies = []
    for millis in requests:
        body = deepcopy(good)
        body["spec"]["replicas"] = 1
        body["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"] = {"cpu": f"{millis}m"}
        bodies.append(body)
    assert bool(violations(bodies, FACTS)) == (sum(requests) > 500)


def test_without_a_charter_only_what_needs_none_is_judged() -> None:
    known = {rule.id for rule in rules(FACTS)}
    without_charter = {rule.id for rule in rules(Facts(pledge=FACTS.pledge))}
    assert known - without_charter == {"allowed-country", "green-zone", "image-by-digest", "overhead"}
    assert without_charter - {rule.id for rule in rules(Facts())} == {"quota-within-pledge"}


def test_a_charter_without_sources_takes_images_by_digest_only() -> None:
    body = next(each["good"] for each in EXAMPLES if each["rule"] == "image-by-digest")
    [said] = sentences([body], replace(FACTS, image_sources=()))
    assert "container side (localhost/commonweal/site:abc)" in said
    assert said.endswith("name it by @sha256")


def test_a_namespace_that_names_no_country_is_in_none() -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "commonweal-apps"}}
    assert sentences([body])[0].startswith("Namespace commonweal-apps: nothing as commonweal.dev/country is no country")


def test_a_port_of_a_pilot_is_left_to_the_front_door() -> None:
    body = deepcopy(next(each["bad"] for each in EXAMPLES if each["rule"] == "https-only"))
    body["metadata"]["namespace"] = "commonweal-apps"
    assert sentences([body]) == []


@pytest.mark.parametrize("kind", ["Deployment", "ResourceQuota", "RoleBinding"])
def test_half_an_object_is_named_and_not_passed(kind: str) -> None:
    body = {"kind": kind, "metadata": {"name": "pledge", "namespace": "commonweal-apps"}}
    with pytest.raises(ValueError, match=rf"{kind} commonweal-apps/pledge: cannot be judged by .*; give the whole"):
        violations([body], FACTS)


def test_an_amount_that_is_none_is_named_and_not_passed() -> None:
    body = quota(1)
    body["spec"]["hard"]["requests.cpu"] = "plenty"
    with pytest.raises(
        ValueError, match=r"ResourceQuota commonweal-apps/pledge: .*'plenty' is not a Kubernetes quantity"
    ):
        violations([body], FACTS)
