"""`python -m data_trusts.rest_catalog`: the Iceberg REST protocol over a member's own catalog, for its own engines.

PyIceberg (type rest) and Trino (iceberg.catalog.type=rest) read and write the member's tables through it. It stands on
loopback and takes one token, because whoever reaches it reaches every row: askers go through the gateway. Commits queue
on the warehouse's lock. Where a member runs another REST catalog, that one's address does instead, and this is not run.
"""

import argparse
import hmac
import json
import logging
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pydantic
import uvicorn
from pyiceberg import exceptions as iceberg
from pyiceberg.catalog.rest import CreateTableRequest, RegisterTableRequest, TableResponse
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest, StagedTable, Table
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSortOrderUpdate,
    AssertCreate,
    SetLocationUpdate,
    SetPropertiesUpdate,
    TableUpdate,
)
from pyiceberg.typedef import Identifier
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_trusts.catalog import CATALOG_URI, TABLE_PROPERTIES, CatalogError, Warehouse, warehouse_at
from data_trusts.ports import port
from data_trusts.table_files import PLACES

MAX_BODY_BYTES = 16 * 1024 * 1024
TOKEN_FILE = "rest-catalog-token"  # noqa: S105 -- a name, not a secret
_SEPARATOR = "\x1f"  # between the levels of a namespace in a path
_LOG = logging.getLogger(__name__)

Body = dict[str, Any]


class BadRequestError(Exception):
    """The request is not of the protocol, or asks for what is not done here; the message names the field."""


class UnreadableError(Exception):
    """A table is in the catalog, but what describes it cannot be read; the message names the table."""


# Which status and type an error has in the protocol's error model.
_ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (iceberg.NoSuchNamespaceError, 404, "NoSuchNamespaceException"),
    (iceberg.NoSuchTableError, 404, "NoSuchTableException"),
    (iceberg.NamespaceAlreadyExistsError, 409, "AlreadyExistsException"),
    (iceberg.TableAlreadyExistsError, 409, "AlreadyExistsException"),
    (iceberg.NamespaceNotEmptyError, 409, "NamespaceNotEmptyException"),
    (iceberg.CommitFailedException, 409, "CommitFailedException"),
    (BadRequestError, 400, "BadRequestException"),
    (iceberg.ValidationError, 400, "BadRequestException"),
    (UnreadableError, 500, "InternalServerError"),
    (SQLAlchemyError, 503, "ServiceUnavailableException"),
    (OSError, 503, "ServiceUnavailableException"),
)


