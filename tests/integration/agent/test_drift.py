"""What a member finds when it compares its site reaches the hub, signed, as a condition of its Member."""

from datetime import UTC, datetime

from infra.sites.cluster import report_drift
from operators.kube import Json
from tests.integration.agent.conftest import MEMBER, MEMBERS, World

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


async def test_drift_that_the_member_found_is_a_condition_on_the_hub(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.ensure_joined()
    await report_drift(world.member_admin, ["update Deployment ke/commonweal-data/gateway"], NOON)
    world.start_agent()

    async def drifted() -> Json | None:
        body = await world.hub_admin.get(MEMBERS, MEMBER)
        conditions = {item["type"]: item for item in body.get("status", {}).get("conditions", ())}
        found: Json = conditions.get("SiteAsDeclared", {})
        return found if found.get("status") == "False" else None

    found = await world.eventually(drifted)
    assert found is not None
    assert found["reason"] == "SiteDrifted"
    assert "update Deployment ke/commonweal-data/gateway" in found["message"]
