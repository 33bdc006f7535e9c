"""What an operator tells of itself: JSON logs, Prometheus metrics, and whether it lives and is ready, over HTTP."""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever a caller added under `extra={"at": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "at", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json(level: str = "INFO") -> None:
    """Send every log line of this process to standard error as JSON; Kopf's own only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("kopf", "aiohttp.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@dataclass(eq=False)
class Metrics:
    """The figures of one operator process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        by = ["controller"]
        self.depth = Gauge("commonweal_queue_depth", "Dirty keys that wait", by, registry=self.registry)
        self.seconds = Histogram(
            "commonweal_reconcile_seconds", "Wall-clock time of one reconcile", by, registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )  # fmt: skip
        self.errors = Counter(
            "commonweal_reconcile_errors_total", "Failed reconciles by reason", [*by, "reason"], registry=self.registry
        )
        self.leading = Gauge("commonweal_leading", "1 while this process may write", registry=self.registry)
        self.heartbeat_age = Gauge(
            "commonweal_watch_behind_seconds", "How far the watch is behind the own Lease",
            registry=self.registry,
        )  # fmt: skip
        self.resynced = Counter(
            "commonweal_resync_corrections_total", "Objects that only a list showed", ["kind"], registry=self.registry
        )


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Answers for /healthz and /readyz: None if all is well, else what is wrong."""

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


async def serve(
    host: str, port: int, probe: Probe, metrics: Metrics, routes: Iterable[web.RouteDef] = ()
) -> web.AppRunner:
    """Serve /healthz, /readyz, /metrics and `routes`; returns the runner, to be cleaned up by the caller.

    Raises:
        OSError: the port is in use.
    """

    def answer(why: str | None) -> web.Response:
        return web.Response(text="ok\n") if why is None else web.Response(text=why + "\n", status=503)

    async def healthz(_: web.Request) -> web.Response:
        return answer(probe.alive())

    async def readyz(_: web.Request) -> web.Response:
        return answer(probe.ready())

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), content_type="text/plain")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", figures), *routes])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise OSError(f"--health-port {port} on {host} cannot be used ({error.strerror}); choose another") from error
    return runner
