"""Every source: planted truth comes back, and what is wrong is named by row and field."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from apps.trade.ingests import assets, comext, comtrade, grid, thermal, workbook
from apps.trade.ingests.__main__ import SOURCES, SYNTHETIC, declared, main
from apps.trade.ingests.form import IngestError, Stamp
from commonweal.kinds.data_trust import DataTrust

SEEDS = st.integers(0, 10_000)
OURS = Stamp(provenance="a test", licence="CC0-1.0")
NAMES = sorted(SOURCES)


def taken(name: str, seed: int) -> list[dict[str, Any]]:
    source = SOURCES[name]
    return [row.model_dump() for row in source.read(source.generate(seed), SYNTHETIC).rows]


def refusal(name: str, content: bytes) -> str:
    with pytest.raises(IngestError) as refused:
        SOURCES[name].read(content, OURS)
    return str(refused.value)


def changed(name: str, change: Callable[[list[list[str]]], object], encoding: str = "utf-8") -> bytes:
    """The synthetic CSV of seed 1 with one thing changed."""
    lines = [line.split(",") for line in SOURCES[name].generate(1).decode(encoding).splitlines()]
    change(lines)
    return "\n".join(",".join(line) for line in lines).encode(encoding)


def cell(name: str, row: int, column: str, value: str, encoding: str = "utf-8") -> str:
    """What is said of the synthetic file once one cell holds this."""

    def change(lines: list[list[str]]) -> None:
        lines[row][lines[0].index(column)] = value

    return refusal(name, changed(name, change, encoding))


@pytest.mark.parametrize("name", NAMES)
def test_every_synthetic_row_says_so_and_names_origin_and_licence(name: str) -> None:
    rows = taken(name, 3)
    assert rows
    assert {(row["synthetic"], row["licence"], row["provenance"]) for row in rows} == {
        (True, "CC0-1.0", "deterministic generator of this project")
    }


@pytest.mark.parametrize("name", [name for name in NAMES if name != "operator_workbook_cells"])
def test_a_seed_makes_the_same_file_and_another_seed_another(name: str) -> None:
    generate = SOURCES[name].generate
    assert generate(1) == generate(1) != generate(2)


@given(seed=SEEDS)
def test_the_planted_mix_comes_back(seed: int) -> None:
    mean: Counter[str] = Counter()
    for row in taken("grid_generation", seed):
        mean[row["production_type"]] += row["generation_mw"]
    assert {kind: total / grid.HOURS for kind, total in mean.items()} == grid.PLANTED_MW


@given(seed=SEEDS)
def test_the_planted_furnace_comes_back(seed: int) -> None:
    rows = taken("satellite_thermal", seed)
    assert sum(row["source_area_m2"] for row in rows) == thermal.PLANTED_M2 * thermal.NIGHTS
    assert {row["temperature_k"] for row in rows} == {thermal.PLANTED_K}


@given(seed=SEEDS)
def test_the_planted_works_come_back(seed: int) -> None:
    rows = taken("asset_emissions", seed)
    assert sum(row["emissions_quantity"] for row in rows) == 12 * assets.PLANTED_T * assets.PLANTED_FACTOR
    assert [row["end_time"] for row in rows][-1] == datetime(2027, 1, 1, tzinfo=UTC)


@given(seed=SEEDS)
def test_the_planted_trade_comes_back_without_the_year_total(seed: int) -> None:
    rows = taken("comext_declarations", seed)
    assert sum(row["quantity_in_kg"] for row in rows) == comext.PLANTED_KG


@given(seed=SEEDS)
def test_both_sides_of_a_trade_mirror_each_other_without_totals(seed: int) -> None:
    by_flow: Counter[str] = Counter()
    for row in taken("comtrade_records", seed):
        by_flow[row["flow_code"]] += row["net_weight_kg"]
    assert by_flow["X"] == by_flow["M"] > 0


def test_a_workbooks_cells_come_back_exactly_with_the_files_digest() -> None:
    rows = {row["cell"]: row for row in taken("operator_workbook_cells", 1) if row["sheet"] == workbook.SUMMARY}
    assert rows["D10"]["number"] == Decimal("1.698079646017699")
    assert (rows["C10"]["kind"], rows["C10"]["text"], rows["C10"]["number"]) == ("text", "76051900", None)
    assert len(rows["D10"]["workbook_sha256"]) == 64


def test_left_out_rows_are_counted_by_their_reason() -> None:
    assert comext.read(comext.generate(1), OURS).left_out == {"period 52: the year's total": 1}
    left_out = comtrade.read(comtrade.generate(1), OURS).left_out
    assert left_out == {"partnerCode 0: all partners together": 24}


@pytest.mark.parametrize(
    ("name", "row", "column", "value", "said"),
    [
        ("grid_generation", 2, "start", "2026-01-01T01:00:00", "row 2, field start: .*no offset from UTC"),
        ("grid_generation", 2, "start", "yesterday", "row 2, field start: .*ISO 8601"),
        ("grid_generation", 1, "generation_mw", "-5", "row 1, field generation_mw: .*not '-5'"),
        ("grid_generation", 1, "generation_mw", "n/e", "row 1, field generation_mw: "),
        ("grid_generation", 1, "generation_mw", "", "row 1, field generation_mw: Field required; correct the row"),
        ("grid_generation", 1, "production_type", "Wind", "row 1, field production_type: "),
        ("grid_generation", 1, "zone_eic", "DE", "row 1, field zone_eic: "),
        ("grid_generation", 1, "resolution_min", "30.5", "row 1, field resolution_min: "),
        ("satellite_thermal", 3, "radiant_heat_mw", "900", "row 3, field row: .*radiant_heat_mw: 900 is not what"),
        ("satellite_thermal", 3, "temperature_k", "1527", "row 3, field row: .*look at the units"),  # °C for K
        ("satellite_thermal", 3, "latitude", "91", "row 3, field latitude: "),
        ("satellite_thermal", 2, "detection_id", "SYN-000", "row 2, field detection_id: the same as row 1; remove one"),
        ("asset_emissions", 1, "activity_confidence", "certain", "row 1, field activity_confidence: "),
        (
            "asset_emissions",
            1,
            "emissions_quantity",
            "5",
            "row 1, field row: .*emissions_quantity: 5 is not activity x",
        ),
        (
            "asset_emissions",
            1,
            "end_time",
            "2025-01-01T00:00:00Z",
            "row 1, field row: .*end_time: not after start_time",
        ),
        ("asset_emissions", 1, "gas", "co2e", "row 1, field gas: "),
        ("asset_emissions", 1, "method_tier", "", "row 1, field method_tier: Field required"),
    ],
)
def test_a_wrong_cell_is_named(name: str, row: int, column: str, value: str, said: str) -> None:
    assert re.match(said, cell(name, row, column, value), re.DOTALL)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("PRODUCT_NC", "7208", "row 1, field product_nc: "),
        ("PARTNER_ISO", "0003", "row 1, field partner: "),
        ("FLOW", "M", "row 1, field flow: "),
        ("PERIOD", "2026", "row 1, field period: "),
        ("QUANTITY_IN_KG", "1.5", "row 1, field quantity_in_kg: "),
        ("PERIOD", "202602", "row 2, field product_nc: the same as row 1; remove one"),
    ],
)
def test_a_wrong_cell_of_comext_is_named(column: str, value: str, said: str) -> None:
    assert cell("comext_declarations", 1, column, value, "latin-1").startswith(said)


def test_comexts_columns_may_have_their_older_names_and_confidential_masses_are_counted() -> None:
    def older(lines: list[list[str]]) -> None:
        lines[0] = [{"DECLARANT_ISO": "DECLARANT", "PRODUCT_NC": "PRODUCT"}.get(name, name) for name in lines[0]]
        lines[1][6] = ""

    reading = comext.read(changed("comext_declarations", older, "latin-1"), OURS)
    assert len(reading.rows) == 11
    assert reading.left_out["quantity_in_kg: confidential or not given"] == 1


@pytest.mark.parametrize("name", ["grid_generation", "satellite_thermal", "asset_emissions", "comext_declarations"])
def test_a_file_of_other_columns_or_a_torn_row_is_refused(name: str) -> None:
    encoding = "latin-1" if name == "comext_declarations" else "utf-8"
    assert refusal(name, b"a,b\n1,2\n").startswith("heading: ")
    assert refusal(name, b"").startswith("heading: ")
    assert "row 1: " in refusal(name, changed(name, lambda lines: lines[1].pop(), encoding))


def test_a_hole_in_a_series_is_refused_by_zone_instant_and_type() -> None:
    said = refusal("grid_generation", changed("grid_generation", lambda lines: lines.pop(5)))
    assert said.startswith("zone_eic 10YSYNTHETIC---Z, start 2026-01-01T04:00:00+00:00: Nuclear is missing")


def test_a_missing_hour_of_every_type_is_refused_too() -> None:
    def without_an_hour(lines: list[list[str]]) -> None:
        lines[:] = [line for line in lines if line[1] != "2026-01-01T04:00:00+00:00"]

    said = refusal("grid_generation", changed("grid_generation", without_an_hour))
    assert said.startswith("zone_eic 10YSYNTHETIC---Z, start 2026-01-01T03:00:00+00:00: the next interval does not")


def test_central_european_time_becomes_utc() -> None:
    def in_cet(lines: list[list[str]]) -> None:
        for line in lines[1:]:
            line[1] = line[1].replace("+00:00", "+01:00")

    rows = grid.read(changed("grid_generation", in_cet), OURS).rows
    assert min(row.model_dump()["start"] for row in rows) == datetime(2025, 12, 31, 23, tzinfo=UTC)


def records(**changes: object) -> bytes:
    data = json.loads(comtrade.generate(1))["data"]
    for name, value in changes.items():
        if value is None:
            del data[0][name]
        else:
            data[0][name] = value
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"motCode": None}, "row 1, field motCode: missing, so a total could hide; ask for all fields"),
        ({"cmdCode": "7208"}, "row 1, field cmd_code: "),
        ({"netWgt": 0}, "row 1, field net_weight_kg: "),
        ({"netWgt": None}, "row 1, field net_weight_kg: Field required; correct the row"),
        ({"flowCode": "Export"}, "row 1, field flow_code: "),
        ({"reporterISO": "KR"}, "row 1, field reporter_iso: "),
    ],
)
def test_a_wrong_record_is_named(changes: dict[str, object], said: str) -> None:
    assert refusal("comtrade_records", records(**changes)).startswith(said)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"motCode": 1000}, "motCode 1000: a split by mode of transport"),
        ({"customsCode": "C04"}, "customsCode C04: a split by customs procedure"),
        ({"partner2Code": 276}, "partner2Code 276: a split by second partner"),
    ],
)
def test_splits_would_count_twice_and_are_left_out(changes: dict[str, object], why: str) -> None:
    assert comtrade.read(records(**changes), OURS).left_out[why] == 1


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"data": 5}'])
def test_what_is_no_answer_of_comtrade_is_refused(content: bytes) -> None:
    assert "give an answer of the service" in refusal("comtrade_records", content)


def saved(change: Callable[[Workbook], object]) -> bytes:
    book = load_workbook(BytesIO(workbook.generate(1)))
    change(book)
    made = BytesIO()
    book.save(made)
    return made.getvalue()


def test_an_error_in_a_workbook_is_refused_by_its_place_and_never_empty() -> None:
    def error(book: Workbook) -> None:
        book[workbook.SUMMARY]["D10"] = "#VALUE!"

    said = refusal("operator_workbook_cells", saved(error))
    assert said.startswith("sheet Summary_Products, cell D10: #VALUE!; an error is no value")


def test_a_formula_without_a_result_is_refused_by_its_place() -> None:
    def formula(book: Workbook) -> None:
        book[workbook.SUMMARY]["D11"] = "=D10*2"

    assert "cell D11: a formula without a result" in refusal("operator_workbook_cells", saved(formula))


def test_without_the_library_the_dependency_group_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert refusal("operator_workbook_cells", b"no") == (
        "openpyxl: not installed; install the dependency group trade-sources"
    )


def test_what_is_no_workbook_is_refused() -> None:
    assert refusal("operator_workbook_cells", b"no").startswith("file: no workbook")


@pytest.mark.parametrize("name", NAMES)
def test_the_command_writes_the_table_that_the_trust_declares(tmp_path: Path, name: str) -> None:
    out = tmp_path / "rows.parquet"
    assert main([name, "--synthetic", "--out", str(out)]) == 0
    schema = pq.read_schema(out)
    columns = next(each["columns"] for each in declared(["ca"])["spec"]["datasets"] if each["name"] == name)
    arrow = {"long": "int64", "boolean": "bool", "decimal(38, 18)": "decimal128(38, 18)"}
    arrow["timestamptz"] = "timestamp[us, tz=UTC]"
    assert {field: str(schema.field(field).type) for field in schema.names} == {
        column["name"]: arrow.get(column["type"], column["type"]) for column in columns
    }


def test_what_is_declared_is_a_trust(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["declare", "--source-member", "ca", "--source-member", "kr"]) == 0
    trust = DataTrust.read(yaml.safe_load(capsys.readouterr().out))
    assert [each.name for each in trust.spec.datasets] == NAMES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grid_generation", "--out", "x"], "--file is missing"),
        (["grid_generation", "--file", "x", "--out", "x"], "--provenance is missing"),
        (["grid_generation", "--file", "x", "--out", "x", "--provenance", "p"], "--licence is missing"),
        (["declare"], "--source-member is missing"),
    ],
)
def test_evidence_without_origin_or_licence_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


def test_a_refused_file_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, out = tmp_path / "wrong.csv", tmp_path / "rows.parquet"
    wrong.write_bytes(changed("grid_generation", lambda lines: lines.pop(5)))
    given = ["--file", str(wrong), "--provenance", "p", "--licence", "CC-BY-4.0", "--out", str(out)]
    assert main(["grid_generation", *given]) == 1
    assert "Nuclear is missing" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.csv"]


@settings(max_examples=50)
@given(content=st.binary(max_size=200), name=st.sampled_from(NAMES))
def test_whatever_bytes_come_they_are_read_or_refused(content: bytes, name: str) -> None:
    with suppress(IngestError):  # anything else is a fault of ours
        SOURCES[name].read(content, OURS)
