"""What a cluster holds of what the agent looks after: a watch cache that survives lost connections.

Kopf listens to the hub's Assignments; for the rest a list and a watch a kind are enough, and they end with the task
that runs them.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from operators.agent.pilot_secrets import HeldSecret, held_secret
from operators.agent.rollout import ALLOWED, APPS_NAMESPACE, DATA_NAMESPACE, Ref, assignment_of
from operators.frame import Store
from operators.kube import CONFIG_MAPS, PODS, SECRETS, ApiResource, Forbidden, Json, Kube, KubeError, NotFound

log = logging.getLogger(__name__)

WATCHED: tuple[tuple[ApiResource, str], ...] = (
    *((resource, namespace) for (_, _, namespace), resource in ALLOWED.items()),
    (PODS, APPS_NAMESPACE),
)
RECONNECT_S = 1.0
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"  # names, labels and versions, no content


@dataclass(eq=False)
class Mirror:
    """The store, filled; `start` lists everything once, `run` keeps up with one kind for ever."""

    kube: Kube
    watched: tuple[tuple[ApiResource, str], ...] = WATCHED
    store: Store = field(default_factory=Store)
    _made: dict[str, set[Ref]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.store.listen(self._note)

    async def start(self) -> dict[tuple[ApiResource, str], str]:
        """List everything once; returns where each watch goes on.

        Raises:
            KubeError: the member's API server does not answer, or refuses.
        """
        return {place: await self.relist(*place) for place in self.watched}

    async def run(self, resource: ApiResource, namespace: str, version: str) -> None:
        """Keep up with one kind in one namespace; after a lost connection everything is listed again."""
        while True:
            try:
                async for event in self.kube.watch(resource, namespace, resource_version=version):
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type == "DELETED":
                        self.store.remove(resource, event.object)
                    elif event.type != "BOOKMARK":
                        self.store.put(resource, event.object)
            except KubeError as error:
                log.info("watching %s in %s: %s; listing again", resource.plural, namespace, error)
                await asyncio.sleep(RECONNECT_S)
                version = await self._list_until_answered(resource, namespace)

    async def run_from_nothing(self, resource: ApiResource, namespace: str) -> None:
        """Keep up with one kind that may not be readable yet."""
        await self.run(resource, namespace, await self._list_until_answered(resource, namespace))

    async def _list_until_answered(self, resource: ApiResource, namespace: str) -> str:
        said = ""
        while True:
            try:
                return await self.relist(resource, namespace)
            except KubeError as error:
                if str(error) != said:
                    log.warning("listing %s in %s: %s", resource.plural, namespace or "all namespaces", error)
                said = str(error)
                await asyncio.sleep(RECONNECT_S)

    async def relist(self, resource: ApiResource, namespace: str) -> str:
        """List one kind anew; returns where its watch goes on.

        Raises:
            KubeError: the API server does not answer, or refuses.
        """
        listing = await self.kube.list(resource, namespace)
        self.store.replace(resource, listing.items, int(listing.resource_version), namespace=namespace)
        return listing.resource_version

    def around(self, assignment: str, named: frozenset[Ref]) -> dict[Ref, Json]:
        """The live objects that an Assignment made, and those that hold a name it wants."""
        made = {ref for ref in self._made.get(assignment, ()) if ref.resource != PODS}
        return self._held(named | made)

    def pods_of(self, assignment: str) -> tuple[Json, ...]:
        """The pods whose template an Assignment brought."""
        return tuple(self._held(ref for ref in self._made.get(assignment, ()) if ref.resource == PODS).values())

    def _note(self, resource: ApiResource, body: Json, writer: object) -> None:  # noqa: ARG002 - the store's listener
        """Remember what was made for which Assignment; whether it still exists is asked when it matters."""
        if name := assignment_of(body):
            ref = Ref(resource, body["metadata"]["namespace"], body["metadata"]["name"])
            if self.store.get(resource, ref.name, ref.namespace) is None:
                self._made.get(name, set()).discard(ref)
            else:
                self._made.setdefault(name, set()).add(ref)

    def _held(self, refs: Iterable[Ref]) -> dict[Ref, Json]:
        found = {ref: self.store.get(ref.resource, ref.name, ref.namespace) for ref in refs}
        # Objects from a watch name their kind, those from a list of one kind do not have to.
        return {ref: body | {"kind": ref.resource.kind} for ref, body in found.items() if body is not None}

    async def secret(self, name: str) -> HeldSecret | None:
        """What the labels of a Secret for applications say; None where the member has or shows none.

        What it holds stays at the API server.

        Raises:
            KubeError: the member's API server does not answer.
        """
        path = SECRETS.path(APPS_NAMESPACE, name)
        try:
            return held_secret((await self.kube.request("GET", path, accept=METADATA))["metadata"])
        except (NotFound, Forbidden):
            return None

    def config_map(self, name: str) -> Json | None:
        """A ConfigMap of the member's data namespace."""
        return self.store.get(CONFIG_MAPS, name, DATA_NAMESPACE)
