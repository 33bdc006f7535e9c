"""What the site's program declared reaches the hub under the agent's signature, and the hub judges it."""

import json
from collections.abc import Awaitable, Callable

from commonweal.membership import SYSTEM_NAMESPACE
from operators.agent.site import DECLARATION_CONFIG_MAP, DECLARATION_KEY
from operators.kube import CONFIG_MAPS, Json
from tests.integration.agent.conftest import MEMBER, MEMBERS, World


def said(world: World, reason: str) -> Callable[[], Awaitable[Json | None]]:
    async def condition() -> Json | None:
        body = await world.hub_admin.get(MEMBERS, MEMBER)
        conditions = {item["type"]: item for item in body.get("status", {}).get("conditions", ())}
        found: Json = conditions.get("SiteDeclared", {})
        return found if found.get("reason") == reason else None

    return condition


async def test_a_declaration_is_signed_by_the_agent_and_judged_by_the_hub(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.ensure_joined()
    written = await world.member_admin.get(CONFIG_MAPS, DECLARATION_CONFIG_MAP, SYSTEM_NAMESPACE)
    declared = json.loads(written["data"][DECLARATION_KEY])
    world.start_agent()
    found = await world.eventually(said(world, "SiteDeclared"))
    assert found is not None
    assert f"sha256:{declared['digest']}" in found["message"]

    world.kill_agent()
    data = {DECLARATION_KEY: json.dumps({**declared, "country": "US"})}
    await world.member_admin.patch(CONFIG_MAPS, DECLARATION_CONFIG_MAP, {"data": data}, SYSTEM_NAMESPACE)
    world.start_agent()
    found = await world.eventually(said(world, "SiteContradicted"))
    assert found is not None
    assert "the declaration says US and the Member KE" in found["message"]
