"""The PACT v3 endpoints: /auth/token, /3/footprints and /3/events. All decisions are elsewhere.

Served over https only: a request that came over http, as far as the proxy in front says, gets no token and no data.
"""

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode

import httpx
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.trade import problems
from apps.trade.assessment import Book
from apps.trade.bodies import MAX_BODY_BYTES, bounded_body
from apps.trade.lifespan import closing
from apps.trade.pact import tokens
from apps.trade.pact.callbacks import Callbacks
from apps.trade.pact.catalogue import Catalogue, Criteria, Page, build
from apps.trade.pact.events import RequestCreated, answer, read_event
from apps.trade.pact.register import Client, Register

LOG = logging.getLogger(__name__)
LISTS = frozenset({"productId", "companyId", "geography", "classification"})
PAGING = frozenset({"limit", "offset"})
EVENT_TYPE = "application/cloudevents+json"
SCOPE = "footprint:list footprint:read"


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """An answer that is not 200, in the form of the specification."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self) -> Response:
        """The answer."""
        headers = {"Retry-After": str(problems.RETRY_AFTER_S)} if self.status == 503 else None
        return JSONResponse({"code": self.code, "message": str(self)}, status_code=self.status, headers=headers)


class PactServer:
    """Handlers over one register; `book` gives the disclosures as they are now."""

    def __init__(
        self,
        register: Register,
        book: Callable[[], Awaitable[Book]],
        callbacks: Callbacks,
        now: Callable[[], datetime],
    ) -> None:
        self._register = register
        self._book = book
        self._callbacks = callbacks
        self._now = now
        self._catalogue: tuple[Book, Catalogue] | None = None

    def routes(self) -> list[Route]:
        """What to mount."""
        return [
            Route("/auth/token", self._token, methods=["POST"]),
            Route("/3/footprints", _answered(self._list)),
            Route("/3/footprints/{id}", _answered(self._get)),
            Route("/3/events", _answered(self._take), methods=["POST"]),
        ]

    async def _token(self, request: Request) -> Response:
        if request.url.scheme != "https":
            return _token_error(400, "invalid_request", "asked over http; use https")
        body = await bounded_body(request)
        form = parse_qs((body or b"").decode("utf-8", "replace"))
        grant = form.get("grant_type", [""])
        if grant != ["client_credentials"]:
            code = "unsupported_grant_type" if grant[0] else "invalid_request"
            return _token_error(400, code, "grant_type: give client_credentials, once")
        client = self._authenticated(request.headers.get("authorization"))
        if client is None:
            return _token_error(401, "invalid_client", "client id and secret, as HTTP Basic, are not known here")
        token = tokens.issue(client.client_id, self._register.token_key.get_secret_value(), self._now())
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": tokens.LIFETIME_S, "scope": SCOPE},
            headers={"Cache-Control": "no-store"},
        )

    def _authenticated(self, header: str | None) -> Client | None:
        """The client of HTTP Basic, encoded as RFC 6749 (2.3.1) says or, as most do, not."""
        credentials = _basic(header)
        if credentials is None:
            return None
        encoded = self._register.authenticated(*(unquote_plus(each) for each in credentials))
        return encoded or self._register.authenticated(*credentials)

    async def _list(self, request: Request) -> Response:
        client = self._client(request)
        criteria, page = _asked(request)
        found = (await self._current()).matching(criteria, client)
        last = page.offset + page.limit
        body = {"data": [offer.shown(client) for offer in found[page.offset : last]]}
        headers = {"Link": f'<{_next(request, page)}>; rel="next"'} if last < len(found) else None
        return JSONResponse(body, headers=headers)

    async def _get(self, request: Request) -> Response:
        client = self._client(request)
        wanted = request.path_params["id"]
        offer = (await self._current()).get(wanted)
        if offer is None:
            raise Refusal(404, "NotFound", f"footprint {wanted[:64]} is not offered here; /3/footprints lists what is")
        if not offer.visible(client):
            raise Refusal(403, "AccessDenied", "this footprint is for another tier; ask the data owner for access")
        return JSONResponse({"data": offer.shown(client)})

    async def _take(self, request: Request) -> Response:
        client = self._client(request)
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != EVENT_TYPE:
            raise Refusal(400, "BadRequest", f"content-type: not {EVENT_TYPE}; send a structured CloudEvent")
        body = await bounded_body(request)
        if body is None:
            raise Refusal(400, "BadRequest", f"the event is longer than {MAX_BODY_BYTES} bytes; send less at once")
        try:
            event = read_event(body)
        except ValidationError as error:
            raise Refusal(400, "BadRequest", _told(error)) from error
        if isinstance(event, RequestCreated):
            if client.callback is None:
                said = f"no callback of {client.client_id} is registered, so no answer could reach you; ask the owner"
                raise Refusal(400, "BadRequest", said)
            if self._callbacks.is_full:
                raise Refusal(503, "InternalError", "too many answers are on their way; ask again later")
            source = f"//{request.url.netloc}/3/events"
            reply = answer(event, await self._current(), client, source, self._now())
            self._callbacks.send(client.callback, reply)
        LOG.info("event %s %s of client %s accepted", event.type, event.id, client.client_id)
        return Response(status_code=200)

    def _client(self, request: Request) -> Client:
        if request.url.scheme != "https":
            raise Refusal(403, "AccessDenied", "asked over http; use https")
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Refusal(400, "BadRequest", "authorization: no bearer token; ask /auth/token for one")
        try:
            client_id = tokens.bearer(token, self._register.token_key.get_secret_value(), self._now())
        except tokens.ExpiredTokenError as error:
            raise Refusal(401, "TokenExpired", str(error)) from error
        except tokens.TokenError as error:
            raise Refusal(400, "BadRequest", str(error)) from error
        client = self._register.client(client_id)
        if client is None:
            raise Refusal(403, "AccessDenied", f"client {client_id} is no longer registered; ask the data owner")
        return client

    async def _current(self) -> Catalogue:
        try:
            book = await self._book()
        except problems.EXPECTED as error:
            raise Refusal(503, "InternalError", f"the disclosures cannot be read now: {error}") from error
        if self._catalogue is None or self._catalogue[0] is not book:
            self._catalogue = (book, build(self._register, book.rows(), book.packs))
        return self._catalogue[1]


def _answered(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return refusal.response()

    return answered


def _asked(request: Request) -> tuple[Criteria, Page]:
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in LISTS:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise Refusal(400, "BadRequest", f"{name}: given twice; give it once")
        else:
            given[name] = value
    paging = {name: given.pop(name) for name in PAGING & given.keys()}
    try:
        return Criteria.model_validate(given), Page.model_validate(paging)
    except ValidationError as error:
        raise Refusal(400, "BadRequest", _told(error)) from error


def _next(request: Request, page: Page) -> str:
    """The absolute address of the rest; a page of nothing leads to one of the usual length."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in PAGING]
    length = [("limit", str(page.limit))] if page.limit and "limit" in request.query_params else []
    query = urlencode([*kept, *length, ("offset", str(page.offset + page.limit))])
    return f"https://{request.url.netloc}{request.url.path}?{query}"


def _told(error: ValidationError) -> str:
    """Every wrong field by its path, and what to give instead."""
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )


def _basic(header: str | None) -> tuple[str, str] | None:
    kind, _, encoded = (header or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        client_id, separator, secret = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (client_id, secret) if separator else None


def _token_error(status: int, code: str, description: str) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="pact"'
    return JSONResponse({"error": code, "error_description": description}, status_code=status, headers=headers)


def create_app(register: Register, book: Book) -> Starlette:
    """The endpoints alone, over disclosures that do not change while it runs."""
    callbacks = Callbacks(httpx.AsyncClient())

    async def current() -> Book:
        return book

    server = PactServer(register, current, callbacks, lambda: datetime.now(UTC))
    return Starlette(routes=server.routes(), lifespan=closing(callbacks.close))