class RestCatalog:
    """The protocol's operations over one warehouse. Each blocks, so routes give it a thread."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._catalog = warehouse.catalog

    def config(self) -> Body:
        """What a client must know, and which routes there are."""
        return {"defaults": {}, "overrides": {}, "endpoints": [f"{verb} {path}" for verb, path, _ in ROUTES[1:]]}

    def list_namespaces(self, parent: Identifier) -> Body:
        """Namespaces directly below another one, or all at the top."""
        if parent and not self._catalog.namespace_exists(parent):
            raise iceberg.NoSuchNamespaceError(f"Namespace does not exist: {'.'.join(parent)}")
        return {"namespaces": [list(each) for each in self._catalog.list_namespaces(parent)]}

    def create_namespace(self, body: Body) -> Body:
        """Make a namespace."""
        namespace = _namespace_of(body, "namespace")
        properties = _texts(body, "properties")
        with self._warehouse.exclusive():
            self._catalog.create_namespace(namespace, properties)
        return self.namespace(namespace)

    def namespace(self, namespace: Identifier) -> Body:
        """A namespace with the place of its tables, without which Trino leaves broken tables behind."""
        properties = {"location": self._place_of(namespace), **self._catalog.load_namespace_properties(namespace)}
        return {"namespace": list(namespace), "properties": properties}

    def update_namespace(self, namespace: Identifier, body: Body) -> Body:
        """Change a namespace's properties."""
        removals, updates = set(body.get("removals") or ()), _texts(body, "updates")
        if removals & updates.keys():
            raise BadRequestError(f"removals: {min(removals & updates.keys())} is also in updates; name it once")
        with self._warehouse.exclusive():
            done = self._catalog.update_namespace_properties(namespace, removals, updates)
        return {"removed": done.removed, "updated": done.updated, "missing": done.missing}

    def drop_namespace(self, namespace: Identifier) -> None:
        """Remove an empty namespace."""
        with self._warehouse.exclusive():
            self._catalog.drop_namespace(namespace)

    def list_tables(self, namespace: Identifier) -> Body:
        """The tables of a namespace."""
        tables = self._catalog.list_tables(namespace)
        return {"identifiers": [{"namespace": list(each[:-1]), "name": each[-1]} for each in tables]}

    def create_table(self, namespace: Identifier, body: Body) -> TableResponse:
        """Make a table, or say what it would be where the client commits later (stage-create)."""
        request = _parsed(CreateTableRequest, {"location": None, "partition-spec": None, "write-order": None, **body})
        self._confine(request.location)
        self._confine_properties(request.properties)
        name = _table_name(request.name)
        described: dict[str, Any] = {
            "schema": request.table_schema,
            "location": (request.location or f"{self._place_of(namespace)}/{name}").rstrip("/"),
            "partition_spec": request.partition_spec or UNPARTITIONED_PARTITION_SPEC,
            "sort_order": request.write_order or UNSORTED_SORT_ORDER,
            "properties": {**TABLE_PROPERTIES, **request.properties},
        }
        if request.stage_create:
            if not self._catalog.namespace_exists(namespace):
                raise iceberg.NoSuchNamespaceError(f"Namespace does not exist: {'.'.join(namespace)}")
            return TableResponse(metadata=new_table_metadata(**described))
        with self._warehouse.exclusive():
            return _loaded(self._catalog.create_table((*namespace, name), **described))

    def register_table(self, namespace: Identifier, body: Body) -> TableResponse:
        """Take in a table whose files already lie in the warehouse."""
        request = _parsed(RegisterTableRequest, {"overwrite": False, **body})
        if request.overwrite:
            raise BadRequestError("overwrite: is not done here; drop the table first")
        self._confine(request.metadata_location)
        with self._warehouse.exclusive():
            identifier = (*namespace, _table_name(request.name))
            return _loaded(self._catalog.register_table(identifier, request.metadata_location))

    def table(self, identifier: Identifier) -> TableResponse:
        """A table's metadata and where it lies."""
        return _loaded(self._load(identifier))

    def commit(self, identifier: Identifier, body: Body) -> Body:
        """Apply a client's updates if its requirements still hold; one commit at a time."""
        named = {"namespace": list(identifier[:-1]), "name": identifier[-1]}
        request = _parsed(CommitTableRequest, {**body, "identifier": named})
        for update in request.updates:
            self._confine_update(update)
        with self._warehouse.exclusive():
            creates = any(isinstance(each, AssertCreate) for each in request.requirements)
            table = self._staged(identifier) if creates else self._load(identifier)
            done = self._catalog.commit_table(table, request.requirements, _without_repeats(request.updates))
        answer: Body = json.loads(done.model_dump_json())
        return answer

    def drop_table(self, identifier: Identifier, *, purge: bool) -> None:
        """Forget a table, and with `purge` remove its files."""
        with self._warehouse.exclusive():
            (self._catalog.purge_table if purge else self._catalog.drop_table)(identifier)

    def rename_table(self, body: Body) -> None:
        """Give a table another name."""
        source, destination = _identifier_of(body, "source"), _identifier_of(body, "destination")
        with self._warehouse.exclusive():
            self._catalog.rename_table(source, destination)

    def _place_of(self, namespace: Identifier) -> str:
        return f"{self._warehouse.root_uri}/{'.'.join(namespace)}"

    def _load(self, identifier: Identifier) -> Table:
        try:
            return self._catalog.load_table(identifier)
        except (iceberg.ValidationError, ValueError, OSError) as error:
            raise UnreadableError(
                f"{'.'.join(identifier)}: its metadata file cannot be read; restore it from the backup"
            ) from error

    def _staged(self, identifier: Identifier) -> Table:
        """A name for a table that is not there yet; the commit's updates hold all the rest."""
        metadata = new_table_metadata(
            Schema(), UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, self._warehouse.root_uri
        )
        return StagedTable(identifier, metadata, "", self._warehouse.io, self._catalog)

    def _confine_update(self, update: TableUpdate) -> None:
        if isinstance(update, SetLocationUpdate):
            self._confine(update.location)
        if isinstance(update, SetPropertiesUpdate):
            self._confine_properties(update.updates)

    def _confine_properties(self, properties: Mapping[str, str]) -> None:
        for name in PLACES:
            self._confine(properties.get(name))

    def _confine(self, location: str | None) -> None:
        """Nothing is written or read outside the warehouse, whatever a client names."""
        if location is None:
            return
        root, asked = urlsplit(self._warehouse.root_uri), urlsplit(location)
        path = os.path.normpath(unquote(asked.path))
        inside = Path(path).is_relative_to(unquote(root.path)) and path != unquote(root.path)
        if (asked.scheme, asked.netloc) != (root.scheme, root.netloc) or not inside:
            raise BadRequestError(f"location: {location} is not below {self._warehouse.root_uri}; leave it out")


