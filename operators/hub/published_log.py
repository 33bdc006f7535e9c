"""The hub's log as files that a member's witness fetches and cosigns: tiles and a signed checkpoint (C2SP tlog-tiles).

All is derived from the books, so a file that is lost is written again; the key alone is not. Entries stay in the books,
because they name persons and machines: who is shown one proves it by the tiles.
"""

import asyncio
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from data_trusts.tlog import Publication, TlogError
from operators.hub.books import Books, BooksError

PUBLIC = re.compile(r"checkpoint|vkey|tile/\d{1,2}/(x\d{3}/)*\d{3}(\.p/\d{1,3})?")
LOOK_S = 5.0
BATCH = 10_000  # entries in memory at a time, while a long log is read


@dataclass(eq=False)
class PublishedLog:
    """The files, one process's own; `folder` holds them and the key."""

    books: Books
    folder: Path
    publication: Publication

    @classmethod
    def open(cls, books: Books, folder: Path, origin: str) -> "PublishedLog":
        """Bring the files up to the books.

        Raises:
            BooksError: the books are not those whose log was signed, or are older, or the key is gone.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = cls(books, folder, Publication(folder, origin, bundles=False))
        except (TlogError, OSError) as error:
            raise BooksError(str(error)) from error
        made._refuse_another_log()
        made._read(books.position().tree_size)
        made.publication.publish()
        return made

    def _refuse_another_log(self) -> None:
        signed = self.publication.signed
        if signed is None:
            return
        self._read(signed.size)
        if self.publication.head != signed:
            raise BooksError(
                f"{self.books.path}: is not the log whose {signed.size} entries {self.folder} has signed; restore the "
                "books, or move that folder away and tell the witnesses why"
            )

    def catch_up(self) -> None:
        """Sign what the log has come to since."""
        self._read(self.books.position().tree_size)
        if self.publication.head != self.publication.signed:
            self.publication.publish()

    def _read(self, until: int) -> None:
        while entries := self.books.leaves(self.publication.head.size, min(until, self.publication.head.size + BATCH)):
            self.publication.add(entries)

    async def sign_beside(self, work: Coroutine[None, None, None], every_s: float = LOOK_S) -> None:
        """Keep up with the books until the work ends; a log that cannot be signed ends the work.

        Raises:
            OSError: the disk takes no checkpoint; or what the work raises.
        """
        tasks = asyncio.create_task(work), asyncio.create_task(self._sign(every_s))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                await each
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sign(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self.catch_up()

    def route(self) -> web.RouteDef:
        """Answer `/log/checkpoint`, `/log/vkey` and `/log/tile/...`, and nothing else of the folder."""

        async def file(request: web.Request) -> web.StreamResponse:
            path = request.match_info["path"]
            if not PUBLIC.fullmatch(path) or not (found := self.folder / path).is_file():
                return web.Response(text="no such file of the log\n", status=404)
            return web.FileResponse(found)

        return web.get("/log/{path:.+}", file)
