import pytest

from commonweal.kinds.member import Member
from infra.sites.args import SiteError
from infra.sites.hub.release import require_released, takes_part
from tests.unit.sites.test_release import member


def judged(name: str, *, accepts: bool, left: str | None) -> Member:
    """A Member after the hub looked at it: the reason of its condition Left; None if it never looked."""
    body = member(accepts=accepts)
    [condition] = body["status"]["conditions"]
    conditions = [{**condition, "type": "Left", "reason": left}] if left else []
    return Member.read({**body, "metadata": {"name": name}, "status": {"conditions": conditions}})


@pytest.mark.parametrize(
    ("accepts", "left", "counts"),
    [
        (True, "Accepted", True),
        (True, None, True),
        (False, "Accepted", True),  # revoked a moment ago: the operator has not taken its rights back yet
        (False, "Left", False),
        (False, "AwaitingAcceptance", False),
        (False, None, False),
    ],
)
def test_a_member_counts_on_its_hub_until_its_rights_are_taken_back(
    accepts: bool, left: str | None, counts: bool
) -> None:
    assert takes_part(judged("ca", accepts=accepts, left=left)) is counts


def test_a_hub_stays_while_members_count_on_it_and_names_each() -> None:
    members = [
        judged("kr", accepts=True, left="Accepted"),
        judged("ca", accepts=False, left="Accepted"),
        judged("ke", accepts=False, left="Left"),
    ]
    with pytest.raises(SiteError, match=r"^ch: ca, kr: .*`commonweal revoke NAME`.*--without-release, .* no pilot is"):
        require_released(members, "ch")


def test_a_hub_that_nobody_counts_on_may_go() -> None:
    require_released([judged("ke", accepts=False, left="Left")], "ch")
    require_released([], "ch")
