"""The agent dies before and after each API call of a join; started again, it ends in the same state."""

import base64
from typing import Any

from commonweal.membership import SYSTEM_NAMESPACE, identity_key
from operators.agent.credentials import HubCredentials, identity_from_pem
from operators.kube import CSRS, SECRETS
from tests.integration.agent.conftest import MEMBERS, Death, KilledError, World, certificate

SECRET_NAMES = ("member-identity", "hub-credentials", "hub-invitation")
NEVER = 10**9


async def prepare(world: World, name: str) -> None:
    await world.forget()
    await world.hand_over(await world.invite(name))


async def final_state(world: World, name: str) -> dict[str, Any]:
    """What must be the same however often the agent died."""
    stored = {
        secret: (await world.member_admin.get(SECRETS, secret, SYSTEM_NAMESPACE))["data"] for secret in SECRET_NAMES
    }
    identity = identity_from_pem(base64.b64decode(stored["member-identity"]["identity.pem"]).decode())
    member = await world.hub_admin.get(MEMBERS, name)
    requests = (await world.hub_admin.list(CSRS, labels=f"commonweal.dev/member={name}")).items
    newest = max(requests, key=lambda request: str(request["metadata"]["resourceVersion"]))
    return {
        "secret keys": {secret: sorted(data) for secret, data in stored.items()},
        "one identity": member["spec"]["identityKey"] == identity_key(identity),
        "requests": len(requests),
        "certificate": stored["hub-credentials"]["tls.crt"] == newest["status"]["certificate"],
    }


async def test_a_join_that_dies_at_any_call_ends_in_the_same_state(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        whole = Death(at=NEVER)
        await prepare(world, "j0")
        await world.join("j0", whole)
        expected = await final_state(world, "j0")
        assert expected["requests"] == 1
        assert whole.seen > 20
        # Polls for the decision repeat the same calls; every distinct one lies within these.
        for at in range(1, min(whole.seen, 44) + 1):
            name = f"j{at}"
            await prepare(world, name)
            try:
                await world.join(name, Death(at=at))
            except KilledError:
                await world.join(name)
            assert await final_state(world, name) == expected, f"killed at half-call {at}"


async def renewed(world: World, name: str, current: HubCredentials, death: Death | None = None) -> HubCredentials:
    async with world.joiner(name, death) as joiner, await joiner.connect(current.kubeconfig()) as hub:

        async def attempt() -> HubCredentials:
            return certificate(await joiner.renew(hub, current))

        return await world.eventually(attempt)


async def test_a_renewal_that_dies_at_any_call_ends_with_one_new_certificate(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await prepare(world, "r")
        current = await world.join("r")
        whole = Death(at=NEVER)
        current = await renewed(world, "r", current, whole)
        assert whole.seen > 8
        for at in range(1, min(whole.seen, 24) + 1):
            before = current
            requests = len((await world.hub_admin.list(CSRS, labels="commonweal.dev/member=r")).items)
            try:
                await renewed(world, "r", before, Death(at=at))
            except KilledError:
                async with world.joiner("r") as joiner:
                    stored = await joiner.vault.credentials()
                # Killed after the new certificate was stored, the agent starts with it and renews nothing.
                if stored == before:
                    await renewed(world, "r", before)
            async with world.joiner("r") as joiner:
                current = certificate(await joiner.attempt())
            assert current.certificate_pem != before.certificate_pem
            after = len((await world.hub_admin.list(CSRS, labels="commonweal.dev/member=r")).items)
            assert after == requests + 1, f"killed at half-call {at}"
