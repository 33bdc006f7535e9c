"""Every answer of an API server becomes one typed error, and only what may be repeated is repeated."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from kubernetes_asyncio.client import Configuration

from operators.kube import (
    CONFIG_MAPS,
    NAMESPACES,
    AlreadyExists,
    Call,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Json,
    Kube,
    KubeError,
    NotFound,
    Retry,
    Throttled,
    Unauthorized,
    Unreachable,
)


@dataclass
class Server:
    """Answers what a test puts into it, in order, and remembers what it was asked."""

    answers: list[tuple[int, Json] | Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=list
    )
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        answer = self.answers.pop(0)
        if isinstance(answer, tuple):
            return web.json_response(answer[1], status=answer[0], headers=self.headers)
        return await answer(request)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def kube(server: Server) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    async with Kube(configuration, retry=Retry(attempts=3, first_s=0.001, cap_s=0.001)) as made:
        yield made
    await runner.cleanup()


def status(code: int, reason: str = "", message: str = "no", **details: object) -> tuple[int, Json]:
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(401), Unauthorized),
        (status(403), Forbidden),
        (status(404), NotFound),
        (status(409, "Conflict"), Conflict),
        (status(409, "AlreadyExists"), AlreadyExists),
        (status(410), Gone),
        (status(418), Unreachable),
    ],
)
async def test_a_refusal_is_raised_at_once(
    kube: Kube, server: Server, answer: tuple[int, Json], expected: type[KubeError]
) -> None:
    server.answers = [answer] * 3
    with pytest.raises(KubeError) as caught:
        await kube.get(CONFIG_MAPS, "a", "n")
    assert type(caught.value) is expected
    assert caught.value.status == answer[0]


async def test_an_invalid_object_names_its_field(kube: Kube, server: Server) -> None:
    server.answers = [
        status(422, "Invalid", "bad", causes=[{"field": "spec.pledge.gpus"}]),
        status(400, "BadRequest", 'strict decoding error: unknown field "spec.gpu"'),
        status(500, "InternalError", "failed to create typed patch object: .spec.gpu: field not declared in schema"),
    ]
    fields = []
    for _ in range(3):
        with pytest.raises(Invalid) as caught:
            await kube.get(NAMESPACES, "a")
        fields.append(caught.value.field)
    assert fields == ["spec.pledge.gpus", "spec.gpu", "spec.gpu"]


async def test_trouble_of_the_server_is_retried_until_it_passes(kube: Kube, server: Server) -> None:
    server.answers = [status(503), status(500), (200, {"kind": "Namespace"})]
    assert await kube.get(NAMESPACES, "a") == {"kind": "Namespace"}
    assert len(server.asked) == 3


async def test_patience_is_bounded(kube: Kube, server: Server) -> None:
    server.answers = [status(503)] * 4
    with pytest.raises(Unreachable):
        await kube.get(NAMESPACES, "a")
    assert len(server.asked) == 3


async def test_a_throttled_call_waits_as_told_and_says_so_when_it_gives_up(kube: Kube, server: Server) -> None:
    server.headers = {"Retry-After": "0"}
    server.answers = [status(429), (200, {"kind": "Namespace"})]
    await kube.get(NAMESPACES, "a")
    server.answers = [status(429)] * 3
    with pytest.raises(Throttled) as caught:
        await kube.get(NAMESPACES, "a")
    assert caught.value.retry_after_s == 0.0


async def test_a_create_whose_answer_was_lost_is_not_sent_again(kube: Kube, server: Server) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.answers = [hang_up, (200, {})]
    with pytest.raises(Unreachable):
        await kube.create(NAMESPACES, {"metadata": {"name": "a"}})
    assert len(server.asked) == 1
    server.answers = [hang_up, (200, {"kind": "Namespace"})]
    assert await kube.get(NAMESPACES, "a") == {"kind": "Namespace"}


async def test_a_list_is_read_to_its_last_page(kube: Kube, server: Server) -> None:
    first = {"metadata": {"continue": "more", "resourceVersion": "5"}, "items": [{"metadata": {"name": "a"}}]}
    last = {"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "b"}}]}
    server.answers = [(200, first), (200, last)]
    listing = await kube.list(CONFIG_MAPS, "n", labels="a=b")
    assert [body["metadata"]["name"] for body in listing.items] == ["a", "b"]
    assert all(body["kind"] == "ConfigMap" for body in listing.items)
    assert listing.resource_version == "5"
    assert all("labelSelector=a%3Db" in asked for asked in server.asked)


async def test_a_list_whose_continuation_expired_starts_again(kube: Kube, server: Server) -> None:
    page = {"metadata": {"continue": "more", "resourceVersion": "5"}, "items": [{"metadata": {"name": "a"}}]}
    server.answers = [(200, page), status(410), (200, page | {"metadata": {"resourceVersion": "6"}})]
    assert (await kube.list(CONFIG_MAPS, "n")).resource_version == "6"


async def test_a_watch_delivers_lines_however_they_are_cut(kube: Kube, server: Server) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (
            b'{"type":"ADDED","object":{"a":',
            b'1}}\n{"type":"BOOKMARK","object":{}}\n{"type":"ERROR",',
            b'"object":{"code":410}}\n',
        ):
            await response.write(part)
        return response

    server.answers = [stream]
    seen: list[tuple[str, Json]] = []

    async def listen() -> None:
        async for event in kube.watch(CONFIG_MAPS, "n", resource_version="5"):
            seen.append((event.type, event.object))  # noqa: PERF401 - what came before the error counts

    with pytest.raises(Gone):
        await listen()
    assert seen == [("ADDED", {"a": 1}), ("BOOKMARK", {})]


async def test_deleting_what_is_gone_is_no_error(kube: Kube, server: Server) -> None:
    server.answers = [status(404), (200, {})]
    assert not await kube.delete(CONFIG_MAPS, "a", "n")
    assert await kube.delete(CONFIG_MAPS, "a", "n", uid="u")


async def test_a_hook_sees_every_call_before_and_after_and_can_stop_it(kube: Kube, server: Server) -> None:
    calls: list[Call] = []
    kube.on_request = calls.append
    server.answers = [(200, {}), (200, {})]
    await kube.get(NAMESPACES, "a")
    assert [(call.method, call.phase) for call in calls] == [("GET", "before"), ("GET", "after")]

    def stop(_: Call) -> None:
        raise KeyboardInterrupt

    kube.on_request = stop
    with pytest.raises(KeyboardInterrupt):
        await kube.get(NAMESPACES, "a")
    assert len(server.asked) == 1
