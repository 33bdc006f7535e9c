"""The agent dies before and after each write of a roll-out; started again, it ends in the same state.

Only writes are counted: to die around a read is to die before the next write.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from operators.agent.rollout import ASSIGNMENT
from operators.agent.session import Session
from operators.kube import CONFIG_MAPS, DEPLOYMENTS, SERVICES, Call, Json, Kube, Unreachable
from tests.integration.agent.conftest import World, certificate
from tests.integration.agent.test_assignments import (
    APPS,
    ASSIGNMENTS,
    NAMESPACE,
    assign,
    deployment,
    policy,
    service,
    unassign,
)

NEVER = 10**9


@dataclass
class Silence:
    """From the half-call `at` on nothing reaches a server any more, as if the process were gone."""

    at: int
    seen: int = 0

    def __call__(self, call: Call) -> None:
        self.seen += call.method != "GET"
        if self.seen >= self.at:
            raise Unreachable("the agent is dead")

    async def fell(self) -> bool:
        return self.seen >= self.at


@asynccontextmanager
async def working(world: World, silence: Silence) -> AsyncIterator[None]:
    """The agent's session in this process, until the block ends."""
    async with world.joiner() as joiner:
        credentials = certificate(await joiner.attempt())
        identity = await joiner.vault.identity()

        async def silenced(config: Mapping[str, Any]) -> Kube:
            kube = await joiner.connect(config)
            kube.on_request = silence
            return kube

        joiner.vault.kube.on_request = silence
        session = Session(
            joiner=replace(joiner, connect=silenced),
            identity=identity,
            member_kube=joiner.vault.kube,
            credentials=credentials,
            health_host="127.0.0.1",
        )
        task = asyncio.create_task(session.run(), name="commonweal session")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def essence(body: Json) -> Json:
    """An object without what differs between two runs that did the same."""
    metadata = body["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k.startswith("commonweal.dev/")}
    spec = {k: v for k, v in body.get("spec", {}).items() if k in {"replicas", "selector", "template", "type"}}
    return {"name": metadata["name"], "annotations": annotations, "labels": metadata.get("labels"), "spec": spec}


async def state(world: World, name: str) -> dict[str, Any]:
    """All that the agent made, and what it said of it; `name` is written NAME, so that runs can be compared."""
    made = {}
    for resource in (DEPLOYMENTS, SERVICES, CONFIG_MAPS):
        for namespace in (APPS, "commonweal-data"):
            for body in (await world.member_admin.list(resource, namespace)).items:
                if ASSIGNMENT in body["metadata"].get("annotations", {}):
                    made[f"{resource.kind} {namespace} {body['metadata']['name']}"] = essence(body)
    body = await world.hub_admin.get(ASSIGNMENTS, name, NAMESPACE)
    status = body.get("status", {})
    said = {c["type"]: (c["status"], c["reason"], c["message"]) for c in status.get("conditions", ())}
    fresh = status.get("observedGeneration") == body["metadata"]["generation"]
    found: dict[str, Any] = {"made": made, "said": said, "fresh": fresh, "ready": status.get("readyReplicas")}
    return _comparable(found, name)


_HASH = re.compile(r"[0-9a-f]{64}")
_POD = re.compile(r"pod NAME-[a-z0-9]+-[a-z0-9]+")


def _comparable(found: dict[str, Any], name: str) -> dict[str, Any]:
    """The same with names of runs, hashes and pods written alike."""
    text = _HASH.sub("HASH", json.dumps(found, sort_keys=True).replace(name, "NAME"))
    alike: dict[str, Any] = json.loads(_POD.sub("pod POD", text))
    return alike


def reached(world: World, name: str, expected: dict[str, Any]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        found = await state(world, name)
        if found != expected:
            raise LookupError(f"{found}\nis not\n{expected}")
        return True

    return check


async def settled(world: World, name: str) -> dict[str, Any]:
    """The state once the scheduler has said its word and the agent has reported it."""

    async def reported() -> dict[str, Any] | None:
        found = await state(world, name)
        message = found["said"].get("Ready", ["", "", ""])[2]
        return (
            found if found["fresh"] and "no nodes available" in message and found == await state(world, name) else None
        )

    found = await world.eventually(reported)
    assert found is not None
    return found


async def clear(world: World, name: str) -> None:
    """Let the agent itself remove everything; nothing may be left."""
    await unassign(world, name)

    async def empty() -> bool:
        for resource in (DEPLOYMENTS, SERVICES, CONFIG_MAPS):
            for namespace in (APPS, "commonweal-data"):
                for body in (await world.member_admin.list(resource, namespace)).items:
                    if ASSIGNMENT in body["metadata"].get("annotations", {}):
                        raise LookupError(f"{resource.kind} {body['metadata']['name']} is an orphan")
        return True

    await world.eventually(empty)


async def test_a_rollout_that_dies_at_any_write_ends_in_the_same_state(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.ensure_joined()

    def first(name: str) -> list[Json]:
        return [deployment(name, 2), service(name), policy(f"policy-{name}")]

    def second(name: str) -> list[Json]:
        return [deployment(name, 3), policy(f"policy-{name}-new")]

    counted = Silence(at=NEVER)
    async with working(world, counted):
        await assign(world, "run-0-of-rollout", *first("run-0-of-rollout"))
        expected_first = await settled(world, "run-0-of-rollout")
        writes_first = counted.seen
        await assign(world, "run-0-of-rollout", *second("run-0-of-rollout"))
        expected_second = await settled(world, "run-0-of-rollout")
        writes = counted.seen
        await clear(world, "run-0-of-rollout")
    assert len(expected_first["made"]) == 3
    assert len(expected_second["made"]) == 2
    assert writes > writes_first > 6

    for at in range(1, writes + 1):
        name = f"run-{at}-of-rollout"
        silence = Silence(at=at)
        await assign(world, name, *first(name))
        async with working(world, silence):
            if at > writes_first:
                await world.eventually(reached(world, name, expected_first))
                await assign(world, name, *second(name))
            await world.eventually(silence.fell)
        if at <= writes_first:
            await assign(world, name, *second(name))
        async with working(world, Silence(at=NEVER)):
            await world.eventually(reached(world, name, expected_second))
            await clear(world, name)
