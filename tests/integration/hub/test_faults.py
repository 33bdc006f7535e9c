"""Whatever the way to the API server does, the operator ends where it would have ended without it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from operators.frame import Operator, Settings
from operators.frame.leader import Lease
from operators.hub.consortium import ConsortiumController
from operators.hub.resources import CONSORTIUMS, PILOT_APPS
from operators.kube import Json, Kube
from tests.integration.hub.faulty import Faulty, faulty, watches, writes
from tests.integration.hub.test_rollout import pilot, placed
from tests.integration.hub.world import Agent, Hub, eventually


@pytest.fixture
async def proxy(hub: Hub, tmp_path: Path) -> AsyncIterator[Faulty]:
    async with faulty(hub.cluster.hub_operator_kubeconfig, tmp_path) as made:
        yield made


async def two(hub: Hub) -> dict[str, Agent]:
    return {name: await hub.joined(name, name.upper()) for name in ("ca", "kr")}


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_refused_calls_are_tried_again_until_the_member_has_joined(hub: Hub, proxy: Faulty, status: int) -> None:
    proxy.fail(writes, status, times=12, Retry_After="0")
    proxy.fail(lambda request: not writes(request), status, times=5)
    async with hub.operator(kubeconfig=proxy.kubeconfig):
        await hub.joined("ca", "CA")
    assert proxy.failed == 17


async def test_watches_that_end_lose_nothing(hub: Hub, proxy: Faulty) -> None:
    async with hub.operator(kubeconfig=proxy.kubeconfig):
        agents = await two(hub)
        proxy.cut()
        await hub.apply(pilot(grants=[]))
        proxy.cut()
        await placed(hub, agents, 2)
        proxy.cut()
        await hub.serving("trade", *agents.values())


async def test_a_deletion_that_no_watch_reports_is_noticed(hub: Hub, proxy: Faulty) -> None:
    async with hub.operator(kubeconfig=proxy.kubeconfig):
        agents = await two(hub)
        await hub.apply(pilot(grants=[]), pilot(grants=[]) | {"metadata": {"name": "other"}})
        await placed(hub, agents, 2)
        proxy.mute = True
        await hub.admin.delete(PILOT_APPS, "trade")
        proxy.expire()
        proxy.mute = False

        async def gone() -> bool:
            return not any([await hub.assigned("pilot-trade", name) for name in agents])

        await eventually(gone)
        assert any([await hub.assigned("pilot-other", name) for name in agents])


async def test_an_expired_watch_starts_again_from_a_list(hub: Hub, proxy: Faulty) -> None:
    async with hub.operator(kubeconfig=proxy.kubeconfig):
        agents = await two(hub)
        proxy.expire()
        proxy.fail(watches, 410, times=3)
        await hub.apply(pilot(grants=[]))
        await placed(hub, agents, 2)


async def test_nothing_is_evicted_while_the_api_server_is_away(hub: Hub, proxy: Faulty) -> None:
    async with hub.operator(kubeconfig=proxy.kubeconfig) as operator:
        agents = await two(hub)
        await hub.apply(pilot(grants=[]))
        chosen = await placed(hub, agents, 2)
        await hub.serving("trade", *chosen)
        proxy.away = True
        proxy.cut()
        await hub.admin.patch(PILOT_APPS, "trade", {"spec": {"replicas": 4}})
        await asyncio.sleep(3)
        assert await answer(operator, "healthz") == 200
        proxy.away = False

        async def grown() -> bool:
            status: Json = (await hub.admin.get(PILOT_APPS, "trade"))["status"]
            return bool(status["replicas"] == 4)

        await eventually(grown)
        assert await placed(hub, agents, 2) == chosen


async def test_a_watch_that_falls_silent_is_reported_as_dead(hub: Hub, proxy: Faulty) -> None:
    async with (
        await Kube.from_kubeconfig(proxy.kubeconfig) as kube,
        await Kube.from_kubeconfig(proxy.kubeconfig) as lease_kube,
    ):
        lease = Lease(namespace="commonweal-system", name="hub-operator", identity="silent", renew_s=0.2)
        settings = Settings(lease=lease, heartbeat_limit_s=1.0)
        operator = Operator((ConsortiumController(),), kube, settings, lease_kube=lease_kube)
        async with operator.running():
            await hub.ready("consortiums", "charter")

            async def alive() -> bool:
                return len(proxy.streams) > 0 and await answer(operator, "healthz") == 200

            await eventually(alive)
            proxy.mute = True

            async def dead() -> bool:
                return await answer(operator, "healthz") == 503

            await eventually(dead)
            proxy.mute = False
            proxy.cut()
            await eventually(alive)


async def test_a_leader_that_is_cut_off_writes_nothing_and_another_takes_over(hub: Hub, proxy: Faulty) -> None:
    async with leader(proxy.kubeconfig, "first") as first:
        await eventually(partial(holds, hub, "first"))
        proxy.away = True
        async with leader(hub.cluster.hub_operator_kubeconfig, "second"):
            await eventually(partial(holds, hub, "second"))
            assert first.metrics.registry.get_sample_value("commonweal_leading") == 0
            proxy.away = False
            await hub.admin.patch(CONSORTIUMS, "charter", {"spec": {"title": "Another"}})

            async def seen() -> bool:
                body = await hub.admin.get(CONSORTIUMS, "charter")
                return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])

            await eventually(seen)
            assert await holds(hub, "second")
        await eventually(partial(holds, hub, "first"))
    assert await holds(hub, "")


@asynccontextmanager
async def leader(kubeconfig: Path, identity: str) -> AsyncIterator[Operator]:
    lease = Lease(
        namespace="commonweal-system", name="hub-operator", identity=identity, duration_s=3, give_up_s=2.0, renew_s=0.2
    )
    async with await Kube.from_kubeconfig(kubeconfig) as kube, await Kube.from_kubeconfig(kubeconfig) as lease_kube:
        operator = Operator((ConsortiumController(),), kube, Settings(lease=lease), lease_kube=lease_kube)
        async with operator.running():
            yield operator


async def holds(hub: Hub, identity: str) -> bool:
    path = "/apis/coordination.k8s.io/v1/namespaces/commonweal-system/leases/hub-operator"
    return bool((await hub.admin.request("GET", path))["spec"]["holderIdentity"] == identity)


async def answer(operator: Operator, probe: str) -> int:
    url = f"http://127.0.0.1:{operator.health_port}/{probe}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status
