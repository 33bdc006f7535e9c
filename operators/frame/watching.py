"""Kopf as the ear: it lists and watches and recovers; every event goes into the store and nowhere else.

Kopf's own handling (annotations, finalizers, progress, events) is switched off. Its caches notice no deletion that
happened while it was disconnected, so the runtime lists again from time to time.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import kopf

from operators.frame.controller import Watch
from operators.frame.store import Store
from operators.kube import ApiResource, Json, Kube


class Listed(Protocol):
    """Hears of each object that Kopf lists; `begins` is true for the first of its kind in a list."""

    def __call__(self, resource: ApiResource, uid: str, *, begins: bool) -> None:
        """Take note."""


class _NoDiff(kopf.DiffBaseStorage):
    """Kopf compares nothing for us; its default would copy every body twice an event."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> Any:  # noqa: ANN401, ARG002 - kopf's signature
        return {}

    def fetch(self, *, body: kopf.Body) -> Any:  # noqa: ANN401, ARG002 - kopf's signature
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:  # noqa: ANN401 - kopf's signature
        """Keep nothing."""


class _NoProgress(kopf.ProgressStorage):
    """We keep no progress on objects: every reconcile starts from what is there."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:  # noqa: ANN401, ARG002 - kopf's signature
        return None

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:  # noqa: ANN401
        """Keep nothing."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:  # noqa: ANN401 - kopf's signature
        """Keep nothing."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Keep nothing."""

    def clear(self, *, essence: Any) -> Any:  # noqa: ANN401 - kopf's signature
        return essence


def selectors(watches: Iterable[Watch]) -> dict[ApiResource, str]:
    """Each watched kind once, with its label selector.

    Raises:
        ValueError: two controllers want different selections of one kind; the store can hold only one.
    """
    chosen: dict[ApiResource, str] = {}
    for watch in watches:
        if chosen.setdefault(watch.resource, watch.labels) != watch.labels:
            raise ValueError(f"{watch.resource.kind} is watched with two label selectors; use one")
    return chosen


def kopf_settings(chosen: dict[ApiResource, str]) -> kopf.OperatorSettings:
    """Kopf with all of its own handling switched off, and these kinds selected by label."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it kills the process 10 min after a watch ends, while others run
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = _NoDiff()
    settings.persistence.progress_storage = _NoProgress()
    settings.persistence.consistency_timeout = 0
    settings.queueing.idle_timeout = 0.5  # a worker is a task an object; 5 s would keep 5,000 alive
    settings.watching.reconnect_backoff = 0.2
    settings.networking.request_timeout = 30
    for resource, labels in chosen.items():
        if labels:
            settings.watching.label_selectors[kopf_selector(resource)] = labels
    return settings


def kopf_selector(resource: ApiResource) -> tuple[str, str, str]:
    """A kind as Kopf names it."""
    return resource.group, resource.version, resource.plural


async def watch(
    kube: Kube,
    chosen: dict[ApiResource, str],
    namespaces: tuple[str, ...],
    store: Store,
    *,
    listed: Listed,
) -> None:
    """Feed the store until cancelled; `listed` is called when Kopf lists, at its start and when it lost its place.

    Kopf runs on a thread with a loop of its own: when it stops it cancels every task of its loop that is younger than
    itself, takes the signals of a main thread, and its streams may swallow a cancellation and wait for ever (kopf issue
    1168). So it is told to stop and not waited for.
    """
    registry = kopf.OperatorRegistry()
    seen: dict[ApiResource, set[str]] = {resource: set() for resource in chosen}
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def take(event: Json, known: ApiResource) -> None:
        if stop.is_set():
            return
        if event["type"] == "DELETED":
            store.remove(known, event["object"])
        else:
            store.put(known, event["object"])
        if event["type"] is None:
            uid = event["object"]["metadata"]["uid"]
            if uid in seen[known]:
                seen[known].clear()
            listed(known, uid, begins=not seen[known])
            seen[known].add(uid)

    def hear(event: Any, resource: kopf.Resource, **_: object) -> bool:  # noqa: ANN401 - kopf's type is private
        """Kopf asks this filter of every event; that its answer is never spares the cost of a handler."""
        _tell(loop, take, event, by_plural[resource.group, resource.plural])
        return False

    by_plural = {(resource.group, resource.plural): resource for resource in chosen}
    for resource in chosen:
        selector = kopf_selector(resource)
        kopf.on.event(*selector, registry=registry, id=f"hear-{resource.plural}", when=hear)(_unheard)
    kopf.on.login(registry=registry)(_login(kube))
    where: dict[str, Any] = {"namespaces": namespaces} if namespaces else {"clusterwide": True}
    operator = kopf.operator(
        registry=registry, settings=kopf_settings(chosen), standalone=True, stop_flag=stop, **where
    )
    ended = _on_a_thread(operator, loop)
    try:
        await ended
    finally:
        stop.set()


def _unheard(**_: object) -> None:
    """What Kopf would call if the filter let anything through."""


def _on_a_thread(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """Run `work` on a loop of its own; the future tells on `loop` how it ended."""
    ended: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            asyncio.new_event_loop().run_until_complete(work)
        except Exception as caught:  # noqa: BLE001 - whatever it is, the waiting side raises it
            error = caught
        _tell(loop, tell, error)

    threading.Thread(target=run, name="kopf", daemon=True).start()
    return ended


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    """Call on another thread's loop; a loop that is closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *arguments)


def _login(kube: Kube) -> Any:  # noqa: ANN401 - kopf's type of a handler is private
    async def login(**_: object) -> kopf.ConnectionInfo:
        known = await kube.credentials()
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            certificate_path=known.certificate_path,
            private_key_path=known.key_path,
            token=known.token,
        )

    return login
