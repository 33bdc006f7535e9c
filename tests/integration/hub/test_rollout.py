"""A pilot is placed, moved without a gap, explained when it cannot run, and removed with its owner."""

import json

import yaml

from operators.frame import Operator
from operators.hub.resources import ASSIGNMENTS, MEMBERS, PILOT_APPS
from operators.kube import Json
from tests.integration.hub.world import EXAMPLES, Agent, Hub, eventually

TRADE: Json = yaml.safe_load((EXAMPLES / "50-trade-pilot.yaml").read_text())


def pilot(**changes: object) -> Json:
    return TRADE | {"spec": TRADE["spec"] | changes}


async def three(hub: Hub) -> dict[str, Agent]:
    agents = {name: await hub.joined(name, name.upper()) for name in ("ca", "kr", "ke")}
    await hub.example("30-trust.yaml")
    await hub.example("40-grant.yaml")
    return agents


async def test_a_pilot_runs_on_two_members_behind_one_address(hub: Hub) -> None:
    async with hub.operator():
        agents = await three(hub)
        await hub.trust_serving("trade", *agents.values())
        await hub.ready("datagrants", "trade-emissions", "Approved")
        await hub.apply(pilot())
        chosen = await placed(hub, agents, 2)
        await hub.serving("trade", *chosen)
        status = (await hub.admin.get(PILOT_APPS, "trade"))["status"]
        assert status["address"] == "http://127.0.0.1:18080"
        assert [each["readyReplicas"] for each in status["placements"]] == [1, 1]
        assignment = await hub.admin.get(ASSIGNMENTS, "pilot-trade", chosen[0].namespace)
        objects = {body["kind"]: body for body in assignment["spec"]["objects"]}
        grants = json.loads(objects["ConfigMap"]["data"]["grants.json"])
        assert [gateway["member"] for gateway in grants["gateways"]] == ["ca", "ke", "kr"]
        assert grants["grants"][0]["datasets"][1] == {"name": "facility_disclosures", "members": ["kr"]}
        configuration = (hub.folder / "state" / "frontdoor" / "haproxy.cfg").read_text()
        assert all(f"server {agent.name}-0 {agent.name}.example:30080" in configuration for agent in chosen)


async def test_a_draining_member_keeps_the_app_until_the_others_serve(hub: Hub) -> None:
    async with hub.operator():
        agents = await three(hub)
        await hub.apply(pilot())
        chosen = await placed(hub, agents, 2)
        await hub.serving("trade", *chosen)
        leaving = chosen[0]
        await hub.admin.patch(MEMBERS, leaving.name, {"spec": {"scheduling": "Draining"}})
        [spare] = [agent for agent in agents.values() if agent not in chosen]

        async def replaced() -> Json | None:
            return await hub.assigned("pilot-trade", spare.name)

        await eventually(replaced)
        assert await hub.assigned("pilot-trade", leaving.name) is not None
        assert (await hub.condition("members", leaving.name, "Drained"))["status"] == "False"
        await spare.run("pilot-trade")

        async def gone() -> bool:
            return await hub.assigned("pilot-trade", leaving.name) is None

        await eventually(gone)

        async def drained() -> bool:
            return bool((await hub.condition("members", leaving.name, "Drained"))["status"] == "True")

        await eventually(drained)
        await hub.ready("pilotapps", "trade", "Serving")


async def test_a_cordoned_member_keeps_what_it_runs(hub: Hub) -> None:
    async with hub.operator() as operator:
        agents = await three(hub)
        await hub.apply(pilot())
        chosen = await placed(hub, agents, 2)
        await hub.admin.patch(MEMBERS, chosen[0].name, {"spec": {"scheduling": "Cordoned"}})

        async def cordoned() -> bool:
            return bool((await hub.condition("members", chosen[0].name, "Cordoned"))["status"] == "True")

        await eventually(cordoned)
        await eventually(lambda: _idle(operator))
        assert await placed(hub, agents, 2) == chosen


async def test_a_pilot_that_no_member_can_hold_says_why_for_each(hub: Hub) -> None:
    async with hub.operator():
        await three(hub)
        await hub.apply(pilot(resources={"cpuMillis": 200, "memoryMib": 900_000}))
        held = await hub.ready("pilotapps", "trade", "Unplaceable", status="False")
        assert "ca: memory: 2048MiB free of 2048MiB, a replica needs 900000MiB" in held["message"]
        await hub.apply(pilot(placement={"members": ["nz"], "minMembers": 1}))

        async def explained() -> bool:
            message = (await hub.condition("pilotapps", "trade")).get("message", "")
            return "kr: not among the allowed members nz" in message

        await eventually(explained)


