"""One connection to the hub, from a certificate to its successor: reconcile, report, send readings and use, renew."""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.membership import member_namespace
from operators.agent.assignments import AgentOperator, AssignmentController
from operators.agent.credentials import HubCredentials
from operators.agent.join import MEMBERS, Joiner, explain
from operators.agent.meters import MeterReporter
from operators.agent.mirror import Mirror
from operators.agent.probes import Prober, endpoints
from operators.agent.site import SiteReporter
from operators.agent.use import HUB_WATCHED, UseReporter, applications
from operators.frame import Settings as FrameSettings
from operators.frame.leader import Lease
from operators.kube import Kube, KubeError, Unauthorized

log = logging.getLogger(__name__)

RENEW_RETRY_S = 5.0
UNKNOWN_LIMIT = 3  # refusals in a row before the certificate counts as revoked
LEASE_NAME = "agent"


class ForgottenError(Exception):
    """The hub does not know this certificate any more."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Runs with one certificate; `run` returns when another one has been stored."""

    joiner: Joiner
    identity: Ed25519PrivateKey
    member_kube: Kube
    credentials: HubCredentials
    health_host: str

    async def run(self) -> None:
        """Work until the certificate was renewed, or until something breaks that a new session has to mend."""
        config = self.credentials.kubeconfig()
        async with await self.joiner.connect(config) as hub, await self.joiner.connect(config) as lease_hub:
            mirror, hub_mirror = Mirror(self.member_kube), Mirror(lease_hub, HUB_WATCHED)
            prober = self._prober(hub_mirror)
            watches = await mirror.start()
            operator = self._operator(mirror, hub, lease_hub)
            # What is not a reconcile uses the lease's connection, which leadership does not fence.
            renewal = asyncio.create_task(self._renew(lease_hub))
            tasks = [
                renewal,
                asyncio.create_task(self._site(mirror, lease_hub).run()),
                asyncio.create_task(self._meters(lease_hub, operator).run()),
                asyncio.create_task(self._use(mirror, hub_mirror, operator, prober).run()),
                asyncio.create_task(prober.run()),
                asyncio.create_task(self._watch_hub(lease_hub)),
                *(asyncio.create_task(hub_mirror.run_from_nothing(*place)) for place in hub_mirror.watched),
                *(asyncio.create_task(mirror.run(*place, version)) for place, version in watches.items()),
            ]
            try:
                async with operator.running() as running:
                    await _first_to_end([running, *tasks])
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _operator(self, mirror: Mirror, hub: Kube, lease_hub: Kube) -> AgentOperator:
        settings = self.joiner.settings
        namespace, beat_s = member_namespace(settings.member), settings.heartbeat_s
        controller = AssignmentController(mirror=mirror, member=settings.member, node_address=settings.node_address)
        lease = Lease(
            namespace=namespace,
            name=LEASE_NAME,
            identity=socket.gethostname(),
            duration_s=4 * beat_s,
            give_up_s=3.0 * beat_s,
            renew_s=float(beat_s),
        )
        frame = FrameSettings(
            lease=lease,
            namespaces=(namespace,),
            health_host=self.health_host,
            health_port=settings.health_port,
            heartbeat_limit_s=max(60.0, 12.0 * beat_s),
        )
        operator = AgentOperator((controller,), hub, frame, lease_kube=lease_hub)
        operator.follow(mirror, controller)
        return operator

    def _site(self, mirror: Mirror, hub: Kube) -> SiteReporter:
        return SiteReporter(settings=self.joiner.settings, identity=self.identity, mirror=mirror, hub=hub)

    def _meters(self, hub: Kube, operator: AgentOperator) -> MeterReporter:
        return MeterReporter(
            settings=self.joiner.settings,
            identity=self.identity,
            vault=self.joiner.vault,
            member_kube=self.member_kube,
            hub=hub,
            leads=operator.leads,
        )

    def _prober(self, hub_mirror: Mirror) -> Prober:
        member = self.joiner.settings.member
        return Prober(wanted=lambda: endpoints(member, applications(hub_mirror)), clock=self.joiner.clock)

    def _use(self, mirror: Mirror, hub_mirror: Mirror, operator: AgentOperator, prober: Prober) -> UseReporter:
        return UseReporter(
            member=self.joiner.settings.member,
            identity=self.identity,
            vault=self.joiner.vault,
            mirror=mirror,
            hub_mirror=hub_mirror,
            hub=hub_mirror.kube,
            leads=operator.leads,
            answers=prober.answers,
            clock=self.joiner.clock,
        )

    async def _renew(self, hub: Kube) -> None:
        member = self.joiner.settings.member
        await _sleep_until(self.credentials.renew_at(member), self.joiner.clock)
        said = ""
        while True:
            answer = await self.joiner.renew(hub, self.credentials)
            if isinstance(answer, HubCredentials):
                log.info("the certificate was renewed and lasts until %s", answer.not_after.isoformat())
                return
            if answer != said:
                log.warning("%s", answer)
                said = answer
            # Past its end the certificate renews nothing: a new session finds it expired and says so.
            self.credentials.check(member, self.joiner.clock())
            await asyncio.sleep(RENEW_RETRY_S)

    async def _watch_hub(self, hub: Kube) -> None:
        """Say in plain words, once, what is wrong between this member and the hub, and when it is over.

        Raises:
            ForgottenError: the hub keeps saying that it does not know the certificate.
        """
        said, unknown = "", 0
        while True:
            try:
                await hub.get(MEMBERS, self.joiner.settings.member)
                now, unknown = "", 0
            except KubeError as error:
                now = explain(error, "the certificate")
                unknown = unknown + 1 if isinstance(error, Unauthorized) else 0
                if unknown == UNKNOWN_LIMIT:
                    raise ForgottenError(now) from error
            if now != said:
                log.warning("%s", now) if now else log.info("the hub answers again")
                said = now
            await asyncio.sleep(float(self.joiner.settings.heartbeat_s))


async def _first_to_end(tasks: "list[asyncio.Task[None]]") -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        await task


async def _sleep_until(moment: datetime, clock: Callable[[], datetime]) -> None:
    # In short steps, because the clock may be set meanwhile.
    while (left_s := (moment - clock()).total_seconds()) > 0:  # noqa: ASYNC110 - time, not an event
        await asyncio.sleep(min(left_s, 60.0))
