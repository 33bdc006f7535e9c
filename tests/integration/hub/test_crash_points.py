"""The operator is killed before and after every write of a join and a roll-out; the final state is always the same."""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable

from operators.hub.resources import (
    ASSIGNMENTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    MEMBERS,
    OURS_SELECTOR,
    PILOT_APPS,
    ROLE_BINDINGS,
)
from operators.kube import CSRS, NAMESPACES, SECRETS, ApiResource, Json
from tests.integration.hub.test_rollout import pilot
from tests.integration.hub.world import Agent, Hub, Killed, Killer, eventually

VOLATILE = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "lastTransitionTime", "generation"}
VOLATILE |= {"commonweal.dev/origin-uid", "commonweal.dev/spec-hash", "commonweal.dev/config-hash"}

Scenario = Callable[[str], Awaitable[None]]


def settled(value: object) -> object:
    """An object without what differs between two runs that end in the same state."""
    if isinstance(value, dict):
        return {name: settled(inner) for name, inner in value.items() if name not in VOLATILE}
    return [settled(inner) for inner in value] if isinstance(value, list) else value


def of(name: str, *bodies: Json) -> list[str]:
    """Objects as text in which the member's or pilot's own name is the same for every run."""
    texts = [json.dumps(settled(body), sort_keys=True) for body in bodies]
    return sorted(re.sub(rf"\b{name}\b", "NAME", text) for text in texts)


async def rights_of(hub: Hub, name: str) -> list[str]:
    found: list[Json] = []
    for resource in (NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
        labels = f"{OURS_SELECTOR},commonweal.dev/member={name}"
        found += (await hub.admin.list(resource, labels=labels)).items
    return of(name, *found)


async def through(hub: Hub, scenario: Scenario, name: str, killer: Killer) -> None:
    """Run a scenario with an operator that dies on the way, then with one that lives."""
    work = asyncio.ensure_future(scenario(name))
    with contextlib.suppress(Killed):
        async with hub.operator(on_request=killer):
            died = asyncio.ensure_future(killer.dead.wait())
            await asyncio.wait({work, died}, return_when=asyncio.FIRST_COMPLETED)
            died.cancel()
    async with hub.operator():
        await work


async def writes_in(hub: Hub, scenario: Scenario, name: str) -> int:
    counter = Killer(at=0, phase="before")
    async with hub.operator(on_request=counter) as operator:
        await scenario(name)

        async def idle() -> bool:
            return operator.idle()

        await eventually(idle)
    return counter.writes


async def test_a_join_survives_every_crash(hub: Hub) -> None:
    agents: dict[str, Agent] = {}

    async def join(name: str) -> None:
        agent = agents[name] = Agent(hub, name, "CA")
        await agent.ask(await hub.invite(name))
        await hub.accept(name)
        await agent.receive()
        await agent.report()
        await hub.ready("members", name, "Active")

    async def state(name: str) -> list[str]:
        assert "usedBy" in (await hub.admin.get(SECRETS, f"invitation-{name}", "commonweal-system"))["data"]
        csr = await hub.admin.get(CSRS, agents[name].csr)
        assert [condition["type"] for condition in csr["status"]["conditions"]] == ["Approved"]
        member = await hub.admin.get(MEMBERS, name)
        conditions = {each["type"]: each["status"] for each in member["status"]["conditions"]}
        return [*await rights_of(hub, name), json.dumps(conditions, sort_keys=True)]

    writes = await writes_in(hub, join, "whole")
    expected = await state("whole")
    assert writes >= 10
    for at in range(1, writes + 1):
        for phase in ("before", "after"):
            name = f"{phase[0]}{at}"
            await through(hub, join, name, Killer(at=at, phase="before" if phase == "before" else "after"))
            assert await state(name) == expected, f"killed {phase} write {at}"


async def test_a_roll_out_survives_every_crash(hub: Hub) -> None:
    async with hub.operator():
        agents = [await hub.joined(name, name.upper()) for name in ("ca", "kr")]
        await hub.example("30-trust.yaml")
        await hub.example("40-grant.yaml")

    async def roll_out(name: str) -> None:
        body = pilot(grants=[], resources={"cpuMillis": 1, "memoryMib": 1})
        await hub.apply(body | {"metadata": {"name": name}})
        await hub.serving(name, *agents)

    async def state(name: str) -> list[str]:
        assigned = [await hub.assigned(f"pilot-{name}", agent.name) for agent in agents]
        status = (await hub.admin.get(PILOT_APPS, name))["status"]
        placements = {"placements": status["placements"], "ready": status["readyReplicas"]}
        return of(name, *[{"spec": each["spec"]} for each in assigned if each], placements)

    writes = await writes_in(hub, roll_out, "whole")
    expected = await state("whole")
    assert writes >= 4
    names = ["whole"]
    for at in range(1, writes + 1):
        for phase in ("before", "after"):
            names.append(f"{phase[0]}{at}")
            await through(hub, roll_out, names[-1], Killer(at=at, phase="before" if phase == "before" else "after"))
            assert await state(names[-1]) == expected, f"killed {phase} write {at}"
    addresses = [(await hub.admin.get(PILOT_APPS, name))["status"]["address"] for name in names]
    assert len(set(addresses)) == len(names)
    await nothing_orphaned(hub, ASSIGNMENTS, names)


async def nothing_orphaned(hub: Hub, resource: ApiResource, names: list[str]) -> None:
    """Delete every pilot while no operator runs; the next one leaves nothing of them."""
    for name in names:
        await hub.admin.delete(PILOT_APPS, name)
    async with hub.operator():

        async def gone() -> bool:
            left = (await hub.admin.list(resource)).items
            return not [body for body in left if body["metadata"]["name"].startswith("pilot-")]

        await eventually(gone)
