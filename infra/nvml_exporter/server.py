"""What the exporter answers over HTTP: /metrics for Prometheus, /readings for the agent, /healthz for the kubelet."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from commonweal.transparency import Json, canonical_json
from infra.nvml_exporter.metrics import Metrics
from infra.nvml_exporter.sampler import Snapshot
from infra.nvml_exporter.store import Store

STALE_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP response."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"


class Pages:
    """The three pages, as functions of the request's target."""

    def __init__(
        self,
        *,
        store: Store,
        snapshot: Callable[[], Snapshot | None],
        clock_ms: Callable[[], int],
        period_s: int,
    ) -> None:
        self._store, self._snapshot, self._clock_ms, self._period_s = store, snapshot, clock_ms, period_s
        self._metrics = Metrics()

    def answer(self, target: str) -> Answer:
        """Answer one GET."""
        url = urlsplit(target)
        if url.path == "/metrics":
            body = self._metrics.page(self._snapshot(), self._clock_ms())
            return Answer(status=HTTPStatus.OK, body=body, content_type=CONTENT_TYPE_LATEST)
        if url.path == "/readings":
            return self._readings(parse_qs(url.query))
        if url.path == "/healthz":
            return self._health()
        return _problem(HTTPStatus.NOT_FOUND, f"{url.path}: no such page; there are /metrics, /readings and /healthz")

    def _readings(self, query: dict[str, list[str]]) -> Answer:
        if unknown := sorted(set(query) - {"after", "meter"}):
            return _problem(HTTPStatus.BAD_REQUEST, f"{unknown[0]}: no such parameter; there are after and meter")
        after = query.get("after", ["0"])[-1]
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            return _problem(HTTPStatus.BAD_REQUEST, f"after: {after!r} is not a sequence; send the last one you hold")
        readings = self._store.readings(int(after), query.get("meter", [None])[-1])
        body: Json = {
            "meters": self._store.last_sequences(),
            "period_seconds": self._period_s,
            "readings": [reading.model_dump(mode="json") for reading in readings],
        }
        return Answer(status=HTTPStatus.OK, body=canonical_json(body))

    def _health(self) -> Answer:
        snapshot = self._snapshot()
        age_ms = None if snapshot is None else self._clock_ms() - snapshot.poll.at_ms
        if age_ms is None or age_ms > STALE_MS:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "sampler: no poll in the last minute; restart the exporter")
        if snapshot and snapshot.poll.failure == "lib-rm-version-mismatch":
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "driver: upgraded under this process; restart the exporter")
        return Answer(status=HTTPStatus.OK, body=canonical_json({"sample_age_ms": age_ms}))


def _problem(status: HTTPStatus, message: str) -> Answer:
    return Answer(status=status, body=canonical_json({"error": message}))


def serve(pages: Pages, host: str, port: int) -> ThreadingHTTPServer:
    """Bind the port and return the server, not yet running.

    Raises:
        OSError: the port is taken; the message names the setting.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:  # the standard library's name
            answer = pages.answer(self.path)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the standard library's name
            """Stay silent: a line a scrape is no information."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise OSError(f"COMMONWEAL_METER_PORT: {port}: {error.strerror}; free it or choose another port") from error
    server.daemon_threads = True
    return server
