"""A hub as tests see it: its administrator, its operator in this process, and agents reduced to what the hub sees."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from commonweal.kinds.member import Engine, Site
from commonweal.kinds.meta import Resources
from commonweal.membership import (
    SIGNER,
    USAGES,
    Invitation,
    agent_user,
    identity_key,
    member_group,
    member_namespace,
    sign_join,
    sign_site,
)
from infra.local.control_plane import Cluster
from operators.cli.invitations import hub_address, mint, terms
from operators.frame import Operator
from operators.hub.books import Books
from operators.hub.operator import assemble
from operators.hub.resources import ASSIGNMENTS, CONTRIBUTIONS, MEMBERS, POOLED_CLUSTERS
from operators.hub.settings import HubSettings
from operators.kube import CONFIG_MAPS, CSRS, LEASES, AlreadyExists, Call, Json, Kube, KubeError, NotFound

EXAMPLES = Path(__file__).parents[3] / "examples"
T = TypeVar("T")


@dataclass(eq=False)
class Hub:
    """The hub as its administrator sees it, and its operator as a test starts it."""

    cluster: Cluster
    admin: Kube
    folder: Path
    kubes: list[Kube] = field(default_factory=list)
    hearts: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def operator(
        self,
        *,
        on_request: Callable[[Call], None] | None = None,
        kubeconfig: Path | None = None,
        ahead: timedelta = timedelta(0),
    ) -> AsyncIterator[Operator]:
        kubeconfig = kubeconfig or self.cluster.hub_operator_kubeconfig
        settings = HubSettings(
            kubeconfig=kubeconfig,
            state_dir=self.folder / "state",
            health_host="127.0.0.1",
            health_port=0,
            front_door_host="127.0.0.1",
            front_door_bind="127.0.0.1",
            front_door_first_port=18080,
            front_door_certificate=None,
            front_door_only=False,
            log_origin="test/hub",
            identity="test",
            log_level="INFO",
        )
        books = Books.open(settings.state_dir)
        async with (
            await Kube.from_kubeconfig(kubeconfig) as kube,
            await Kube.from_kubeconfig(kubeconfig) as lease_kube,
        ):
            kube.on_request = on_request
            operator = assemble(settings, kube, lease_kube, books)
            operator.clock = lambda: datetime.now(UTC) + ahead
            try:
                async with operator.running():
                    yield operator
            finally:
                books.close()

    async def apply(self, *bodies: Json) -> None:
        for body in bodies:
            resource = await self.admin.resource_of(body["apiVersion"], body["kind"])
            await self.admin.apply(resource, body, field_manager="test")

    async def example(self, name: str) -> None:
        await self.apply(*yaml.safe_load_all((EXAMPLES / name).read_text()))

    async def invite(self, name: str, valid_s: int = 3600) -> Invitation:
        now = datetime.now(UTC)
        address = await hub_address(self.admin, None)
        return await mint(self.admin, await terms(self.admin, name, address, now, valid_s), now)

    async def accept(self, name: str, *, accepts: bool = True) -> None:
        await self.admin.patch(MEMBERS, name, {"spec": {"hubAccepts": accepts}})

    async def joined(self, name: str, country: str, gpus: int = 4) -> "Agent":
        """A member that is Ready and has pledged."""
        agent = Agent(self, name, country)
        await agent.ask(await self.invite(name))
        await self.accept(name)
        await agent.receive()
        await agent.report()
        self.hearts[name] = asyncio.create_task(agent.beat())
        await self.ready("members", name)
        pledge = {"cpuMillis": 1000, "memoryMib": 2048, "gpus": gpus}
        spec = {"pledge": pledge, "location": {"country": country, "gridZone": country}, "meters": agent.meters()}
        await self.apply(manifest(POOLED_CLUSTERS.kind, "site", spec, namespace=member_namespace(name)))
        return agent

    async def condition(self, plural: str, name: str, kind: str = "Ready", namespace: str | None = None) -> Json:
        path = f"/apis/commonweal.dev/v1alpha1/{f'namespaces/{namespace}/' if namespace else ''}{plural}/{name}"
        conditions = (await self.admin.request("GET", path)).get("status", {}).get("conditions", ())
        return next((dict(each) for each in conditions if each["type"] == kind), {})

    async def ready(
        self, plural: str, name: str, reason: str | None = None, *, status: str = "True", namespace: str | None = None
    ) -> Json:
        async def check() -> Json | None:
            held = await self.condition(plural, name, namespace=namespace)
            fits = held.get("status") == status and reason in (None, held.get("reason"))
            return held if fits else None

        async def explain() -> str:
            return f"{plural}/{name}: {await self.condition(plural, name, namespace=namespace)}"

        return await eventually(check, explain)

    async def serving(self, name: str, *agents: "Agent") -> None:
        """Have agents report every Assignment of a pilot as running, also changed ones, until it serves."""
        await self._until_serving("pilotapps", name, f"pilot-{name}", "Running", agents)

    async def trust_serving(self, name: str, *agents: "Agent") -> None:
        """Have agents report every policy of a trust as applied, also changed ones, until it serves."""
        await self._until_serving("datatrusts", name, f"policy-{name}", "Applied", agents)

    async def _until_serving(
        self, plural: str, name: str, assignment: str, reason: str, agents: "Iterable[Agent]"
    ) -> None:
        async def check() -> bool:
            for agent in agents:
                if await self.assigned(assignment, agent.name):
                    await agent.run(assignment, reason=reason)
            return (await self.condition(plural, name)).get("reason") == "Serving"

        async def explain() -> str:
            return f"{plural}/{name}: {await self.condition(plural, name)}"

        await eventually(check, explain)

    async def assigned(self, name: str, member: str) -> Json | None:
        try:
            return await self.admin.get(ASSIGNMENTS, name, member_namespace(member))
        except NotFound:
            return None


@dataclass(eq=False)
class Agent:
    """What the hub sees of a member's agent."""

    hub: Hub
    name: str
    country: str
    identity: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    kube: Kube | None = None
    csr: str = ""

    @property
    def namespace(self) -> str:
        return member_namespace(self.name)

    def meters(self) -> list[Json]:
        return [{"uuid": f"GPU-{self.name}-0000", "simulated": True}]

    def request_pem(self) -> bytes:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, member_group(self.name)),
                x509.NameAttribute(NameOID.COMMON_NAME, agent_user(self.name)),
            ]
        )
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self.key, hashes.SHA256())
        return request.public_bytes(Encoding.PEM)

    async def ask(self, invitation: Invitation, *, pem: bytes | None = None) -> None:
        """Create the Member and the certificate request, as the invitation allows."""
        pem = pem or self.request_pem()
        async with await self.connect({"token": invitation.token}) as invited:
            spec = {"displayName": self.name, "country": self.country, "identityKey": identity_key(self.identity)}
            with contextlib.suppress(AlreadyExists):
                await invited.create(MEMBERS, manifest("Member", self.name, spec))
            self.csr = f"join-{self.name}-{datetime.now(UTC):%H%M%S%f}"
            annotations = sign_join(self.identity, member=self.name, nonce=invitation.nonce, csr_pem=pem)
            await self._send(invited, pem, annotations)

    async def renew(self) -> None:
        """Ask for another certificate with the one that is held."""
        assert self.kube is not None
        self.csr = f"renew-{self.name}-{datetime.now(UTC):%H%M%S%f}"
        await self._send(self.kube, self.request_pem(), {})

    async def _send(self, kube: Kube, pem: bytes, annotations: dict[str, str]) -> None:
        body: Json = {"apiVersion": CSRS.api_version, "kind": CSRS.kind}
        body["metadata"] = {"name": self.csr, "annotations": annotations}
        body["spec"] = {
            "request": base64.b64encode(pem).decode(),
            "signerName": SIGNER,
            "usages": list(USAGES),
            "expirationSeconds": 3600,
        }
        await kube.create(CSRS, body)

    async def decision(self) -> Json:
        async def check() -> Json | None:
            conditions = (await self.hub.admin.get(CSRS, self.csr)).get("status", {}).get("conditions", ())
            return dict(conditions[0]) if conditions else None

        return await eventually(check)

    async def receive(self) -> None:
        """Wait for the certificate and connect with it."""

        async def check() -> str | None:
            status = (await self.hub.admin.get(CSRS, self.csr)).get("status", {})
            certificate: str | None = status.get("certificate")
            return certificate

        certificate = await eventually(check)
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        user = {"client-certificate-data": certificate, "client-key-data": base64.b64encode(key).decode()}
        self.kube = await self.connect(user)
        self.hub.kubes.append(self.kube)

    async def connect(self, user: Json) -> Kube:
        config = yaml.safe_load(self.hub.cluster.kubeconfig.read_text())
        config["users"][0]["user"] = user
        return await Kube.from_kubeconfig_dict(config)

    def site(self) -> Site:
        return Site(
            gateway_url=f"https://{self.name}.example:30443",
            gateway_certificate_pem=f"certificate of {self.name}",
            issuer=f"https://{self.name}.example",
            jwks='{"keys":[]}',
            engine=Engine.DUCKDB,
            node_address=f"{self.name}.example",
            allocatable=Resources(cpu_millis=4000, memory_mib=8192, gpus=8),
            agent_version="0.1.0",
            kubernetes_version="v1.37.2",
        )

    async def report(self) -> None:
        """Site and heartbeat; waits for the namespace, which comes with acceptance."""
        text, signature = sign_site(self.identity, member=self.name, site=self.site())
        body = manifest("ConfigMap", "site", None, namespace=self.namespace, api_version="v1")
        body["data"] = {"site.json": text, "site.json.sig": signature}

        async def send() -> bool:
            assert self.kube is not None
            try:
                await self.kube.create(CONFIG_MAPS, body, self.namespace)
            except AlreadyExists:
                await self.kube.patch(CONFIG_MAPS, "site", {"data": body["data"]}, self.namespace)
            return True

        await eventually(send)
        await self.heartbeat()

    async def beat(self) -> None:
        """Live on; a member whose rights were withdrawn goes on trying."""
        while True:
            await asyncio.sleep(2)
            with contextlib.suppress(KubeError):
                await self.heartbeat()

    async def heartbeat(self) -> None:
        assert self.kube is not None
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self.name, "renewTime": now, "leaseDurationSeconds": 15}
        body = manifest("Lease", "agent", spec, namespace=self.namespace, api_version=LEASES.api_version)
        try:
            await self.kube.create(LEASES, body, self.namespace)
        except AlreadyExists:
            await self.kube.patch(LEASES, "agent", {"spec": spec}, self.namespace)

    async def run(self, name: str, *, ready: bool = True, reason: str = "Running", message: str = "") -> Json:
        """Wait for an Assignment and report on it as an agent that has applied it."""

        async def check() -> Json | None:
            return await self.hub.assigned(name, self.name)

        async def explain() -> str:
            held = {kind: await self.hub.condition("members", self.name, kind) for kind in ("Ready", "Reachable")}
            return f"no Assignment {name} of {self.name}; {held}"

        body = await eventually(check, explain)
        deployments = [each for each in body["spec"]["objects"] if each["kind"] == "Deployment"]
        replicas = deployments[0]["spec"]["replicas"] if deployments else 0
        generation = body["metadata"]["generation"]
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "observedGeneration": generation,
        }
        status: Json = {"observedGeneration": generation, "conditions": [condition]}
        if deployments:
            status |= {"readyReplicas": replicas if ready else 0, "endpoints": [f"http://{self.name}.example:30080"]}
        assert self.kube is not None
        return await self.kube.patch(ASSIGNMENTS, name, {"status": status}, self.namespace, subresource="status")


