"""Whoever reaches Trino without the gateway gets nothing, and the gateway's own statements no more than they name."""

import time
from typing import Any

import httpx
import pytest

from data_trusts import trino_access
from data_trusts.catalog import Warehouse
from data_trusts.engines import EngineError, TrinoEngine
from data_trusts.trino_access import PolicyServiceError, Statements
from infra.local.trino import TrinoServer
from tests.integration.data_trusts.conftest import ControlledTrino, customs_file
from tests.unit.grants.samples import dataset

OWN = 'SELECT count("quantity_in_kg") AS "0$" FROM "trade"."guarded_rows"'


@pytest.fixture(scope="module")
def guarded(controlled: ControlledTrino) -> ControlledTrino:
    warehouse = Warehouse(controlled.server.data)
    for name in ("guarded_rows", "other_rows"):
        warehouse.ingest("trade", dataset("customs_rows").model_copy(update={"name": name}), customs_file(10))
    warehouse.close()
    return controlled


def ask(server: TrinoServer, user: str, sql: str) -> dict[str, Any]:
    """What Trino itself says to a user, without our engine."""
    url, headers = (
        f"http://127.0.0.1:{server.port}/v1/statement",
        {"X-Trino-User": user, "X-Trino-Catalog": "commonweal"},
    )
    answer: dict[str, Any] = httpx.post(url, content=sql, headers=headers, timeout=30).json()
    rows: list[Any] = answer.get("data", [])
    deadline = time.monotonic() + 30
    while "nextUri" in answer:
        assert time.monotonic() < deadline
        answer = httpx.get(answer["nextUri"], headers=headers, timeout=30).json()
        rows += answer.get("data", [])
    return {"rows": rows, "error": answer.get("error", {}).get("errorName")}


STATEMENTS = [
    "SELECT 1",
    "SELECT count(*) FROM trade.guarded_rows",
    'SELECT * FROM trade."guarded_rows$files"',
    "SELECT * FROM commonweal.information_schema.tables",
    "SELECT query FROM system.runtime.queries",
    "SHOW CATALOGS",
    "SHOW TABLES FROM trade",
    "EXPLAIN SELECT * FROM trade.guarded_rows",
    "CREATE SCHEMA commonweal.mine",
    "CALL system.runtime.kill_query(query_id => '20260101_000000_00000_aaaaa', message => 'x')",
]


@pytest.mark.parametrize("user", ["gateway", "admin", "statement-", "statement-" + "0" * 32])
@pytest.mark.parametrize("sql", STATEMENTS)
def test_whoever_comes_under_another_name_is_denied(guarded: ControlledTrino, user: str, sql: str) -> None:
    assert ask(guarded.server, user, sql) == {"rows": [], "error": "PERMISSION_DENIED"}


def test_a_name_is_worth_nothing_once_its_statement_has_ended(guarded: ControlledTrino) -> None:
    assert guarded.engine.run(OWN, 30).rows == [[10]]
    assert ask(guarded.server, guarded.statements.users[-1], OWN)["error"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT consignment_id FROM trade.guarded_rows",
        "SELECT * FROM trade.guarded_rows",
        "SELECT count(*) FROM trade.other_rows",
        'SELECT * FROM trade."guarded_rows$files"',
        'SELECT * FROM trade."guarded_rows$partitions"',
        'SELECT "$path" FROM trade.guarded_rows',
        "SELECT table_name FROM commonweal.information_schema.tables WHERE table_schema = 'trade'",
        "SELECT query FROM system.runtime.queries",
        "DELETE FROM trade.guarded_rows",
        "SET SESSION query_max_execution_time = '1h'",
    ],
)
def test_even_a_running_statements_name_reads_only_what_that_statement_names(
    guarded: ControlledTrino, sql: str
) -> None:
    with guarded.statements.running(OWN) as user:
        assert ask(guarded.server, user, OWN)["rows"] == [[10]]
        reply = ask(guarded.server, user, sql)
    assert reply["rows"] == []
    # information_schema and the lists of the server show each user what is its own, which is nothing.
    assert reply["error"] in ("PERMISSION_DENIED", None)


def test_a_foreign_name_sees_no_query_of_others(guarded: ControlledTrino) -> None:
    guarded.engine.run(OWN, 30)
    url = f"http://127.0.0.1:{guarded.server.port}/v1/query"
    assert httpx.get(url, headers={"X-Trino-User": "stranger"}).json() == []


def test_a_statement_that_the_policy_service_does_not_know_is_denied(guarded: ControlledTrino) -> None:
    another = TrinoEngine(port=guarded.server.port, statements=Statements())
    with pytest.raises(EngineError, match="Access Denied"):
        another.run(OWN, 30)


def test_a_taken_port_is_named(guarded: ControlledTrino) -> None:
    with (
        pytest.raises(PolicyServiceError, match=str(guarded.server.policy_port)),
        trino_access.serving(Statements(), guarded.server.policy_port),
    ):
        pass
