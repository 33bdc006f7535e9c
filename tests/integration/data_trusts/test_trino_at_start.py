"""A server that turns a question away because it is still starting is asked again; the server here is simulated."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from data_trusts.engines import EngineError, TrinoEngine
from data_trusts.trino_access import Statements

ANSWER: dict[str, Any] = {
    "id": "2",
    "infoUri": "",
    "stats": {"state": "FINISHED"},
    "columns": [{"name": "n", "type": "bigint", "typeSignature": {"rawType": "bigint", "arguments": []}}],
    "data": [[7]],
}


def refusal(name: str, message: str) -> dict[str, Any]:
    error = {"errorName": name, "errorType": "INTERNAL_ERROR", "errorCode": 1, "message": message}
    return {"id": "1", "infoUri": "", "stats": {"state": "FAILED"}, "error": error}


@pytest.fixture
def replies() -> list[dict[str, Any]]:
    """What the server answers to one statement after the other."""
    return []


@pytest.fixture
def engine(replies: list[dict[str, Any]]) -> Iterator[TrinoEngine]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            content = json.dumps(replies.pop(0)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield TrinoEngine(statements=Statements(), port=server.server_port)
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NO_NODES_AVAILABLE", "No nodes available to run query"),
        ("SERVER_STARTING_UP", "Trino server is still initializing"),
        ("GENERIC_INTERNAL_ERROR", "nodes is empty"),
    ],
)
def test_a_question_that_came_too_early_is_asked_again(
    engine: TrinoEngine, replies: list[dict[str, Any]], name: str, message: str
) -> None:
    replies += [refusal(name, message), ANSWER]
    assert engine.run("SELECT 7", 10).rows == [[7]]


def test_any_other_internal_error_is_not_asked_again(engine: TrinoEngine, replies: list[dict[str, Any]]) -> None:
    replies += [refusal("GENERIC_INTERNAL_ERROR", "something broke"), ANSWER]
    with pytest.raises(EngineError, match="something broke"):
        engine.run("SELECT 7", 10)
    assert replies == [ANSWER]
