"""What may be asked, what may not, and that nothing can be smuggled past the checks."""

# ruff: noqa: S608 -- the texts under test are SQL

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from commonweal.grants import Aggregate, PolicyColumn, Refusal, Rule
from commonweal.kinds.data_trust import ColumnRole
from commonweal.kinds.visibility import Mask, MaskKind
from data_trusts.queries import CompiledQuestion, Dialect, OutputColumn, compile_question
from data_trusts.releases import finish, released, released_type
from tests.unit.grants.samples import dataset

CUSTOMS = dataset("customs_rows")
DISCLOSURES = dataset("facility_disclosures")
VISIBLE = {column.name for column in CUSTOMS.visible_columns()}
FUNCTIONS = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Cast, exp.And, exp.Or)


def asked(sql: str, dialect: Dialect = Dialect.TRINO) -> CompiledQuestion:
    compiled = compile_question(sql, "trade", CUSTOMS, dialect)
    assert isinstance(compiled, CompiledQuestion), compiled
    return compiled


def rule(sql: str) -> Rule | None:
    compiled = compile_question(sql, "trade", CUSTOMS, Dialect.TRINO)
    return compiled.rule if isinstance(compiled, Refusal) else None


def test_an_aggregate_by_dimensions_runs_with_its_group_size() -> None:
    compiled = asked(
        "SELECT product_nc, sum(quantity_in_kg) AS kg FROM customs_rows WHERE flow = 1 GROUP BY product_nc"
    )
    assert compiled.sql == (
        'SELECT "product_nc" AS "0$", CAST(SUM("quantity_in_kg") AS BIGINT) AS "1$", COUNT(*) AS "2$" '
        'FROM "trade"."customs_rows" WHERE "flow" = 1 GROUP BY "product_nc" '
        'HAVING COUNT(*) >= 3 AND COUNT("quantity_in_kg") >= 3 LIMIT 10001'
    )
    assert compiled.columns == (
        OutputColumn(name="product_nc", type="string", unit=""),
        OutputColumn(name="kg", type="long", unit="kg"),
        OutputColumn(name="group_rows", type="long", unit="rows"),
    )
    assert compiled.reads == ("flow", "product_nc", "quantity_in_kg")


def test_published_rows_may_be_asked_one_by_one() -> None:
    sql = "SELECT installation_id, see_direct_t_per_t FROM facility_disclosures ORDER BY installation_id DESC LIMIT 5"
    compiled = compile_question(sql, "trade", DISCLOSURES, Dialect.DUCKDB)
    assert isinstance(compiled, CompiledQuestion)
    assert compiled.sql == (
        'SELECT "installation_id" AS "0$", "see_direct_t_per_t" AS "1$", CAST(1 AS BIGINT) AS "2$" '
        'FROM "trade"."facility_disclosures" ORDER BY "installation_id" DESC LIMIT 5'
    )
    assert compiled.columns[-1].name == "group_rows"


@pytest.mark.parametrize(
    "where",
    [
        "flow = 1 AND day >= DATE '2026-01-01'",
        "NOT (product_nc IN ('72081000', 'a''b') OR flow BETWEEN -1 AND 3)",
        "product_nc IS NULL OR product_nc IS NOT NULL",
        "synthetic = TRUE AND day < '2026-02-01'",
        "cleared_at < TIMESTAMP '2026-01-01 00:00:00+01:00'",
        "customs_rows.flow <> 2 AND trade.customs_rows.flow <= 9",
        'FLOW = 1 AND "flow" = 1',
    ],
)
def test_dimensions_may_be_compared_with_literals(where: str) -> None:
    assert rule(f"SELECT count(*) FROM trade.customs_rows WHERE {where}") is None


