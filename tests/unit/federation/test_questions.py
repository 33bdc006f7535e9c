import json
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.differencing import row_sets
from commonweal.federation import context_of
from commonweal.grants import PolicyDataset, Refusal
from commonweal.kinds.data_trust import ColumnRole
from commonweal.kinds.visibility import Comparison, Mask, MaskKind, Operator, RowRule
from data_trusts.federated_groups import Axis, Cells
from data_trusts.federated_questions import FederatedQuestion, compile_federated, words
from data_trusts.queries import Dialect
from data_trusts.releases import NotFiniteError
from tests.unit.federation.samples import LAPLACE, dataset

FLOWS = {"flow": Cells(values=(1, 2))}


def ask(sql: str, groups: dict[str, Cells] | None = None, noise: dict[str, object] | None = None) -> FederatedQuestion:
    asked = compile_federated(sql, groups or {}, "trade", dataset(noise), Dialect.DUCKDB)
    assert isinstance(asked, FederatedQuestion), asked
    return asked


def refusal(sql: str, groups: dict[str, Cells] | None = None, noise: dict[str, object] | None = None) -> Refusal:
    asked = compile_federated(sql, groups or {}, "trade", dataset(noise), Dialect.DUCKDB)
    assert isinstance(asked, Refusal), asked
    return asked


def test_a_member_runs_the_same_question_with_small_groups_kept() -> None:
    asked = ask(
        "SELECT flow, avg(quantity_in_kg) AS kg FROM customs_rows WHERE day > DATE '2026-01-01' GROUP BY flow", FLOWS
    )
    sql = asked.statement.sql
    assert "HAVING COUNT(*) >= 1" in sql
    assert 'WHERE "day" > CAST(' in sql
    assert [value.aggregate.value for value in asked.layout.values] == ["count", "count", "sum"]
    assert asked.layout.bits == 64
    assert asked.statement.reads == ("day", "flow", "quantity_in_kg")


def test_rows_become_words_group_by_group_and_words_become_lines() -> None:
    asked = ask("SELECT flow, sum(share) AS share, count(*) AS n FROM customs_rows GROUP BY flow", FLOWS)
    rows = [(2, 4, 4, Decimal("1.5"), 4), (1, 9, 9, Decimal("0.625"), 9), (7, 1, 1, Decimal(3), 1)]
    filled = words(rows, asked.layout)
    assert filled == [1, 9, 9, 625 * 10**15, 4, 4, 1500 * 10**15]
    assert asked.layout.bits == 128
    assert [asked.layout.row(filled, group) for group in range(2)] == [
        [1, Decimal("0.625"), 9, 9],
        [2, Decimal("1.5"), 4, 4],
    ]
    assert asked.layout.counts(filled) == {0: 9, 1: 4}


@given(st.lists(st.lists(st.integers(-(10**6), 10**6), max_size=5), min_size=1, max_size=5))
def test_the_mean_of_members_sums_is_the_mean_of_all_rows(members: list[list[int]]) -> None:
    asked = ask("SELECT avg(quantity_in_kg) AS kg FROM customs_rows")
    parts = [words([(len(own), len(own), sum(own) if own else None, len(own))], asked.layout) for own in members]
    total = [sum(column) for column in zip(*parts, strict=True)]
    pooled = [value for own in members for value in own]
    mean, rows = asked.layout.row(total, 0)
    assert rows == len(pooled)
    if pooled:
        assert isinstance(mean, Decimal)
        assert abs(Fraction(mean) - Fraction(sum(pooled), len(pooled))) <= Fraction(1, 10**18)
    else:
        assert mean is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=7))
def test_a_sum_of_doubles_is_pooled_to_a_billionth(parts: list[float]) -> None:
    asked = ask("SELECT sum(distance_km) AS km FROM customs_rows")
    total = [sum(c) for c in zip(*(words([(1, 1, part, 1)], asked.layout) for part in parts), strict=True)]
    [km, _] = asked.layout.row(total, 0)
    exact = sum(map(Fraction, parts), Fraction(0))
    assert isinstance(km, float)
    assert abs(Fraction(km) - exact) <= max(abs(exact) / 10**9, Fraction(7, 10**18))


