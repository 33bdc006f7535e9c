"""A member joins by its own consent and the hub's, and loses its rights when either ends."""

import base64
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from commonweal.membership import member_namespace
from operators.frame import Operator
from operators.hub.resources import ASSIGNMENTS, MEMBERS
from operators.kube import CONFIG_MAPS, CSRS, SECRETS, Forbidden, NotFound
from tests.integration.hub.world import Agent, Hub, eventually


async def test_an_accepted_member_gets_a_certificate_and_becomes_ready(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("ca", "CA")
        ready = await hub.ready("members", "ca", "Active")
        assert ready["observedGeneration"] >= 1
        assert agent.kube is not None
        assert (await agent.kube.list(ASSIGNMENTS, agent.namespace)).items == ()


async def test_nothing_is_approved_before_the_hub_accepts(hub: Hub) -> None:
    async with hub.operator() as operator:
        agent = Agent(hub, "kr", "KR")
        await agent.ask(await hub.invite("kr"))
        await hub.ready("members", "kr", "AwaitingAcceptance", status="False")
        await eventually(lambda: _idle(operator))
        assert "conditions" not in (await hub.admin.get(CSRS, agent.csr)).get("status", {})
        await hub.accept("kr")
        assert (await agent.decision())["type"] == "Approved"


async def test_a_nonce_is_spent_by_one_request_only(hub: Hub) -> None:
    async with hub.operator():
        agent = Agent(hub, "ke", "KE")
        invitation = await hub.invite("ke")
        await agent.ask(invitation)
        await hub.accept("ke")
        assert (await agent.decision())["type"] == "Approved"
        secret = await hub.admin.get(SECRETS, "invitation-ke", "commonweal-system")
        assert base64.b64decode(secret["data"]["usedBy"])
        thief = Agent(hub, "ke", "KE", identity=agent.identity)
        await thief.ask(invitation)
        decision = await thief.decision()
        assert (decision["type"], decision["reason"]) == ("Denied", "NonceUsed")


async def test_a_request_signed_by_another_identity_is_denied(hub: Hub) -> None:
    async with hub.operator():
        agent = Agent(hub, "ca", "CA")
        invitation = await hub.invite("ca")
        await agent.ask(invitation)
        await hub.accept("ca")
        await agent.decision()
        foreign = Agent(hub, "ca", "CA")
        await foreign.ask(await hub.invite("ca"))
        assert (await foreign.decision())["reason"] == "SignatureWrong"


async def test_a_certificate_is_renewed_by_its_own_user(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("kr", "KR")
        await agent.renew()
        decision = await agent.decision()
        assert (decision["type"], decision["reason"]) == ("Approved", "Renewed")


async def test_withdrawn_acceptance_takes_every_right_and_granted_again_gives_them_back(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("ca", "CA")
        await hub.accept("ca", accepts=False)

        kube = agent.kube
        assert kube is not None
        attempts: list[Callable[[], Awaitable[object]]] = [
            lambda: kube.list(ASSIGNMENTS, agent.namespace),
            lambda: kube.get(MEMBERS, "ca"),
            lambda: kube.get(CONFIG_MAPS, "site", agent.namespace),
        ]
        for attempt in attempts:
            await eventually(partial(refused, attempt))
        await hub.ready("members", "ca", "AwaitingAcceptance", status="False")
        await hub.accept("ca")

        async def allowed() -> bool:
            await agent.heartbeat()
            return True

        await eventually(allowed)


async def test_a_renewal_of_a_member_that_is_not_accepted_waits(hub: Hub) -> None:
    async with hub.operator() as operator:
        agent = await hub.joined("ke", "KE")
        await agent.renew()
        await agent.decision()
        await hub.accept("ke", accepts=False)
        await hub.ready("members", "ke", "AwaitingAcceptance", status="False")
        with pytest.raises(Forbidden):
            await agent.renew()
        await eventually(lambda: _idle(operator))


async def test_an_agent_sees_no_other_member(hub: Hub) -> None:
    async with hub.operator():
        ca, _ = await hub.joined("ca", "CA"), await hub.joined("kr", "KR")
        assert ca.kube is not None
        for attempt in (
            ca.kube.get(MEMBERS, "kr"),
            ca.kube.list(MEMBERS),
            ca.kube.list(ASSIGNMENTS, member_namespace("kr")),
            ca.kube.get(CONFIG_MAPS, "site", member_namespace("kr")),
            ca.kube.get(SECRETS, "invitation-kr", "commonweal-system"),
        ):
            with pytest.raises(Forbidden):
                await attempt


async def test_a_site_document_of_another_identity_is_not_believed(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("ca", "CA")
        forged = Agent(hub, "ca", "CA", kube=agent.kube)
        await forged.report()
        held = await hub.ready("members", "ca", "SiteSignatureInvalid", status="False")
        assert held["message"].startswith("site.json.sig")


async def test_a_deleted_binding_comes_back(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("kr", "KR")
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{agent.namespace}/rolebindings/agent"
        before = (await hub.admin.request("GET", path))["metadata"]["uid"]
        await hub.admin.request("DELETE", path)

        async def healed() -> bool:
            try:
                return bool((await hub.admin.request("GET", path))["metadata"]["uid"] != before)
            except NotFound:
                return False

        await eventually(healed)


async def refused(attempt: Callable[[], Awaitable[object]]) -> bool:
    try:
        await attempt()
    except Forbidden:
        return True
    return False


async def _idle(operator: Operator) -> bool:
    return operator.idle()