WRITES = (
    "DROP TABLE",
    "CREATE TABLE x AS TABLE",
    "CREATE VIEW x AS TABLE",
    "ALTER TABLE customs_rows RENAME TO",
    "TRUNCATE TABLE",
    "INSERT INTO customs_rows TABLE",
    "UPDATE customs_rows SET flow = 1 FROM",
    "MERGE INTO customs_rows USING x ON TRUE WHEN MATCHED THEN DELETE --",
    "GRANT SELECT ON",
    "CALL system.rollback_to_snapshot('trade', 'customs_rows', 1) --",
    "SET SESSION x = 1 --",
    "PRAGMA",
    "COPY customs_rows TO '/tmp/x' --",
    "ATTACH",
    "INSTALL",
    "USE",
    "PREPARE x FROM TABLE",
    "EXECUTE IMMEDIATE 'DROP TABLE customs_rows' --",
    "COMMIT --",
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", Rule.GRAMMAR),
        ("   -- nothing", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows; DROP TABLE customs_rows", Rule.GRAMMAR),
        ("DELETE FROM customs_rows", Rule.GRAMMAR),
        *((f"{verb} customs_rows", Rule.GRAMMAR) for verb in WRITES),
        ("EXPLAIN SELECT count(*) FROM customs_rows", Rule.GRAMMAR),
        ("SHOW TABLES", Rule.GRAMMAR),
        ("WITH x AS (SELECT 1) SELECT count(*) FROM customs_rows", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows UNION ALL SELECT 1", Rule.GRAMMAR),
        ("(SELECT count(*) FROM customs_rows)", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows, payroll", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows JOIN payroll ON TRUE", Rule.GRAMMAR),
        ("SELECT count(*) FROM (SELECT * FROM customs_rows)", Rule.GRAMMAR),
        ("SELECT count(*) FROM TABLE(system.query('x'))", Rule.GRAMMAR),
        ("SELECT count(*) FROM read_csv('/etc/passwd')", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows FOR VERSION AS OF 1", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows FOR TIMESTAMP AS OF TIMESTAMP '2026-01-01 00:00:00 UTC'", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows@branch", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows TABLESAMPLE BERNOULLI (1)", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows AS c", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows HAVING count(*) < 2", Rule.GRAMMAR),
        ("SELECT DISTINCT product_nc FROM customs_rows GROUP BY product_nc", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows GROUP BY 1", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows GROUP BY ROLLUP (flow)", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows GROUP BY flow + 1", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows GROUP BY ALL", Rule.GRAMMAR),
        ("SELECT product_nc, count(*) FROM customs_rows GROUP BY flow", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows LIMIT ALL", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows LIMIT 10001", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows OFFSET 5", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows FETCH FIRST 5 ROWS ONLY", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows ORDER BY count(*)", Rule.GRAMMAR),
        ("SELECT count(*) AS x, sum(quantity_in_kg) AS x FROM customs_rows", Rule.GRAMMAR),
        ("SELECT count(*) AS group_rows FROM customs_rows", Rule.GRAMMAR),
        ('SELECT count(*) AS "a""; DROP" FROM customs_rows', Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows WHERE " + "NOT " * 900 + "flow = 1", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows WHERE " + "(" * 400 + "flow = 1" + ")" * 400, Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows WHERE flow IN (" + "1," * 2000 + "1)", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows WHERE product_nc = '" + "x" * 10_000 + "'", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows WHERE product_nc = '\x00'", Rule.GRAMMAR),
        ('SELECT count(*) FROM "customs_rows$files"', Rule.SOURCE),
        ("SELECT count(*) FROM payroll", Rule.SOURCE),
        ("SELECT count(*) FROM other.customs_rows", Rule.SOURCE),
        ("SELECT count(*) FROM information_schema.tables", Rule.SOURCE),
        ("SELECT count(*) FROM system.trade.customs_rows", Rule.GRAMMAR),
        ('SELECT count(*) FROM "Customs_Rows"', Rule.SOURCE),
        ("SELECT count(consignment_id) FROM customs_rows", Rule.HIDDEN_COLUMN),
        ("SELECT count(*) FROM customs_rows GROUP BY CONSIGNMENT_ID", Rule.HIDDEN_COLUMN),
        ("SELECT count(*) FROM customs_rows WHERE \"consignment_id\" = 'x'", Rule.HIDDEN_COLUMN),
        ("SELECT count(*) FROM customs_rows ORDER BY consignment_id", Rule.HIDDEN_COLUMN),
        ("SELECT count(salary) FROM customs_rows", Rule.COLUMN),
        ("SELECT sum(payroll.quantity_in_kg) FROM customs_rows", Rule.COLUMN),
        ("SELECT product_nc FROM customs_rows", Rule.GROUP_SIZE),
        ("SELECT product_nc, quantity_in_kg FROM customs_rows", Rule.GROUP_SIZE),
        ("SELECT * FROM customs_rows", Rule.AGGREGATE),
        ("SELECT sum(product_nc) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT sum(quantity_in_kg * 2) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT sum(quantity_in_kg) + 1 FROM customs_rows", Rule.AGGREGATE),
        ("SELECT sum(DISTINCT quantity_in_kg) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT sum(quantity_in_kg) FILTER (WHERE flow = 1) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT sum(quantity_in_kg) OVER () FROM customs_rows", Rule.AGGREGATE),
        ("SELECT array_agg(quantity_in_kg) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT approx_percentile(quantity_in_kg, 0.5) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT (SELECT max(quantity_in_kg) FROM customs_rows) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT current_user, count(*) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT 1, count(*) FROM customs_rows", Rule.AGGREGATE),
        ("SELECT min(quantity_in_kg) FROM customs_rows", Rule.RELEASE),
        ("SELECT max(quantity_in_kg) FROM customs_rows", Rule.RELEASE),
        ("SELECT count(*) FROM customs_rows WHERE quantity_in_kg > 5", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows GROUP BY quantity_in_kg", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE 1 = 1", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = flow", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = '1'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = 3000000000", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = 1.5", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = NULL", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE product_nc LIKE '7%'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE lower(product_nc) = 'x'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE day = '2026-13-01'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE cleared_at < TIMESTAMP '2026-01-01 00:00:00'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = 'NaN'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = CAST('NaN' AS DOUBLE)", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = infinity()", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow = 1e400", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE day = DATE 'infinity'", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE flow IN (SELECT 1)", Rule.GRAMMAR),
        ("SELECT count(*) FROM customs_rows WHERE EXISTS (SELECT 1)", Rule.FILTER),
        ("SELECT count(*) FROM customs_rows WHERE CASE WHEN flow = 1 THEN TRUE END", Rule.FILTER),
    ],
)
def test_everything_outside_the_grammar_is_refused_by_name(sql: str, expected: Rule) -> None:
    assert rule(sql) is expected


def test_a_refusal_says_what_where_and_what_to_do() -> None:
    refusal = compile_question("SELECT min(quantity_in_kg) FROM customs_rows", "trade", CUSTOMS, Dialect.TRINO)
    assert refusal == Refusal(
        rule=Rule.RELEASE,
        reason="min of quantity_in_kg is not released by the trust",
        remedy="The trust allows avg, count, sum",
    )


@pytest.mark.parametrize(
    "instant",
    [
        "TIMESTAMP '2026-01-01 00:00:00'",
        "TIMESTAMP '2026-01-01 00:00:00 Mars/Phobos'",
        "TIMESTAMP '2026-01-01 00:00:00 Europe/Paris'",
        "TIMESTAMP '2026-01-01 00:00:00+25:00'",
        "TIMESTAMP '0001-01-01 00:00:00+10:00'",
        "TIMESTAMP '2026-01-01 00:00:00' AT TIME ZONE 'Europe/Paris'",
        "'2026-01-01 00:00:00'",
    ],
)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_instant_without_its_offset_is_told_how_to_give_it(instant: str, dialect: Dialect) -> None:
    sql = f"SELECT count(*) FROM customs_rows WHERE cleared_at < {instant}"
    refusal = compile_question(sql, "trade", CUSTOMS, dialect)
    assert isinstance(refusal, Refusal)
    assert refusal.rule is Rule.FILTER
    assert "with its offset from UTC, not the name of a zone" in refusal.remedy


def test_comments_and_literals_cannot_carry_sql() -> None:
    compiled = asked("SELECT count(*) /* ; DROP TABLE x */ FROM customs_rows -- x\n WHERE product_nc = ''' OR 1=1 --'")
    assert "DROP" not in compiled.sql
    assert """"product_nc" = ''' OR 1=1 --'""" in compiled.sql


def test_an_alias_cannot_stand_for_the_column_that_the_group_size_counts() -> None:
    sql = "SELECT flow AS share, sum(share) AS s FROM customs_rows GROUP BY flow"
    assert 'COUNT("share") >= 3' in asked(sql).sql
    assert 'AS "share"' not in asked(sql).sql


ODD_NAMES = ["consignment_id", "CONSIGNMENT_ID", '"consignment_id"', "salary", "x$files", "*", "1"]
DIMENSIONS = ["product_nc", "flow", "FLOW", '"flow"', "customs_rows.day", "cleared_at", "synthetic"]
MEASURES = ["quantity_in_kg", "share", "distance_km", "trade.customs_rows.share"]
ODD_LITERALS = ["NULL", "'; --", "1e9", "x'00'", "(SELECT 1)", "current_user", "consignment_id"]
TEXTS = st.text(max_size=12).map(lambda text: "'" + text.replace("'", "''") + "'")
COMPARISONS = st.one_of(
    st.builds("flow {} {}".format, st.sampled_from(["=", "<>", "<", ">="]), st.integers(-(2**33), 2**33)),
    st.builds("product_nc {} {}".format, st.sampled_from(["=", "<>", "IN ('x') OR product_nc ="]), TEXTS),
    st.builds("day BETWEEN '2026-01-01' AND {}".format, st.dates().map("'{}'".format)),
    st.sampled_from(["flow IS NULL", "synthetic = TRUE", "distance_km > 1", "flow IN (SELECT 1)", "1 = 1"]),
    st.builds("{} = {}".format, st.sampled_from(DIMENSIONS + ODD_NAMES), st.sampled_from(ODD_LITERALS)),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("NOT {}".format, inner),
    ),
    max_leaves=3,
)
AGGREGATES = st.one_of(
    st.just("count(*)"),
    st.builds("{}({})".format, st.sampled_from(["count", "sum", "avg"]), st.sampled_from(MEASURES)),
)
ODD_ITEMS = st.builds(
    "{}({}){}".format,
    st.sampled_from(["count", "sum", "min", "max", "array_agg", "any_value", "sum(DISTINCT", "sum(1 *", "abs(sum("]),
    st.sampled_from(MEASURES + DIMENSIONS + ODD_NAMES),
    st.sampled_from(["", "", " OVER ()", " FILTER (WHERE flow = 1)", "))"]),
)
SOURCES = ["trade.customs_rows", '"customs_rows$files"', "payroll", "customs_rows, payroll", "customs_rows AS c"]
TAILS = [" HAVING count(*) < 2", "; SELECT 1", " UNION SELECT 1", " --", " ORDER BY consignment_id", " OFFSET 1"]


def often(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly what the grammar takes, so that questions get far; else what it must not take."""
    return st.integers(0, 9).flatmap(lambda die: odd if die == 0 else usual)


@st.composite
def questions(draw: st.DrawFn) -> str:
    groups = draw(st.lists(often(st.sampled_from(DIMENSIONS), st.sampled_from(ODD_NAMES)), max_size=2))
    aggregates = draw(st.lists(often(AGGREGATES, ODD_ITEMS), min_size=1, max_size=3))
    aliases = ["a", "b", draw(st.sampled_from(["c", "share", "flow", "group_rows", '"d"'])), "e", "f"]
    items = ", ".join(f"{item} AS {alias}" for item, alias in zip([*groups, *aggregates], aliases, strict=False))
    sql = f"SELECT {items} FROM {draw(often(st.just('customs_rows'), st.sampled_from(SOURCES)))}"
    if draw(st.booleans()):
        sql += f" WHERE {draw(CONDITIONS)}"
    if groups:
        sql += f" GROUP BY {', '.join(groups)}"
    return sql + draw(often(st.sampled_from(["", " LIMIT 3", " -- x"]), st.sampled_from(TAILS)))


def assert_holds_only_what_the_trust_allows(compiled: CompiledQuestion, dialect: Dialect) -> None:
    """An independent reading of the SQL that goes to the engine."""
    statements = sqlglot.parse(compiled.sql, dialect=dialect.value)
    assert len(statements) == 1
    tree = statements[0]
    assert isinstance(tree, exp.Select)
    assert [(table.db, table.name) for table in tree.find_all(exp.Table)] == [("trade", "customs_rows")]
    assert {column.name for column in tree.find_all(exp.Column)} <= VISIBLE
    assert not list(tree.find_all(exp.Subquery, exp.Union, exp.Join, exp.CTE, exp.Window, exp.Filter, exp.Anonymous))
    assert all(isinstance(function, FUNCTIONS) for function in tree.find_all(exp.Func))
    having = tree.args["having"].this.sql()
    assert having.startswith("COUNT(*) >= 3")
    for aggregate in tree.find_all(exp.Sum, exp.Avg, exp.Min, exp.Max):
        assert f'COUNT("{aggregate.this.name}") >= 3' in having


@given(questions(), st.sampled_from(list(Dialect)))
def test_whatever_is_asked_only_what_the_trust_allows_reaches_an_engine(sql: str, dialect: Dialect) -> None:
    compiled = compile_question(sql, "trade", CUSTOMS, dialect)
    if isinstance(compiled, CompiledQuestion):
        assert_holds_only_what_the_trust_allows(compiled, dialect)


@given(questions(), st.data())
def test_no_cut_or_doubled_piece_of_a_question_gets_more(sql: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sql)))
    end = data.draw(st.integers(start, len(sql)))
    changed = data.draw(st.sampled_from([sql[:start] + sql[end:], sql[:end] + sql[start:]]))
    compiled = compile_question(changed, "trade", CUSTOMS, Dialect.TRINO)
    if isinstance(compiled, CompiledQuestion):
        assert_holds_only_what_the_trust_allows(compiled, Dialect.TRINO)


@given(st.text(max_size=200))
def test_any_text_gets_an_answer_and_never_an_accident(sql: str) -> None:
    assert compile_question(sql, "trade", CUSTOMS, Dialect.TRINO)


@given(st.text(max_size=60))
def test_a_text_literal_arrives_as_it_was_sent(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    compiled = compile_question(
        f"SELECT count(*) FROM customs_rows WHERE product_nc = {quoted}", "trade", CUSTOMS, Dialect.DUCKDB
    )
    if isinstance(compiled, CompiledQuestion):
        literals = [node.name for node in sqlglot.parse_one(compiled.sql, dialect="duckdb").find_all(exp.Literal)]
        assert text in literals


def averaged(total: object, count: object, of: str = "quantity_in_kg") -> object:
    return finish(asked(f"SELECT avg({of}) FROM customs_rows"), [[total, 9, count]])[0][0]


@given(st.integers(-(2**62), 2**62), st.integers(1, 10**6))
def test_an_average_is_exact_to_its_last_digit(total: int, count: int) -> None:
    value = averaged(total, count)
    assert isinstance(value, Decimal)
    assert abs(Fraction(value) - Fraction(total, count)) <= Fraction(1, 2 * 10**18)
    assert value.as_tuple().exponent == -18


def test_an_average_of_38_digits_keeps_them_all() -> None:
    total = Decimal("12345678901234567890.123456789012345678")
    assert averaged(total, 1, "share") == total


def test_an_average_over_nothing_is_nothing() -> None:
    assert averaged(None, 0) is None


def test_the_group_rows_come_last_and_helpers_stay_behind() -> None:
    compiled = asked("SELECT day, avg(share), avg(distance_km) FROM customs_rows GROUP BY day")
    rows = finish(compiled, [[date(2026, 1, 1), Decimal(6), 7.0, 4, 3, 2]])
    assert rows == [[date(2026, 1, 1), Decimal(2), 3.5, 4]]


@pytest.mark.parametrize(
    ("aggregate", "of_type", "expected"),
    [
        (Aggregate.COUNT, "string", "long"),
        (Aggregate.SUM, "int", "long"),
        (Aggregate.SUM, "decimal(10,2)", "decimal(38,2)"),
        (Aggregate.SUM, "double", "double"),
        (Aggregate.AVG, "long", "decimal(38,18)"),
        (Aggregate.AVG, "decimal(38,20)", "decimal(38,20)"),
        (Aggregate.AVG, "double", "double"),
        (Aggregate.MAX, "date", "date"),
    ],
)
def test_a_release_has_the_same_type_on_every_engine(aggregate: Aggregate, of_type: str, expected: str) -> None:
    assert released_type(aggregate, of_type) == expected


@pytest.mark.parametrize(
    ("of_type", "written"),
    [("int", "BIGINT"), ("long", "BIGINT"), ("decimal(10,2)", "DECIMAL(38, 2)"), ("double", "DOUBLE")],
)
def test_a_sum_is_as_wide_as_it_says_and_not_as_its_column(of_type: str, written: str) -> None:
    column = PolicyColumn(name="price", type=of_type, role=ColumnRole.MEASURE)
    assert released(Aggregate.SUM, column).sql(dialect="trino") == f'CAST(SUM("price") AS {written})'


def test_columns_with_a_value_in_every_row_are_counted_by_rows() -> None:
    sql = "SELECT flow, avg(share), sum(quantity_in_kg), sum(distance_km) FROM customs_rows GROUP BY flow"
    counting = compile_question(sql, "trade", CUSTOMS, Dialect.TRINO, lambda: ("share", "quantity_in_kg"))
    assert isinstance(counting, CompiledQuestion)
    assert 'COUNT(*) AS "5$" FROM' in counting.sql, "the average of share is divided by it"
    assert 'HAVING COUNT(*) >= 3 AND COUNT("distance_km") >= 3 LIMIT' in counting.sql


@pytest.mark.parametrize(
    ("sql", "dialect", "asked"),
    [
        ("SELECT sum(share) FROM customs_rows", Dialect.TRINO, 1),
        ("SELECT sum(share) FROM customs_rows", Dialect.DUCKDB, 0),
        ("SELECT count(*) FROM customs_rows", Dialect.TRINO, 0),
        ("SELECT sum(share) FROM customs_rows LIMIT 10001", Dialect.TRINO, 0),
        ("SELECT sum(share), sum(consignment_id) FROM customs_rows", Dialect.TRINO, 0),
    ],
)
def test_the_table_is_looked_at_only_where_its_word_changes_the_statement(
    sql: str, dialect: Dialect, asked: int
) -> None:
    looks: list[None] = []

    def complete() -> tuple[str, ...]:
        looks.append(None)
        return ("share",)

    compile_question(sql, "trade", CUSTOMS, dialect, complete)
    assert len(looks) == asked


def test_a_mask_that_leaves_no_value_is_counted_as_it_is_seen() -> None:
    [share] = [column for column in CUSTOMS.columns if column.name == "share"]
    emptied = share.model_copy(update={"masks": (Mask(kind=MaskKind.NULL),)})
    columns = tuple(emptied if column.name == "share" else column for column in CUSTOMS.columns)
    dataset = CUSTOMS.model_copy(update={"columns": columns})
    sql = "SELECT sum(share) FROM customs_rows"
    question = compile_question(sql, "trade", dataset, Dialect.TRINO, lambda: ("share",))
    assert isinstance(question, CompiledQuestion)
    assert 'HAVING COUNT(*) >= 3 AND COUNT("share") >= 3 LIMIT' in question.sql