def test_a_histogram_counts_half_open_ranges() -> None:
    edges = Cells(edges=("2026-01-01", "2026-01-02", "2026-01-04"))
    asked = ask("SELECT day, count(*) AS n FROM customs_rows GROUP BY day", {"day": edges})
    rows = [(date(2026, 1, day), day, day) for day in (1, 2, 3, 4)] + [(None, 100, 100)]
    filled = words(rows, asked.layout)
    assert [asked.layout.row(filled, group) for group in range(2)] == [
        ["[2026-01-01, 2026-01-02)", 1, 1],
        ["[2026-01-02, 2026-01-04)", 5, 5],
    ]


def test_an_instant_is_found_whatever_zone_the_engine_gives_it_in() -> None:
    label = Cells(values=("2026-01-01T01:00:00+01:00", None))
    asked = ask("SELECT cleared_at, count(*) AS n FROM customs_rows GROUP BY cleared_at", {"cleared_at": label})
    assert words([(datetime(2026, 1, 1, tzinfo=UTC), 5, 5), (None, 2, 2)], asked.layout)[1:] == [5, 2]


def test_with_noise_rows_are_clamped_on_a_grid_and_values_are_few() -> None:
    sql = "SELECT sum(quantity_in_kg) AS kg, avg(distance_km) AS km, count(share) AS n FROM customs_rows"
    asked = ask(sql, noise=LAPLACE)
    kinds = [(value.aggregate.value, value.scale, value.sensitivity(3)) for value in asked.layout.values]
    assert kinds == [("count", 0, 3), ("sum", 0, 6000), ("sum", 8, 1_500_000_000)]
    assert "CASE WHEN" in asked.statement.sql
    assert asked.layout.bits == 64


@pytest.mark.parametrize(
    ("sql", "groups", "rule", "reason"),
    [
        ("SELECT count(*) FROM customs_rows LIMIT 5", {}, "Grammar", "no ORDER BY or LIMIT"),
        ("SELECT flow FROM customs_rows GROUP BY flow", FLOWS, "Aggregate", "no aggregate"),
        ("SELECT flow, count(*) FROM customs_rows GROUP BY flow", {}, "Groups", "groups.flow: is in GROUP BY"),
        ("SELECT count(*) FROM customs_rows", FLOWS, "Groups", "groups.flow: is not in GROUP BY"),
        ("SELECT sum(consignment_id) FROM customs_rows", {}, "HiddenColumn", "hidden"),
        ("SELECT max(quantity_in_kg) FROM customs_rows", {}, "Release", "max"),
    ],
)
def test_what_cannot_be_summed_is_refused(sql: str, groups: dict[str, Cells], rule: str, reason: str) -> None:
    refused = refusal(sql, groups)
    assert (refused.rule, reason in refused.reason) == (rule, True), refused


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"values": ["1"]}, "'1' is no value of type int"),
        ({"values": [True]}, "True is no value of type int"),
        ({"values": [1, 1]}, "a value stands twice"),
        ({}, "give values or edges"),
        ({"values": [1], "edges": [1, 2]}, "give values or edges"),
        ({"edges": [1]}, "edges do not rise"),
        ({"edges": [2, 1]}, "edges do not rise"),
    ],
)
def test_groups_that_make_no_sense_name_their_column(cells: dict[str, Any], reason: str) -> None:
    groups = {"flow": Cells.model_validate_json(json.dumps(cells))}
    refused = refusal("SELECT flow, count(*) FROM customs_rows GROUP BY flow", groups)
    assert (refused.rule, f"groups.flow: {reason}" in refused.reason) == ("Groups", True), refused


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("distance_km", {"edges": [0, "NaN"]}),
        ("distance_km", {"edges": [0, "Infinity"]}),
        ("distance_km", {"edges": [0, "1" * 5000]}),
        ("cleared_at", {"values": ["2026-01-01T00:00:00"]}),
        ("cleared_at", {"values": ["2026-01-01T00:00:00 Mars/Phobos"]}),
        ("cleared_at", {"values": ["0001-01-01T00:00:00+10:00"]}),
        ("day", {"values": ["2026-02-30"]}),
    ],
)
def test_a_group_that_no_row_can_have_is_refused_by_its_column(column: str, cells: dict[str, Any]) -> None:
    schema = tuple(
        each.model_copy(update={"role": ColumnRole.DIMENSION}) if each.name == column else each
        for each in dataset().columns
    )
    asked = compile_federated(
        f"SELECT {column}, count(*) FROM customs_rows GROUP BY {column}",  # noqa: S608 -- SQL is what is asked
        {column: Cells.model_validate_json(json.dumps(cells))},
        "trade",
        dataset().model_copy(update={"columns": schema}),
        Dialect.DUCKDB,
    )
    assert isinstance(asked, Refusal)
    assert asked.reason.startswith(f"groups.{column}: ")
    assert "is no value of type" in asked.reason


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("NaN")])
def test_a_number_that_is_not_finite_becomes_no_word(number: float | Decimal) -> None:
    asked = ask("SELECT sum(distance_km) FROM customs_rows")
    with pytest.raises(NotFiniteError, match="not finite"):
        words([(3, number, 3)], asked.layout)


