"""One suite for both engines: the same question, the same rows, the same refusals; and on every question they agree."""

import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from threading import Event, Timer, current_thread, main_thread

import httpx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from commonweal.grants import PolicyDataset
from commonweal.kinds.visibility import Mask, RowRule
from data_trusts.catalog import Warehouse
from data_trusts.engines import (
    DeadlineError,
    DuckDbEngine,
    Engine,
    EngineError,
    NoTableError,
    StoppedError,
)
from data_trusts.gateway.service import wire_value
from data_trusts.queries import CompiledQuestion, compile_question
from data_trusts.releases import NotFiniteError, finish
from infra.local.trino import TrinoServer
from tests.integration.data_trusts.conftest import ControlledTrino, customs_file
from tests.unit.grants.samples import dataset
from tests.unit.queries.test_queries import questions

CUSTOMS = dataset("customs_rows")
TRUST = "trade"
LATE = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def tables(trino_server: TrinoServer) -> Iterator[Warehouse]:
    warehouse = Warehouse(trino_server.data)
    warehouse.ingest(TRUST, CUSTOMS, customs_file(10))
    sparse = {
        "product_nc": pa.array([None] * 4, pa.string()),
        "share": pa.array([Decimal("0.3")] * 4),
        "cleared_at": pa.array([LATE] * 4),
    }
    warehouse.ingest(TRUST, CUSTOMS, customs_file(4, sparse))
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="module")
def both(tables: Warehouse, controlled: ControlledTrino) -> dict[str, Engine]:
    return {"duckdb": DuckDbEngine(tables), "trino": controlled.engine}


@pytest.fixture(params=["duckdb", "trino"])
def engine(request: pytest.FixtureRequest, both: dict[str, Engine]) -> Engine:
    return both[request.param]


def answer(engine: Engine, sql: str, of: PolicyDataset = CUSTOMS) -> list[list[object]]:
    compiled = compile_question(sql, TRUST, of, engine.dialect)
    assert isinstance(compiled, CompiledQuestion), compiled
    return finish(compiled, engine.run(compiled.sql, 30).rows)


def test_an_engine_that_runs_is_ready(engine: Engine) -> None:
    assert engine.ready()


def test_sums_counts_and_averages_are_exact_and_typed(engine: Engine) -> None:
    rows = answer(
        engine,
        "SELECT product_nc, count(*), sum(quantity_in_kg), sum(share), avg(share), avg(quantity_in_kg), "
        "avg(distance_km) "
        "FROM customs_rows WHERE product_nc IS NOT NULL GROUP BY product_nc ORDER BY product_nc",
    )
    assert rows == [
        ["7200", 5, 5020, Decimal("2.5"), Decimal("0.5"), Decimal(1004), 1.0, 5],
        ["7201", 5, 5025, Decimal("3.125"), Decimal("0.625"), Decimal(1005), 1.25, 5],
    ]
    assert [type(value) for value in rows[0]] == [str, int, int, Decimal, Decimal, Decimal, float, int]


def test_groups_below_the_minimum_are_not_there(engine: Engine) -> None:
    rows = answer(engine, "SELECT flow, count(*) FROM customs_rows GROUP BY flow ORDER BY flow")
    assert rows == [[1, 12, 12]], "flow 2 has two rows, of the three that the trust asks for"
    assert answer(engine, "SELECT count(*) FROM customs_rows WHERE flow = 2") == []


def test_null_is_a_group_of_its_own_and_comes_last(engine: Engine) -> None:
    rows = answer(engine, "SELECT product_nc, count(*) FROM customs_rows GROUP BY product_nc ORDER BY product_nc")
    assert [row[0] for row in rows] == ["7200", "7201", None]


def test_a_question_of_a_hundred_comparisons_runs(engine: Engine) -> None:
    tests = " AND ".join(f"flow <> {number}" for number in range(3, 103))
    assert answer(engine, f"SELECT count(*) FROM customs_rows WHERE {tests}") == [[14, 14]]  # noqa: S608


def test_dates_and_instants_filter_alike(engine: Engine) -> None:
    sql = (
        "SELECT day, count(*) FROM customs_rows WHERE day <> '2026-01-02' "
        "AND cleared_at < TIMESTAMP '2026-01-01 10:30:00+01:00' GROUP BY day ORDER BY day"
    )
    assert answer(engine, sql) == [[date(2026, 1, 1), 4, 4], [date(2026, 1, 3), 3, 3]]


