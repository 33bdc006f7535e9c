"""One real API server a test module, and a clean hub for every test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.local.control_plane import Cluster, local_clusters
from operators.hub.setup import apply_all
from operators.kube import Kube
from tests.integration.hub.world import Hub, clean


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with local_clusters(["ch"], state_dir=tmp_path_factory.mktemp("ch")) as clusters:
        yield clusters["ch"]


@pytest.fixture
async def hub(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Hub]:
    async with await Kube.from_kubeconfig(cluster.kubeconfig) as admin:
        await apply_all(admin)
        made = Hub(cluster, admin, tmp_path)
        await made.example("10-charter.yaml")
        yield made
        await clean(made)
        for kube in made.kubes:
            await kube.close()
