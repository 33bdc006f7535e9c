"""The gateway over HTTP: routes, status codes and problem documents (RFC 9457). No policy is decided here."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from commonweal.federation import RoundRefusedError
from commonweal.grants import Refusal
from commonweal.secure_sum import SecureSumError
from data_trusts.audit import AuditError, AuditLog, EntryError
from data_trusts.cosigners import Cosigners, metrics
from data_trusts.engines import DeadlineError, Engine, EngineError, NoTableError, UnavailableError
from data_trusts.gateway.policies import PolicyBook
from data_trusts.gateway.reports import Reporter
from data_trusts.gateway.round_bodies import Answering, Dealing, Opening, Releasing, Revealing
from data_trusts.gateway.rounds import FederatedAnswer, RoundService
from data_trusts.gateway.service import Question, QuestionService, Refused
from data_trusts.gateway.sources import PolicySource
from data_trusts.gateway.tokens import Caller, TokenError
from data_trusts.gateway.upkeep import Upkeep
from data_trusts.noise import NoiseError
from data_trusts.privacy_ledger import PrivacyLedgerError
from data_trusts.releases import NotFiniteError

_StepAnswer = dict[str, object] | FederatedAnswer | Refused
MAX_BODY_BYTES = 65_536
CHECKPOINT_INTERVAL_S = 1.0
LOOK_S = 0.2  # how often running questions are held against the policies of the moment
MAX_ROUND_BYTES = 8 * 1024 * 1024  # the words of 64 members, each of 1,024 groups
Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


class ProblemError(Exception):
    """What becomes a problem document."""

    def __init__(self, status: int, refusal: Refusal | None = None, **members: str | int | None) -> None:
        super().__init__(members.get("reason"))
        if refusal is not None:
            members = {"rule": refusal.rule, "reason": refusal.reason, "remedy": refusal.remedy, **members}
        self.status = status
        self.members = members


class Gateway:
    """The routes over one service."""

    def __init__(
        self,
        *,
        service: QuestionService,
        rounds: RoundService,
        book: PolicyBook,
        source: PolicySource,
        engine: Engine,
        audit: AuditLog,
        cosigners: Cosigners,
        reporter: Reporter,
        clock: Callable[[], datetime],
        upkeep: Upkeep,
    ) -> None:
        self._service = service
        self._upkeep = upkeep
        self._rounds = rounds
        self._steps: dict[str, tuple[type[BaseModel], Callable[[Caller, Any], _StepAnswer]]] = {
            "open": (Opening, rounds.open),
            "deal": (Dealing, rounds.deal),
            "answer": (Answering, rounds.answer),
            "reveal": (Revealing, rounds.reveal),
            "release": (Releasing, rounds.release),
        }
        self._book = book
        self._source = source
        self._engine = engine
        self._audit = audit
        self._cosigners = cosigners
        self._reporter = reporter
        self._clock = clock
        self._ended: str | None = None

    def app(self) -> Starlette:
        """The ASGI application; it follows its policy source while it runs."""
        return Starlette(
            routes=[
                Route("/v1/query", self._query, methods=["POST"]),
                Route("/v1/why", self._why, methods=["GET"]),
                Route("/v1/federated/{step}", self._federated, methods=["POST"]),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                Route("/v1/audit/{path:path}", self._audit_file),
                Route("/v1/public", self._public),
            ],
            exception_handlers={
                ProblemError: _problem,
                TokenError: _token_problem,
                EntryError: _entry_problem,
                AuditError: _audit_problem,
                EngineError: _engine_problem,
                NotFiniteError: _not_finite_problem,
                RoundRefusedError: _round_problem,
                SecureSumError: _round_problem,
                PrivacyLedgerError: _privacy_problem,
                NoiseError: _privacy_problem,
            },
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        works = (
            self._source.follow(self._book),
            self._stop_ended(),
            self._publish(),
            self._cosigners.run(),
            self._upkeep.follow(),
        )
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            task.add_done_callback(self._note_end)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _publish(self) -> None:
        """Sign what was recorded, so that a witness sees it soon. A disk that takes no more shuts the log itself."""
        while True:
            await asyncio.sleep(CHECKPOINT_INTERVAL_S)
            with suppress(AuditError):
                await run_in_threadpool(self._audit.publish)

    async def _stop_ended(self) -> None:
        """Not in the pool of threads that questions run in: they may hold all of them."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self._service.stop_ended)
            await asyncio.to_thread(self._rounds.stop_ended)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Without a source the book falls silent, and without a watch revoked questions run on: liveness says so."""
        if not task.cancelled():
            self._ended = f"following the policies ended: {task.exception()!r}"

    async def _query(self, request: Request) -> Response:
        caller = self._caller(request)
        question = _read(Question, await _body(request, MAX_BODY_BYTES))
        answer = await run_in_threadpool(self._service.answer, caller, question)
        if isinstance(answer, Refused):
            raise _refused(answer)
        return JSONResponse(asdict(answer))

    async def _federated(self, request: Request) -> Response:
        caller = self._caller(request)
        step = request.path_params["step"]
        if step not in self._steps:
            raise ProblemError(404, rule="NoSuchStep", reason=f"{step} is no step", remedy="open, deal, answer, ...")
        model, take = self._steps[step]
        answer = await run_in_threadpool(take, caller, _read(model, await _body(request, MAX_ROUND_BYTES)))
        if isinstance(answer, Refused):
            raise _refused(answer)
        document = answer if isinstance(answer, dict) else asdict(answer)
        return Response(json.dumps(document, default=_base64), media_type="application/json")

    async def _why(self, request: Request) -> Response:
        caller = self._caller(request)
        question = _read(Question, json.dumps(dict(request.query_params)).encode())
        return JSONResponse(asdict(await run_in_threadpool(self._service.why, caller, question)))

    async def _healthz(self, _: Request) -> Response:
        if self._ended is not None:
            return PlainTextResponse(self._ended, status_code=503)
        return PlainTextResponse("ok")

    async def _readyz(self, _: Request) -> Response:
        problems = dict(self._book.current(self._clock()).problems)
        waiting = [problems["source"]] if "source" in problems else []
        if self._audit.broken is not None:
            waiting.append(f"audit: {self._audit.broken}")
        if not await run_in_threadpool(self._engine.ready):
            waiting.append(f"engine: {self._engine.dialect} is not ready")
        body = {"ready": not waiting, "waiting_for": waiting, "policy_problems": problems}
        return JSONResponse(body, status_code=503 if waiting else 200)

    async def _audit_file(self, request: Request) -> Response:
        """Checkpoint and tiles are open to anyone: hashes only. Entries, which quote questions, stay at the member."""
        content = await run_in_threadpool(self._audit.public_file, request.path_params["path"])
        if content is None:
            raise ProblemError(
                404,
                rule="NotThere",
                reason="this is no checkpoint, key or tile of the log",
                remedy="Ask for checkpoint, vkey or tile/LEVEL/INDEX as the checkpoint's size allows",
            )
        return Response(content, media_type="application/octet-stream", headers={"cache-control": "no-cache"})

    async def _public(self, _: Request) -> Response:
        """What everyone may know, signed; without policies no name could be told from an asker's invention."""
        policies = self._book.current(self._clock())
        if "source" in policies.problems:
            raise ProblemError(503, rule="NoPolicy", reason=policies.problems["source"], remedy="Ask again later")
        content = await run_in_threadpool(self._reporter.document, policies)
        return Response(content, media_type="application/json", headers={"cache-control": "no-cache"})

    async def _metrics(self, _: Request) -> Response:
        name = "commonweal_gateway_questions_total"
        lines = [f"# HELP {name} Questions by outcome.", f"# TYPE {name} counter"]
        lines += [
            f'{name}{{outcome="{outcome}"}} {self._service.outcomes[outcome]}'
            for outcome in ("answered", "refused", "failed")
        ]
        lines += [
            "# HELP commonweal_gateway_audit_lines Lines in the audit log.",
            "# TYPE commonweal_gateway_audit_lines gauge",
            f"commonweal_gateway_audit_lines {self._audit.size}",
            "# HELP commonweal_gateway_lineage_lost_total Answers of which no lineage event could be sent.",
            "# TYPE commonweal_gateway_lineage_lost_total counter",
            f"commonweal_gateway_lineage_lost_total {self._service.lineage_lost}",
            *metrics(self._cosigners.standings),
        ]
        name = "commonweal_gateway_upkeep_total"
        lines += [f"# HELP {name} Turns of the gateway's own work on its tables.", f"# TYPE {name} counter"]
        lines += [f'{name}{{what="{what}"}} {self._upkeep.done[what]}' for what in ("turns", "retentions", "failures")]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenError("authorization: no bearer token; send the pod's projected token")
        return self._service.identify(token.strip())


