"""A hub with its operator and one member, both real API servers; the agent runs as a process beside them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from commonweal.kinds.member import Engine, Member
from commonweal.membership import SYSTEM_NAMESPACE, Invitation
from infra.local.control_plane import Cluster, local_clusters
from infra.sites.args import MemberSiteArgs
from infra.sites.manifests import site_manifests
from operators.agent.credentials import (
    CREDENTIALS_SECRET,
    IDENTITY_SECRET,
    INVITATION_KEY,
    INVITATION_SECRET,
    HubCredentials,
)
from operators.agent.join import Joiner
from operators.agent.settings import Settings
from operators.agent.vault import Vault
from operators.cli.invitations import hub_address, mint, terms
from operators.hub.setup import apply_all
from operators.kube import SECRETS, Call, Json, Kube, KubeError, custom

EXAMPLES = Path(__file__).parents[3] / "examples"
MEMBERS = custom(Member)
MEMBER = "ke"
T = TypeVar("T")
SITE_KINDS = (
    "ConfigMap",
    "Namespace",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)


def certificate(answer: HubCredentials | str) -> HubCredentials:
    """The credentials, or the sentence about what is missing as an error that `eventually` waits out."""
    if isinstance(answer, HubCredentials):
        return answer
    raise LookupError(answer)


class KilledError(BaseException):
    """The process is gone; nothing may catch this."""


@dataclass
class Death:
    """Counts calls and kills at one of them and at every later one; each counts twice, before and after."""

    at: int
    seen: int = 0

    def __call__(self, call: Call) -> None:
        self.seen += 1
        if self.seen >= self.at:
            raise KilledError(f"{call.phase} {call.method} {call.path}")


@dataclass(eq=False)
class World:
    """Both clusters, as their administrators see them, and what was started."""

    hub: Cluster
    member: Cluster
    agent_kubeconfig: Path
    folder: Path
    hub_admin: Kube
    member_admin: Kube
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    hub_address: str | None = None

    def settings(self, **changes: object) -> Settings:
        values: dict[str, Any] = {
            "member": MEMBER,
            "display_name": "Kenya",
            "country": "KE",
            "node_address": "127.0.0.1",
            "gateway_url": "https://127.0.0.1:30443",
            "engine": "duckdb",
            "heartbeat_s": 1,
            "health_port": 0,
            "exporter_url": "http://127.0.0.1:9",
            "kubeconfig": str(self.agent_kubeconfig),
        }
        return Settings(**(values | changes))

    def start_agent(self, **changes: object) -> subprocess.Popen[bytes]:
        settings = self.settings(**changes)
        values = {f"COMMONWEAL_{name.upper()}": str(value) for name, value in settings if value is not None}
        return self._start("agent", ["-m", "operators.agent"], values)

    def start_hub(self) -> subprocess.Popen[bytes]:
        kubeconfig = str(self.hub.hub_operator_kubeconfig)
        state = str(self.folder / "state")
        arguments = ["-m", "operators.hub", "--kubeconfig", kubeconfig, "--state-dir", state, "--health-port", "0"]
        return self._start("hub", arguments, {})

    def _start(self, name: str, arguments: list[str], values: dict[str, str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, *arguments], env=os.environ | values, stderr=log, stdout=log, cwd=EXAMPLES.parent
        )
        log.close()
        self.processes.append(process)
        return process

    def log(self, name: str = "agent") -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def kill_agent(self) -> None:
        agent = self.processes.pop()
        agent.kill()
        agent.wait(30)

    async def agent_said(self, words: str) -> bool:
        return words in self.log()

    async def agent_leads(self) -> bool:
        return await self.agent_said("leading in epoch")

    async def invite(self, name: str = MEMBER) -> Invitation:
        now = datetime.now(UTC)
        address = await hub_address(self.hub_admin, self.hub_address)
        agreed = await terms(self.hub_admin, name, address, now, 3600)
        return await mint(self.hub_admin, agreed, now)

    async def forget(self) -> None:
        """Make the member new: without identity, certificate and invitation."""
        for secret in (IDENTITY_SECRET, CREDENTIALS_SECRET, INVITATION_SECRET):
            await self.member_admin.delete(SECRETS, secret, SYSTEM_NAMESPACE)

    async def hand_over(self, invitation: Invitation) -> None:
        metadata = {"name": INVITATION_SECRET, "namespace": SYSTEM_NAMESPACE}
        body: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
        body["stringData"] = {INVITATION_KEY: invitation.render()}
        await self.member_admin.apply(SECRETS, body, field_manager="test")

    async def rejoin(self, name: str = MEMBER) -> None:
        """Join as a member that this member's cluster was not before."""
        await self.hub_admin.delete(MEMBERS, name)
        await self.forget()
        await self.hand_over(await self.invite(name))
        await self.join(name)

    async def ensure_joined(self) -> None:
        """Join once; later tests of the same clusters go on with the same certificate."""
        async with self.joiner() as joiner:
            if isinstance(await joiner.attempt(), str):
                await self.rejoin()

    async def accept(self, name: str = MEMBER, *, accepts: bool = True) -> None:
        await self.hub_admin.patch(MEMBERS, name, {"spec": {"hubAccepts": accepts}})

    @asynccontextmanager
    async def joiner(self, name: str = MEMBER, death: Death | None = None) -> AsyncIterator[Joiner]:
        """The agent's own code in this process, over connections that `death` may end."""

        async def connect(config: Mapping[str, Any]) -> Kube:
            kube = await Kube.from_kubeconfig_dict(config)
            kube.on_request = death
            return kube

        async with await Kube.from_kubeconfig(self.agent_kubeconfig) as member_kube:
            member_kube.on_request = death
            yield Joiner(
                settings=self.settings(member=name),
                vault=Vault(kube=member_kube),
                connect=connect,
                clock=lambda: datetime.now(UTC),
            )

    async def join(self, name: str = MEMBER, death: Death | None = None) -> HubCredentials:
        """Attempt until there is a certificate."""
        async with self.joiner(name, death) as joiner:

            async def attempt() -> HubCredentials:
                return certificate(await joiner.attempt())

            return await self.eventually(attempt)

    @asynccontextmanager
    async def acceptor(self) -> AsyncIterator[None]:
        """An administrator who accepts everybody who asks."""

        async def accept_all() -> None:
            while True:
                for body in (await self.hub_admin.list(MEMBERS)).items:
                    if not body["spec"].get("hubAccepts"):
                        await self.accept(body["metadata"]["name"])
                await asyncio.sleep(0.1)

        task = asyncio.create_task(accept_all())
        try:
            yield
        finally:
            task.cancel()

    async def eventually(self, check: Callable[[], Awaitable[T]], within_s: float = 30) -> T:
        """Wait until `check` returns something true; its last error or answer explains a failure."""
        deadline = asyncio.get_running_loop().time() + within_s
        while True:
            answer: T | None = None
            try:
                answer = await check()
                if answer:
                    return answer
                problem = repr(answer)
            except (KubeError, LookupError) as error:
                problem = repr(error)
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{problem} after {within_s} s\n{self.log()[-3000:]}\n{self.log('hub')[-3000:]}")
            await asyncio.sleep(0.1)

    def stop_all(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)
        self.processes.clear()


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Cluster]]:
    with local_clusters(["ch", MEMBER], state_dir=tmp_path_factory.mktemp("clusters")) as running:
        yield running


