"""What the member's Trino lets anyone do: a statement that the gateway is running now, over the columns that it names.

Trino believes any user name that reaches its port. So the gateway runs each statement under a name that nobody can
guess and that lives as long as the statement; Trino's OPA plugin asks this service before every step, and whoever comes
under another name gets nothing. Without an answer of this service the plugin allows nothing either.
"""

import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlglot
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CATALOG = "commonweal"
_NAMES = (sqlglot.TokenType.IDENTIFIER, sqlglot.TokenType.VAR)


class PolicyServiceError(Exception):
    """The service cannot listen; the message says where."""


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What a statement of ours reads: tables as (trust, dataset), and every name in it, so at least its columns."""

    tables: frozenset[tuple[str, str]]
    names: frozenset[str]


def reads(sql: str, dialect: str) -> Reads:
    """Find the tables and names of a statement that `data_trusts.queries` wrote.

    Its words are read one by one, since parsing recurses and a long condition nests deeply.
    """
    words = sqlglot.tokenize(sql, dialect=dialect)
    tables = set()
    for place, word in enumerate(words[:-3]):
        trust, dot, dataset = words[place + 1 : place + 4]
        named = trust.token_type in _NAMES and dot.token_type is sqlglot.TokenType.DOT and dataset.token_type in _NAMES
        if word.token_type is sqlglot.TokenType.FROM and named:
            tables.add((trust.text, dataset.text))
    return Reads(tables=frozenset(tables), names=frozenset(word.text for word in words if word.token_type in _NAMES))


class Statements:
    """The statements that run now, by the name under which each runs."""

    def __init__(self) -> None:
        self._running: dict[str, Reads] = {}

    @contextmanager
    def running(self, sql: str) -> Iterator[str]:
        """The Trino user for one statement, until the block is left."""
        user = f"statement-{secrets.token_hex(16)}"
        self._running[user] = reads(sql, "trino")
        try:
            yield user
        finally:
            del self._running[user]

    def reads_of(self, user: str) -> Reads | None:
        """What the statement of a user reads, or None where no such statement runs."""
        return self._running.get(user)


def allows(of: Reads | None, action: Mapping[str, Any]) -> bool:
    """Decide on one step (the plugin's `input.action`) of a statement; what is not named here is denied."""
    resource = action.get("resource") or {}
    match action.get("operation"):
        case "ExecuteQuery":
            return of is not None
        case "AccessCatalog":
            return of is not None and resource.get("catalog", {}).get("name") == CATALOG
        case "SelectFromColumns":
            table = resource.get("table", {})
            named = (table.get("schemaName"), table.get("tableName"))
            columns = set(table.get("columns") or ())
            return of is not None and table.get("catalogName") == CATALOG and named in of.tables and columns <= of.names
    return False


def app(statements: Statements) -> Starlette:
    """The two addresses that the plugin asks; answers have the form of OPA's data API."""

    async def allow(request: Request) -> JSONResponse:
        asked = (await request.json())["input"]
        return JSONResponse({"result": allows(_reads_of(asked), asked["action"])})

    async def batch(request: Request) -> JSONResponse:
        asked = (await request.json())["input"]
        of, action = _reads_of(asked), asked["action"]
        resources = enumerate(action.get("filterResources") or ())
        return JSONResponse({"result": [place for place, one in resources if allows(of, {**action, "resource": one})]})

    def _reads_of(asked: Mapping[str, Any]) -> Reads | None:
        return statements.reads_of(str(asked["context"]["identity"]["user"]))

    return Starlette(routes=[Route("/allow", allow, methods=["POST"]), Route("/batch", batch, methods=["POST"])])


@contextmanager
def serving(statements: Statements, port: int) -> Iterator[None]:
    """Answer the plugin on loopback, in a thread of its own, until the block is left.

    Raises:
        PolicyServiceError: the port is taken.
    """
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PolicyServiceError(
            f"127.0.0.1:{port}: {error}; set COMMONWEAL_TRINO_POLICY_PORT to a free port"
        ) from error
    # An answer goes out in two writes; without this the second waits 40 ms for the acknowledgement of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(app(statements), log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, args=([listener],), name="trino-policy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
