"""OpenLineage events for reads: which datasets and columns an answer stands on, for the lineage tools that members run.

Events follow an answer that is already recorded; they are for people who draw maps of data, not for proof. They name no
value and quote no SQL. Sending never holds up an answer: a slow or dead receiver costs events, which are counted.
"""

import json
import logging
import os
import queue
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import httpx
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from commonweal.transparency import Json

PRODUCER = "urn:commonweal:gateway"
_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_FACETS = "https://openlineage.io/spec/facets"
_WAITING_EVENTS = 1_000
_TIMEOUT_S = 5.0
_LOG = logging.getLogger(__name__)

Event = dict[str, Json]


@dataclass(frozen=True, kw_only=True)
class Read:
    """One answered question, as lineage tells it.

    Attributes:
        request: 32 hexadecimal digits, as in the audit log.
        columns: Names and types of the answer's columns.
        statement: What the engine ran; its first expressions are the answer's columns. It is not sent.
        reads: Every column that was read, also those that only filter.
    """

    member: str
    request: str
    trust: str
    dataset: str
    grant: str
    purpose: str
    beneficiary: str
    policy_hash: str
    audit_position: int
    rows: int
    columns: Sequence[tuple[str, str]]
    statement: str
    dialect: str
    reads: Sequence[str]
    asked_at: datetime
    answered_at: datetime


def sources(sql: str, dialect: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns that each column of an answer is computed from, in the order of the statement's expressions."""
    statement = sqlglot.parse_one(sql, dialect=dialect)
    selected = statement.selects if isinstance(statement, exp.Query) else []
    return {
        name: sorted({column.name for column in expression.find_all(exp.Column)})
        for name, expression in zip(columns, selected, strict=False)
    }


def events(read: Read) -> tuple[Event, Event]:
    """The START and the COMPLETE event of one run, as OpenLineage 2-0-2 demands them."""
    start = _event(read, "START", read.asked_at)
    done = _event(read, "COMPLETE", read.answered_at)
    return start, {**done, "outputs": [_output(read)]}


def _event(read: Read, kind: str, at: datetime) -> Event:
    facet = _facet(f"{_SPEC}#/$defs/RunFacet")
    release: Json = {
        **facet,
        "beneficiary": read.beneficiary,
        "grant": read.grant,
        "purpose": read.purpose,
        "policyHash": read.policy_hash,
        "auditPosition": read.audit_position,
    }
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": f"{_SPEC}#/$defs/RunEvent",
        "run": {"runId": str(uuid.UUID(read.request)), "facets": {"commonweal_release": release}},
        "job": {"namespace": _namespace(read), "name": f"{read.trust}.{read.dataset}.question"},
        "inputs": [{"namespace": _namespace(read), "name": _name(read)}],
        "outputs": [],
    }


def _output(read: Read) -> Json:
    of_columns = sources(read.statement, read.dialect, [name for name, _ in read.columns])
    fields: dict[str, Json] = {
        column: {"inputFields": [_field(read, source) for source in of]} for column, of in of_columns.items()
    }
    return {
        "namespace": _namespace(read),
        "name": f"{_name(read)}.release",
        "facets": {
            "schema": {
                **_facet(f"{_FACETS}/1-2-0/SchemaDatasetFacet.json"),
                "fields": [{"name": name, "type": of_type} for name, of_type in read.columns],
            },
            "columnLineage": {
                **_facet(f"{_FACETS}/1-2-0/ColumnLineageDatasetFacet.json"),
                "fields": fields,
                "dataset": [_field(read, column) for column in read.reads],
            },
        },
        "outputFacets": {
            "outputStatistics": {
                **_facet(f"{_FACETS}/1-0-2/OutputStatisticsOutputDatasetFacet.json"),
                "rowCount": read.rows,
            }
        },
    }


def _namespace(read: Read) -> str:
    return f"commonweal://{read.member}"


def _name(read: Read) -> str:
    return f"{read.trust}.{read.dataset}"


def _field(read: Read, column: str) -> Json:
    return {"namespace": _namespace(read), "name": _name(read), "field": column}


def _facet(schema: str) -> dict[str, Json]:
    return {"_producer": PRODUCER, "_schemaURL": schema}


class Lineage:
    """Sends events to one place, from a thread of its own."""

    def __init__(self, target: str) -> None:
        """Start the thread; `target` is an http(s) address that takes OpenLineage events, or a file of JSON lines."""
        self._send = _to_address(target) if "://" in target else _to_file(Path(target))
        self._waiting: queue.Queue[Read | None] = queue.Queue(_WAITING_EVENTS)
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="lineage", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Send what waits, as far as a receiver's timeout allows."""
        try:
            self._waiting.put(None, timeout=_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(_TIMEOUT_S)

    def tell(self, read: Read) -> None:
        """Leave a read to the thread, and return at once."""
        try:
            self._waiting.put_nowait(read)
        except queue.Full:
            self.lost += 1

    def _run(self) -> None:
        while (read := self._waiting.get()) is not None:
            try:
                for event in events(read):
                    self._send(event)
            except (OSError, httpx.HTTPError, SqlglotError, ValueError) as error:
                self.lost += 1
                _LOG.warning("lineage of request %s is lost: %s", read.request, error)


def _to_address(url: str) -> Callable[[Event], None]:
    client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)

    def send(event: Event) -> None:
        client.post(url, json=event).raise_for_status()

    return send


def _to_file(path: Path) -> Callable[[Event], None]:
    path.parent.mkdir(parents=True, exist_ok=True)

    def send(event: Event) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")

    return send
