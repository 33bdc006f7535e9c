"""What runs a compiled question where the rows lie. One contract; nothing above it knows which engine answers.

Engines take only SQL that `data_trusts.queries` wrote. `run` blocks, so callers give it a thread.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import duckdb
import httpx
import requests
import trino

from data_trusts.catalog import CatalogError, TableMissingError, Warehouse
from data_trusts.queries import Dialect
from data_trusts.trino_access import CATALOG, Statements, reads

_ASK_AGAIN_S = 0.3
_LOOK_S = 0.05
NEVER = threading.Event()


class EngineError(Exception):
    """The engine did not answer. The text is for the member's own people: it may quote values."""


class DeadlineError(EngineError):
    """The engine was stopped because the time was up."""


class StoppedError(EngineError):
    """The engine was stopped because the right to the answer ended."""


class UnavailableError(EngineError):
    """The engine is not there, or not there yet; the same question may be asked again."""


class NotYetError(UnavailableError):
    """The engine turned the question away before it ran, since it is still starting."""


class NoTableError(EngineError):
    """The dataset has no table at this member yet."""


@dataclass(frozen=True, kw_only=True)
class EngineRows:
    """Column names as the SQL gave them, and rows of int, float, bool, str, Decimal, date, datetime or None."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


class Engine(Protocol):
    """An engine over the member's tables, `"<trust>"."<dataset>"`."""

    dialect: Dialect

    def ready(self) -> bool:
        """Whether a question asked now would be run."""

    def run(self, sql: str, deadline_s: float, stop: threading.Event = NEVER) -> EngineRows:
        """Run one statement.

        Raises:
            DeadlineError: it took longer than `deadline_s` and was stopped.
            StoppedError: `stop` was set by another thread while it ran.
            EngineError: anything else; subclasses say what a caller can do.
        """


