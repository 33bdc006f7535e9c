"""What a member sees when the hub lets it go, and how it comes back with another identity."""

import base64
import json

from commonweal.membership import SYSTEM_NAMESPACE
from infra.sites.cluster import replace_identity
from infra.sites.release import HubView, Standing, hub_view
from operators.agent.credentials import CREDENTIALS_SECRET
from operators.kube import SECRETS
from tests.integration.agent.conftest import MEMBERS, World


async def stands(world: World, name: str, standing: Standing) -> HubView:
    """The member's view of itself, once it is what was expected."""

    async def seen() -> HubView | None:
        view = await hub_view(world.member_admin, name)
        return view if view.standing is standing else None

    view = await world.eventually(seen)
    assert view is not None
    return view


async def test_a_member_is_counted_on_until_it_is_revoked(world: World) -> None:
    world.start_hub()
    await world.forget()
    assert (await hub_view(world.member_admin, "at")).standing is Standing.NEVER_JOINED

    async with world.acceptor():
        await world.rejoin("at")
    view = await stands(world, "at", Standing.COUNTED_ON)
    assert "`commonweal drain at`, then `commonweal revoke at`" in view.message

    await world.accept("at", accepts=False)
    await stands(world, "at", Standing.LEFT)


async def test_a_member_that_the_hub_deleted_has_left(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.rejoin("be")
    await stands(world, "be", Standing.COUNTED_ON)
    await world.hub_admin.delete(MEMBERS, "be")
    await stands(world, "be", Standing.LEFT)


async def test_a_hub_that_does_not_answer_says_nothing(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.rejoin("cz")
    secret = await world.member_admin.get(SECRETS, CREDENTIALS_SECRET, SYSTEM_NAMESPACE)
    address = json.loads(base64.b64decode(secret["data"]["hub.json"])) | {"server": "https://127.0.0.1:9"}
    data = {"hub.json": base64.b64encode(json.dumps(address).encode()).decode()}
    await world.member_admin.patch(SECRETS, CREDENTIALS_SECRET, {"data": data}, SYSTEM_NAMESPACE)
    view = await hub_view(world.member_admin, "cz")
    assert view.standing is Standing.UNKNOWN
    assert "try again where it can be reached" in view.message


async def test_a_member_that_was_let_go_comes_back_under_its_name_with_a_new_identity(world: World) -> None:
    world.start_hub()
    async with world.acceptor(), world.joiner("ee") as joiner:
        await world.rejoin("ee")
        before = await world.hub_admin.get(MEMBERS, "ee")
        await joiner.vault.keep_chains({"GPU-1": "the last reading"})
        await world.hub_admin.delete(MEMBERS, "ee")
        await stands(world, "ee", Standing.LEFT)

        await replace_identity(world.member_admin)
        await world.hand_over(await world.invite("ee"))
        await world.join("ee")
        after = await world.hub_admin.get(MEMBERS, "ee")
        assert after["spec"]["identityKey"] != before["spec"]["identityKey"]
        assert await joiner.vault.chains() == {"GPU-1": "the last reading"}