Model = TypeVar("Model", bound=pydantic.BaseModel)


def _parsed(model: type[Model], body: Body) -> Model:
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadRequestError(f"{where}: {first['msg']}") from None


def _without_repeats(updates: Sequence[TableUpdate]) -> tuple[TableUpdate, ...]:
    """The reference server takes a second addition of the same for the first; PyIceberg would keep both."""
    added: list[object] = []
    kept: list[TableUpdate] = []
    for update in updates:
        what = _added(update)
        if what is None or what not in added:
            kept.append(update)
            added.append(what)
    return tuple(kept)


def _added(update: TableUpdate) -> Schema | PartitionSpec | SortOrder | None:
    match update:
        case AddSchemaUpdate():
            return update.schema_
        case AddPartitionSpecUpdate():
            return update.spec
        case AddSortOrderUpdate():
            return update.sort_order
        case _:
            return None


def _loaded(table: Table) -> TableResponse:
    return TableResponse.model_validate({"metadata-location": table.metadata_location, "metadata": table.metadata})


def _namespace_of(body: Body, field: str) -> Identifier:
    parts = body.get(field)
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) and part for part in parts):
        raise BadRequestError(f"{field}: is not a list of names")
    for part in parts:
        _table_name(part)
    return tuple(parts)


def _identifier_of(body: Body, field: str) -> Identifier:
    named = body.get(field)
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        raise BadRequestError(f"{field}: is not a namespace and a name")
    return (*_namespace_of(named, "namespace"), _table_name(named["name"]))


def _table_name(name: str) -> str:
    """Names become folders and parts of dotted names."""
    if not name or "." in name or "/" in name or not name.isprintable():
        raise BadRequestError(f"name: {name!r} is empty or has a dot, a slash or a control character; choose another")
    return name


def _texts(body: Body, field: str) -> dict[str, str]:
    texts = body.get(field) or {}
    if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
        raise BadRequestError(f"{field}: is not a map of texts")
    return texts


Operation = Callable[[RestCatalog, Request, Body], object]


def _ns(request: Request) -> Identifier:
    return tuple(request.path_params["namespace"].split(_SEPARATOR))


def _id(request: Request) -> Identifier:
    return (*_ns(request), request.path_params["table"])


def _exists(what: object) -> None:
    """For HEAD: what was found is not sent."""


def _parent(request: Request) -> Identifier:
    return tuple(part for part in request.query_params.get("parent", "").split(_SEPARATOR) if part)


def _purges(request: Request) -> bool:
    return request.query_params.get("purgeRequested", "false").lower() == "true"


