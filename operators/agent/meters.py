"""Carries the exporters' measurements to the hub: chains each to the one before, signs it, and sends it once.

The head of every chain is stored before its reading is sent, so that no restart ever signs two readings of one
sequence.
"""

import asyncio
import base64
import json
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from commonweal.membership import SYSTEM_NAMESPACE, member_namespace
from commonweal.metering import Measurement, Reading, adopt, signed_bytes
from operators.agent.rollout import MANAGED_BY
from operators.agent.settings import Settings
from operators.agent.vault import Vault
from operators.kube import CONFIG_MAPS, PODS, AlreadyExists, Json, Kube, KubeError

log = logging.getLogger(__name__)

EXPORTER_PORT = 9400
EXPORTER_LABELS = "app.kubernetes.io/name=exporter"
METER_LABEL = "commonweal.dev/meter"
POLL_S = 5.0
BEYOND_ALL = "9" * 18  # the highest sequence that an exporter takes


class MeterError(Exception):
    """An exporter's answer cannot be used; the message says which exporter and why."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The last signed reading of a meter, and whether the hub surely has it."""

    reading: Reading
    sent: bool


def extend(heads: Mapping[str, Head], measurements: Iterable[Measurement], member: str) -> Iterator[Reading]:
    """The readings that come next in the chains, in the order in which they must be sent.

    Raises:
        MeterError: a measurement leaves a gap; signing it would break the chain for good.
    """
    last = {meter: head.reading for meter, head in heads.items()}
    for measurement in sorted(measurements, key=lambda one: (one.sequence, one.meter)):
        previous = last.get(measurement.meter)
        expected = previous.sequence + 1 if previous else 1
        if measurement.sequence < expected:
            continue
        if measurement.sequence > expected:
            raise MeterError(
                f"meter {measurement.meter}: the exporter continues at {measurement.sequence}, the chain at "
                f"{expected}; restore the exporter's state directory"
            )
        last[measurement.meter] = adopt(measurement, member=member, previous=previous)
        yield last[measurement.meter]


def config_map(reading: Reading, identity: Ed25519PrivateKey) -> Json:
    """A signed reading as the hub takes it: `reading.json` are the exact bytes that were signed."""
    payload = reading.payload()
    meter = reading.meter.lower()
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            "name": f"reading-{meter}-{reading.sequence}",
            "namespace": member_namespace(reading.member),
            "labels": {MANAGED_BY: "commonweal", METER_LABEL: meter},
        },
        "data": {
            "reading.json": payload.decode(),
            "reading.json.sig": base64.b64encode(identity.sign(signed_bytes(payload))).decode(),
        },
    }


def stored_heads(texts: Mapping[str, str]) -> dict[str, Head]:
    """Read the heads as the vault keeps them."""
    heads = {}
    for meter, text in texts.items():
        entry = json.loads(text)
        heads[meter] = Head(reading=Reading.model_validate_json(entry["payload"]), sent=entry["sent"])
    return heads


def _texts(heads: Mapping[str, Head]) -> dict[str, str]:
    return {
        meter: json.dumps({"payload": head.reading.payload().decode(), "sent": head.sent})
        for meter, head in heads.items()
    }


@dataclass(eq=False, kw_only=True)
class MeterReporter:
    """Polls every exporter of the site and keeps the chains."""

    settings: Settings
    identity: Ed25519PrivateKey
    vault: Vault
    member_kube: Kube
    hub: Kube
    leads: Callable[[], bool]
    _heads: dict[str, Head] | None = field(default=None, init=False)
    _said: dict[str, str] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Poll for ever; errors are logged once and tried again."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            while True:
                if self.leads():
                    await self._telling("readings", self.poll(http))
                await asyncio.sleep(POLL_S)

    async def poll(self, http: aiohttp.ClientSession) -> None:
        """One round over all exporters; a meter that is in trouble does not keep the others from reporting."""
        if self._heads is None:
            self._heads = stored_heads(await self.vault.chains())
        heads = self._heads
        await self._send_unsent(heads)
        for url in await self._exporters():
            for meter, last in sorted((await self._meters(http, url)).items(), key=_outermost_first):
                if last > _sequence(heads, meter):
                    await self._telling(f"readings of {meter}", self._follow(http, url, meter, heads))

    async def _telling(self, what: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (KubeError, MeterError, aiohttp.ClientError, TimeoutError) as error:
            words = str(error) or type(error).__name__
            if self._said.get(what) != words:
                log.warning("%s wait: %s", what, words)
            self._said[what] = words
        else:
            self._said.pop(what, None)

    async def _follow(self, http: aiohttp.ClientSession, url: str, meter: str, heads: dict[str, Head]) -> None:
        answer = await self._ask(http, url, {"after": str(_sequence(heads, meter)), "meter": meter})
        try:
            measurements = [Measurement.model_validate_json(json.dumps(item)) for item in answer["readings"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise MeterError(f"exporter {url}: {error}; agent and exporter must be of one version") from None
        for reading in extend(dict(heads), measurements, self.settings.member):
            heads[meter] = Head(reading=reading, sent=False)
            await self.vault.keep_chains(_texts(heads))
            await self._send_unsent(heads)

    async def _send_unsent(self, heads: dict[str, Head]) -> None:
        unsent = [head for head in heads.values() if not head.sent]
        for head in unsent:
            try:
                await self.hub.create(
                    CONFIG_MAPS, config_map(head.reading, self.identity), member_namespace(self.settings.member)
                )
            except AlreadyExists:
                log.info("reading %s of %s was sent before", head.reading.sequence, head.reading.meter)
            heads[head.reading.meter] = replace(head, sent=True)
        if unsent:
            await self.vault.keep_chains(_texts(heads))

    async def _exporters(self) -> list[str]:
        if self.settings.exporter_url:
            return [self.settings.exporter_url.rstrip("/")]
        pods = await self.member_kube.list(PODS, SYSTEM_NAMESPACE, labels=EXPORTER_LABELS)
        addresses = sorted(pod["status"]["podIP"] for pod in pods.items if pod.get("status", {}).get("podIP"))
        return [f"http://{address}:{EXPORTER_PORT}" for address in addresses]

    async def _meters(self, http: aiohttp.ClientSession, url: str) -> dict[str, int]:
        """Each meter of an exporter with its last sequence, and no readings."""
        answer = await self._ask(http, url, {"after": BEYOND_ALL})
        if not isinstance(answer.get("meters"), dict):
            raise MeterError(f"exporter {url}: names no meters; agent and exporter must be of one version")
        meters: dict[str, int] = answer["meters"]
        return meters

    async def _ask(self, http: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> dict[str, Any]:
        async with http.get(f"{url}/readings", params=query) as response:
            answer: dict[str, Any] = await response.json()
            if response.status != 200:
                raise MeterError(f"exporter {url}: {answer.get('error', response.status)}")
            return answer


def _outermost_first(meter: tuple[str, int]) -> tuple[bool, str]:
    """What is inside a node or a facility waits at the hub for the meter around it."""
    return not meter[0].startswith(("NODE-", "FACILITY-")), meter[0]


def _sequence(heads: Mapping[str, Head], meter: str) -> int:
    return heads[meter].reading.sequence if meter in heads else 0