@pytest.fixture
async def world(clusters: dict[str, Cluster], tmp_path: Path) -> AsyncIterator[World]:
    hub, member = clusters["ch"], clusters[MEMBER]
    async with (
        await Kube.from_kubeconfig(hub.kubeconfig) as hub_admin,
        await Kube.from_kubeconfig(member.kubeconfig) as member_admin,
    ):
        await _set_up_hub(hub_admin)
        kubeconfig = await _set_up_member(member, member_admin, tmp_path)
        made = World(hub, member, kubeconfig, tmp_path, hub_admin, member_admin)
        try:
            yield made
        finally:
            made.stop_all()


async def _set_up_hub(admin: Kube) -> None:
    await apply_all(admin)
    charter = yaml.safe_load((EXAMPLES / "10-charter.yaml").read_text())
    resource = await admin.resource_of(charter["apiVersion"], charter["kind"])
    await admin.apply(resource, charter, field_manager="test")


async def _set_up_member(member: Cluster, admin: Kube, folder: Path) -> Path:
    """What `pulumi up` makes, without the pods; the agent gets its own service account's rights and no more."""
    site = MemberSiteArgs(
        member=MEMBER,
        display_name="Kenya",
        country="KE",
        image="localhost/commonweal/site:test",
        node_address="127.0.0.1",
        engine=Engine.DUCKDB,
        pledge_cpu_millis=2000,
        pledge_memory_mib=4096,
        pledge_gpus=2,
        data_host_path="/var/lib/commonweal",
        grid_zone="KE",
    )
    for body in site_manifests(site):
        if body["kind"] in SITE_KINDS:
            resource = await admin.resource_of(body["apiVersion"], body["kind"])
            await admin.apply(resource, dict(body), field_manager="test")
    token = await admin.request_token(SYSTEM_NAMESPACE, "agent", expires_in_s=7200)
    config = yaml.safe_load(member.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "agent.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