def test_instants_come_back_in_utc(engine: Engine) -> None:
    rows = answer(engine, "SELECT cleared_at, count(*) FROM customs_rows GROUP BY cleared_at")
    assert rows == [[LATE, 4, 4]]
    assert isinstance(rows[0][0], datetime)
    assert rows[0][0].isoformat() == "2026-01-01T12:00:00+00:00"


def test_a_sum_that_does_not_fit_is_an_error_not_a_wrap(engine: Engine, tables: Warehouse) -> None:
    huge = CUSTOMS.model_copy(update={"name": "huge_rows"})
    tables.ingest(TRUST, huge, customs_file(3, {"quantity_in_kg": pa.array([2**62] * 3)}))
    with pytest.raises(EngineError):
        answer(engine, "SELECT sum(quantity_in_kg) FROM huge_rows", huge)


@pytest.mark.parametrize(
    ("values", "tag"), [([1.0, 2.0, math.nan], "nan"), ([1.0, 2.0, math.inf], "inf"), ([1.7e308] * 3, "large")]
)
@pytest.mark.parametrize("aggregate", ["sum", "avg"])
def test_a_number_that_is_not_finite_is_an_error_and_no_answer(
    engine: Engine, tables: Warehouse, values: list[float], tag: str, aggregate: str
) -> None:
    """`ingest` takes no such row; another writer of the catalog could have."""
    name = f"{tag}_rows"
    odd = CUSTOMS.model_copy(update={"name": name})
    tables.ingest(TRUST, odd, customs_file(3))
    stock = tables.catalog.load_table((TRUST, name))
    rows = stock.scan().to_arrow()
    place, measure = rows.column_names.index("distance_km"), pa.field("distance_km", pa.float64(), nullable=False)
    stock.overwrite(rows.set_column(place, measure, pa.array(values)))
    sql = f"SELECT {aggregate}(distance_km) FROM {name}"  # noqa: S608
    with pytest.raises((NotFiniteError, EngineError), match=r"(?i)not finite|out of range|overflow"):
        [[wire_value(value) for value in row] for row in answer(engine, sql, odd)]


def test_a_dataset_without_rows_yet_says_so(engine: Engine) -> None:
    absent = CUSTOMS.model_copy(update={"name": "absent_rows"})
    with pytest.raises(NoTableError):
        answer(engine, "SELECT count(*) FROM absent_rows", absent)


ENDLESS = {
    "duckdb": "SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c",
    "trino": "SELECT count(*) FROM UNNEST(sequence(1, 10000)) CROSS JOIN UNNEST(sequence(1, 10000)) "
    "CROSS JOIN UNNEST(sequence(1, 10000))",
}


def test_a_question_is_stopped_at_its_deadline(engine: Engine) -> None:
    with pytest.raises(DeadlineError):
        engine.run(ENDLESS[engine.dialect], 0.5)


def test_a_question_is_stopped_when_it_is_told_to(engine: Engine) -> None:
    stop = Event()
    Timer(0.3, stop.set).start()
    with pytest.raises(StoppedError):
        engine.run(ENDLESS[engine.dialect], 30, stop)
    with pytest.raises(StoppedError):
        engine.run(ENDLESS[engine.dialect], 30, stop)


