"""Lineage goes to a file or an address, and an answer never waits for it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from data_trusts.lineage import Lineage
from tests.integration.data_trusts.conftest import Issuer, RunningGateway, StartGateway
from tests.integration.data_trusts.test_gateway import fill, post, question, written_policy
from tests.unit.lineage.test_events import READ


@contextmanager
def receiver(answering: threading.Event) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OpenLineage endpoint that answers once it is told to."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            answering.wait(30)
            received.append(json.loads(content))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage", received
    finally:
        server.shutdown()
        server.server_close()


def test_events_arrive_in_order_at_an_address() -> None:
    answering = threading.Event()
    answering.set()
    with receiver(answering) as (url, received):
        with Lineage(url) as lineage:
            lineage.tell(READ)
        assert [event["eventType"] for event in received] == ["START", "COMPLETE"]
        assert lineage.lost == 0


def test_a_receiver_that_hangs_costs_events_and_holds_up_nobody() -> None:
    answering = threading.Event()
    with receiver(answering) as (url, _), Lineage(url) as lineage:
        for _number in range(1_200):
            lineage.tell(READ)  # returns although nothing is taken
        assert lineage.lost >= 199
        answering.set()


def test_a_receiver_that_is_not_there_is_counted() -> None:
    with Lineage("http://127.0.0.1:9/api/v1/lineage") as lineage:
        lineage.tell(READ)
    assert lineage.lost == 1


def test_a_gateway_writes_two_events_for_an_answer_and_none_for_a_refusal(
    start_gateway: StartGateway, issuer: Issuer, tmp_path: Path
) -> None:
    fill(tmp_path / "ca" / "data")
    file = tmp_path / "lineage" / "events.jsonl"
    gateway: RunningGateway = start_gateway("ca", written_policy("ca", issuer), COMMONWEAL_OPENLINEAGE=str(file))
    assert post(gateway, issuer.token(), question(purpose="curiosity")).status_code == 403
    answer = post(gateway, issuer.token(), question()).json()
    gateway.process.terminate()
    gateway.process.wait(30)
    started, completed = [json.loads(line) for line in file.read_text().splitlines()]
    assert (started["eventType"], completed["eventType"]) == ("START", "COMPLETE")
    assert completed["run"]["facets"]["commonweal_release"]["auditPosition"] == answer["audit_position"]
    assert completed["inputs"] == [{"namespace": "commonweal://ca", "name": "trade.customs_rows"}]
