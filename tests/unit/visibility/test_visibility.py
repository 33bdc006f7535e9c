"""Which rules can be applied, to whom they apply, and the SQL that applies them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from commonweal.agreements import Deed, grant_state, negotiate_all, with_approvals
from commonweal.grants import (
    Allowed,
    Ask,
    Policy,
    PolicyUnreadableError,
    Refusal,
    compile_policy,
    dataset_faults,
    decide,
)
from commonweal.kinds.data_grant import DataGrant, GrantReason
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.visibility import Comparison, Mask
from commonweal.visibility import compare_alike, value_of
from data_trusts.queries import CompiledQuestion, Dialect, compile_question
from tests.unit.grants.samples import CUSTOMS, DISCLOSURES, NOON, PURPOSE, grant, site, trust

IMPORTS = {"name": "only-imports", "anyOf": [{"column": "flow", "operator": "In", "values": ["1", "-2"]}]}
OWN_OR_OLD = {
    "name": "own-or-old",
    "anyOf": [
        {"column": "consignment_id", "operator": "NotIn", "claim": "member"},
        {"column": "day", "operator": "Below", "values": ["2026-01-03"]},
        {"column": "product_nc", "operator": "IsNull"},
    ],
}
SHORTENED = 'CASE WHEN LENGTH("product_nc") <= 2 THEN "product_nc" ELSE SUBSTR("product_nc", 1, 2) END'
SQL = "SELECT product_nc, sum(quantity_in_kg) AS kg FROM customs_rows GROUP BY product_nc"


def ruled(rules: Sequence[object] = (), masks: Mapping[str, object] | None = None) -> DataTrust:
    columns = [{**column, "mask": (masks or {}).get(str(column["name"]))} for column in CUSTOMS["columns"]]  # type: ignore[attr-defined]
    return trust({"datasets": [{**CUSTOMS, "columns": columns, "rowRules": rules}, DISCLOSURES]})


def narrow(rules: Sequence[object] = (), masks: Sequence[object] = (), dataset: str = "customs_rows") -> DataGrant:
    return grant({"narrowing": [{"dataset": dataset, "rowRules": rules, "masks": masks}]})


def policy(of: DataTrust, under: DataGrant) -> Policy:
    approved = with_approvals(under, Deed(of), ["ca", "kr"])
    return compile_policy(of, negotiate_all(of, [approved], NOON), {"ca": site("ca")}, "ca")


def compiled(
    of: DataTrust, under: DataGrant | None = None, sql: str = SQL, dialect: Dialect = Dialect.TRINO, **ask: str
) -> CompiledQuestion:
    names = {"grant": "steel", "beneficiary": "steel-pilot", "member": "kr", **ask}
    asked = Ask(trust="trade", dataset="customs_rows", purpose=PURPOSE, **names)
    decision = decide(policy(of, under or grant()), asked, NOON)
    assert isinstance(decision, Allowed), decision
    question = compile_question(sql, "trade", decision.dataset, dialect)
    assert isinstance(question, CompiledQuestion), question
    return question


def test_a_question_stands_over_the_rows_and_values_that_the_rules_show() -> None:
    question = compiled(ruled([IMPORTS, OWN_OR_OLD], {"product_nc": {"kind": "Prefix", "size": 2}}))
    assert question.sql == (
        'SELECT "product_nc" AS "0$", CAST(SUM("quantity_in_kg") AS BIGINT) AS "1$", COUNT(*) AS "2$" '
        "FROM (SELECT " + SHORTENED + ' AS "product_nc", "quantity_in_kg" AS "quantity_in_kg" '
        'FROM "trade"."customs_rows" WHERE ("flow" IN (1, -2)) AND '
        '(NOT "consignment_id" IN (\'kr\') OR "day" < CAST(\'2026-01-03\' AS DATE) OR "product_nc" IS NULL)) '
        'AS "customs_rows" GROUP BY "product_nc" HAVING COUNT(*) >= 3 AND COUNT("quantity_in_kg") >= 3 LIMIT 10001'
    )


def test_a_question_is_told_which_rules_filtered_and_masked_it() -> None:
    question = compiled(
        ruled([OWN_OR_OLD], {"product_nc": {"kind": "Prefix", "size": 4}, "day": {"kind": "Month"}}),
        narrow([IMPORTS], [{"column": "product_nc", "mask": {"kind": "Prefix", "size": 2}}]),
    )
    assert question.filters == (
        "own-or-old: consignment_id NotIn kr or day Below 2026-01-03 or product_nc IsNull",
        "steel/only-imports: flow In -2 1",
    )
    assert question.masks == ("product_nc: Prefix(4) then Prefix(2)",), "day is masked too, but not read"


def test_without_rules_a_table_is_read_as_it_is() -> None:
    question = compiled(ruled())
    assert 'FROM "trade"."customs_rows" GROUP' in question.sql
    assert (question.filters, question.masks) == ((), ())


def test_a_mask_stands_wherever_the_column_is_named() -> None:
    masked = ruled(masks={"day": {"kind": "Year"}, "cleared_at": {"kind": "Month"}, "flow": {"kind": "Null"}})
    sql = (
        "SELECT day, cleared_at, count(*) FROM customs_rows WHERE flow = 1 AND day > '2025-01-01' "
        "GROUP BY day, cleared_at ORDER BY day"
    )
    question = compiled(masked, sql=sql, dialect=Dialect.DUCKDB)
    source, _, rest = question.sql.partition(' AS "customs_rows" ')
    assert 'CAST(DATE_TRUNC(\'year\', "day") AS DATE) AS "day"' in source
    assert "DATE_TRUNC('month', \"cleared_at\" AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS \"cleared_at\"" in source
    assert "CAST(NULL AS INT) = 1" in source
    assert "DATE_TRUNC" not in rest


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        ("product_nc = '7'", "\"product_nc\" = '7'"),
        ("product_nc IN ('7', '72')", f"{SHORTENED} IN ('7', '72')"),
        ("product_nc < '720'", f"{SHORTENED} < '720'"),
        ("product_nc BETWEEN '7' AND '8'", "\"product_nc\" BETWEEN '7' AND '8'"),
        ("product_nc BETWEEN '7' AND '84'", f"{SHORTENED} BETWEEN '7' AND '84'"),
        ("product_nc IS NULL", '"product_nc" IS NULL'),
        ("flow IS NULL", "CAST(NULL AS INTEGER) IS NULL"),
        ("day = '2026-01-01'", "CAST(DATE_TRUNC('year', \"day\") AS DATE) = CAST('2026-01-01' AS DATE)"),
    ],
)
def test_a_condition_compares_the_masked_value_unless_the_value_itself_says_the_same(asked: str, runs: str) -> None:
    masks = {"product_nc": {"kind": "Prefix", "size": 2}, "flow": {"kind": "Null"}, "day": {"kind": "Year"}}
    question = compiled(ruled([IMPORTS], masks), sql=f"SELECT count(*) FROM customs_rows WHERE {asked}")  # noqa: S608
    assert f'FROM "trade"."customs_rows" WHERE ({runs}) AND ("flow" IN (1, -2)) HAVING' in question.sql


def test_a_column_that_only_the_condition_reads_is_compared_and_not_taken_along() -> None:
    sql = "SELECT flow, count(*) FROM customs_rows WHERE day > '2026-01-01' GROUP BY flow"
    question = compiled(ruled([IMPORTS], {"flow": {"kind": "Bucket", "size": 5}}), sql=sql)
    assert 'FROM (SELECT ("flow" - ("flow" % 5)) AS "flow" FROM "trade"."customs_rows" WHERE (' in question.sql
    assert question.reads == ("day", "flow")


TEXTS = st.text(alphabet="ab\u00e9\U0001f600", max_size=5)


@given(value=TEXTS, text=TEXTS, sizes=st.lists(st.integers(1, 4), max_size=2))
def test_comparing_alike_is_comparing_the_same(value: str, text: str, sizes: list[int]) -> None:
    masks = [Mask.model_validate({"kind": "Prefix", "size": size}) for size in sizes]
    if compare_alike(masks, [text]):
        masked = value[: min(sizes, default=None)]
        assert ((value < text), (value == text)) == ((masked < text), (masked == text))


@pytest.mark.parametrize("mask", [{"kind": "Null"}, {"kind": "Year"}, {"kind": "Month"}, {"kind": "Bucket", "size": 9}])
def test_nothing_but_a_prefix_compares_alike(mask: dict[str, object]) -> None:
    assert not compare_alike([Mask.model_validate(mask)], [])


def test_a_question_that_reads_no_column_is_filtered_all_the_same() -> None:
    question = compiled(ruled([IMPORTS]), sql="SELECT count(*) FROM customs_rows")
    assert 'FROM "trade"."customs_rows" WHERE ("flow" IN (1, -2)) HAVING' in question.sql


def test_a_claim_is_what_the_token_and_the_grant_say() -> None:
    rule = {"name": "own", "anyOf": [{"column": "product_nc", "operator": "In", "claim": "beneficiary"}]}
    assert "\"product_nc\" IN ('steel-pilot')" in compiled(ruled([rule])).sql
    rule["anyOf"][0]["claim"] = "purpose"  # type: ignore[index]
    assert f"\"product_nc\" IN ('{PURPOSE}')" in compiled(ruled([rule])).sql


@pytest.mark.parametrize("changed", [{"claim": "member", "values": ()}, {"column": "salary"}, {"values": ("x",)}])
def test_a_rule_that_cannot_be_applied_shows_nothing(changed: dict[str, object]) -> None:
    dataset = policy(ruled([IMPORTS]), grant()).datasets[0]
    [rule] = dataset.row_rules
    broken = rule.model_copy(update={"any_of": (rule.any_of[0].model_copy(update=changed),)})
    refusal = compile_question(SQL, "trade", dataset.model_copy(update={"row_rules": (broken,)}), Dialect.TRINO)
    assert isinstance(refusal, Refusal)
    assert (refusal.rule, "only-imports" in refusal.reason) == ("RowRule", True)


@pytest.mark.parametrize(
    ("comparison", "fault"),
    [
        ({"column": "salary", "operator": "IsNull"}, "there is no column salary"),
        ({"column": "share", "operator": "IsNull"}, "share is a measure"),
        ({"column": "flow", "operator": "In", "claim": "member"}, "flow is int, and claims are text"),
        ({"column": "flow", "operator": "In", "values": ["1", "one"]}, "'one' is no int, which flow is"),
        ({"column": "flow", "operator": "AtLeast", "values": ["2147483648"]}, "'2147483648' is no int"),
        ({"column": "day", "operator": "Below", "values": ["2026-13-01"]}, "'2026-13-01' is no date"),
        ({"column": "cleared_at", "operator": "Below", "values": ["2026-01-01T00:00:00"]}, "is no timestamptz"),
        ({"column": "synthetic", "operator": "In", "values": ["yes"]}, "'yes' is no boolean"),
    ],
)
def test_a_rule_that_does_not_fit_is_named_and_its_dataset_answers_nothing(
    comparison: dict[str, object], fault: str
) -> None:
    rule = {"name": "faulty", "anyOf": [{"column": "flow", "operator": "IsNull"}, comparison]}
    of = ruled([IMPORTS, rule])
    [found] = dataset_faults(of.spec.datasets[0])
    assert found.startswith("rowRules[faulty].anyOf[1]: ")
    assert fault in found
    assert policy(of, grant()).datasets == ()
    state = grant_state(narrow([rule]), trust(), NOON)
    assert (state.ready, state.reason) == (False, GrantReason.RULE_UNUSABLE)
    assert state.message.startswith("spec.narrowing[customs_rows].rowRules[faulty].anyOf[1]: ")


@pytest.mark.parametrize(
    ("column", "mask", "fault"),
    [
        ("salary", {"kind": "Null"}, "there is no column salary"),
        ("consignment_id", {"kind": "Null"}, "consignment_id is hidden"),
        ("product_nc", {"kind": "Year"}, "Year masks date or timestamptz, and product_nc is string"),
        ("day", {"kind": "Prefix", "size": 4}, "Prefix masks string, and day is date"),
        ("share", {"kind": "Bucket", "size": 4}, "Bucket masks int or long, and share is decimal(38,18)"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(column: str, mask: dict[str, object], fault: str) -> None:
    state = grant_state(narrow(masks=[{"column": column, "mask": mask}]), trust(), NOON)
    assert (state.ready, state.reason) == (False, GrantReason.RULE_UNUSABLE)
    assert fault in state.message


def test_a_grant_narrows_only_what_it_covers() -> None:
    state = grant_state(narrow([IMPORTS], dataset="payroll"), trust(), NOON)
    assert state.message.startswith("spec.narrowing[payroll]: is not among spec.datasets")


@pytest.mark.parametrize(
    "comparison",
    [
        {"operator": "In"},
        {"operator": "NotIn", "values": ["1"], "claim": "member"},
        {"operator": "AtLeast", "values": ["1", "2"]},
        {"operator": "Below"},
        {"operator": "AtLeast", "claim": "member"},
        {"operator": "IsNull", "values": ["1"]},
        {"operator": "IsNotNull", "claim": "purpose"},
        {"operator": "Like", "values": ["1"]},
        {"operator": "In", "claim": "clearance"},
    ],
)
def test_an_operator_or_operand_outside_the_vocabulary_is_no_comparison(comparison: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Comparison.model_validate({"column": "flow", **comparison})


@pytest.mark.parametrize(
    "mask", [{"kind": "Hash"}, {"kind": "Prefix"}, {"kind": "Bucket", "size": 0}, {"kind": "Null", "size": 3}]
)
def test_a_mask_outside_the_vocabulary_is_none(mask: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mask.model_validate(mask)


def test_rules_travel_in_the_policy_under_its_hash() -> None:
    of, under = ruled([OWN_OR_OLD], {"day": {"kind": "Year"}}), narrow([IMPORTS])
    text = policy(of, under).render()
    assert Policy.parse(text) == policy(of, under)
    for old, new in (
        ('"Below"', '"AtLeast"'),
        ('"kind":"Year"', '"kind":"Month"'),
        ('"values":["1","-2"]', '"values":["1"]'),
    ):
        assert old in text
        with pytest.raises(PolicyUnreadableError, match="hash"):
            Policy.parse(text.replace(old, new))
    with pytest.raises(PolicyUnreadableError, match="operator"):
        Policy.parse(text.replace('"Below"', '"Like"'))


RULES = st.lists(st.sampled_from([IMPORTS, OWN_OR_OLD]), unique_by=id)
MASKS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"kind": "Null"}, {"kind": "Prefix", "size": 1}, {"kind": "Prefix", "size": 3}]
)


@given(trusts=RULES, grants=RULES, trust_mask=st.none() | MASKS, grant_mask=st.none() | MASKS)
def test_a_grant_takes_nothing_of_the_trusts_rules_away(
    trusts: list[object], grants: list[object], trust_mask: object, grant_mask: object
) -> None:
    of = ruled(trusts, {"product_nc": trust_mask})
    wide = compiled(of)
    tight = compiled(of, narrow(grants, [{"column": "product_nc", "mask": grant_mask}] if grant_mask else []))
    assert tight.filters[: len(wide.filters)] == wide.filters
    assert len(tight.filters) == len(trusts) + len(grants)
    assert all(mask.startswith(words) for words, mask in zip(wide.masks, tight.masks, strict=False))
    assert len(tight.masks) == int(trust_mask is not None or grant_mask is not None)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_whole_number_is_read_as_it_is_written(number: int) -> None:
    assert value_of(str(number), "long") == number


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "now", ""])
def test_an_instant_that_no_clock_can_show_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"year|isoformat"):
        value_of(text, "timestamptz")
