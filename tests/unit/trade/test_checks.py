"""Reasons to ask again: contradictions are found, what only looks odd is not, and nothing is called a finding."""

import json
import random
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from apps.trade.checks import (
    FEWEST_FLOWS,
    Flow,
    TooFewFlowsError,
    beyond_production,
    counted_twice,
    mirror_gaps,
    passed_on_more_than_made,
)
from apps.trade.cli import app
from apps.trade.customs import generate, write_parquet
from apps.trade.disclosures import EXAMPLES, DisclosureRow, read_disclosures
from apps.trade.disclosures import write_parquet as write_disclosures
from apps.trade.ingests import comtrade
from apps.trade.ingests.__main__ import SYNTHETIC
from apps.trade.ingests.form import write_parquet as write_rows

COIL = ("MILL-1", "72081000", "2026")


@pytest.mark.parametrize(("declared", "asked"), [("99", False), ("100", False), ("100.001", True)])
def test_more_than_was_made_is_asked_about_and_less_is_not(declared: str, asked: bool) -> None:
    requests = beyond_production({COIL: Decimal(declared)}, {COIL: Decimal(100)}, {})
    assert bool(requests) is asked


def test_opening_stock_may_be_sold_too() -> None:
    assert not beyond_production({COIL: Decimal(120)}, {COIL: Decimal(100)}, {COIL: Decimal(20)})
    (request,) = beyond_production({COIL: Decimal(121)}, {COIL: Decimal(100)}, {COIL: Decimal(20)})
    assert request.says == "121 t were declared of 72081000 in 2026, and 120 t were made or in stock"


def test_what_nobody_disclosed_is_not_judged() -> None:
    assert beyond_production({COIL: Decimal(5)}, {}, {}) == []


def test_one_consignment_in_two_declarations_is_asked_about() -> None:
    (request,) = counted_twice({"C-1": ["CA", "KE"], "C-2": ["CA"]})
    assert (request.rule, request.about, request.says) == ("double-count", "C-1", "declared 2 times, by CA, KE")


def test_a_process_cannot_pass_on_more_than_it_made() -> None:
    works = next(each for each in read_disclosures(EXAMPLES) if each.installation_id == "EC-EXAMPLE-3")
    assert passed_on_more_than_made(works) == []
    slab, pipes = works.products
    less = works.model_copy(update={"products": (slab.model_copy(update={"activity_t": Decimal(1_000_000)}), pipes)})
    (request,) = passed_on_more_than_made(less)
    assert request.says == "1227000 t of slab go into other products, 1000000 t were made"


def flows(count: int, seed: int = 1) -> list[Flow]:
    numbers = random.Random(seed)  # noqa: S311 - repeatable
    return [
        Flow(
            exporter="KOR",
            importer="CAN",
            cmd_code=f"72{place:04d}",
            period="2026",
            exported_kg=1000 * 2.718281828 ** numbers.gauss(0.05, 0.1),
            imported_kg=1000,
        )
        for place in range(count)
    ]


def test_a_gap_far_beyond_the_usual_is_asked_about_and_the_usual_one_is_not() -> None:
    odd = replace(flows(1)[0], cmd_code="999999", exported_kg=3000)
    requests = mirror_gaps([*flows(200), odd], 0.1)
    assert odd.name in {request.about for request in requests}
    assert len(requests) <= 3


def test_requests_are_few_where_all_gaps_are_chance() -> None:
    assert sum(len(mirror_gaps(flows(200, seed), 0.1)) for seed in range(20)) <= 12


def test_a_common_shift_of_all_flows_is_usual() -> None:
    shifted = [replace(each, exported_kg=each.exported_kg * 1.5) for each in flows(200)]
    assert [each.about for each in mirror_gaps(shifted, 0.1)] == [each.about for each in mirror_gaps(flows(200), 0.1)]


def test_where_all_others_agree_exactly_any_gap_is_asked_about() -> None:
    equal = [replace(each, exported_kg=1000) for each in flows(FEWEST_FLOWS)]
    odd = replace(equal[0], exported_kg=1001)
    assert [each.about for each in mirror_gaps([*equal[1:], odd], 0.1)] == [odd.name]
    assert mirror_gaps(equal, 0.1) == []


def test_too_few_flows_are_not_judged() -> None:
    with pytest.raises(TooFewFlowsError, match="19 flows have both reports; give 20 at least"):
        mirror_gaps(flows(19), 0.1)


def test_the_command_finds_what_is_planted_in_files(tmp_path: Path, example_rows: list[DisclosureRow]) -> None:
    rows = list(generate("ca", 200, 1))
    steel = next(row for row in rows if row.installation_id == "EC-EXAMPLE-2")
    write_parquet([*rows, replace(steel, quantity_in_kg=5 * 10**9, consignment_id="BIG")], tmp_path / "ca.parquet")
    write_parquet([replace(steel, declarant="KE")], tmp_path / "ke.parquet")
    write_disclosures(example_rows, tmp_path / "made.parquet")
    files = ["--customs", str(tmp_path / "ca.parquet"), "--customs", str(tmp_path / "ke.parquet")]
    result = CliRunner().invoke(app, ["check", *files, "--disclosures", str(tmp_path / "made.parquet"), "--json"])
    found = {(each["rule"], each["about"]) for each in json.loads(result.stdout)}
    assert found == {("double-count", steel.consignment_id), ("mass-balance", "EC-EXAMPLE-2")}
    stock = tmp_path / "stock.csv"
    stock.write_text("installation_id,cn_code,year,opening_stock_t\nEC-EXAMPLE-2,72081000,2026,1000000\n")
    told = CliRunner().invoke(
        app, ["check", *files, "--disclosures", str(tmp_path / "made.parquet"), "--stock", str(stock)]
    )
    assert "1 reasons to ask again; none is a finding" in told.stdout


def test_the_mirror_command_reads_both_sides_of_a_record(tmp_path: Path) -> None:
    rows = [row.model_dump() for row in comtrade.read(comtrade.generate(1), SYNTHETIC).rows]
    codes = [{**row, "cmd_code": f"7208{place:02d}"} for place in (10, 25, 27) for row in rows]
    codes[0]["net_weight_kg"] *= 4
    path = tmp_path / "records.parquet"
    write_rows(comtrade.Record, [comtrade.Record.model_validate(row) for row in codes], path)
    result = CliRunner().invoke(app, ["mirror", "--records", str(path), "--json"])
    (request,) = json.loads(result.stdout)
    assert request["about"] == "720810 from KOR to CAN in 202601"
    assert request["rule"] == "mirror-trade"


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    for command in (["check", "--customs", str(path)], ["mirror", "--records", str(path)]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2
        assert "give a file with the columns of docs/trade.md" in result.stderr


def test_too_few_records_are_said(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    write_rows(comtrade.Record, comtrade.read(comtrade.generate(1), SYNTHETIC).rows, path)
    result = CliRunner().invoke(app, ["mirror", "--records", str(path)])
    assert (result.exit_code, result.stderr) == (2, "--records: 12 flows have both reports; give 20 at least\n")


def test_a_request_is_data() -> None:
    (request,) = counted_twice({"C-1": ["CA", "CA"]})
    assert asdict(request) == {"rule": "double-count", "about": "C-1", "says": "declared 2 times, by CA"}
