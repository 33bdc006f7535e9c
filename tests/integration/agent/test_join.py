"""A member joins a real hub: by invitation and acceptance, and by nothing less."""

import asyncio
import base64
from dataclasses import replace

import pytest

from commonweal.membership import SYSTEM_NAMESPACE
from operators.agent.credentials import CREDENTIALS_SECRET, HubCredentials, kubeconfig
from operators.agent.session import Session
from operators.kube import CONFIG_MAPS, CSRS, LEASES, SECRETS, Forbidden, NotFound
from tests.integration.agent.conftest import MEMBER, MEMBERS, World, certificate


async def test_a_member_joins_by_invitation_and_acceptance_and_reports_its_site(world: World) -> None:
    world.start_hub()
    await world.hand_over(await world.invite())
    world.start_agent()
    member = await world.eventually(lambda: world.hub_admin.get(MEMBERS, MEMBER))
    assert member["spec"]["hubAccepts"] is False

    await world.accept()
    site = await world.eventually(lambda: world.hub_admin.get(CONFIG_MAPS, "site", f"member-{MEMBER}"))
    assert site["data"]["site.json"].startswith('{"member":"ke"')
    await world.eventually(lambda: world.hub_admin.get(LEASES, "agent", f"member-{MEMBER}"))
    secret = await world.member_admin.get(SECRETS, CREDENTIALS_SECRET, SYSTEM_NAMESPACE)
    assert base64.b64decode(secret["data"]["tls.crt"]).startswith(b"-----BEGIN CERTIFICATE-----")
    assert "pending.key" not in secret["data"]

    async def ready() -> bool:
        conditions = (await world.hub_admin.get(MEMBERS, MEMBER))["status"]["conditions"]
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    await world.eventually(ready)


async def test_withdrawn_acceptance_takes_every_right_and_gives_it_back(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.forget()
        await world.hand_over(await world.invite("ca"))
        credentials = await world.join("ca")

    async with world.joiner("ca") as joiner, await joiner.connect(credentials.kubeconfig()) as hub:

        async def may_read() -> bool:
            return bool(await hub.get(MEMBERS, "ca"))

        async def may_not_read() -> bool:
            try:
                await hub.get(MEMBERS, "ca")
            except Forbidden:
                return True
            return False

        await world.eventually(may_read)
        await world.accept("ca", accepts=False)
        await world.eventually(may_not_read)
        assert "withdrew its acceptance" in str(await joiner.renew(hub, credentials))
        await world.accept("ca")
        await world.eventually(may_read)


async def sentence(world: World, name: str) -> str:
    async with world.joiner(name) as joiner:
        answer = await joiner.attempt()
    assert isinstance(answer, str)
    return answer


async def test_every_way_not_to_join_is_told_in_one_sentence(world: World) -> None:
    world.start_hub()
    await world.forget()
    assert "put an invitation of the hub into Secret hub-invitation" in await sentence(world, "kr")

    await world.hand_over(await world.invite("br"))
    assert await sentence(world, "kr") == "Secret hub-invitation: invites br, but this is kr"

    await world.hand_over(await world.invite("kr"))
    assert "an administrator of the hub accepts with `commonweal accept kr`" in await sentence(world, "kr")

    await world.accept("kr")
    assert isinstance(await world.join("kr"), HubCredentials)


async def test_a_nonce_serves_one_request_only(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.forget()
        await world.hand_over(await world.invite("no"))
        await world.join("no")
        await world.member_admin.delete(SECRETS, CREDENTIALS_SECRET, SYSTEM_NAMESPACE)

        async def refused() -> bool:
            return "was used already; mint another with `commonweal invite no`" in await sentence(world, "no")

        await world.eventually(refused)
        await world.hand_over(await world.invite("no"))
        await world.join("no")


async def test_a_lost_identity_does_not_take_over_its_name(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.forget()
        await world.hand_over(await world.invite("se"))
        await world.join("se")
        await world.forget()
        await world.hand_over(await world.invite("se"))
        assert "exists on the hub with another identity" in await sentence(world, "se")


async def test_an_invitation_speaks_for_its_own_name_only(world: World) -> None:
    invitation = await world.invite("dk")
    config = kubeconfig(invitation.hub, {"token": invitation.token})
    async with world.joiner("dk") as joiner, await joiner.connect(config) as hub:
        spec = {"displayName": "Other", "country": "FI", "identityKey": "A" * 43 + "="}
        body = {"apiVersion": "commonweal.dev/v1alpha1", "kind": "Member", "metadata": {"name": "fi"}, "spec": spec}
        with pytest.raises(Forbidden, match="this invitation is not for fi"):
            await hub.create(MEMBERS, body)
        with pytest.raises(Forbidden):
            await hub.get(MEMBERS, MEMBER)
        with pytest.raises(NotFound):
            await hub.get(MEMBERS, "dk")
        with pytest.raises(Forbidden):
            await hub.list(CSRS)
        with pytest.raises(Forbidden):
            await hub.get(SECRETS, "invitation-dk", SYSTEM_NAMESPACE)
        accepted = body | {"metadata": {"name": "dk"}, "spec": spec | {"hubAccepts": True}}
        with pytest.raises(Forbidden, match="only a hub administrator accepts"):
            await hub.create(MEMBERS, accepted)


async def test_a_session_ends_with_its_certificate_s_successor_once_three_quarters_are_over(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.rejoin("nl")
    async with world.joiner("nl") as joiner:
        before = certificate(await joiner.attempt())
        late = replace(joiner, clock=lambda: before.renew_at("nl"))
        session = Session(
            joiner=late,
            identity=await joiner.vault.identity(),
            member_kube=joiner.vault.kube,
            credentials=before,
            health_host="127.0.0.1",
        )
        await asyncio.wait_for(session.run(), 60)
        after = certificate(await joiner.attempt())
    assert after.certificate_pem != before.certificate_pem
    assert after.key_pem != before.key_pem
