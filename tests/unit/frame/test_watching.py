"""Controllers share one cache, so they must agree on what is in it."""

import pytest

from operators.frame import Watch
from operators.frame.watching import kopf_settings, selectors
from operators.kube import CONFIG_MAPS, LEASES


def test_a_kind_is_watched_once_for_all_controllers() -> None:
    watches = [Watch(resource=CONFIG_MAPS, labels="a"), Watch(resource=LEASES), Watch(resource=CONFIG_MAPS, labels="a")]
    assert selectors(watches) == {CONFIG_MAPS: "a", LEASES: ""}


def test_two_selections_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="ConfigMap is watched with two label selectors"):
        selectors([Watch(resource=CONFIG_MAPS, labels="a"), Watch(resource=CONFIG_MAPS)])


def test_the_end_of_one_watch_does_not_end_the_process_that_goes_on() -> None:
    assert kopf_settings({}).process.ultimate_exiting_timeout is None