async def _body(request: Request, most: int) -> bytes:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise ProblemError(
                413, rule="TooLarge", reason=f"the body has more than {most} bytes", remedy="Shorten the sql"
            )
    return content


def _refused(answer: Refused) -> ProblemError:
    return ProblemError(403, answer.refusal, policy_hash=answer.policy_hash, audit_position=answer.audit_position)


def _base64(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} has no place in an answer")
    return base64.b64encode(value).decode()


def _read(model: type[Body], content: bytes) -> Body:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise ProblemError(
            400,
            rule="BadRequest",
            reason=f"{where}: {first['msg']}",
            remedy="Send trust, dataset, purpose, grant and sql; docs/data-trusts.md has an example",
        ) from None


def _document(status: int, members: dict[str, str | int | None]) -> Response:
    body = {"type": f"urn:commonweal:gateway:{members['rule']}", "title": members["rule"], "status": status}
    return JSONResponse(
        {**body, "detail": members["reason"], **members}, status_code=status, media_type="application/problem+json"
    )


def _problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return _document(error.status, error.members)


def _token_problem(_: Request, error: Exception) -> Response:
    reason, _semicolon, remedy = str(error).rpartition("; ")
    answer = _document(401, {"rule": "Token", "reason": reason, "remedy": remedy})
    answer.headers["www-authenticate"] = "Bearer"
    return answer


