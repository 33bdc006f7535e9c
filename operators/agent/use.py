"""Tells the hub what applications used: as provider of the pods here, as consumer of what the hub shows of one's own.

The two looks share nothing but the rule in commonweal/use.py: a claim comes from this member's pods, a receipt from
the ready replicas of applications that this member sponsors, wherever they run, as long as they answer it (probes.py).
Neither is told what the other counts.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.kinds.consortium import Consortium
from commonweal.kinds.meta import Resources
from commonweal.kinds.pilot_app import PILOT_LABEL, PilotApp
from commonweal.membership import member_namespace
from commonweal.receipts import Side, Usage, signed_bytes
from commonweal.use import Job, Reserved, Tally, closed, looked, total, without_closed
from operators.agent.mirror import Mirror
from operators.agent.rollout import APPS_NAMESPACE, MANAGED_BY
from operators.agent.site import resources
from operators.agent.vault import Vault
from operators.kube import CONFIG_MAPS, PODS, AlreadyExists, ApiResource, Json, Kube, KubeError, custom

log = logging.getLogger(__name__)

PILOT_APPS, CONSORTIUMS = custom(PilotApp), custom(Consortium)
HUB_WATCHED: tuple[tuple[ApiResource, str], ...] = ((PILOT_APPS, ""), (CONSORTIUMS, ""))
LOOK_S = 1.0
KEEP_S = 10.0  # as often as a node renews its lease; a crash forgets at most so much


def applications(hub_mirror: Mirror) -> list[PilotApp]:
    """Every application, as the hub shows it."""
    return [PilotApp.read(body) for body in hub_mirror.store.list(PILOT_APPS)]


def given(member: str, pods: Iterable[Json], apps: Iterable[PilotApp]) -> tuple[Reserved, ...]:
    """What applications hold of this member's machines: the requests of their ready pods."""
    sponsors = {app.metadata.name: app.spec.sponsor for app in apps}
    return total(
        Reserved(
            job=Job(provider=member, consumer=sponsors[name], name=name),
            gpu_millis=1000 * asked.gpus,
            cpu_millis=asked.cpu_millis,
        )
        for name, asked in _asked(pods)
        if name in sponsors
    )


def _asked(pods: Iterable[Json]) -> Iterator[tuple[str, Resources]]:
    """Each container's requests, by application, of the pods that are ready."""
    for pod in pods:
        name = pod["metadata"].get("labels", {}).get(PILOT_LABEL)
        conditions = pod.get("status", {}).get("conditions", ())
        if name and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            for container in pod["spec"]["containers"]:
                yield name, resources(container.get("resources", {}).get("requests", {}))


def received(member: str, apps: Iterable[PilotApp], answers: Callable[[str], bool]) -> tuple[Reserved, ...]:
    """What this member's own applications hold anywhere: what a replica needs, and of others where an address answers.

    On its own machines it would only ask itself.
    """
    return tuple(
        Reserved(
            job=Job(provider=placement.member, consumer=member, name=app.metadata.name),
            gpu_millis=1000 * app.spec.resources.gpus * placement.ready_replicas,
            cpu_millis=app.spec.resources.cpu_millis * placement.ready_replicas,
        )
        for app in apps
        if app.spec.sponsor == member and app.status is not None
        for placement in app.status.placements
        if placement.member == member or any(map(answers, placement.endpoints))
    )


def config_map(side: Side, usage: Usage, identity: Ed25519PrivateKey) -> Json:
    """A signed usage as the hub takes it: `usage.json` are the exact bytes that were signed."""
    payload, signer = usage.payload(), usage.signer(side)
    other = usage.consumer if side is Side.CLAIM else usage.provider
    unit, start_s = usage.unit.replace("_", "-"), int(usage.period_start.timestamp())
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": f"{side}-{other}-{usage.job}-{unit}-{start_s}",
            "namespace": member_namespace(signer),
            "labels": {MANAGED_BY: "commonweal"},
        },
        "data": {
            "usage.json": payload.decode(),
            "usage.json.sig": base64.b64encode(identity.sign(signed_bytes(side, payload))).decode(),
        },
    }


@dataclass(eq=False, kw_only=True)
class UseReporter:
    """Looks once a second at both sides, keeps the tallies, and sends what is over."""

    member: str
    identity: Ed25519PrivateKey
    vault: Vault
    mirror: Mirror
    hub_mirror: Mirror
    hub: Kube
    leads: Callable[[], bool]
    answers: Callable[[str], bool]
    clock: Callable[[], datetime]
    _tallies: dict[Side, Tally] | None = field(default=None, init=False)
    _kept_at: datetime | None = field(default=None, init=False)

    async def run(self) -> None:
        """Look for ever; the hub's or the member's silence is logged once and tried again."""
        said = ""
        while True:
            try:
                if self.leads():
                    await self.look()
                said = ""
            except KubeError as error:
                if str(error) != said:
                    log.warning("use waits: %s", error)
                said = str(error)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look at both sides; what it closes is kept before it is sent, so that it is sent as it was kept."""
        if (period_s := self._period_s()) is None:
            return
        now = self.clock()
        before = self._tallies if self._tallies is not None else await self._stored()
        apps = applications(self.hub_mirror)
        pods = self.mirror.store.list(PODS, APPS_NAMESPACE)
        seen = {Side.CLAIM: given(self.member, pods, apps), Side.RECEIPT: received(self.member, apps, self.answers)}
        self._tallies = {side: looked(before[side], seen[side], now, period_s=period_s) for side in Side}
        over = [(side, usage) for side in Side for usage in closed(self._tallies[side])]
        if over or self._kept_at is None or (now - self._kept_at).total_seconds() >= KEEP_S:
            await self._keep(now)
        for side, usage in over:
            await self._send(side, usage)
        if over:
            self._tallies = {side: without_closed(tally) for side, tally in self._tallies.items()}
            await self._keep(now)

    def _period_s(self) -> int | None:
        body = self.hub_mirror.store.get(CONSORTIUMS, "charter")
        return Consortium.read(body).spec.accounting.period_seconds if body else None

    async def _stored(self) -> dict[Side, Tally]:
        texts = await self.vault.use()
        return {side: Tally.model_validate_json(texts[side]) if side in texts else Tally() for side in Side}

    async def _keep(self, now: datetime) -> None:
        await self.vault.keep_use({side: tally.model_dump_json() for side, tally in (self._tallies or {}).items()})
        self._kept_at = now

    async def _send(self, side: Side, usage: Usage) -> None:
        body = config_map(side, usage, self.identity)
        try:
            await self.hub.create(CONFIG_MAPS, body, member_namespace(self.member))
        except AlreadyExists:
            log.info("%s was sent before", body["metadata"]["name"])