def test_a_row_whose_dimension_is_not_a_number_is_in_no_range() -> None:
    [column] = [each for each in dataset().columns if each.name == "distance_km"]
    axis = Axis(column=column, labels=("[0, 1)",), keys=("[0, 1)",), edges=(Decimal(0), Decimal(1)))
    assert (axis.place(float("nan")), axis.place(None), axis.place(0.5)) == (None, None, 0)


def test_too_many_groups_are_refused() -> None:
    groups = {"flow": Cells(values=tuple(range(1000))), "product_nc": Cells(values=("7200", "7201"))}
    refused = refusal("SELECT flow, product_nc, count(*) FROM customs_rows GROUP BY flow, product_nc", groups)
    assert "more than 1024" in refused.reason


def test_a_measure_without_bounds_has_no_noisy_sum() -> None:
    refused = refusal("SELECT sum(quantity_in_kg) FROM customs_rows", noise={**LAPLACE, "bounds": []})
    assert "no bounds for quantity_in_kg" in refused.reason


RULE = RowRule(name="imports-only", any_of=(Comparison(column="flow", operator=Operator.IN, values=("1",)),))


def limited(masks: tuple[Mask, ...] = ()) -> PolicyDataset:
    whole = dataset()
    columns = tuple(
        column.model_copy(update={"masks": masks}) if column.name == "product_nc" else column
        for column in whole.columns
    )
    return whole.model_copy(update={"row_rules": (RULE,), "columns": columns})


def ask_limited(masks: tuple[Mask, ...] = ()) -> FederatedQuestion:
    sql = "SELECT product_nc, count(*) AS n FROM customs_rows GROUP BY product_nc"
    groups = {"product_nc": Cells(values=("72", "7201"))}
    asked = compile_federated(sql, groups, "trade", limited(masks), Dialect.DUCKDB)
    assert isinstance(asked, FederatedQuestion), asked
    return asked


def test_a_member_sums_only_rows_and_values_that_its_rules_show() -> None:
    asked = ask_limited((Mask(kind=MaskKind.PREFIX, size=2),))
    assert 'WHERE ("flow" IN (1))' in asked.statement.sql
    assert 'SUBSTR("product_nc", 1, 2) END AS "product_nc"' in asked.statement.sql
    assert asked.statement.filters == ("imports-only: flow In 1",)


def test_the_same_words_under_another_rule_or_mask_name_other_rows() -> None:
    masked, bare = ask_limited((Mask(kind=MaskKind.PREFIX, size=2),)).layout, ask_limited().layout
    coarse, fine = (
        row_sets(layout.condition, [(parts, 40) for parts in layout.group_parts()]) for layout in (masked, bare)
    )
    assert not coarse[0].same_as(fine[0])
    assert not coarse[0].apart_from(fine[1])
    assert coarse[0].apart_from(coarse[1])


def test_members_under_other_rules_or_masks_do_not_answer_together() -> None:
    mask = (Mask(kind=MaskKind.PREFIX, size=2),)
    of = [dataset(), limited(), limited(mask)]
    federation = of[0].federation
    assert federation is not None
    assert len({context_of(each, federation, {"sql": "a"}, "steel-pilot") for each in of}) == 3