_NAMESPACES = "/v1/{prefix}/namespaces"
_NAMESPACE = f"{_NAMESPACES}/{{namespace}}"
_TABLES = f"{_NAMESPACE}/tables"
_TABLE = f"{_TABLES}/{{table}}"
ROUTES: tuple[tuple[str, str, Operation], ...] = (
    ("GET", "/v1/config", lambda catalog, _, __: catalog.config()),
    ("GET", _NAMESPACES, lambda catalog, request, _: catalog.list_namespaces(_parent(request))),
    ("POST", _NAMESPACES, lambda catalog, _, body: catalog.create_namespace(body)),
    # Before its GET, which would answer a HEAD too, but not as the protocol says.
    ("HEAD", _NAMESPACE, lambda catalog, request, _: _exists(catalog.namespace(_ns(request)))),
    ("GET", _NAMESPACE, lambda catalog, request, _: catalog.namespace(_ns(request))),
    ("DELETE", _NAMESPACE, lambda catalog, request, _: catalog.drop_namespace(_ns(request))),
    ("POST", f"{_NAMESPACE}/properties", lambda catalog, request, body: catalog.update_namespace(_ns(request), body)),
    ("GET", _TABLES, lambda catalog, request, _: catalog.list_tables(_ns(request))),
    ("POST", _TABLES, lambda catalog, request, body: catalog.create_table(_ns(request), body)),
    ("POST", f"{_NAMESPACE}/register", lambda catalog, request, body: catalog.register_table(_ns(request), body)),
    ("HEAD", _TABLE, lambda catalog, request, _: _exists(catalog.table(_id(request)))),
    ("GET", _TABLE, lambda catalog, request, _: catalog.table(_id(request))),
    ("POST", _TABLE, lambda catalog, request, body: catalog.commit(_id(request), body)),
    ("DELETE", _TABLE, lambda catalog, request, _: catalog.drop_table(_id(request), purge=_purges(request))),
    # Engines report what a scan cost; nobody here asks for it.
    ("POST", f"{_TABLE}/metrics", lambda _, __, ___: None),
    ("POST", "/v1/{prefix}/tables/rename", lambda catalog, _, body: catalog.rename_table(body)),
)


def app(warehouse: Warehouse, token: str) -> Starlette:
    """The ASGI application; every route wants `Authorization: Bearer` with this token."""
    catalog = RestCatalog(warehouse)
    routes = [
        Route(path.replace("/{prefix}", ""), _endpoint(catalog, operation, token), methods=[verb])
        for verb, path, operation in ROUTES
    ]
    return Starlette(routes=routes, exception_handlers={404: _no_route, 405: _no_route})


def _endpoint(catalog: RestCatalog, operation: Operation, token: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(sent.encode(), token.encode()):
            return _error(401, "NotAuthorizedException", f"authorization: send the token of {TOKEN_FILE} as a bearer")
        try:
            done = await run_in_threadpool(operation, catalog, request, await _body(request))
        except Exception as error:  # noqa: BLE001 -- the protocol wants its error model for whatever happens
            return _failure(error)
        if done is None:
            return Response(status_code=204)
        if isinstance(done, TableResponse):
            return Response(done.model_dump_json(exclude_none=True), media_type="application/json")
        return JSONResponse(done)

    return answer


async def _body(request: Request) -> Body:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise BadRequestError(f"body: has more than {MAX_BODY_BYTES} bytes")
    if not content:
        return {}
    try:
        body = json.loads(content)
    except ValueError as error:
        raise BadRequestError(f"body: is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise BadRequestError("body: is not a JSON object")
    return body


def _failure(error: Exception) -> Response:
    for of_type, status, name in _ERRORS:
        if isinstance(error, of_type):
            return _error(status, name, str(error))
    _LOG.exception("the catalog failed", exc_info=error)
    return _error(500, "InternalServerError", f"{type(error).__name__}: {error}; see the catalog's log")


async def _no_route(request: Request, _: Exception) -> Response:
    return _error(406, "UnsupportedOperationException", f"{request.method} {request.url.path}: is not served here")


def _error(status: int, name: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": name, "code": status}}, status_code=status)


def own_token(folder: Path) -> str:
    """The token in the data folder, made there if there is none; whoever reads the folder reads the rows anyway."""
    path = folder / TOKEN_FILE
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path.read_text("utf-8")


def main(argv: list[str] | None = None) -> int:
    """Serve on loopback until a signal; 1 with one sentence where the folder or its catalog cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m data_trusts.rest_catalog", description=__doc__)
    default = os.environ.get("COMMONWEAL_DATA", "/var/lib/commonweal-data")
    parser.add_argument("--data", type=Path, default=Path(default), help="the data folder")
    parser.add_argument("--port", type=port, default=8182)
    arguments = parser.parse_args(argv)
    if os.environ.get(CATALOG_URI):
        sys.stderr.write(f"error: {CATALOG_URI} names the catalog; let engines use that address, or unset it\n")
        return 2
    try:
        with warehouse_at(arguments.data) as warehouse:
            served = app(warehouse, own_token(arguments.data))
            uvicorn.run(served, host="127.0.0.1", port=arguments.port, log_level="warning", server_header=False)
    except CatalogError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