class SetAfterOneLook(Event):
    """A stop that is set while the second file is read."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += current_thread() is main_thread()
        return self.looks > 1


def test_the_embedded_engine_is_stopped_while_it_reads(warehouse: Warehouse) -> None:
    for rows in (1, 2, 3):
        warehouse.ingest(TRUST, CUSTOMS, customs_file(rows))
    engine, sql, stop = DuckDbEngine(warehouse), "SELECT count(*) FROM trade.customs_rows", SetAfterOneLook()
    with pytest.raises(StoppedError):
        engine.run(sql, 30, stop)
    assert stop.looks == 3  # after each of two files, and to tell a stop from a deadline
    assert engine.run(sql, 30).rows == [(6,)]


def test_trino_holds_no_query_that_was_stopped(controlled: ControlledTrino) -> None:
    stop = Event()
    Timer(0.3, stop.set).start()
    with pytest.raises(StoppedError):
        controlled.engine.run(ENDLESS["trino"], 30, stop)
    # A user may list its own queries, and this name was the statement's alone.
    owner = {"X-Trino-User": controlled.statements.users[-1]}
    held = httpx.get(f"http://127.0.0.1:{controlled.server.port}/v1/query", headers=owner).json()
    assert [query["state"] for query in held] == ["FAILED"]


@pytest.mark.parametrize("sql", ["DELETE FROM trade.customs_rows", "CREATE TABLE trade.x (a int)", "nonsense"])
def test_an_engine_changes_nothing(engine: Engine, tables: Warehouse, sql: str) -> None:
    before = tables.rows(TRUST, "customs_rows").num_rows
    with suppress(EngineError):
        engine.run(sql, 10)
    assert tables.rows(TRUST, "customs_rows").num_rows == before
    with pytest.raises(NoTableError):
        engine.run("SELECT a FROM trade.x", 10)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sql=questions())
def test_the_engines_agree_on_every_question(both: dict[str, Engine], sql: str) -> None:
    answers = []
    for engine in both.values():
        compiled = compile_question(sql, TRUST, CUSTOMS, engine.dialect)
        if not isinstance(compiled, CompiledQuestion):
            return
        rows = finish(compiled, engine.run(compiled.sql, 30).rows)
        assert "SECRET" not in str(rows)
        assert all(isinstance(row[-1], int) and row[-1] >= 3 for row in rows)
        answers.append(sorted(rows, key=str) if compiled.row_limit > len(rows) else len(rows))
    assert answers[0] == answers[1]


VARIED = {
    "product_nc": pa.array(["7208-a", "7208-b", "72é8-c", None, "7", "7208-d"]),
    "flow": pa.array([17, -17, 5, 0, None, 2**31 - 1], pa.int32()),
    "day": pa.array([date(2025, 12, 31), date(2026, 5, 5), date(2026, 5, 31), None, date(1969, 7, 20), date(1, 2, 3)]),
    "cleared_at": pa.array(
        [
            datetime(2025, 12, 31, 23, 30, tzinfo=UTC),
            datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 2, 28, tzinfo=UTC),
            None,
            datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=UTC),
            LATE,
        ],
        pa.timestamp("us", tz="UTC"),
    ),
    "quantity_in_kg": pa.array([0, -1, 999, 1000, -(2**63), 2**63 - 1]),
}
SHOW = {"minimum_group_size": 1, "name": "varied_rows"}


def seen(
    engine: Engine, tables: Warehouse, column: str, mask: dict[str, object] | None, *rules: object, where: str = ""
) -> list[object]:
    """One column of every row that is shown, masked, as text so that engines' own types count."""
    varied = CUSTOMS.model_copy(update=SHOW)
    tables.ingest(TRUST, varied, customs_file(6, VARIED))
    columns = tuple(
        each.model_copy(update={"masks": (Mask.model_validate(mask),)}) if mask and each.name == column else each
        for each in varied.columns
    )
    shown = tuple(RowRule.model_validate({"name": f"rule-{place}", "anyOf": rule}) for place, rule in enumerate(rules))
    ruled = varied.model_copy(update={"columns": columns, "row_rules": shown})
    rows = answer(engine, f"SELECT {column}, quantity_in_kg AS q FROM varied_rows {where}", ruled)  # noqa: S608 -- SQL is what is asked
    return sorted((row[0] for row in rows), key=str)


