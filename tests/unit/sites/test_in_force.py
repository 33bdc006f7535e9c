"""A policy that was changed is obeyed a moment later, and until then refuses what the changed one takes."""

from collections.abc import Callable

import pytest
from pulumi.automation import CommandError, CommandResult

from infra.sites.stack import until_in_force
from infra.sites.story import Story

STALE = "pledge: ValidatingAdmissionPolicy 'commonweal-quotas' denied request: above the pledge"


def refused(story: Story, causes: list[str]) -> Callable[[], str]:
    """A run that is refused for each cause in turn, and then done."""

    def run() -> str:
        if causes:
            story.errors.append(causes.pop(0))
            raise CommandError(CommandResult(stdout="", stderr="", code=1))
        return "done"

    return run


def test_a_policy_as_it_was_is_outwaited() -> None:
    story = Story(lambda _: None)
    assert until_in_force(refused(story, [STALE, STALE]), story, every_s=0) == "done"
    assert story.cause is None


@pytest.mark.parametrize(
    "causes", [["quota: forbidden"], [STALE, "quota: forbidden"], [STALE] * 99], ids=["other", "other later", "lasting"]
)
def test_any_other_refusal_and_one_that_lasts_is_the_cause(causes: list[str]) -> None:
    story, last = Story(lambda _: None), causes[-1]
    with pytest.raises(CommandError):
        until_in_force(refused(story, list(causes)), story, every_s=0)
    assert story.cause == last
