"""A real haproxy serves what the front door wrote: it reloads, fails over, and drops no request while a server goes."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from infra.local.pki import Authority
from operators.hub.front_door import Door, FrontDoor
from tests.integration.hub.world import eventually

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed; apt-get install haproxy")


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that are free now."""
    for first in range(28080, 60000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@pytest.fixture
def front(tmp_path: Path) -> FrontDoor:
    return FrontDoor(folder=tmp_path / "door", host="127.0.0.1", bind="127.0.0.1", first_port=free_ports(4) + 1)


@pytest.fixture
def haproxy(front: FrontDoor) -> Iterator[subprocess.Popen[bytes]]:
    """haproxy as the local supervisor starts it: before there is any pilot."""
    with running(front) as process:
        yield process


@contextmanager
def running(front: FrontDoor) -> Iterator[subprocess.Popen[bytes]]:
    assert HAPROXY is not None
    front.write(front.empty())
    process = subprocess.Popen([HAPROXY, "-W", "-f", str(front.configuration), "-p", str(front.pid_file)])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@asynccontextmanager
async def pilot(name: str) -> AsyncIterator[str]:
    """A pilot's pod: answers with its name."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def serve(front: FrontDoor, **servers: str) -> None:
    """Write the door of a pilot as the operator does, again until haproxy serves it."""
    door = Door(app="trade", port=front.first_port, servers=tuple((f"{name}-0", at) for name, at in servers.items()))
    text = front.render([door])

    async def served() -> bool:
        await front.catch_up(text)
        return not await front.is_behind(text)

    await eventually(served)


async def ask(url: str, trusted: ssl.SSLContext | None = None) -> str | None:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(url, ssl=trusted or True) as response:
                return await response.text() if response.status == 200 else None
        except aiohttp.ClientError:
            return None


async def test_what_is_written_is_served_and_a_server_that_goes_fails_no_request(
    front: FrontDoor, haproxy: subprocess.Popen[bytes]
) -> None:
    assert haproxy.poll() is None
    url = front.address(front.first_port)
    await eventually(lambda: ask(front.address(front.first_port - 1)))
    async with pilot("kr") as kr:
        async with pilot("ca") as ca:
            await serve(front, ca=ca, kr=kr)
            await eventually(lambda: ask(url))
            answers = [await ask(url) for _ in range(20)]
            assert set(answers) == {"ca", "kr"}
        # `ca` is gone, and the front door was not told.
        answers = await asyncio.gather(*(ask(url) for _ in range(50)))
        assert set(answers) == {"kr"}
        await serve(front, kr=kr)
        answers = [await ask(url) for _ in range(50)]
        assert set(answers) == {"kr"}


async def test_with_a_certificate_a_door_speaks_https_and_refuses_plain_http(front: FrontDoor, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.ensure("test", datetime.now(UTC))
    pair = authority.serving("door", ["127.0.0.1"], datetime.now(UTC))
    certificate = tmp_path / "tls.pem"  # as a pod finds it: the chain, and the key beside it
    shutil.copyfile(pair.certificate, certificate)
    shutil.copyfile(pair.key, tmp_path / "tls.pem.key")
    closed = replace(front, certificate=certificate)
    trusted = ssl.create_default_context(cafile=str(authority.pair.certificate))
    with running(closed):
        async with pilot("ca") as ca:
            await serve(closed, ca=ca)
            assert await eventually(lambda: ask(closed.address(closed.first_port), trusted)) == "ca"
            assert await ask(front.address(front.first_port)) is None
