"""The hub's site into a real API server, and its pods' programs with their pods' identities; no node runs."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from commonweal.kinds import KINDS
from dashboards import hub as dashboard
from dashboards.kubeconfig import read_access
from infra.local.control_plane import Cluster, local_clusters
from infra.local.machine import run
from infra.sites.args import SiteError
from infra.sites.flags import flag
from infra.sites.hub.workloads import dashboard_kubeconfig
from infra.sites.kinds import HUB
from infra.sites.programs import language_host
from infra.sites.provision import Provisioned, run_verb
from operators.hub import setup
from operators.hub.operator import doorkeeper
from operators.hub.resources import CLUSTER_ROLES, PILOT_APPS
from operators.hub.settings import parse
from operators.kube import Kube
from tests.integration.hub.world import Hub, eventually
from tests.integration.sites.conftest import kill_once_it_says
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


class HubTeam:
    """Whoever runs the hub's site, by its command line."""

    def __init__(self, state: Path) -> None:
        self.state, self.told = state, list[str]()

    def do(self, verb: str, *flags: str) -> Provisioned:
        return run_verb(verb, "ch", list(flags), state=self.state, timeout_s=300, say=self.told.append, kind=HUB)

    def up_flags(self, kubeconfig: Path) -> list[str]:
        return [word for key, value in {**CONFIG, "kubeconfig": str(kubeconfig)}.items() for word in (flag(key), value)]


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
def team(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> HubTeam:
    """The hub stands, after somebody began it by hand and a first run was killed."""
    made = HubTeam(tmp_path_factory.mktemp("hub"))
    asyncio.run(set_up_by_hand(cluster))
    flags = made.up_flags(cluster.kubeconfig)
    up = [sys.executable, "-m", "infra.sites.hub", "up", "--hub", "ch", f"--state={made.state}", *flags]
    kill_once_it_says("create CustomResourceDefinition", up)
    made.do("up", *flags)
    return made


@pytest.fixture
async def hub(cluster: Cluster, team: HubTeam, tmp_path: Path) -> AsyncIterator[Hub]:  # noqa: ARG001 - it stands
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


def test_a_run_that_was_killed_is_completed_by_the_next_and_a_third_changes_nothing(team: HubTeam) -> None:
    assert any("the last run was killed" in line for line in team.told)
    again = team.do("up")
    assert again.changed == 0
    assert again.outputs["namespace"] == SPACE


def test_what_others_changed_is_found_and_put_back_on_demand(
    team: HubTeam, cluster: Cluster, kubectl_binary: Path
) -> None:
    scale = ("scale", "deployment/front-door", f"--namespace={SPACE}", "--replicas=0")
    run([kubectl_binary, f"--kubeconfig={cluster.kubeconfig}", *scale])
    expected = ["update Deployment ch/commonweal-system/front-door"]
    assert team.do("drift").objects == expected
    assert team.do("up", "--repair").objects == expected


def test_a_kubeconfig_of_another_cluster_is_refused_and_never_acted_on(
    team: HubTeam, clusters: Mapping[str, Cluster], kubectl_binary: Path
) -> None:
    other = clusters["other"].kubeconfig
    with pytest.raises(SiteError, match=r"leads to cluster .* and the site of ch stands on .* forget --hub ch"):
        team.do("up", "--kubeconfig", str(other))
    kinds = run([kubectl_binary, f"--kubeconfig={other}", "get", "customresourcedefinitions", "--output=name"])
    assert kinds == ""


def test_the_same_program_is_previewed_by_the_cli_alone(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(tmp_path, SITES / "hub", ["Pulumi.yaml", "program.py"], language_host())
    project.configure("ch", {**CONFIG, "kubeconfig": str(cluster.kubeconfig)})
    said = project.pulumi("preview")
    assert "ch/commonweal-system/hub-operator" in said, said
    assert " to create" in said, said


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


async def test_a_hub_on_which_a_member_counts_stays_until_its_rights_are_taken_back(
    hub: Hub, team: HubTeam, kubectl_binary: Path
) -> None:
    with pytest.raises(SiteError, match=r"ch: ca: still counting on this hub; .*`commonweal revoke NAME`"):
        await asyncio.to_thread(team.do, "destroy")
    await hub.accept("ca", accepts=False)
    with pytest.raises(SiteError, match="ch: ca: still counting on this hub"):
        await asyncio.to_thread(team.do, "destroy")

    async def left() -> bool:
        return (await hub.condition("members", "ca", "Left")).get("status") == "True"

    async with operating(hub, kubectl_binary):
        assert await eventually(left)


def test_a_hub_that_is_taken_away_keeps_its_kinds_and_its_books(
    team: HubTeam, cluster: Cluster, kubectl_binary: Path
) -> None:
    team.do("destroy")
    assert any("hub-state: it holds the consortium's records" in line for line in team.told)
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
    assert len(run([*kubectl, ours, "customresourcedefinitions"]).split()) == len(KINDS)
    assert team.do("destroy").changed == 0
