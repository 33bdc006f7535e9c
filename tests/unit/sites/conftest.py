"""Plans of a site, made once: Pulumi's mocks take half a second."""

import pytest

from infra.sites.plan import Registration
from tests.unit.sites.plans import plan_of


@pytest.fixture(scope="session")
def on_claim(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registration, ...]:
    return plan_of(tmp_path_factory.mktemp("claim"), dataClaimMib="2048")


@pytest.fixture(scope="session")
def on_host(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registration, ...]:
    folders = {"dataHostPath": "/srv/data", "meterHostPath": "/srv/meter", "simulatedGpus": "2"}
    return plan_of(tmp_path_factory.mktemp("host"), **folders)


@pytest.fixture(scope="session")
def by_pod(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registration, ...]:
    return plan_of(
        tmp_path_factory.mktemp("pods"), dataClaimMib="2048", podResourcesHostPath="/var/lib/kubelet/pod-resources"
    )