async def test_an_image_that_does_not_exist_is_named(hub: Hub) -> None:
    async with hub.operator():
        agents = await three(hub)
        await hub.apply(pilot())
        for agent in await placed(hub, agents, 2):
            await agent.run(
                "pilot-trade", ready=False, reason="ImagePullFailed", message="image nowhere/none: not found"
            )
        held = await hub.ready("pilotapps", "trade", "ImagePullFailed", status="False")
        assert "image nowhere/none: not found" in held["message"]


async def test_wrong_references_name_their_field(hub: Hub) -> None:
    async with hub.operator():
        await three(hub)
        await hub.apply(pilot(sponsor="nz"))
        await hub.ready("pilotapps", "trade", "UnknownSponsor", status="False")
        await hub.apply(pilot(serviceClass="golden"))
        held = await hub.ready("pilotapps", "trade", "UnknownServiceClass", status="False")
        assert held["message"] == "spec.serviceClass: golden is not in the charter; use public"
        await hub.apply(pilot(grants=["none"]))
        await hub.ready("pilotapps", "trade", "GrantNotReady", status="False")


async def test_a_revoked_grant_leaves_the_policy_and_the_pods(hub: Hub) -> None:
    async with hub.operator():
        agents = await three(hub)
        await hub.apply(pilot())
        [agent, _] = await placed(hub, agents, 2)
        await hub.admin.request(
            "PATCH",
            "/apis/commonweal.dev/v1alpha1/datagrants/trade-emissions",
            body={"spec": {"revoked": True}},
            content_type="application/merge-patch+json",
        )
        await hub.ready("datagrants", "trade-emissions", "Revoked", status="False")

        async def withdrawn() -> bool:
            policy = await hub.assigned("policy-trade", "kr")
            running = await hub.assigned("pilot-trade", agent.name)
            assert policy is not None
            assert running is not None
            texts = [policy["spec"]["objects"][0]["data"]["policy.json"]]
            texts += [body["data"]["grants.json"] for body in running["spec"]["objects"] if body["kind"] == "ConfigMap"]
            return all(json.loads(text)["grants"] == [] for text in texts)

        await eventually(withdrawn)


async def test_a_member_that_withholds_a_secret_is_named_also_while_an_older_version_serves(hub: Hub) -> None:
    async with hub.operator():
        agents = await three(hub)
        await hub.trust_serving("trade", *agents.values())
        component = TRADE["spec"]["component"]
        older = {key: value for key, value in component.items() if key != "secrets"}
        await hub.apply(pilot(replicas=1, placement={"minMembers": 1}, component=older))
        [agent] = await placed(hub, agents, 1)
        await hub.serving("trade", agent)
        await hub.apply(pilot(replicas=1, placement={"minMembers": 1}, component=component))

        async def mounts() -> bool:
            body = await hub.assigned("pilot-trade", agent.name)
            return body is not None and '"secretName": "trade-signing"' in json.dumps(body)

        await eventually(mounts)
        words = "Secret commonweal-apps/trade-signing: this member shows none"
        await agent.run("pilot-trade", ready=False, reason="SecretMissing", message=words)
        held = await hub.ready("pilotapps", "trade", "SecretMissing", status="False")
        assert held["message"] == f"{agent.name}: {words}"


async def test_a_deleted_pilot_leaves_nothing_also_when_the_operator_was_away(hub: Hub) -> None:
    async with hub.operator():
        agents = await three(hub)
        await hub.apply(pilot())
        await placed(hub, agents, 2)
    await hub.admin.delete(PILOT_APPS, "trade")
    async with hub.operator():

        async def nothing() -> bool:
            return not [a for a in (await hub.admin.list(ASSIGNMENTS)).items if a["metadata"]["name"] == "pilot-trade"]

        await eventually(nothing)


async def placed(hub: Hub, agents: dict[str, Agent], count: int) -> list[Agent]:
    """The agents that have an Assignment of the pilot, once there are as many."""

    async def check() -> list[Agent] | None:
        found = [agent for agent in agents.values() if await hub.assigned("pilot-trade", agent.name)]
        return found if len(found) == count else None

    return await eventually(check)


async def _idle(operator: Operator) -> bool:
    return operator.idle()