@pytest.mark.parametrize(
    ("column", "mask", "values"),
    [
        ("product_nc", {"kind": "Null"}, [None] * 6),
        ("share", {"kind": "Null"}, [None] * 6),
        ("cleared_at", {"kind": "Null"}, [None] * 6),
        ("product_nc", {"kind": "Prefix", "size": 3}, ["7", "720", "720", "720", "72é", None]),
        ("flow", {"kind": "Bucket", "size": 10}, [-10, 0, 0, 10, 2**31 - 8, None]),
        ("quantity_in_kg", {"kind": "Bucket", "size": 1000}, [-(2**63) + 808, 0, 0, 0, 1000, 2**63 - 808]),
        (
            "day",
            {"kind": "Year"},
            [date(1, 1, 1), date(1969, 1, 1), date(2025, 1, 1), date(2026, 1, 1), date(2026, 1, 1), None],
        ),
        (
            "day",
            {"kind": "Month"},
            [date(1, 2, 1), date(1969, 7, 1), date(2025, 12, 1), date(2026, 5, 1), date(2026, 5, 1), None],
        ),
        (
            "cleared_at",
            {"kind": "Year"},
            [datetime(1969, 1, 1, tzinfo=UTC)]
            + [datetime(2025, 1, 1, tzinfo=UTC)] * 2
            + [datetime(2026, 1, 1, tzinfo=UTC)] * 2
            + [None],
        ),
        (
            "cleared_at",
            {"kind": "Month"},
            [datetime(1969, 7, 1, tzinfo=UTC)]
            + [datetime(2025, 12, 1, tzinfo=UTC)] * 2
            + [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), None],
        ),
    ],
)
def test_a_mask_leaves_the_same_on_every_engine(
    engine: Engine, tables: Warehouse, column: str, mask: dict[str, object], values: list[object]
) -> None:
    assert sorted(seen(engine, tables, column, mask), key=str) == sorted(values, key=str)


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("= '7'", ["7"]),
        ("<> '7'", ["720", "720", "720", "72é"]),
        ("= '720'", ["720", "720", "720"]),
        ("= '7208-a'", []),
        ("< '72'", ["7"]),
        (">= '72'", ["720", "720", "720", "72é"]),
        ("> '720'", ["72é"]),
        ("BETWEEN '7' AND '71'", ["7"]),
        ("IN ('7', '72')", ["7"]),
        ("IN ('7', '72é')", ["7", "72é"]),
        ("IS NULL", [None]),
        ("IS NOT NULL", ["7", "720", "720", "720", "72é"]),
    ],
)
def test_a_condition_finds_masked_values_as_they_are_shown(
    engine: Engine, tables: Warehouse, condition: str, values: list[object]
) -> None:
    mask: dict[str, object] = {"kind": "Prefix", "size": 3}
    found = seen(engine, tables, "product_nc", mask, where=f"WHERE product_nc {condition}")
    assert sorted(found, key=str) == sorted(values, key=str)


@pytest.mark.parametrize(
    ("rule", "flows"),
    [
        ({"column": "flow", "operator": "In", "values": ["5", "0"]}, [0, 5]),
        ({"column": "flow", "operator": "NotIn", "values": ["5", "0"]}, [-17, 17, 2**31 - 1]),
        ({"column": "flow", "operator": "AtLeast", "values": ["5"]}, [5, 17, 2**31 - 1]),
        ({"column": "flow", "operator": "Below", "values": ["5"]}, [-17, 0]),
        ({"column": "flow", "operator": "IsNull"}, [None]),
        ({"column": "product_nc", "operator": "IsNotNull"}, [-17, 5, 17, 2**31 - 1, None]),
        ({"column": "product_nc", "operator": "In", "values": ["72é8-c", "' OR 1=1 --"]}, [5]),
        ({"column": "day", "operator": "AtLeast", "values": ["2026-05-05"]}, [-17, 5]),
        ({"column": "cleared_at", "operator": "Below", "values": ["2025-12-31T23:00:00Z"]}, [-17, None]),
        ({"column": "synthetic", "operator": "In", "values": ["false"]}, []),
        ({"column": "consignment_id", "operator": "In", "values": ["SECRET-3"]}, [0]),
    ],
)
def test_a_rule_shows_the_same_rows_on_every_engine(
    engine: Engine, tables: Warehouse, rule: dict[str, object], flows: list[object]
) -> None:
    assert seen(engine, tables, "flow", None, [rule]) == sorted(flows, key=str)


def test_rules_hold_together_and_comparisons_of_a_rule_apart(engine: Engine, tables: Warehouse) -> None:
    old = [{"column": "flow", "operator": "In", "values": ["17"]}, {"column": "flow", "operator": "IsNull"}]
    named = [{"column": "product_nc", "operator": "NotIn", "values": ["7"]}]
    assert seen(engine, tables, "flow", None, old) == [17, None]
    assert seen(engine, tables, "flow", None, old, named) == [17]
