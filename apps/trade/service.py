"""The HTTP surface of the trade pilot; all decisions are elsewhere."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from apps.trade import openapi, page, problems
from apps.trade.assessment import Consignment
from apps.trade.audit.bundle import make
from apps.trade.bodies import MAX_BODY_BYTES, bounded_body
from apps.trade.desk import Desk
from apps.trade.goods import CnPrefix, Strict, Year
from apps.trade.lifespan import closing
from apps.trade.pact.callbacks import Callbacks
from apps.trade.pact.register import Register
from apps.trade.pact.server import PactServer
from apps.trade.sources import Ages, Answers, Directory, RefusedError
from apps.trade.views import AssessmentView, Problem, TotalsView

View = TypeVar("View", AssessmentView, TotalsView)


class TotalsQuestion(Strict):
    """The parameters of GET /v1/totals."""

    cn_prefix: CnPrefix
    year: Year


class Service:
    """Handlers over one desk."""

    def __init__(self, desk: Desk, signer: Ed25519PrivateKey | None) -> None:
        self._desk = desk
        self._signer = signer
        self._has_answered = False

    async def assess(self, request: Request) -> Response:
        """POST /v1/assessments."""
        consignment = await _consignment(request)
        if isinstance(consignment, Problem):
            return problems.response(consignment)
        return _json(await _or_problem(self._desk.assess(consignment)))

    async def bundle(self, request: Request) -> Response:
        """POST /v1/assessments/bundle."""
        return await self._signed(await _consignment(request))

    async def evidence(self, request: Request) -> Response:
        """GET /evidence: the same bundle by a link of the page."""
        return await self._signed(_filled(dict(request.query_params)))

    async def _signed(self, consignment: Consignment | Problem) -> Response:
        if self._signer is None:
            said = "This service has no signing key; set COMMONWEAL_SIGNING_KEY, or make the bundle with --key"
            return problems.response(problems.problem("unsigned", "No bundle can be signed here", 501, said))
        if isinstance(consignment, Problem):
            return problems.response(consignment)
        try:
            content = make(await self._desk.evidence(consignment), self._signer)
        except problems.EXPECTED as error:
            return problems.response(problems.problem_of(error))
        name = f"assessment-{consignment.cn_code}-{consignment.import_year}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/zip", headers=headers)

    async def totals(self, request: Request) -> Response:
        """GET /v1/totals."""
        try:
            asked = TotalsQuestion.model_validate(dict(request.query_params))
        except ValidationError as error:
            return problems.response(problems.problem_of(error, TotalsQuestion))
        return _json(await _or_problem(self._desk.totals(asked.cn_prefix, asked.year)))

    async def home(self, request: Request) -> Response:
        """GET /: the page of a customs officer."""
        given = dict(request.query_params)
        assessed = await self._assess_form(given) if "cn_code" in given else None
        added = await self._totals_form(given) if "cn_prefix" in given else None
        return HTMLResponse(page.render(given, assessed, added, signs=self._signer is not None))

    async def _assess_form(self, given: dict[str, str]) -> AssessmentView | Problem:
        consignment = _filled(given)
        return consignment if isinstance(consignment, Problem) else await _or_problem(self._desk.assess(consignment))

    async def _totals_form(self, given: dict[str, str]) -> TotalsView | Problem:
        filled = {name: value for name, value in given.items() if name in TotalsQuestion.model_fields}
        try:
            asked = TotalsQuestion.model_validate(filled)
        except ValidationError as error:
            return problems.problem_of(error, TotalsQuestion)
        return await _or_problem(self._desk.totals(asked.cn_prefix, asked.year))

    async def alive(self, _request: Request) -> Response:
        """GET /healthz."""
        return PlainTextResponse("ok\n")

    async def ready(self, _request: Request) -> Response:
        """GET /readyz. Whoever was served before and is refused now should hear the refusal from us."""
        try:
            await self._desk.ready()
        except problems.EXPECTED as error:
            if isinstance(error, RefusedError) and self._has_answered:
                return PlainTextResponse(f"ready, but {error}\n")
            return problems.response(problems.problem_of(error))
        self._has_answered = True
        return PlainTextResponse("ready\n")

    async def describe(self, _request: Request) -> Response:
        """GET /openapi.json."""
        return JSONResponse(openapi.document())


def _filled(given: dict[str, str]) -> Consignment | Problem:
    """The consignment that a form was given; an empty field is as good as none."""
    filled = {name: value for name, value in given.items() if name in Consignment.model_fields and value}
    try:
        return Consignment.model_validate(filled)
    except ValidationError as error:
        return problems.problem_of(error, Consignment)


async def _consignment(request: Request) -> Consignment | Problem:
    body = await bounded_body(request)
    if body is None:
        said = f"The body is longer than {MAX_BODY_BYTES} bytes; send one consignment"
        return problems.problem("too-large", "The request is too large", 413, said)
    try:
        return Consignment.model_validate_json(body)
    except ValidationError as error:
        return problems.problem_of(error, Consignment)


async def _or_problem(answer: Awaitable[View]) -> View | Problem:
    try:
        return await answer
    except problems.EXPECTED as error:
        return problems.problem_of(error)


def _json(view: AssessmentView | TotalsView | Problem) -> Response:
    if isinstance(view, Problem):
        return problems.response(view)
    return Response(view.model_dump_json(), media_type="application/json")


async def _no_such_thing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = f"{request.method} {request.url.path} is not served; /openapi.json lists what is"
    return problems.response(problems.problem("not-served", "Not served here", status, said))


def create_app(
    directory: Directory,
    clock_s: Callable[[], float] = time.monotonic,
    ages: Ages | None = None,
    signer: Ed25519PrivateKey | None = None,
    register: Register | None = None,
) -> Starlette:
    """The ASGI application over a directory of sources.

    Without a signer it makes no audit bundles and says so; without a register it serves no PACT endpoints.
    """
    answers = Answers(directory, clock_s, ages)
    desk = Desk(answers)
    service = Service(desk, signer)
    callbacks = Callbacks(httpx.AsyncClient())
    pact = PactServer(register, desk.book, callbacks, lambda: datetime.now(UTC)).routes() if register else []

    return Starlette(
        routes=[
            Route("/", service.home),
            Route("/evidence", service.evidence),
            Route("/healthz", service.alive),
            Route("/readyz", service.ready),
            Route("/openapi.json", service.describe),
            Route("/v1/assessments", service.assess, methods=["POST"]),
            Route("/v1/assessments/bundle", service.bundle, methods=["POST"]),
            Route("/v1/totals", service.totals),
            *pact,
        ],
        exception_handlers={HTTPException: _no_such_thing},
        lifespan=closing(callbacks.close, answers.close),
    )