def manifest(
    kind: str,
    name: str,
    spec: Json | None,
    *,
    namespace: str | None = None,
    api_version: str = "commonweal.dev/v1alpha1",
) -> Json:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | ({"spec": spec} if spec else {})


async def eventually(
    check: Callable[[], Awaitable[T | None]], explain: Callable[[], Awaitable[str]] | None = None, within_s: float = 30
) -> T:
    """Wait until `check` returns something true; its last error or answer explains a failure."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        answer: T | None = None
        problem = ""
        try:
            answer = await check()
        except KubeError as error:
            problem = repr(error)
        if answer:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            said = await explain() if explain else repr(answer)
            raise AssertionError(f"after {within_s} s: {problem or said}")
        await asyncio.sleep(0.05)


async def clean(hub: Hub) -> None:
    """Leave the hub as it was, without any operator's help."""
    for heart in hub.hearts.values():
        heart.cancel()
    await asyncio.gather(*hub.hearts.values(), return_exceptions=True)
    for plural in ("emergencyaccesses", "pilotapps", "datagrants", "datatrusts", "equitystatements", "members"):
        await hub.admin.request("DELETE", f"/apis/commonweal.dev/v1alpha1/{plural}")
    for csr in (await hub.admin.list(CSRS)).items:
        await hub.admin.delete(CSRS, csr["metadata"]["name"])
    for resource in (ASSIGNMENTS, POOLED_CLUSTERS, CONTRIBUTIONS):
        for body in (await hub.admin.list(resource)).items:
            await hub.admin.delete(resource, body["metadata"]["name"], body["metadata"]["namespace"])
    for resource in (CONFIG_MAPS, LEASES):
        for body in (await hub.admin.list(resource)).items:
            metadata = body["metadata"]
            if metadata["namespace"].startswith("member-") and metadata["name"] != "kube-root-ca.crt":
                await hub.admin.delete(resource, metadata["name"], metadata["namespace"])


class Killed(BaseException):
    """The process is gone: nothing catches this, and nothing is written after it."""


@dataclass(eq=False)
class Killer:
    """Stops an operator before or after its n-th write; from then on every call of it fails."""

    at: int
    phase: Literal["before", "after"]
    writes: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, call: Call) -> None:
        if self.dead.is_set():
            raise Killed
        if call.method == "GET":
            return
        self.writes += call.phase == "before"
        if self.writes == self.at and call.phase == self.phase:
            self.dead.set()
            raise Killed
