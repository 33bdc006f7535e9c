"""One suite for both engines: the same question, the same rows, the same refusals; and on every question they agree."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from commonweal.grants import PolicyDataset
from data_trusts.catalog import Warehouse
from data_trusts.engines import DeadlineError, DuckDbEngine, Engine, EngineError, NoTableError, TrinoEngine
from data_trusts.queries import CompiledQuestion, compile_question
from data_trusts.releases import finish
from tests.integration.data_trusts.conftest import TrinoServer, customs_file, wait_for
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


@pytest.fixture(scope="session")
def both(tables: Warehouse, trino_server: TrinoServer) -> dict[str, Engine]:
    trino = TrinoEngine(port=trino_server.port)
    wait_for("Trino", trino.ready, trino_server.process)
    return {"duckdb": DuckDbEngine(tables), "trino": trino}


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


def test_a_dataset_without_rows_yet_says_so(engine: Engine) -> None:
    absent = CUSTOMS.model_copy(update={"name": "absent_rows"})
    with pytest.raises(NoTableError):
        answer(engine, "SELECT count(*) FROM absent_rows", absent)


def test_a_question_is_stopped_at_its_deadline(engine: Engine) -> None:
    endless = {
        "duckdb": "SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c",
        "trino": "SELECT count(*) FROM UNNEST(sequence(1, 10000)) CROSS JOIN UNNEST(sequence(1, 10000)) "
        "CROSS JOIN UNNEST(sequence(1, 10000))",
    }
    with pytest.raises(DeadlineError):
        engine.run(endless[engine.dialect], 0.5)


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
