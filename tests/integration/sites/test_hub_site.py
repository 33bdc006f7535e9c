"""The hub's project by the CLI alone into a real API server, and its pods' programs with their pods' identities."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from dashboards import hub as dashboard
from dashboards.kubeconfig import read_access
from infra.local.control_plane import Cluster, local_clusters
from infra.local.machine import run
from infra.sites.hub.workloads import dashboard_kubeconfig
from infra.sites.programs import language_host
from operators.hub import setup
from operators.hub.operator import doorkeeper
from operators.hub.resources import CLUSTER_ROLES, PILOT_APPS
from operators.hub.settings import parse
from operators.kube import Kube
from tests.integration.hub.world import Hub, eventually
from tests.integration.sites.plain import SITES, Project

CONFIG = {
    "frontDoorImage": "localhost/commonweal/front-door:abc",
    "image": "localhost/commonweal/hub:abc",
    "publicHost": "pilots.example.org",
    "stateClaimMib": "64",
    "waitForPods": "false",
}
SPACE = "commonweal-system"
ROLE = "commonweal:front-door"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with local_clusters(["ch"], state_dir=tmp_path_factory.mktemp("ch")) as found:
        yield found["ch"]


async def set_up_by_hand(cluster: Cluster) -> None:
    """What `commonweal setup` of an older version left: one role grants less than today's."""
    older = next(body for body in setup.manifests() if body["metadata"]["name"] == ROLE)
    async with await Kube.from_kubeconfig(cluster.kubeconfig) as admin:
        await setup.apply_all(admin)
        await admin.apply(CLUSTER_ROLES, {**older, "rules": []}, field_manager=setup.FIELD_MANAGER)


@pytest.fixture(scope="module")
def project(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("hub"), SITES / "hub", ["Pulumi.yaml", "program.py"], language_host())
    made.configure("ch", {**CONFIG, "kubeconfig": str(cluster.kubeconfig)})
    asyncio.run(set_up_by_hand(cluster))
    made.up()
    return made


@pytest.fixture
async def hub(cluster: Cluster, project: Project, tmp_path: Path) -> AsyncIterator[Hub]:  # noqa: ARG001 - it stands
    async with await Kube.from_kubeconfig(cluster.kubeconfig) as admin:
        made = Hub(cluster, admin, tmp_path)
        await made.example("10-charter.yaml")
        yield made
        for kube in made.kubes:
            await kube.close()


def as_account(cluster: Cluster, kubectl: Path, folder: Path, name: str) -> Path:
    """A kubeconfig that is to its API server what a pod of the account is."""
    token = run([kubectl, f"--kubeconfig={cluster.kubeconfig}", f"--namespace={SPACE}", "create", "token", name])
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token.strip()}} for each in config["users"]]
    path = folder / f"{name}.yaml"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        yaml.safe_dump(config, file)
    return path


@asynccontextmanager
async def operating(hub: Hub, kubectl: Path) -> AsyncIterator[None]:
    async with hub.operator(kubeconfig=as_account(hub.cluster, kubectl, hub.folder, "hub-operator")):
        yield


async def test_a_hub_that_was_set_up_by_hand_is_taken_over_and_brought_up_to_date(hub: Hub) -> None:
    role = await hub.admin.get(CLUSTER_ROLES, ROLE)
    assert role["rules"][0]["resources"] == ["pilotapps"]
    assert role["metadata"]["labels"]["commonweal.dev/hub"] == "ch"


def test_a_second_up_changes_nothing(project: Project) -> None:
    project.up("--expect-no-changes")
    assert project.pulumi("stack", "output", "namespace").strip() == SPACE


async def test_the_operator_lets_a_member_join_with_the_identity_of_its_pod(hub: Hub, kubectl_binary: Path) -> None:
    async with operating(hub, kubectl_binary):
        await hub.joined("ca", "CA")
    asked = ["auth", "can-i", f"--as=system:serviceaccount:{SPACE}:hub-operator", "delete", "configmaps"]
    assert run([kubectl_binary, f"--kubeconfig={hub.cluster.kubeconfig}", *asked, "-n", "member-ca"]).strip() == "yes"


async def test_a_doorkeeper_writes_the_doors_of_pilots_with_the_identity_of_its_pod(
    hub: Hub, kubectl_binary: Path, tmp_path: Path
) -> None:
    kubeconfig = as_account(hub.cluster, kubectl_binary, tmp_path, "front-door")
    given = {"KUBECONFIG": str(kubeconfig), "STATE_DIR": str(tmp_path / "door"), "HEALTH_PORT": "0"}
    given |= {"FRONT_DOOR_HOST": "pilots.example.org", "FRONT_DOOR_BIND": "0.0.0.0", "FRONT_DOOR_ONLY": "true"}  # noqa: S104
    settings = parse([], {f"COMMONWEAL_HUB_{name}": value for name, value in given.items()})
    await hub.example("50-trade-pilot.yaml")
    status = {"status": {"address": "http://pilots.example.org:18080", "placements": []}}
    await hub.admin.patch(PILOT_APPS, "trade", status, subresource="status")
    file = tmp_path / "door" / "frontdoor" / "haproxy.cfg"

    async def written() -> bool:
        return "listen pilot-trade\n    bind 0.0.0.0:18080\n" in file.read_text()

    async with await Kube.from_kubeconfig(kubeconfig) as kube, doorkeeper(settings, kube).running():
        assert await eventually(written)


async def test_the_dashboard_reads_the_hub_with_the_identity_of_its_pod(
    hub: Hub, kubectl_binary: Path, tmp_path: Path
) -> None:
    account = yaml.safe_load(as_account(hub.cluster, kubectl_binary, tmp_path, "dashboard").read_text())
    (tmp_path / "token").write_text(account["users"][0]["user"]["token"])
    config = dashboard_kubeconfig()
    config["clusters"][0]["cluster"] = account["clusters"][0]["cluster"]
    config["users"][0]["user"]["tokenFile"] = "token"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    with dashboard.connect(read_access(tmp_path / "kubeconfig")) as client:
        seen = dashboard.take_snapshot(client, datetime.now(UTC))
    assert seen.charter is not None


def test_a_hub_that_is_taken_away_keeps_its_kinds_and_its_books(
    project: Project, cluster: Cluster, kubectl_binary: Path
) -> None:
    project.pulumi("destroy", "--yes", "--skip-preview", "--exclude-protected")
    kubectl: list[str | Path] = [
        kubectl_binary,
        f"--kubeconfig={cluster.kubeconfig}",
        f"--namespace={SPACE}",
        "get",
        "--output=name",
    ]
    ours = "--selector=commonweal.dev/hub=ch"
    assert run([*kubectl, ours, "deployments,services,serviceaccounts,networkpolicies,configmaps,roles"]) == ""
    assert run([*kubectl, ours, "persistentvolumeclaims"]).split() == ["persistentvolumeclaim/hub-state"]
    assert len(run([*kubectl, ours, "customresourcedefinitions"]).split()) == 8
