"""Each rule has a good and a bad example, and says of the bad one what the API server and Pulumi say too."""

from typing import Any

import pytest

from commonweal.site_policy import rules, violations
from tests.unit.site_policy.examples import EXAMPLES, FACTS

IDS = [example["rule"] for example in EXAMPLES]


def test_every_rule_has_an_example() -> None:
    assert {rule.id for rule in rules(FACTS)} == set(IDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_a_good_example_keeps_every_rule(example: dict[str, Any]) -> None:
    assert violations([example["good"]], FACTS) == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_a_bad_example_breaks_its_rule_alone_and_is_told_so_in_one_sentence(example: dict[str, Any]) -> None:
    [found] = violations([example["bad"]], FACTS)
    assert (found.rule.id, found.sentence) == (example["rule"], example["says"])
