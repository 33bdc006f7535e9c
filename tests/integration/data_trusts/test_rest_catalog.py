"""The REST protocol: PyIceberg's and Trino's own cycles run through it, and bad input gets the protocol's errors."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import (
    ConfigResponse,
    ListNamespaceResponse,
    ListTablesResponse,
    NamespaceResponse,
    RestCatalog,
    TableResponse,
    UpdateNamespacePropertiesResponse,
)
from pyiceberg.catalog.rest.response import ErrorResponse
from pyiceberg.exceptions import NamespaceNotEmptyError, NoSuchTableError, TableAlreadyExistsError

from data_trusts.catalog import Warehouse
from infra.local.trino import administrator, free_port, serving
from tests.integration.data_trusts.both_engines import both
from tests.integration.data_trusts.conftest import customs_file, stop, wait_for
from tests.unit.grants.samples import dataset

ROWS = pa.table({"number": [1, 2, 3], "name": ["a", "b", "c"]})


@dataclass(frozen=True)
class Server:
    """A catalog process over one data folder."""

    data: Path
    port: int

    @property
    def token(self) -> str:
        return (self.data / "rest-catalog-token").read_text()

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}/v1", headers=headers, timeout=30)

    def catalog(self) -> RestCatalog:
        return RestCatalog("commonweal", uri=f"http://127.0.0.1:{self.port}", token=self.token)

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/v1/config").status_code == 401
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("rest"), free_port())
    command = [sys.executable, "-m", "data_trusts.rest_catalog", "--data", str(started.data)]
    process = subprocess.Popen([*command, "--port", str(started.port)])
    wait_for("the catalog", started.answers, process)
    try:
        yield started
    finally:
        stop(process)


def test_pyiceberg_runs_its_whole_cycle(server: Server) -> None:
    catalog = server.catalog()
    catalog.create_namespace("cycle", {"owner": "ca"})
    assert ("cycle",) in catalog.list_namespaces()
    catalog.update_namespace_properties("cycle", {"owner"}, {"steward": "ca"})
    properties = catalog.load_namespace_properties("cycle")
    assert properties["steward"] == "ca"
    assert "owner" not in properties
    table = catalog.create_table("cycle.things", ROWS.schema)
    with pytest.raises(TableAlreadyExistsError):
        catalog.create_table("cycle.things", ROWS.schema)
    table.append(ROWS)
    table.delete("number == 2")
    with table.update_schema() as schema:
        schema.add_column("more", table.schema().find_type("name"))
    with table.transaction() as transaction:
        transaction.append(pa.table({"number": [4], "name": ["d"], "more": ["e"]}))
    assert catalog.load_table("cycle.things").scan().to_arrow()["number"].to_pylist() == [4, 1, 3]
    catalog.rename_table("cycle.things", "cycle.others")
    assert not catalog.table_exists("cycle.things")
    assert catalog.list_tables("cycle") == [("cycle", "others")]
    location = catalog.load_table("cycle.others").metadata_location
    with pytest.raises(NamespaceNotEmptyError):
        catalog.drop_namespace("cycle")
    catalog.drop_table("cycle.others")
    with pytest.raises(NoSuchTableError):
        catalog.load_table("cycle.others")
    assert catalog.register_table("cycle.back", location).scan().to_arrow().num_rows == 3
    catalog.purge_table("cycle.back")
    assert not list((server.data / "warehouse" / "cycle").rglob("*.parquet"))
    catalog.drop_namespace("cycle")
    assert not catalog.namespace_exists("cycle")


def test_a_table_can_be_made_and_filled_in_one_transaction(server: Server) -> None:
    catalog = server.catalog()
    catalog.create_namespace_if_not_exists("staged")
    with catalog.create_table_transaction("staged.things", ROWS.schema) as transaction:
        assert not catalog.table_exists("staged.things")
        transaction.append(ROWS)
    assert catalog.load_table("staged.things").scan().to_arrow().num_rows == 3


def test_the_gateways_own_tables_are_the_same_tables(server: Server) -> None:
    warehouse = Warehouse(server.data)
    warehouse.ingest("trade", dataset("customs_rows"), customs_file(10))
    assert server.catalog().load_table("trade.customs_rows").scan().to_arrow().num_rows == 10
    warehouse.close()


def test_another_rest_catalog_serves_by_its_address_alone(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMONWEAL_CATALOG_URI", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("COMMONWEAL_CATALOG_TOKEN", server.token)
    warehouse = Warehouse(tmp_path)
    warehouse.ingest("elsewhere", dataset("customs_rows"), customs_file(7))
    assert warehouse.rows("elsewhere", "customs_rows").num_rows == 7
    warehouse.close()
    assert server.catalog().load_table("elsewhere.customs_rows").scan().to_arrow().num_rows == 7
    assert not (tmp_path / "catalog.db").exists()


def test_four_writers_lose_nothing(server: Server) -> None:
    server.catalog().create_namespace_if_not_exists("storm")
    server.catalog().create_table("storm.things", pa.schema([("number", pa.int64())]))

    def write_five(writer: int) -> None:
        for number in range(5):
            server.catalog().load_table("storm.things").append(pa.table({"number": [writer * 5 + number]}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_five, range(4)))
    rows = server.catalog().load_table("storm.things").scan().to_arrow()
    assert sorted(rows["number"].to_pylist()) == list(range(20))


def test_every_answer_is_of_the_protocols_form(server: Server) -> None:
    with server.client() as client:

        def post(path: str, body: dict[str, Any]) -> str:
            return client.post(path, json=body).raise_for_status().text

        schema = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "long", "required": False}]}
        ConfigResponse.model_validate_json(client.get("/config").text)
        NamespaceResponse.model_validate_json(post("/namespaces", {"namespace": ["form"]}))
        ListNamespaceResponse.model_validate_json(client.get("/namespaces").text)
        assert NamespaceResponse.model_validate_json(client.get("/namespaces/form").text).properties["location"]
        changed = post("/namespaces/form/properties", {"removals": ["absent"], "updates": {"a": "b"}})
        answer = UpdateNamespacePropertiesResponse.model_validate_json(changed)
        assert (answer.updated, answer.removed, answer.missing) == (["a"], [], ["absent"])
        staged = post("/namespaces/form/tables", {"name": "t", "schema": schema, "stage-create": True})
        assert "metadata-location" not in json.loads(staged)
        assert len(json.loads(staged)["metadata"]["schemas"]) == 1
        made = TableResponse.model_validate_json(post("/namespaces/form/tables", {"name": "t", "schema": schema}))
        assert made.metadata_location is not None
        ListTablesResponse.model_validate_json(client.get("/namespaces/form/tables").text)
        TableResponse.model_validate_json(client.get("/namespaces/form/tables/t?snapshots=refs").text)
        assert client.head("/namespaces/form/tables/t").status_code == 204
        assert client.head("/namespaces/form/tables/u").status_code == 404
        assert client.post("/namespaces/form/tables/t/metrics", json={"report-type": "scan-report"}).status_code == 204


SCHEMA = {"type": "struct", "fields": [{"id": 1, "name": "a", "type": "long", "required": False}]}


@pytest.mark.parametrize(
    ("call", "body", "error_of", "message"),
    [
        ("GET /namespaces/absent", None, (404, "NoSuchNamespaceException"), "absent"),
        ("GET /namespaces/bad/tables/absent", None, (404, "NoSuchTableException"), "absent"),
        ("GET /namespaces?parent=absent", None, (404, "NoSuchNamespaceException"), "absent"),
        ("POST /namespaces", {"namespace": ["bad"]}, (409, "AlreadyExistsException"), "bad"),
        ("POST /namespaces", {"namespace": "bad"}, (400, "BadRequestException"), "namespace: is not a list"),
        ("POST /namespaces", {"namespace": ["a/b"]}, (400, "BadRequestException"), "has a dot, a slash"),
        ("POST /namespaces", {"namespace": [".."]}, (400, "BadRequestException"), "has a dot, a slash"),
        ("POST /namespaces", b"[", (400, "BadRequestException"), "body: is not JSON"),
        ("POST /namespaces", b"[]", (400, "BadRequestException"), "body: is not a JSON object"),
        ("POST /namespaces/bad/tables", {"schema": SCHEMA}, (400, "BadRequestException"), "name: Field required"),
        ("POST /namespaces/bad/tables", {"name": "t", "schema": 7}, (400, "BadRequestException"), "schema: "),
        (
            "POST /namespaces/bad/tables", {"name": "t", "schema": SCHEMA, "location": "file:///etc/t"},
            (400, "BadRequestException"), "is not below file://",
        ),
        (
            "POST /namespaces/bad/register", {"name": "t", "metadata-location": "file:///etc/passwd"},
            (400, "BadRequestException"), "is not below file://",
        ),
        ("POST /namespaces/bad/tables/absent", {"updates": []}, (404, "NoSuchTableException"), "absent"),
        (
            "POST /namespaces/bad/tables/absent",
            {"updates": [{"action": "set-properties", "updates": {"write.data.path": "file:///etc"}}]},
            (400, "BadRequestException"), "is not below file://",
        ),
        ("POST /namespaces/bad/tables/x", {"updates": [{"action": "dance"}]}, (400, "BadRequestException"), "updates"),
        ("GET /namespaces/bad/views", None, (406, "UnsupportedOperationException"), "is not served here"),
        ("PUT /namespaces", {}, (406, "UnsupportedOperationException"), "is not served here"),
    ],
)  # fmt: skip
def test_bad_input_gets_the_protocols_error(
    server: Server, call: str, body: object, error_of: tuple[int, str], message: str
) -> None:
    status, kind = error_of
    server.catalog().create_namespace_if_not_exists("bad")
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    with server.client() as client:
        method, path = call.split()
        answer = client.request(method, path, content=content)
    error = ErrorResponse.model_validate_json(answer.text).error
    assert (answer.status_code, error.code, error.type) == (status, status, kind)
    assert message in error.message


def test_what_a_client_adds_twice_is_there_once(server: Server) -> None:
    catalog = server.catalog()
    catalog.create_namespace_if_not_exists("twice")
    schema = {"type": "struct", "schema-id": 0, "fields": SCHEMA["fields"]}
    spec, order = {"spec-id": 0, "fields": []}, {"order-id": 0, "fields": []}
    once: list[dict[str, Any]] = [
        {"action": "assign-uuid", "uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1"},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "set-location", "location": f"{(server.data / 'warehouse').as_uri()}/twice/things"},
        {"action": "add-schema", "schema": schema},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": spec},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": order},
        {"action": "set-default-sort-order", "sort-order-id": -1},
    ]
    with server.client() as client:
        body = {"requirements": [{"type": "assert-create"}], "updates": [*once, *once[3:]]}
        answer = client.post("/namespaces/twice/tables/things", json=body)
    assert answer.status_code == 200, answer.text
    metadata = answer.json()["metadata"]
    assert [len(metadata[name]) for name in ("schemas", "partition-specs", "sort-orders")] == [1, 1, 1]


def test_a_stale_commit_is_a_conflict_and_changes_nothing(server: Server) -> None:
    catalog = server.catalog()
    catalog.create_namespace_if_not_exists("stale")
    table = catalog.create_table("stale.things", ROWS.schema)
    requirement = {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": 7}
    update = {"action": "set-properties", "updates": {"a": "b"}}
    with server.client() as client:
        answer = client.post(
            "/namespaces/stale/tables/things", json={"requirements": [requirement], "updates": [update]}
        )
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "CommitFailedException")
    assert "a" not in table.refresh().properties


def test_a_corrupt_metadata_file_is_an_error_that_names_it(server: Server) -> None:
    catalog = server.catalog()
    catalog.create_namespace_if_not_exists("corrupt")
    file = Path(catalog.create_table("corrupt.things", ROWS.schema).metadata_location.removeprefix("file://"))
    file.write_text("{")
    with server.client() as client:
        answer = client.get("/namespaces/corrupt/tables/things")
    assert answer.status_code == 500
    assert "corrupt.things" in answer.json()["error"]["message"]


def test_nothing_is_answered_without_the_token(server: Server) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = httpx.get(f"http://127.0.0.1:{server.port}/v1/namespaces", headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "NotAuthorizedException")
    assert (server.data / "rest-catalog-token").stat().st_mode & 0o777 == 0o600


def test_the_members_trino_reads_another_catalog_by_the_gateways_variables(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMONWEAL_CATALOG_URI", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("COMMONWEAL_CATALOG_TOKEN", server.token)
    (tmp_path / "data").mkdir()
    warehouse = Warehouse(tmp_path / "data")
    warehouse.ingest("abroad", dataset("customs_rows"), customs_file(7))
    with both(warehouse, tmp_path / "trino", own_catalog=True) as ask:
        assert ask('SELECT count(*) FROM "abroad"."customs_rows"') == [(7,)]
    warehouse.close()
    assert server.token.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.properties"))


def test_trino_runs_its_whole_cycle(server: Server, tmp_path: Path) -> None:
    catalog = (
        "connector.name=iceberg\n"
        "iceberg.catalog.type=rest\n"
        f"iceberg.rest-catalog.uri=http://127.0.0.1:{server.port}\n"
        "iceberg.rest-catalog.security=OAUTH2\n"
        f"iceberg.rest-catalog.oauth2.token={server.token}\n"
        "iceberg.rest-catalog.oauth2.token-refresh-enabled=false\n"
        "fs.native-local.enabled=true\n"
        "local.location=/\n"
    )
    with serving(tmp_path, server.data, controlled=False, catalog=catalog) as started:
        run = administrator(started)
        run("CREATE SCHEMA made")
        run("CREATE TABLE made.t AS SELECT 1 AS number, 'a' AS name")
        run("INSERT INTO made.t VALUES (2, 'b'), (3, 'c')")
        run("UPDATE made.t SET name = 'x' WHERE number = 2")
        run(
            "MERGE INTO made.t USING (VALUES (3, 'y'), (4, 'z')) AS s(n, v) ON number = n "
            "WHEN MATCHED THEN UPDATE SET name = v WHEN NOT MATCHED THEN INSERT VALUES (n, v)"
        )
        run("ALTER TABLE made.t ADD COLUMN more bigint")
        run("ALTER TABLE made.t EXECUTE optimize")
        run("ALTER TABLE made.t RENAME TO made.u")
        assert run("SELECT number, name FROM made.u ORDER BY 1") == [[1, "a"], [2, "x"], [3, "y"], [4, "z"]]
        assert server.catalog().load_table("made.u").scan().to_arrow().num_rows == 4
        server.catalog().load_table("made.u").append(
            pa.table({"number": pa.array([5], pa.int32()), "name": ["p"], "more": pa.array([None], pa.int64())})
        )
        assert run("SELECT count(*) FROM made.u") == [[5]]
        run("DROP TABLE made.u")
        run("DROP SCHEMA made")
