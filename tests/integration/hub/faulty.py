"""A TLS proxy in front of an API server that misbehaves on demand: errors, cut streams, silence, no answer at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from infra.local.pki import Authority
from operators.kube import Json, Kube

HOP_BY_HOP = {"connection", "host", "transfer-encoding", "content-length", "content-encoding", "keep-alive"}
Wanted = Callable[[web.Request], bool]


def writes(request: web.Request) -> bool:
    return request.method != "GET"


def watches(request: web.Request) -> bool:
    return request.query.get("watch") == "true"


@dataclass(eq=False)
class Fault:
    """Answer the next `times` requests that are wanted with `status`."""

    wanted: Wanted
    times: int
    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Faulty:
    """The proxy. `kubeconfig` leads through it as the identity that it was made for."""

    kubeconfig: Path
    server: str
    upstream: aiohttp.ClientSession
    faults: list[Fault] = field(default_factory=list)
    streams: dict[web.StreamResponse, asyncio.Queue[bytes | None]] = field(default_factory=dict)
    failed: int = 0
    away: bool = False
    mute: bool = False

    def fail(self, wanted: Wanted, status: int, times: int = 1, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(wanted, times, status, named))

    def cut(self) -> None:
        """End every watch, as a load balancer does."""
        for queue in self.streams.values():
            queue.put_nowait(None)

    def expire(self) -> None:
        """Tell every watch that its resourceVersion is too old, and refuse to continue once."""
        error = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'
        for queue in self.streams.values():
            queue.put_nowait(error)
            queue.put_nowait(None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        for fault in self.faults:
            if fault.times and fault.wanted(request):
                fault.times -= 1
                self.failed += 1
                body: Json = {"kind": "Status", "code": fault.status, "message": "injected"}
                return web.json_response(body, status=fault.status, headers=fault.headers)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        data = await request.read() or None
        async with self.upstream.request(
            request.method, self.server + request.path_qs, headers=headers, data=data
        ) as answer:
            if watches(request):
                return await self._stream(request, answer)
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue = self.streams[response] = asyncio.Queue()
        reader = asyncio.create_task(self._read(answer, queue))
        try:
            while (line := await queue.get()) is not None:
                if not self.mute:
                    await response.write(line)
        finally:
            reader.cancel()
            del self.streams[response]
        return response

    async def _read(self, answer: aiohttp.ClientResponse, queue: asyncio.Queue[bytes | None]) -> None:
        async for line in answer.content:
            queue.put_nowait(line)
        queue.put_nowait(None)


@asynccontextmanager
async def faulty(kubeconfig: Path, folder: Path) -> AsyncIterator[Faulty]:
    """A proxy to the server of a kubeconfig, with the client certificate in it."""
    async with await Kube.from_kubeconfig(kubeconfig) as kube:
        known = await kube.credentials()
    authority = Authority(folder / "proxy-pki")
    authority.ensure("faulty", datetime.now(UTC))
    pair = authority.serving("proxy", ["127.0.0.1"], datetime.now(UTC))
    outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    outside.load_cert_chain(pair.certificate, pair.key)
    inside = ssl.create_default_context(cafile=known.ca_path)
    assert known.certificate_path is not None
    inside.load_cert_chain(known.certificate_path, known.key_path)
    connector = aiohttp.TCPConnector(ssl=inside, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as upstream:
        proxy = Faulty(folder / "proxy.yaml", known.server, upstream)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=outside).start()
        config = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text))
        cluster = {"server": f"https://127.0.0.1:{runner.addresses[0][1]}"}
        cluster["certificate-authority"] = str(authority.pair.certificate)
        config["clusters"][0]["cluster"] = cluster
        await asyncio.to_thread(proxy.kubeconfig.write_text, yaml.safe_dump(config))
        try:
            yield proxy
        finally:
            proxy.cut()
            await runner.cleanup()
