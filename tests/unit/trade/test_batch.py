"""Millions of rows in slices: no kilogram is lost, every wrong row is named, and nothing is half-written."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from apps.trade import batch
from apps.trade.assessment import Book, Consignment, assess
from apps.trade.cli import app
from apps.trade.customs import generate
from apps.trade.disclosures import DisclosureRow
from apps.trade.disclosures import write_parquet as write_disclosures
from apps.trade.rule_packs import all_packs, defaults_of

COIL: dict[str, Any] = {
    "product_nc": "72081000",
    "partner": "KR",
    "flow": "1",
    "period": "202603",
    "quantity_in_kg": 25_000,
    "installation_id": None,
}


def written(folder: Path, rows: Sequence[dict[str, Any]], **types: pa.DataType) -> Path:
    names = list(rows[0])
    kinds = {"quantity_in_kg": pa.int64(), **types}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, row_group_size=2)
    return path


def run(folder: Path, rows: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["batch", "--in", str(rows), "--out", str(folder / "totals.parquet"), *options])


def totals(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / "totals.parquet").to_pylist()
    return found


def refused(folder: Path) -> list[dict[str, str]]:
    with (folder / "totals.parquet.refused.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_total_is_what_one_consignment_of_the_same_mass_embeds(tmp_path: Path) -> None:
    rows = [COIL, {**COIL, "quantity_in_kg": 1_000}, {**COIL, "period": "202612"}]
    assert run(tmp_path, written(tmp_path, rows)).exit_code == 0
    (found,) = totals(tmp_path)
    book = Book(all_packs(), defaults_of, ())
    asked = Consignment(cn_code="72081000", country="KR", net_mass_kg=Decimal(51_000), import_year=2026)
    assert found["tonnes_counted"] == assess(asked, book).tonnes_counted
    assert (found["rows"], found["mass_t"], found["default_share"]) == (3, Decimal(51), 1.0)
    assert found["low_t"] < found["tonnes_counted"] < found["high_t"]
    assert (found["rule_pack"], found["label"]) == ("eu-2025-2547", "CBAM specific embedded emissions")


def test_disclosed_rows_count_by_their_disclosure_and_narrow_the_interval(
    tmp_path: Path, example_rows: list[DisclosureRow]
) -> None:
    write_disclosures(example_rows, tmp_path / "disclosed.parquet")
    path = written(tmp_path, [{**COIL, "installation_id": "EC-EXAMPLE-2"}, {**COIL, "period": "202701"}])
    assert run(tmp_path, path, "--disclosures", str(tmp_path / "disclosed.parquet")).exit_code == 0
    disclosed, default = totals(tmp_path)
    assert (disclosed["year"], default["year"]) == (2026, 2027)
    assert round(disclosed["tonnes_counted"], 6) == Decimal("38.474402")
    assert disclosed["default_share"] == 0
    assert disclosed["high_t"] / disclosed["low_t"] < 1.2 < default["high_t"] / default["low_t"]


def test_what_cannot_be_assessed_is_null_with_its_reason_and_never_zero(tmp_path: Path) -> None:
    assert run(tmp_path, written(tmp_path, [{**COIL, "product_nc": "73041100"}])).exit_code == 0
    (found,) = totals(tmp_path)
    assert (found["tonnes_counted"], found["low_t"], found["default_share"]) == (None, None, None)
    assert (found["unassessed_rows"], found["unassessed_mass_t"]) == (1, Decimal(25))
    assert "73041100 is not in the table of default values" in found["unassessed_because"]


def test_zero_rated_goods_count_zero_and_have_no_interval(tmp_path: Path) -> None:
    run(tmp_path, written(tmp_path, [{**COIL, "partner": "DE"}]))
    (found,) = totals(tmp_path)
    assert (found["tonnes_counted"], found["low_t"], found["interval_method"]) == (0, None, None)


def test_exports_are_no_imports(tmp_path: Path) -> None:
    run(tmp_path, written(tmp_path, [COIL, {**COIL, "flow": "2", "quantity_in_kg": 9_000_000}]))
    assert [each["mass_t"] for each in totals(tmp_path)] == [Decimal(25)]


def test_a_code_with_spaces_is_the_code(tmp_path: Path) -> None:
    run(tmp_path, written(tmp_path, [COIL, {**COIL, "product_nc": "7208 10 00"}]))
    assert [each["rows"] for each in totals(tmp_path)] == [2]


WRONG = [
    ("product_nc", "7208100"),
    ("product_nc", None),
    ("partner", "kr"),
    ("partner", "KOR"),
    ("flow", "3"),
    ("period", "202613"),
    ("period", "202652"),  # Comext's year totals would count everything twice
    ("period", "2026"),
    ("period", None),
    ("quantity_in_kg", 0),
    ("quantity_in_kg", -5),
    ("quantity_in_kg", None),
    ("installation_id", "a b"),
    ("unit", "t"),
    ("unit", None),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_wrong_row_is_named_by_number_field_and_remedy_and_nothing_is_totalled(
    tmp_path: Path, field: str, value: object
) -> None:
    good = {**COIL, "unit": "kg"}
    result = run(tmp_path, written(tmp_path, [good, good, {**good, field: value}, good]))
    assert result.exit_code == 1
    (row,) = refused(tmp_path)
    assert (row["row"], row["field"], row["value"]) == ("3", field, "" if value is None else str(value))
    assert row["remedy"]
    assert "1 of 4 rows are wrong, all in" in result.stderr
    assert f"row 3, {field}: {row['value']!r}; {row['remedy']}" in result.stderr
    assert not (tmp_path / "totals.parquet").exists()


def test_wrong_rows_can_be_left_out_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, [COIL, {**COIL, "partner": "?"}, {**COIL, "quantity_in_kg": -1}])
    assert run(tmp_path, path, "--leave-out").exit_code == 0
    assert [each["rows"] for each in totals(tmp_path)] == [1]
    assert [each["row"] for each in refused(tmp_path)] == ["2", "3"]


def test_a_file_without_wrong_rows_leaves_no_list_of_them(tmp_path: Path) -> None:
    run(tmp_path, written(tmp_path, [COIL]))
    assert {path.name for path in tmp_path.iterdir()} == {"rows.parquet", "totals.parquet"}


@pytest.mark.parametrize(
    ("changes", "types", "said"),
    [
        ({"partner": ...}, {}, "column partner is missing; the columns are"),
        ({"quantity_in_kg": 1.5}, {"quantity_in_kg": pa.float64()}, "quantity_in_kg is double, not whole kilograms"),
        ({"product_nc": 72081000}, {"product_nc": pa.int64()}, "product_nc is int64, not text"),
    ],
)
def test_a_file_of_another_shape_is_refused_by_column(
    tmp_path: Path, changes: dict[str, Any], types: dict[str, Any], said: str
) -> None:
    row = {name: value for name, value in {**COIL, **changes}.items() if value is not ...}
    result = run(tmp_path, written(tmp_path, [row], **types))
    assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"rows.parquet"}


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("no")
    result = run(tmp_path, tmp_path / "rows.parquet")
    assert (result.exit_code, "give a Parquet file of customs rows" in result.stderr) == (1, True)
    other = run(tmp_path, written(tmp_path, [COIL]), "--disclosures", str(tmp_path / "none.parquet"))
    assert "give a Parquet file of facility_disclosures" in other.stderr


def test_what_was_there_stays_when_the_run_fails(tmp_path: Path) -> None:
    run(tmp_path, written(tmp_path, [COIL]))
    before = (tmp_path / "totals.parquet").read_bytes()
    assert run(tmp_path, written(tmp_path, [{**COIL, "partner": "?"}])).exit_code == 1
    assert (tmp_path / "totals.parquet").read_bytes() == before


@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 60), seed=st.integers(0, 99), slice_rows=st.integers(1, 40))
def test_no_row_and_no_kilogram_is_lost_however_the_file_is_sliced(
    tmp_path_factory: pytest.TempPathFactory, rows: int, seed: int, slice_rows: int
) -> None:
    made = [asdict(row) for row in generate("ca", rows, seed)]
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(made), path, row_group_size=7)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(batch, "SLICE_ROWS", slice_rows)
        grouped = batch.group(path, (), lambda _done, _total: None)
    cells = batch.totals(grouped, Book(all_packs(), defaults_of, ()))
    assert sum(cell.rows for cell in cells.values()) == rows
    assert sum(cell.mass_kg for cell in cells.values()) == sum(row["quantity_in_kg"] for row in made)


def test_a_year_before_the_first_rule_pack_is_null_with_its_reason(tmp_path: Path) -> None:
    assert run(tmp_path, written(tmp_path, [{**COIL, "period": "201903"}])).exit_code == 0
    (found,) = totals(tmp_path)
    assert found["tonnes_counted"] is None
    assert found["unassessed_because"].startswith("import_year: '2019' does not fit")


def test_groups_stay_few_whatever_the_texts_of_a_file(tmp_path: Path) -> None:
    rows = [{**COIL, "installation_id": f"PLANT-{n}", "partner": f"?{n}" if n % 2 else "KR"} for n in range(100)]
    grouped = batch.group(written(tmp_path, rows), ["PLANT-2"], lambda _done, _total: None)
    assert (grouped.rows, grouped.wrong, len(grouped.groups)) == (100, 50, 2)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "product_nc": st.sampled_from(
                    ["72081000", "7208 10 00", "7208", "", None, "\N{ARABIC-INDIC DIGIT ONE}" * 8]
                ),
                "partner": st.sampled_from(["KR", "kr", None, "KR\n"]),
                "flow": st.sampled_from(["1", "2", "M"]),
                "period": st.sampled_from(["202601", "202613", "202652"]),
                "quantity_in_kg": st.sampled_from([1, 0, -1, None]),
                "installation_id": st.sampled_from([None, "", "P-1", "a b"]),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_list_of_wrong_rows_is_as_long_as_their_count(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = written(tmp_path_factory.mktemp("rows"), rows)
    grouped = batch.group(path, (), lambda _done, _total: None)
    named = [number for number, *_ in batch.refused_rows(path)]
    assert len(named) == grouped.wrong
    assert sorted(set(named)) == named
    assert sum(count for count, _ in grouped.groups.values()) == len(rows) - grouped.wrong


def test_progress_counts_every_slice_up_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SLICE_ROWS", 2)
    heard: list[tuple[int, int]] = []
    batch.group(written(tmp_path, [COIL] * 5), (), lambda done, total: heard.append((done, total)))
    assert heard == [(2, 5), (4, 5), (5, 5)]