def _entry_problem(_: Request, error: Exception) -> Response:
    return _document(413, {"rule": "TooLarge", "reason": str(error), "remedy": "Shorten the sql"})


def _audit_problem(_: Request, error: Exception) -> Response:  # noqa: ARG001 -- its text names paths of the member
    return _document(
        503,
        {
            "rule": "AuditUnavailable",
            "reason": "the question cannot be recorded, so it was not answered",
            "remedy": "Ask again later, or tell the member's operators",
        },
    )


def _round_problem(_: Request, error: Exception) -> Response:
    reason, _semicolon, remedy = str(error).rpartition("; ")
    return _document(409, {"rule": "Round", "reason": reason or remedy, "remedy": remedy or "Open a new round"})


def _privacy_problem(_: Request, error: Exception) -> Response:  # noqa: ARG001 -- its text names paths of the member
    return _document(
        503,
        {
            "rule": "PrivacyUnavailable",
            "reason": "the cost cannot be recorded, or no noise be drawn, so nothing was released",
            "remedy": "Ask again later, or tell the member's operators",
        },
    )


def _not_finite_problem(_: Request, error: Exception) -> Response:
    return _document(
        502,
        {
            "rule": "NotFinite",
            "reason": f"{error}, so there is no true answer",
            "remedy": "Leave the rows out by WHERE, or tell the member's operators to correct them",
        },
    )


_ENGINE_PROBLEMS = (
    (
        DeadlineError,
        504,
        "Deadline",
        "the engine was stopped at the deadline",
        "Narrow the question, or give it longer",
    ),
    (UnavailableError, 503, "EngineUnavailable", "the engine is not there", "Ask again in a few seconds"),
    (
        NoTableError,
        409,
        "NoRowsYet",
        "the dataset has no rows at this member yet",
        "Ask when the member has ingested it",
    ),
    (Exception, 502, "EngineFailed", "the engine could not run the question", "The member's audit log has the cause"),
)


def _engine_problem(_: Request, error: Exception) -> Response:
    """The engine's own words stay in the member's audit log: they may quote values."""
    status, rule, reason, remedy = next(each[1:] for each in _ENGINE_PROBLEMS if isinstance(error, each[0]))
    return _document(status, {"rule": rule, "reason": reason, "remedy": remedy})