@contextmanager
def _watched(end: Callable[[], None], stop: threading.Event, ends_at: float) -> Iterator[None]:
    """Call `end` from another thread once `stop` is set or the time is up, until the block is left.

    Again and again, since an engine forgets what it is told between two steps of a statement.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            if stop.is_set() or time.monotonic() > ends_at:
                end()

    watcher = threading.Thread(target=watch, name="statement-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _go_on(stop: threading.Event, ends_at: float) -> None:
    """Leave as an interrupted statement does, where it is time."""
    if stop.is_set() or time.monotonic() > ends_at:
        raise duckdb.InterruptException("before the statement began")


class DuckDbEngine:
    """The embedded engine, where no JVM should run: PyIceberg reads the tables, DuckDB computes."""

    dialect = Dialect.DUCKDB

    def __init__(self, warehouse: Warehouse, *, memory_limit_mib: int = 256) -> None:
        self._warehouse = warehouse
        self._reading = threading.Lock()
        self._config = {
            "memory_limit": f"{memory_limit_mib}MiB",
            "threads": "2",
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
        }

    def ready(self) -> bool:
        """It lives in this process, so it is ready when the process is."""
        return True

    def run(self, sql: str, deadline_s: float, stop: threading.Event = NEVER) -> EngineRows:
        """Run one statement over a fresh read of the tables that it names."""
        ends_at = time.monotonic() + deadline_s
        with (
            duckdb.connect(config=dict(self._config)) as connection,
            _watched(connection.interrupt, stop, ends_at),
        ):
            try:
                with self._one_reader(stop, ends_at):
                    self._attach(connection, sql, lambda: _go_on(stop, ends_at))
                _go_on(stop, ends_at)
                cursor = connection.execute(sql)
                return EngineRows(columns=tuple(column[0] for column in cursor.description), rows=cursor.fetchall())
            except TableMissingError as error:
                raise NoTableError(str(error)) from error
            except CatalogError as error:
                raise EngineError(str(error)) from error
            except duckdb.InterruptException as error:
                if stop.is_set():
                    raise StoppedError("stopped, because the right to the answer ended") from error
                raise DeadlineError(f"stopped after {deadline_s:g} s") from error
            except duckdb.Error as error:
                raise EngineError(str(error)) from error

    @contextmanager
    def _one_reader(self, stop: threading.Event, ends_at: float) -> Iterator[None]:
        """One question reads at a time: two take more memory."""
        while not self._reading.acquire(timeout=_LOOK_S):
            _go_on(stop, ends_at)
        try:
            yield
        finally:
            self._reading.release()

    def _attach(self, connection: duckdb.DuckDBPyConnection, sql: str, go_on: Callable[[], None]) -> None:
        named = reads(sql, "duckdb")
        for place, (trust, dataset) in enumerate(sorted(named.tables)):
            connection.register(f"rows_{place}", self._warehouse.rows(trust, dataset, named.names, go_on))
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{trust}"')
            connection.execute(f'CREATE VIEW "{trust}"."{dataset}" AS FROM rows_{place}')
        connection.execute("SET lock_configuration = true")


class TrinoEngine:
    """The site's Trino server; `statements` is what its access control is told about the statements of this engine."""

    dialect = Dialect.TRINO

    def __init__(self, *, statements: Statements, host: str = "127.0.0.1", port: int = 8080) -> None:
        self._statements = statements
        self._host = host
        self._port = port

    def ready(self) -> bool:
        """Whether the server has finished its start."""
        try:
            answer = httpx.get(f"http://{self._host}:{self._port}/v1/info", timeout=2, trust_env=False)
            return answer.status_code == httpx.codes.OK and answer.json().get("starting") is False
        except (httpx.HTTPError, ValueError):
            return False

    def run(self, sql: str, deadline_s: float, stop: threading.Event = NEVER) -> EngineRows:
        """Run one statement; the server is told to end it at the deadline.

        A server says that it has started a moment before it counts itself among its workers. What it turns away then
        has not run, so it is asked again.
        """
        ends_at = time.monotonic() + deadline_s
        while True:
            try:
                with self._statements.running(sql) as user:
                    return self._run_once(sql, user, ends_at, stop)
            except NotYetError:
                if stop.is_set() or time.monotonic() + _ASK_AGAIN_S > ends_at:
                    raise
                time.sleep(_ASK_AGAIN_S)

    def _run_once(self, sql: str, user: str, ends_at: float, stop: threading.Event) -> EngineRows:
        """A session property would say the deadline too, for one more question of the server's access control."""
        left_s = max(ends_at - time.monotonic(), 0.0)
        try:
            with trino.dbapi.connect(
                host=self._host,
                port=self._port,
                user=user,
                source="commonweal-gateway",
                catalog=CATALOG,
                timezone="UTC",
                request_timeout=left_s + 5,
                max_attempts=1,
            ) as connection:
                cursor = connection.cursor()
                with _watched(lambda: self._kill(cursor.query_id, user), stop, ends_at):
                    cursor.execute(sql)
                    rows = cursor.fetchall()
                return EngineRows(columns=tuple(column[0] for column in cursor.description), rows=rows)
        except (trino.exceptions.Error, trino.exceptions.HttpError, requests.RequestException) as error:
            if stop.is_set():
                raise StoppedError("killed, because the right to the answer ended") from error
            if time.monotonic() > ends_at:
                raise DeadlineError(f"stopped after {left_s:g} s") from error
            raise _trino_error(error) from error

    def _kill(self, query_id: str | None, user: str) -> None:
        """End a statement at the server, by its id; it has none before the server has taken it."""
        if query_id is not None:
            address = f"http://{self._host}:{self._port}/v1/query/{query_id}"
            with suppress(httpx.HTTPError):
                httpx.delete(address, headers={"X-Trino-User": user}, timeout=2, trust_env=False)


def _trino_error(error: Exception) -> EngineError:
    name = error.error_name if isinstance(error, trino.exceptions.TrinoQueryError) else None
    if name == "EXCEEDED_TIME_LIMIT":
        return DeadlineError("stopped after the longest time that this member's server gives a question")
    if name in ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND"):
        return NoTableError(str(error))
    # "nodes is empty" is how a server without a worker yet says it of a table in buckets, as an internal error.
    if name in ("NO_NODES_AVAILABLE", "SERVER_STARTING_UP") or getattr(error, "message", "") == "nodes is empty":
        return NotYetError(str(error))
    if name in (None, "SERVER_SHUTTING_DOWN", "CLUSTER_OUT_OF_MEMORY"):
        return UnavailableError(str(error))
    return EngineError(str(error))
