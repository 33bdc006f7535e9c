"""What a statement's name allows, step by step as Trino's plugin asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_trusts.trino_access import Reads, Statements, allows, reads

SQL = 'SELECT "flow" AS "0$", SUM("kg") AS "1$" FROM (SELECT "flow", "kg" FROM "trade"."rows") AS "rows"'
OWN = reads(SQL, "trino")


def select(
    columns: list[str], *, table: str = "rows", schema: str = "trade", catalog: str = "commonweal"
) -> dict[str, object]:
    named = {"catalogName": catalog, "schemaName": schema, "tableName": table, "columns": columns}
    return {"operation": "SelectFromColumns", "resource": {"table": named}}


STEPS: list[dict[str, object]] = [
    {"operation": "ExecuteQuery"},
    {"operation": "AccessCatalog", "resource": {"catalog": {"name": "commonweal"}}},
    select(["flow", "kg"]),
    select([]),
]


def test_a_statement_reads_the_table_and_the_columns_that_it_names() -> None:
    assert OWN.tables == {("trade", "rows")}
    assert {"flow", "kg"} <= OWN.names


def test_a_text_in_a_statement_names_nothing() -> None:
    named = reads('SELECT "a" FROM "trade"."rows" WHERE "b" = \'x FROM "trade"."payroll" "salary"\'', "trino")
    assert named == Reads(tables=frozenset({("trade", "rows")}), names=frozenset({"a", "b", "trade", "rows"}))


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_running_statement_may_take_its_own_steps_and_nobody_else_any(step: dict[str, object]) -> None:
    assert allows(OWN, step)
    assert not allows(None, step)


@pytest.mark.parametrize(
    "step",
    [
        select(["flow", "consignment_id"]),
        select(["flow"], table="rows$files"),
        select(["flow"], table="payroll"),
        select(["flow"], schema="other"),
        select(["flow"], catalog="system"),
        {"operation": "AccessCatalog", "resource": {"catalog": {"name": "system"}}},
        {
            "operation": "SetSystemSessionProperty",
            "resource": {"systemSessionProperty": {"name": "query_max_run_time"}},
        },
        {"operation": "ShowTables", "resource": {"schema": {"catalogName": "commonweal", "schemaName": "trade"}}},
        {"operation": "ImpersonateUser", "resource": {"user": {"user": "admin"}}},
        {"operation": "KillQueryOwnedBy", "resource": {"user": {"user": "admin"}}},
        {"operation": "InsertIntoTable", "resource": {"table": {"catalogName": "commonweal"}}},
        {"operation": "SelectFromColumns"},
        {"operation": "AccessCatalog", "resource": None},
        {"operation": None},
        {},
    ],
    ids=str,
)
def test_any_other_step_is_denied(step: dict[str, object]) -> None:
    assert not allows(OWN, step)


@given(st.text())
def test_an_operation_of_another_name_is_denied(operation: str) -> None:
    known = {step["operation"] for step in STEPS}
    assert operation in known or not allows(OWN, {"operation": operation})


def test_a_name_lives_as_long_as_its_statement_and_is_no_others() -> None:
    statements = Statements()
    with statements.running(SQL) as one, statements.running('SELECT 1 FROM "trade"."other"') as two:
        assert one != two
        assert statements.reads_of(one) == OWN
        assert statements.reads_of(two) != OWN
    assert statements.reads_of(one) is None
    assert statements.reads_of("gateway") is None
