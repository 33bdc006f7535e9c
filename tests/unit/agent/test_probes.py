"""An address answers when it gave any HTTP answer lately; silence, refusal and nonsense are the same."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web

from operators.agent.probes import LASTS, Prober

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


async def served(status: int) -> tuple[web.AppRunner, str]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def _ask(prober: Prober) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as http:
        await prober.ask(http)


async def _an_answer_lasts() -> None:
    clock = Clock()
    runner, url = await served(404)
    prober = Prober(wanted=lambda: frozenset({url}), clock=clock)
    assert not prober.answers(url)
    await _ask(prober)
    assert prober.answers(url)
    await runner.cleanup()
    clock.now = NOON + LASTS
    await _ask(prober)
    assert prober.answers(url)
    clock.now = NOON + LASTS + timedelta(seconds=1)
    assert not prober.answers(url)


def test_an_answer_of_any_status_lasts_over_a_lost_packet_and_not_over_a_stop() -> None:
    asyncio.run(_an_answer_lasts())


async def _not_followed() -> bool:
    runner, url = await served(302)
    prober = Prober(wanted=lambda: frozenset({url, "http://127.0.0.1:1", "nonsense"}), clock=Clock())
    await _ask(prober)
    await runner.cleanup()
    return prober.answers(url) and not prober.answers("http://127.0.0.1:1") and not prober.answers("nonsense")


def test_no_redirect_is_followed_and_what_is_no_address_does_not_answer() -> None:
    assert asyncio.run(_not_followed())


async def _forgotten() -> bool:
    runner, url = await served(200)
    wanted = {url}
    prober = Prober(wanted=lambda: frozenset(wanted), clock=Clock())
    await _ask(prober)
    wanted.clear()
    await _ask(prober)
    await runner.cleanup()
    return prober.answers(url)


def test_an_address_that_is_not_wanted_any_more_is_forgotten() -> None:
    assert not asyncio.run(_forgotten())
