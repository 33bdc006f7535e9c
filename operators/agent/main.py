"""The agent's process: join, work with the certificate, and again with its successor, until it is told to end."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from operators.agent.credentials import CredentialsError, HubCredentials
from operators.agent.join import Joiner
from operators.agent.session import ForgottenError, Session
from operators.agent.settings import Settings, SettingsError, read_settings
from operators.agent.vault import Vault
from operators.frame.health import Metrics, Probe, log_as_json, serve
from operators.kube import Kube, KubeError

log = logging.getLogger(__name__)

HEALTH_HOST = "0.0.0.0"  # noqa: S104 - the kubelet probes the pod's own address
RETRY_S = 1.0
FORGET_REFUSAL_S = 60.0  # a hub that was only confused for a while is tried again


@dataclass(eq=False)
class Agent:
    """One member's agent. `why_not_ready` is what it waits for, in words for the readiness probe."""

    settings: Settings
    joiner: Joiner
    member_kube: Kube
    why_not_ready: str = "starting"

    async def run(self) -> None:
        """Run for ever; only mistakes of ours and a health port in use end it."""
        refused, refused_at = "", datetime.now(UTC)
        while True:
            if (self.joiner.clock() - refused_at).total_seconds() > FORGET_REFUSAL_S:
                refused = ""
            credentials = await self._joined(refused)
            try:
                await self._work(credentials)
            except ForgottenError:
                refused, refused_at = credentials.certificate_pem, self.joiner.clock()
            except (KubeError, CredentialsError) as error:
                log.warning("%s", error)
                await asyncio.sleep(RETRY_S)

    async def _work(self, credentials: HubCredentials) -> None:
        log.info("joined; the certificate lasts until %s", credentials.not_after.isoformat())
        session = Session(
            joiner=self.joiner,
            identity=await self.joiner.vault.identity(),
            member_kube=self.member_kube,
            credentials=credentials,
            health_host=HEALTH_HOST,
        )
        await session.run()

    async def _joined(self, refused: str) -> HubCredentials:
        """Wait until there is a usable certificate; healthy but not ready meanwhile."""
        deadline = self.joiner.clock().timestamp() + FORGET_REFUSAL_S
        probe = Probe(alive=lambda: None, ready=lambda: self.why_not_ready)
        server = await serve(HEALTH_HOST, self.settings.health_port, probe, Metrics())
        try:
            while True:
                known = refused if self.joiner.clock().timestamp() < deadline else ""
                answer = await self._attempt(known)
                if isinstance(answer, HubCredentials):
                    return answer
                if answer != self.why_not_ready:
                    log.warning("%s", answer)
                    self.why_not_ready = answer
                await asyncio.sleep(RETRY_S)
        finally:
            await server.cleanup()

    async def _attempt(self, refused: str) -> HubCredentials | str:
        try:
            return await self.joiner.attempt(refused)
        except CredentialsError as error:
            return str(error)
        except KubeError as error:
            return f"this member's own API server: {error.message}"


async def _connect(config: Mapping[str, Any]) -> Kube:
    return await Kube.from_kubeconfig_dict(config)


def _now() -> datetime:
    return datetime.now(UTC)


async def run_agent(settings: Settings) -> None:
    """Run the agent of one member until it is cancelled."""
    if settings.kubeconfig:
        kube = await Kube.from_kubeconfig(settings.kubeconfig)
    else:
        kube = await Kube.in_cluster()
    async with kube:
        joiner = Joiner(settings=settings, vault=Vault(kube=kube), connect=_connect, clock=_now)
        await Agent(settings=settings, joiner=joiner, member_kube=kube).run()


def main() -> int:
    """Read the environment and run; SIGTERM and SIGINT end it in order."""
    log_as_json()
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - the message says all; a trace would hide it
        return 2
    try:
        asyncio.run(_until_told(settings))
    except Exception:
        log.exception("the agent stopped")
        return 1
    return 0


async def _until_told(settings: Settings) -> None:
    """Run the agent until it ends by itself, with an error, or a signal ends it."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    agent, stop = asyncio.create_task(run_agent(settings)), asyncio.create_task(told.wait())
    await asyncio.wait({agent, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if agent.done():
        await agent
    agent.cancel()
    await asyncio.wait({agent})
