"""Whether the replicas whose use this member signs answer at all: which are ready is their provider's word alone.

Any HTTP answer counts. Nothing is sent but a GET and nothing of the answer is read, since whoever names the address may
be the one who is not believed.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp

from commonweal.kinds.pilot_app import PilotApp

LOOK_S = 1.0
ANSWER_S = 2.0
LASTS = timedelta(seconds=10)  # a lost packet is no stop; a stop costs its provider so much at the most


def endpoints(member: str, apps: Iterable[PilotApp]) -> frozenset[str]:
    """The addresses of a member's applications at other members, wherever replicas of them are said to be ready."""
    return frozenset(
        url
        for app in apps
        if app.spec.sponsor == member and app.status is not None
        for placement in app.status.placements
        if placement.ready_replicas and placement.member != member
        for url in placement.endpoints
    )


@dataclass(eq=False, kw_only=True)
class Prober:
    """Asks each address once a second, and remembers when it last answered."""

    wanted: Callable[[], frozenset[str]]
    clock: Callable[[], datetime]
    _answered: dict[str, datetime] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Ask for ever."""
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=limit, connector=aiohttp.TCPConnector(ssl=False)) as http:
            while True:
                await self.ask(http)
                await asyncio.sleep(LOOK_S)

    async def ask(self, http: aiohttp.ClientSession) -> None:
        """Ask every address, all at once; forget what is not wanted any more."""
        wanted = self.wanted()
        self._answered = {url: at for url, at in self._answered.items() if url in wanted}
        await asyncio.gather(*(self._one(http, url) for url in wanted))

    def answers(self, url: str) -> bool:
        """Whether an address answered lately."""
        at = self._answered.get(url)
        return at is not None and self.clock() - at <= LASTS

    async def _one(self, http: aiohttp.ClientSession, url: str) -> None:
        try:
            async with http.get(url, allow_redirects=False):
                self._answered[url] = self.clock()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return  # silence is what is being looked for
