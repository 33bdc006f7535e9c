"""What the hub assigns, the member runs: applied, repaired, refused, cleaned up, and kept while the hub is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import pytest

from commonweal.kinds.assignment import Assignment
from commonweal.kinds.pilot_app import PILOT_LABEL
from commonweal.site_policy import Facts, violations
from infra.sites.args import SiteError
from infra.sites.pilot_secret import Given, give, main, signing_key
from operators.agent.mirror import Mirror
from operators.kube import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    SECRETS,
    SERVICES,
    ApiResource,
    Forbidden,
    Json,
    Kube,
    NotFound,
    custom,
)
from tests.integration.agent.conftest import MEMBER, World

ASSIGNMENTS = custom(Assignment)
NAMESPACE = f"member-{MEMBER}"
APPS = "commonweal-apps"


def deployment(name: str, replicas: int = 1, namespace: str = APPS) -> Json:
    labels = {"app": name}
    container = {"name": "app", "image": "localhost/none:1", "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(name: str) -> Json:
    spec = {"type": "NodePort", "selector": {"app": name}, "ports": [{"port": 80, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": APPS}, "spec": spec}


def policy(name: str) -> Json:
    metadata = {"name": name, "namespace": "commonweal-data", "labels": {"commonweal.dev/policy": "true"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"policy.json": "{}"}}


def assignment(name: str, *objects: Json) -> Json:
    owner = {"kind": "PilotApp", "name": name, "uid": f"uid-of-{name}", "generation": 1}
    metadata = {"name": name, "namespace": NAMESPACE}
    spec = {"owner": owner, "objects": list(objects)}
    return {"apiVersion": "commonweal.dev/v1alpha1", "kind": "Assignment", "metadata": metadata, "spec": spec}


async def assign(world: World, name: str, *objects: Json) -> None:
    await world.hub_admin.apply(ASSIGNMENTS, assignment(name, *objects), field_manager="test")


async def unassign(world: World, name: str) -> None:
    await world.hub_admin.delete(ASSIGNMENTS, name, NAMESPACE)


def present(world: World, resource: ApiResource, name: str, namespace: str = APPS) -> Callable[[], Awaitable[Json]]:
    return lambda: world.member_admin.get(resource, name, namespace)


def absent(world: World, resource: ApiResource, name: str, namespace: str = APPS) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        try:
            await world.member_admin.get(resource, name, namespace)
        except NotFound:
            return True
        return False

    return check


def says(world: World, name: str, kind: str, reason: str, words: str = "") -> Callable[[], Awaitable[Json | None]]:
    async def check() -> Json | None:
        body = await world.hub_admin.get(ASSIGNMENTS, name, NAMESPACE)
        for condition in body.get("status", {}).get("conditions", ()):
            fresh = condition["observedGeneration"] == body["metadata"]["generation"]
            if condition["type"] == kind and condition["reason"] == reason and words in condition["message"] and fresh:
                found: Json = body
                return found
        return None

    return check


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    """A joined agent as a process."""
    world.start_hub()
    async with world.acceptor():
        await world.ensure_joined()
        world.start_agent()
        await world.eventually(world.agent_leads)
        yield world


async def test_what_breaks_a_rule_of_the_charter_is_refused_and_the_hub_reads_the_rules_own_sentence(
    running: World,
) -> None:
    body = deployment("intruder")
    [container] = body["spec"]["template"]["spec"]["containers"]
    container["securityContext"] = {"privileged": True}
    [wanted] = violations([body], Facts())
    await assign(running, "intruder", body)
    await running.eventually(says(running, "intruder", "Ready", "ObjectRefused", wanted.sentence))
    assert await absent(running, DEPLOYMENTS, "intruder")()
    await unassign(running, "intruder")


async def test_objects_are_applied_reported_repaired_and_removed(running: World) -> None:
    world = running
    await assign(world, "trade", deployment("trade", 2), service("trade"), policy("policy-steel"))
    await world.eventually(says(world, "trade", "Applied", "Applied", "3 objects applied"))
    body = await world.eventually(says(world, "trade", "Ready", "Progressing", "0 of 2 replicas ready"))
    assert body
    node_port = (await world.member_admin.get(SERVICES, "trade", APPS))["spec"]["ports"][0]["nodePort"]
    assert body["status"]["endpoints"] == [f"http://127.0.0.1:{node_port}"]

    before = await world.member_admin.get(DEPLOYMENTS, "trade", APPS)
    await world.member_admin.delete(DEPLOYMENTS, "trade", APPS)

    async def healed() -> bool:
        live = await world.member_admin.get(DEPLOYMENTS, "trade", APPS)
        return bool(live["metadata"]["uid"] != before["metadata"]["uid"])

    await world.eventually(healed)
    await world.member_admin.patch(DEPLOYMENTS, "trade", {"spec": {"replicas": 7}}, APPS)

    async def repaired() -> bool:
        return bool((await world.member_admin.get(DEPLOYMENTS, "trade", APPS))["spec"]["replicas"] == 2)

    await world.eventually(repaired)
    await assign(world, "trade", deployment("trade", 0))
    await world.eventually(absent(world, SERVICES, "trade"))
    await world.eventually(absent(world, CONFIG_MAPS, "policy-steel", "commonweal-data"))
    await world.eventually(says(world, "trade", "Ready", "Running", "0 of 0 replicas ready"))
    await unassign(world, "trade")
    await world.eventually(absent(world, DEPLOYMENTS, "trade"))


async def test_what_the_member_does_not_take_is_refused_by_name(running: World) -> None:
    world = running
    await assign(world, "wide", deployment("good"), deployment("bad", namespace="kube-system"))
    words = "Deployment kube-system/bad: this member takes only"
    await world.eventually(says(world, "wide", "Applied", "ObjectRefused", words))
    assert await absent(world, DEPLOYMENTS, "good")()

    invalid = deployment("odd") | {"spec": {"replicas": 1}}
    await assign(world, "odd", invalid)
    await world.eventually(says(world, "odd", "Ready", "ObjectRefused", "Deployment commonweal-apps/odd: "))

    await world.member_admin.apply(CONFIG_MAPS, policy("policy-own"), field_manager="somebody")
    await assign(world, "steal", policy("policy-own"))
    await world.eventually(says(world, "steal", "Applied", "ObjectRefused", "was not made by Commonweal"))
    for name in ("wide", "odd", "steal"):
        await unassign(world, name)
    await asyncio.sleep(1)
    assert await present(world, CONFIG_MAPS, "policy-own", "commonweal-data")()


async def test_orphans_go_when_the_agent_starts_and_nothing_else_does(running: World) -> None:
    world = running
    await assign(world, "gone", deployment("gone"))
    await assign(world, "stays", deployment("stays"))
    for name in ("gone", "stays"):
        await world.eventually(says(world, name, "Applied", "Applied"))
    uid = (await world.member_admin.get(DEPLOYMENTS, "stays", APPS))["metadata"]["uid"]
    await world.member_admin.apply(DEPLOYMENTS, deployment("own"), field_manager="somebody")
    world.kill_agent()
    await unassign(world, "gone")
    world.start_agent()
    await world.eventually(absent(world, DEPLOYMENTS, "gone"))
    assert (await world.member_admin.get(DEPLOYMENTS, "stays", APPS))["metadata"]["uid"] == uid
    assert await present(world, DEPLOYMENTS, "own")()


async def test_a_secret_is_mounted_once_the_member_gives_it_and_taken_away_with_its_label(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world = running
    body = deployment("signs")
    body["spec"]["template"]["spec"]["volumes"] = [{"name": "secret-0", "secret": {"secretName": "signing"}}]
    await assign(world, "signs", body)
    words = "Secret commonweal-apps/signing: this member shows none"
    await world.eventually(says(world, "signs", "Ready", "SecretMissing", words))
    assert await absent(world, DEPLOYMENTS, "signs")()

    command = ["--kubeconfig", str(world.member.kubeconfig), "--pilot", "signs", "--secret", "signing"]
    assert await asyncio.to_thread(main, [*command, "--signing-key", "key.pem"]) == 0
    public = capsys.readouterr().out
    given = Given(pilot="signs", secret="signing", files=signing_key("key.pem"), kept=True)
    held = await give(world.member_admin, given)
    assert held["key.pem.pub"].decode() == public  # one key, kept
    await world.eventually(says(world, "signs", "Applied", "Applied", "1 object applied"))
    template = (await world.member_admin.get(DEPLOYMENTS, "signs", APPS))["spec"]["template"]
    assert template["metadata"]["annotations"]["commonweal.dev/secret-versions"].startswith("signing=")

    with pytest.raises(SiteError, match="is for signs"):
        await give(world.member_admin, replace(given, pilot="other"))
    await world.member_admin.patch(SECRETS, "signing", {"metadata": {"labels": {PILOT_LABEL: None}}}, APPS)
    await world.eventually(says(world, "signs", "Ready", "SecretNotAllowed", "commonweal.dev/pilot=signs"))
    await world.eventually(absent(world, DEPLOYMENTS, "signs"))
    await unassign(world, "signs")


async def test_the_agent_sees_the_secrets_that_were_shown_to_it_and_no_others(running: World) -> None:
    admin = running.member_admin
    await give(admin, Given(pilot="trade", secret="shown", files={"a": b"1"}))
    for namespace in (APPS, "commonweal-system"):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden", "namespace": namespace}}
        await admin.apply(SECRETS, body, field_manager="test")
    async with await Kube.from_kubeconfig(running.agent_kubeconfig) as agent:
        shown = await Mirror(agent).secret("shown")
        assert shown is not None
        assert shown.pilot == "trade"
        assert await Mirror(agent).secret("hidden") is None
        for namespace in (APPS, "commonweal-system"):
            with pytest.raises(Forbidden):
                await agent.get(SECRETS, "hidden", namespace)
        with pytest.raises(Forbidden):
            await agent.list(SECRETS, APPS)


@dataclass
class Link:
    """The network between agent and hub, as a proxy on loopback that can be cut."""

    hub: str
    port: int = 0
    cut: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def up(self) -> AsyncIterator["Link"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.partition()
            server.close()

    def partition(self) -> None:
        self.cut = True
        for writer in self._writers:
            writer.transport.abort()

    def heal(self) -> None:
        self.cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.transport.abort()
            return
        address = urlsplit(self.hub)
        there, back = await asyncio.open_connection(address.hostname, address.port)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer), return_exceptions=True)
        self._writers -= {writer, back}

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def test_a_partition_evicts_nothing_and_work_resumes_after_it(world: World) -> None:
    world.start_hub()
    async with world.acceptor(), Link(world.hub.server).up() as link:
        world.hub_address = f"https://127.0.0.1:{link.port}"
        await world.rejoin("pt")
        world.start_agent(member="pt")
        await world.eventually(world.agent_leads)
        space = "member-pt"
        body = assignment("during", deployment("during"))
        body["metadata"]["namespace"] = space
        await world.hub_admin.apply(ASSIGNMENTS, body, field_manager="test")
        first = await world.eventually(present(world, DEPLOYMENTS, "during"))

        link.partition()
        await world.eventually(lambda: world.agent_said("the hub does not answer"))
        changed = assignment("during", deployment("during", 3))
        changed["metadata"]["namespace"] = space
        await world.hub_admin.apply(ASSIGNMENTS, changed, field_manager="test")
        await asyncio.sleep(5)
        held = await world.member_admin.get(DEPLOYMENTS, "during", APPS)
        assert held["metadata"]["uid"] == first["metadata"]["uid"]
        assert held["spec"]["replicas"] == 1

        link.heal()

        async def resumed() -> bool:
            live = await world.member_admin.get(DEPLOYMENTS, "during", APPS)
            return bool(live["spec"]["replicas"] == 3 and live["metadata"]["uid"] == first["metadata"]["uid"])

        await world.eventually(resumed, 60)
        names = [item["metadata"]["name"] for item in (await world.member_admin.list(DEPLOYMENTS, APPS)).items]
        assert names.count("during") == 1
