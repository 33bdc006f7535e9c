from typing import Any

import pytest

from infra.sites.args import SiteError
from infra.sites.release import HubView, Standing, require_release, standing_of


def member(*, accepts: bool, drained: bool = False) -> dict[str, Any]:
    spec = {"displayName": "Canada", "country": "CA", "identityKey": "A" * 43 + "=", "hubAccepts": accepts}
    condition = {
        "type": "Drained",
        "status": "True" if drained else "False",
        "reason": "Drained",
        "message": "m",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-25T00:00:00Z",
    }
    return {
        "apiVersion": "commonweal.dev/v1alpha1",
        "kind": "Member",
        "metadata": {"name": "ca"},
        "spec": spec,
        "status": {"conditions": [condition]},
    }


def test_a_member_that_the_hub_accepts_is_counted_on_and_told_both_steps() -> None:
    view = standing_of(member(accepts=True))
    assert view.standing is Standing.COUNTED_ON
    assert "`commonweal drain ca`, then `commonweal revoke ca`" in view.message


def test_a_drained_member_is_still_counted_on_until_it_is_revoked() -> None:
    view = standing_of(member(accepts=True, drained=True))
    assert not view.released
    assert view.message.endswith("ask it for `commonweal revoke ca`")


def test_a_member_that_is_accepted_no_more_has_left() -> None:
    assert standing_of(member(accepts=False)).standing is Standing.LEFT


@pytest.mark.parametrize("standing", [Standing.NEVER_JOINED, Standing.LEFT])
def test_a_site_that_nobody_counts_on_may_go(standing: Standing) -> None:
    require_release(HubView(standing=standing, message="it left"))


@pytest.mark.parametrize("standing", [Standing.COUNTED_ON, Standing.UNKNOWN])
def test_any_other_site_stays_and_the_refusal_says_what_the_way_out_breaks(standing: Standing) -> None:
    with pytest.raises(SiteError, match=r"^the hub is silent; or destroy --without-release, .* pilots .* end at once"):
        require_release(HubView(standing=standing, message="the hub is silent"))
