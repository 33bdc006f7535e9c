"""Runs controllers: fills the store, queues dirty keys, reconciles while leading, stops in order."""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from operators.frame import watching
from operators.frame.controller import Controller, Reconciler, Tools, Watch
from operators.frame.health import Metrics, Probe, serve
from operators.frame.leader import Leadership, Lease, LostLeadership
from operators.frame.queue import DirtyQueue
from operators.frame.store import Key, Store, key_of
from operators.kube import LEASES, ApiResource, Call, Conflict, Json, Kube, KubeError

log = logging.getLogger(__name__)

TOLD_WITHIN_S = 5.0
STOP_S = 15.0  # a broken connection may keep Kopf from stopping


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an operator process runs. Without a lease it leads at once, which only a single process may do."""

    lease: Lease | None = None
    namespaces: tuple[str, ...] = ()
    concurrency: int = 16
    health_host: str = "127.0.0.1"
    health_port: int = 0
    routes: tuple[web.RouteDef, ...] = ()
    resync_s: float = 60.0
    heartbeat_limit_s: float = 30.0


@dataclass(eq=False)
class Operator:
    """One process. `async with operator.running():` starts it; `stopped` completes if it ends by itself.

    `kube` writes and is fenced by leadership; the lease is renewed over a connection of its own, `lease_kube`.
    """

    controllers: tuple[Controller[Any], ...]
    kube: Kube
    settings: Settings = field(default_factory=Settings)
    lease_kube: Kube | None = None
    clock: Callable[[], datetime] = utc_now
    store: Store = field(default_factory=Store)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        """Wire everything up.

        Raises:
            ValueError: a lease without a connection of its own, or two selections of one kind.
        """
        if self.settings.lease is not None and self.lease_kube in (None, self.kube):
            raise ValueError("a lease is renewed while writes are fenced; give lease_kube a connection of its own")
        self._chosen = watching.selectors(watch for controller in self.controllers for watch in controller.watches)
        if self.settings.lease is not None:
            self._chosen.setdefault(LEASES, "")
        self._queues = {controller.name: DirtyQueue[Key]() for controller in self.controllers}
        self._wake = {controller.name: asyncio.Event() for controller in self.controllers}
        self._marks: dict[ApiResource, list[tuple[str, Watch]]] = {}
        for controller in self.controllers:
            for watch in controller.watches:
                self._marks.setdefault(watch.resource, []).append((controller.name, watch))
        self._synced = False
        self._untold: set[tuple[ApiResource, str]] = set()
        self._told = asyncio.Event()
        self._heard_s = time.monotonic()
        self._resync_now = asyncio.Event()
        self._leading = asyncio.Event()
        self._stop = asyncio.Event()
        self._leadership: Leadership | None = None
        self._outer_hook = self.kube.on_request
        self.kube.on_request = self._fence
        self.health_port = 0
        self.store.compare(self._dirty)

    # -- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until something breaks that a restart has to mend."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        async with self.running() as task:
            stop = asyncio.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if task.done():
                await task

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run in the background; the task ends only with an error. Leaving the block stops everything, in order."""
        probe = Probe(alive=self._why_dead, ready=self._why_not_ready)
        settings = self.settings
        server = await serve(settings.health_host, settings.health_port, probe, self.metrics, settings.routes)
        self.health_port = server.addresses[0][1]
        task = asyncio.create_task(self._run(), name="operator")
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_S)
            if not task.done():
                log.error("the operator did not stop within %s s", STOP_S)
            elif not task.cancelled() and (error := task.exception()) is not None:
                log.error("the operator stopped by itself: %r", error)
            await self._release()
            await server.cleanup()

    async def _run(self) -> None:
        await self._first_lists()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen_forever(), name="listen")
            await self._until_heard()
            for controller in self.controllers:
                group.create_task(self._work(controller), name=f"work {controller.name}")
            group.create_task(self._resync_forever(), name="resync")
            if self.settings.lease is None or self.lease_kube is None:
                self._on_leadership(0)
            else:
                self._leadership = Leadership(self.lease_kube, self.settings.lease, self._on_leadership)
                group.create_task(self._leadership.run(), name="leadership")

    async def _listen_forever(self) -> None:
        """Kopf stops on watch errors that it does not know; what it missed meanwhile, the next list brings."""
        while True:
            try:
                await watching.watch(
                    self.kube,
                    self._chosen,
                    self.settings.namespaces,
                    self.store,
                    listed=self._listed,
                )
            except Exception:
                log.exception("watching stopped; starting again")
            self._resync_now.set()
            await asyncio.sleep(1)

    async def _release(self) -> None:
        """Another process need not wait for the lease to run out; if that fails, it waits."""
        if self._leadership is None:
            return
        try:
            async with asyncio.timeout(3):
                await self._leadership.release()
        except (KubeError, TimeoutError) as error:
            log.warning("the lease was not given back: %s", error or "no answer in time")

    # -- the store ----------------------------------------------------------------------------------------------

    async def _first_lists(self) -> None:
        attempt = 0
        while True:
            try:
                for resource in self._chosen:
                    await self._list(resource)
            except KubeError as error:
                log.warning("cannot list yet: %s", error)
                await asyncio.sleep(min(5.0, 0.5 * 2**attempt))
                attempt += 1
            else:
                return

    async def _until_heard(self) -> None:
        """Until Kopf listed what we did; then list once more, for a deletion between the two lists is never told.

        An object that was deleted in between is not told of, hence the limit.
        """
        self._untold = {
            (resource, body["metadata"]["uid"]) for resource in self._chosen for body in self.store.list(resource)
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN_S if self._untold else 0):
                await self._told.wait()
        self._resync_now.clear()
        await self._resync()
        _spare_the_collector()
        self._synced = True

    def _listed(self, resource: ApiResource, uid: str, *, begins: bool) -> None:
        if begins:
            self._resync_now.set()
        self._untold.discard((resource, uid))
        if not self._untold:
            self._told.set()

    async def _list(self, resource: ApiResource) -> int:
        changed = 0
        namespaces = self.settings.namespaces if resource.namespaced and self.settings.namespaces else (None,)
        for namespace in namespaces:
            listing = await self.kube.list(resource, namespace, labels=self._chosen[resource])
            scope = namespace or ""
            changed += self.store.replace(resource, listing.items, int(listing.resource_version), namespace=scope)
        return changed

    async def _resync_forever(self) -> None:
        """Lists again now and then, because Kopf does not notice deletions that happened while it was away."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.resync_s):
                    await self._resync_now.wait()
            await asyncio.sleep(1)  # let a burst of reasons become one list
            self._resync_now.clear()
            await self._resync()

    async def _resync(self) -> None:
        for resource in self._chosen:
            try:
                if changed := await self._list(resource):
                    self.metrics.resynced.labels(resource.kind).inc(changed)
            except KubeError as error:
                log.warning("resync of %s: %s", resource.plural, error)

    def _dirty(self, resource: ApiResource, body: Json, before: Json | None, writer: object) -> None:
        for name, watch in self._marks.get(resource, ()):
            for key in () if watch.ignores(body, before) else watch.keys(body):
                if (name, key) != writer:
                    self._queues[name].add(key)
                    self._wake[name].set()
        lease = self.settings.lease
        if resource == LEASES and lease is not None and key_of(body) == (lease.namespace, lease.name):
            self._heard_s = time.monotonic()

    # -- leadership ---------------------------------------------------------------------------------------------

    def _on_leadership(self, epoch: int | None) -> None:
        self.metrics.leading.set(0 if epoch is None else 1)
        if epoch is None:
            self._leading.clear()
            return
        self._leading.set()
        for controller in self.controllers:
            for key in getattr(controller, "always", ()):
                self._queues[controller.name].add(key)
        for resource in self._chosen:
            for body in self.store.list(resource):
                self._dirty(resource, body, None, None)

    def _fence(self, call: Call) -> None:
        if call.phase == "before" and call.method != "GET" and self._leadership is not None:
            self._leadership.check()
        if self._outer_hook is not None:
            self._outer_hook(call)

    # -- work ---------------------------------------------------------------------------------------------------

    async def _work(self, controller: Controller[Any]) -> None:
        name = controller.name
        queue, wake = self._queues[name], self._wake[name]
        depth = self.metrics.depth.labels(name)
        tools = Tools(store=self.store, kube=self.kube, clock=self.clock)
        refused = lambda reason: self.metrics.errors.labels(name, reason).inc()  # noqa: E731
        reconcile = Reconciler(controller=controller, tools=tools, refused=refused)
        limit = getattr(controller, "concurrency", self.settings.concurrency)
        running: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()

        def finished(task: asyncio.Task[None]) -> None:
            running.discard(task)
            wake.set()
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s was stopped by %r", task.get_name(), error)

        try:
            while True:
                await self._leading.wait()
                while len(running) < limit and (key := queue.take(loop.time())) is not None:
                    task = asyncio.create_task(self._one(name, reconcile, key), name=f"{name} {key}")
                    running.add(task)
                    task.add_done_callback(finished)
                depth.set(queue.depth)
                wake.clear()
                due_s = queue.next_due_s()
                timer = None if due_s is None else loop.call_at(due_s, wake.set)
                await wake.wait()
                if timer is not None:
                    timer.cancel()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, name: str, reconcile: Reconciler[Any], key: Key) -> None:
        queue, loop = self._queues[name], asyncio.get_running_loop()
        started_s = loop.time()
        try:
            requeue_in_s = await reconcile(key)
            queue.succeeded(key)
            if requeue_in_s is not None:
                queue.add_later(key, loop.time(), requeue_in_s)
        except LostLeadership:
            queue.add_later(key, loop.time(), 1.0)
        except asyncio.CancelledError:
            queue.add(key)
            raise
        except Conflict:
            queue.add_later(key, loop.time(), 0.05)  # our view was old; the newer one is on its way
        except Exception as error:
            reason = type(error).__name__
            self.metrics.errors.labels(name, reason).inc()
            after_s = queue.failed(key, loop.time())
            at = {"controller": name, "namespace": key.namespace, "name": key.name, "reason": reason}
            log.warning("%s; again in %.1f s", error, after_s, extra={"at": at}, exc_info=_unexpected(error))
        finally:
            queue.done(key)
            self.metrics.seconds.labels(name).observe(loop.time() - started_s)

    # -- probes -------------------------------------------------------------------------------------------------

    def idle(self) -> bool:
        """No key waits and none is worked on (delayed ones aside)."""
        return self._synced and all(queue.idle for queue in self._queues.values())

    def _why_dead(self) -> str | None:
        """A watch is dead if the Lease is known to have moved but no event said so; a silent server is no reason."""
        if self.settings.lease is None or self._leadership is None:
            return None
        behind_s = max(0.0, self._leadership.moved_s - self._heard_s)
        self.metrics.heartbeat_age.set(behind_s)
        if behind_s > self.settings.heartbeat_limit_s:
            return f"the watch is dead: lease {self.settings.lease.name} moved {behind_s:.0f} s unheard; restart"
        return None

    def _why_not_ready(self) -> str | None:
        return None if self._synced else "the caches are not filled yet; see the log for what cannot be listed"


def _spare_the_collector() -> None:
    """The cache is here to stay: a full collection would walk all of it, 0.1 s and more at 5,000 objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _unexpected(error: Exception) -> bool:
    """A trace is worth its lines only where the cause is a mistake of ours."""
    return not isinstance(error, KubeError | TimeoutError | OSError)
