"""Measurements of a real exporter become signed readings that the hub accepts, once each, over a crash of the agent."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from commonweal.kinds.pooled_cluster import PooledCluster
from commonweal.metering import Measurement, Scope
from infra.nvml_exporter.register import Meter, Sample
from infra.nvml_exporter.server import Pages, serve
from infra.nvml_exporter.store import Store
from operators.hub.books import Books
from operators.kube import CONFIG_MAPS, custom
from tests.integration.agent.conftest import MEMBER, World

METER = "GPU-00000000-0000-4000-8000-000000000001"
NAMESPACE = f"member-{MEMBER}"
PERIOD_S = 60  # that of the charter in examples/


@contextmanager
def exporter(folder: Path) -> Iterator[tuple[Store, str]]:
    """The exporter's own store and pages; only the device is missing."""
    store = Store(folder)
    pages = Pages(store=store, snapshot=lambda: None, clock_ms=lambda: 0, period_s=PERIOD_S)
    server = serve(pages, "127.0.0.1", 0)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


NOW_S = int(datetime.now(UTC).timestamp())
FIRST = datetime.fromtimestamp(NOW_S - NOW_S % PERIOD_S - 10 * PERIOD_S, UTC)


def measurement(sequence: int) -> Measurement:
    begin = FIRST + timedelta(seconds=sequence * PERIOD_S)
    return Measurement(
        meter=METER,
        sequence=sequence,
        period_start=begin,
        period_end=begin + timedelta(seconds=PERIOD_S),
        energy_mj=6_000_000,
        estimated_mj=0,
        device_seconds=PERIOD_S,
        gpu_count=1,
        scope=Scope.GPU,
        epoch=1,
        flags=(),
        simulated=True,
    )


def meter(after: int) -> Meter:
    """The device as the exporter keeps it once its reading `after` is closed."""
    start_ms = int(measurement(after + 1).period_start.timestamp()) * 1000
    return Meter(
        uuid=METER,
        scope=Scope.GPU,
        simulated=True,
        period_ms=PERIOD_S * 1000,
        period_start_ms=start_ms,
        last=Sample(at_ms=start_ms, register_mj=0, power_mw=None),
        sequence=after + 1,
    )


async def pledge(world: World) -> None:
    spec: dict[str, Any] = {
        "pledge": {"gpus": 1},
        "location": {"country": "KE", "gridZone": "KE"},
        "powerSources": [{"kind": "geothermal", "shareBp": 10_000}],
        "meters": [{"uuid": METER, "simulated": True}],
    }
    metadata = {"name": "nairobi", "namespace": NAMESPACE}
    body = {"apiVersion": "commonweal.dev/v1alpha1", "kind": "PooledCluster", "metadata": metadata, "spec": spec}
    await world.hub_admin.apply(custom(PooledCluster), body, field_manager="test")


async def test_readings_reach_the_books_of_the_hub_once_each(world: World, tmp_path: Path) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.ensure_joined()
    with exporter(tmp_path / "meter") as (store, url):
        store.save([meter(after=2)], [measurement(1), measurement(2)])
        await world.eventually(lambda: pledge_made(world))
        world.start_agent(exporter_url=url)
        await world.eventually(lambda: recorded(world, 2))

        world.kill_agent()
        store.save([meter(after=3)], [measurement(3)])
        world.start_agent(exporter_url=url)
        await world.eventually(lambda: recorded(world, 3))


async def pledge_made(world: World) -> bool:
    await pledge(world)
    return True


async def recorded(world: World, sequence: int) -> bool:
    """Whether the hub's books hold the meter's reading `sequence`, and no report of it is left over."""
    names = [item["metadata"]["name"] for item in (await world.hub_admin.list(CONFIG_MAPS, NAMESPACE)).items]
    books = Books.open(world.folder / "state")
    try:
        last = books.last_reading(METER)
        complaint = books.complaint(MEMBER)
    finally:
        books.close()
    reports = [name for name in names if name.startswith("reading-")]
    if last is None or last.sequence != sequence or reports or complaint:
        raise LookupError(f"last reading {last}, reports {reports}, complaint {complaint!r}")
    return True
