"""Who may write: one process at a time, by a Lease whose number of transitions is the epoch.

A leader that could not renew stops by its own clock before anyone else may take over; what it still tries to write is
refused by `check`. Others' clocks are never compared: a Lease counts as expired when this process has seen it
unchanged for its whole duration (the rule of client-go's leaderelection).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from operators.kube import LEASES, Conflict, Json, Kube, KubeError, NotFound

log = logging.getLogger(__name__)


class LostLeadership(Exception):  # noqa: N818 - named by what happened
    """Not allowed to write any more: another process leads, or will."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Where the lease lives, and its times in seconds; renew < give up < duration."""

    namespace: str
    name: str
    identity: str
    duration_s: int = 15
    give_up_s: float = 10.0
    renew_s: float = 2.0


@dataclass(eq=False)
class Leadership:
    """The state of one candidate. `epoch` is the Lease's leaseTransitions while this process leads, else None."""

    kube: Kube
    lease: Lease
    changed: Callable[[int | None], None]
    monotonic: Callable[[], float] = time.monotonic
    epoch: int | None = None
    moved_s: float = 0.0  # when the Lease was last seen to change, on `monotonic`
    _valid_until_s: float = 0.0
    _seen_version: str = ""

    def check(self) -> int:
        """The epoch under which a write may go out now.

        Raises:
            LostLeadership: this process does not lead, or could not prove it for too long.
        """
        if self.epoch is None or self.monotonic() >= self._valid_until_s:
            raise LostLeadership(f"{self.lease.identity} does not hold lease {self.lease.name}; it writes nothing")
        return self.epoch

    async def run(self) -> None:
        """Try to lead, and keep leading, until cancelled."""
        while True:
            started_s = self.monotonic()
            left_s = self._valid_until_s - started_s
            try:
                async with asyncio.timeout(self.lease.give_up_s if self.epoch is None else max(0.0, left_s)):
                    epoch = await self._acquire_or_renew()
            except (KubeError, TimeoutError) as error:
                log.warning("lease %s: %s", self.lease.name, error or "no answer in time")
                epoch = self.epoch if self.monotonic() < self._valid_until_s else None
            else:
                if epoch is not None:
                    self._valid_until_s = started_s + self.lease.give_up_s
            self._set(epoch)
            await asyncio.sleep(self.lease.renew_s)

    async def release(self) -> None:
        """Hand over at once, when this process ends in order. Its last renewal may still arrive, hence a second try."""
        self._set(None)
        for _ in range(3):
            live = await self.kube.get(LEASES, self.lease.name, self.lease.namespace)
            if live["spec"].get("holderIdentity") != self.lease.identity:
                return
            live["spec"]["holderIdentity"] = ""
            with contextlib.suppress(Conflict):
                await self.kube.replace(LEASES, live)
                return

    def _set(self, epoch: int | None) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            log.info("leading in epoch %s", epoch) if epoch is not None else log.info("standing by")
            self.changed(epoch)

    async def _acquire_or_renew(self) -> int | None:
        try:
            live = await self.kube.get(LEASES, self.lease.name, self.lease.namespace)
        except NotFound:
            return self._won(await self._create())
        if not self._may_take(live):
            return None
        try:
            return self._won(await self.kube.replace(LEASES, self._taken(live)))
        except Conflict:
            return None

    async def _create(self) -> Json | None:
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "spec": self._spec(0, None)}
        body["metadata"] = {"name": self.lease.name, "namespace": self.lease.namespace}
        try:
            return await self.kube.create(LEASES, body, self.lease.namespace)
        except Conflict:
            return None

    def _won(self, live: Json | None) -> int | None:
        if live is None:
            return None
        self._see(live)
        return int(live["spec"]["leaseTransitions"])

    def _see(self, live: Json) -> None:
        if live["metadata"]["resourceVersion"] != self._seen_version:
            self._seen_version, self.moved_s = live["metadata"]["resourceVersion"], self.monotonic()

    def _may_take(self, live: Json) -> bool:
        self._see(live)
        spec = live["spec"]
        if not spec.get("holderIdentity") or spec["holderIdentity"] == self.lease.identity:
            return True
        duration_s = spec.get("leaseDurationSeconds", self.lease.duration_s)
        return bool(self.monotonic() >= self.moved_s + duration_s)

    def _taken(self, live: Json) -> Json:
        held = live["spec"]
        renewing = held.get("holderIdentity") == self.lease.identity and self.epoch is not None
        transitions = int(held.get("leaseTransitions", 0)) + (0 if renewing else 1)
        return live | {"spec": self._spec(transitions, held.get("acquireTime") if renewing else None)}

    def _spec(self, transitions: int, acquired_at: str | None) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self.lease.identity,
            "leaseDurationSeconds": self.lease.duration_s,
            "acquireTime": acquired_at or now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
