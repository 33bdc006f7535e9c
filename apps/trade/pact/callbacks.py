"""Sends answers to those who asked, at the address that the register names for them and at no other."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx

from apps.trade.pact.register import Callback

LOG = logging.getLogger(__name__)
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 3600.0
GIVE_UP_AFTER_S = 72 * 3600.0  # the specification's own bound
DEADLINE_S = 30.0
MOST_ON_THEIR_WAY = 1000  # a partner who is down and keeps asking must not fill the memory of a pod


def waits_s() -> Iterator[float]:
    """Seconds before each further attempt: doubling, at most an hour, 72 hours together."""
    wait_s, spent_s = FIRST_WAIT_S, 0.0
    while spent_s + wait_s <= GIVE_UP_AFTER_S:
        yield wait_s
        spent_s += wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


class Callbacks:
    """Answers on their way. They are kept in memory: a restart loses them, and the partner asks again."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        most: int = MOST_ON_THEIR_WAY,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """Whether as many answers wait as may."""
        return len(self._tasks) >= self._most

    def send(self, to: Callback, event: dict[str, Any]) -> None:
        """Send in the background, again and again until it is taken or 72 hours have passed."""
        task = asyncio.create_task(self._deliver(to, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Return once nothing is on its way."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Stop, and give up the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _deliver(self, to: Callback, event: dict[str, Any]) -> None:
        for wait_s in waits_s():
            try:
                await self._attempt(to, event)
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                LOG.warning("event %s to %s: %s; again in %.0f s", event["id"], to.url, error, wait_s)
                await self._sleep(wait_s)
            else:
                LOG.info("event %s taken by %s", event["id"], to.url)
                return
        LOG.error("event %s to %s: given up; the partner must ask again", event["id"], to.url)

    async def _attempt(self, to: Callback, event: dict[str, Any]) -> None:
        credentials = httpx.BasicAuth(to.client_id, to.client_secret.get_secret_value())
        form = {"grant_type": "client_credentials"}
        granted = await self._client.post(to.token_url, data=form, auth=credentials, timeout=DEADLINE_S)
        headers = {
            "Authorization": f"Bearer {granted.raise_for_status().json()['access_token']}",
            "Content-Type": "application/cloudevents+json; charset=UTF-8",
        }
        taken = await self._client.post(f"{to.url}/3/events", json=event, headers=headers, timeout=DEADLINE_S)
        taken.raise_for_status()
