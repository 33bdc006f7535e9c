"""Where policies come from: ConfigMaps of the member's API server, or a folder where there is no Kubernetes."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from commonweal.grants import POLICY_LABEL
from commonweal.policy_parcels import unpack
from data_trusts.gateway.cluster import Cluster, ClusterError, ExpiredError
from data_trusts.gateway.policies import PolicyBook

Clock = Callable[[], datetime]
FOLDER_INTERVAL_S = 0.2
RETRY_S = 0.5
_LOG = logging.getLogger(__name__)


class PolicySource(Protocol):
    """Keeps a book up to date until it is cancelled."""

    async def follow(self, book: PolicyBook) -> None:
        """Write every change into the book, and a sign of life while there is none."""


class FolderSource:
    """Every `*.json` of one folder is a policy."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    async def follow(self, book: PolicyBook) -> None:
        """Read the folder again and again; files are small and few."""
        while True:
            try:
                await asyncio.to_thread(lambda: book.replace(self._read(), self._clock()))
            except OSError as error:
                _LOG.warning("policies: %s; check COMMONWEAL_POLICY_DIR", error)
            await asyncio.sleep(FOLDER_INTERVAL_S)

    def _read(self) -> dict[str, str | None]:
        if not self._folder.is_dir():
            raise NotADirectoryError(f"{self._folder} is not a folder")
        return {path.name: path.read_text(errors="replace") for path in self._folder.glob("*.json")}


class ClusterSource:
    """Every ConfigMap with the policy label in the gateway's namespace is a policy."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._label = f"{POLICY_LABEL}=true"

    async def follow(self, book: PolicyBook) -> None:
        """List, then watch; list again after 410, after an error and after a broken connection."""
        while True:
            try:
                await self._list_and_watch(book)
            except ExpiredError:
                _LOG.info("policies: the watch is too old; listing again")
            except ClusterError as error:
                _LOG.warning("policies: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _list_and_watch(self, book: PolicyBook) -> None:
        listed = await self._cluster.list_config_maps(self._label)
        documents = {name: unpack(item) for name, item in listed.objects.items()}
        await self._tell(book, documents)
        since = listed.resource_version
        while True:
            async for kind, item in self._cluster.watch_config_maps(self._label, since):
                since = item["metadata"]["resourceVersion"]
                if kind == "DELETED":
                    documents.pop(item["metadata"]["name"], None)
                elif kind in ("ADDED", "MODIFIED"):
                    documents[item["metadata"]["name"]] = unpack(item)
                await self._tell(book, documents)
            await self._tell(book, documents)

    async def _tell(self, book: PolicyBook, documents: dict[str, str | None]) -> None:
        """In a thread: ten thousand grants take a tenth of a second to read, and questions go on meanwhile."""
        await asyncio.to_thread(book.replace, documents, self._clock())
