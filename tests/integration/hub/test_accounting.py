"""Readings become postings, statements and results; what is wrong is refused in words that the member sees."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from commonweal.metering import Reading, Scope, payload_sha256, signed_bytes
from commonweal.transparency import leaf_hash, root
from operators.hub.books import Books
from operators.hub.resources import EQUITY_STATEMENTS, POOLED_CLUSTERS
from operators.kube import CONFIG_MAPS, Invalid, Json
from tests.integration.hub.world import Agent, Hub, eventually, manifest

PERIOD_S = 60


def last_periods(count: int) -> list[datetime]:
    """Starts of the last full periods, oldest first."""
    now = datetime.now(UTC).replace(microsecond=0)
    current = now - timedelta(seconds=int(now.timestamp()) % PERIOD_S)
    return [current - timedelta(seconds=PERIOD_S * (count - index)) for index in range(count)]


def chain(agent: Agent, starts: list[datetime], **changes: object) -> list[Reading]:
    readings: list[Reading] = []
    for start in starts:
        values: Json = {
            "member": agent.name,
            "previous_sha256": payload_sha256(readings[-1].payload()) if readings else "0" * 64,
            "meter": agent.meters()[0]["uuid"],
            "sequence": len(readings) + 1,
            "period_start": start,
            "period_end": start + timedelta(seconds=PERIOD_S),
            "energy_mj": 300_000 * PERIOD_S,
            "estimated_mj": 0,
            "device_seconds": PERIOD_S,
            "gpu_count": 1,
            "scope": Scope.GPU,
            "epoch": 1,
            "flags": (),
            "simulated": True,
        }
        readings.append(Reading(**(values | changes)))
    return readings


async def send(agent: Agent, *readings: Reading) -> None:
    assert agent.kube is not None
    for reading in readings:
        name = f"reading-{reading.meter.lower()}-{reading.sequence}"
        body = manifest("ConfigMap", name, None, namespace=agent.namespace, api_version="v1")
        signature = base64.b64encode(agent.identity.sign(signed_bytes(reading.payload()))).decode()
        body["data"] = {"reading.json": reading.payload().decode(), "reading.json.sig": signature}
        await agent.kube.create(CONFIG_MAPS, body, agent.namespace)


async def statements(hub: Hub, count: int) -> list[Json]:
    async def check() -> list[Json] | None:
        found = (await hub.admin.list(EQUITY_STATEMENTS)).items
        return sorted(found, key=lambda each: str(each["metadata"]["name"])) if len(found) >= count else None

    return await eventually(check)


async def test_readings_in_any_order_become_statements_that_prove_themselves(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("ca", "CA", gpus=1)
        readings = chain(agent, last_periods(3))
        await send(agent, *reversed(readings))
        found = await statements(hub, 3)
        assert [each["spec"]["entries"][0]["deliveredGpuSeconds"] for each in found[:3]] == [60, 60, 60]
        assert [each["spec"].get("previous") for each in found[1:3]] == [each["metadata"]["name"] for each in found[:2]]
        for each in found[:3]:
            await hub.ready("equitystatements", each["metadata"]["name"], "Recomputed")

        async def taken() -> bool:
            left = await hub.admin.list(CONFIG_MAPS, agent.namespace)
            return not [body for body in left.items if body["metadata"]["name"].startswith("reading-")]

        await eventually(taken)
    books = Books.open(hub.folder / "state")
    leaves = [leaf_hash(leaf) for (leaf,) in books.connection.execute("SELECT leaf FROM log ORDER BY position")]
    books.close()
    for each in found[:3]:
        log = each["spec"]["log"]
        assert root(leaves[: log["treeSize"]]).hex() == log["rootSha256"]


async def test_a_pledge_reports_its_last_period(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("kr", "KR", gpus=1)
        await hub.ready("pooledclusters", "site", "AwaitingFirstPeriod", namespace=agent.namespace)
        await send(agent, *chain(agent, last_periods(1)))

        async def reported() -> Json | None:
            body = await hub.admin.get(POOLED_CLUSTERS, "site", agent.namespace)
            last: Json | None = body.get("status", {}).get("lastPeriod")
            return last

        last = await eventually(reported)
        # The pledge was made after this period began, so it owes nothing for it.
        assert (last["pledgedGpuSeconds"], last["deliveredGpuSeconds"], last["beyondPledgeGpuSeconds"]) == (0, 60, 60)
        await hub.ready("pooledclusters", "site", "Delivered", namespace=agent.namespace)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"energy_mj": 3_000_000 * PERIOD_S}, "energy_mj"),
        ({"member": "kr"}, "member: kr in a reading that ca signed"),
        ({"device_seconds": 61}, "device_seconds: 61 is more than 1 x 60 s"),
    ],
)
async def test_an_impossible_reading_is_refused_in_words(hub: Hub, changes: Json, words: str) -> None:
    async with hub.operator():
        agent = await hub.joined("ca", "CA", gpus=1)
        await send(agent, *chain(agent, last_periods(1), **changes))
        held = await hub.ready("pooledclusters", "site", "ReadingRefused", status="False", namespace=agent.namespace)
        assert words in held["message"]


async def test_a_meter_that_nobody_pledged_waits_for_its_pledge(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("ke", "KE", gpus=1)
        await hub.admin.patch(POOLED_CLUSTERS, "site", {"spec": {"meters": []}}, agent.namespace)
        await send(agent, *chain(agent, last_periods(1)))
        held = await hub.ready("pooledclusters", "site", "ReadingRefused", status="False", namespace=agent.namespace)
        assert "not in spec.meters of any PooledCluster" in held["message"]
        await hub.admin.patch(POOLED_CLUSTERS, "site", {"spec": {"meters": agent.meters()}}, agent.namespace)
        assert await statements(hub, 1)


async def test_a_published_statement_cannot_be_edited(hub: Hub) -> None:
    async with hub.operator():
        agent = await hub.joined("ca", "CA", gpus=1)
        await send(agent, *chain(agent, last_periods(1)))
        [statement, *_] = await statements(hub, 1)
        with pytest.raises(Invalid, match="a statement cannot be changed"):
            await hub.admin.patch(EQUITY_STATEMENTS, statement["metadata"]["name"], {"spec": {"simulated": False}})
