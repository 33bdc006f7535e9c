"""Rows come in whole or not at all, and many writers lose nothing."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_trusts.catalog import CatalogError, TableMissingError, Warehouse
from data_trusts.rows import RowsRefusedError
from tests.integration.data_trusts.conftest import customs_file
from tests.unit.grants.samples import dataset, policy

CUSTOMS = dataset("customs_rows")


def test_a_file_becomes_rows_of_the_declared_types(warehouse: Warehouse) -> None:
    taken = warehouse.ingest("trade", CUSTOMS, customs_file(10))
    assert (taken.rows, taken.total_rows) == (10, 10)
    rows = warehouse.rows("trade", "customs_rows")
    assert rows.schema.field("flow").type == pa.int32()
    assert rows.column("share").to_pylist()[1] == Decimal("0.125")


def test_the_same_file_is_taken_once(warehouse: Warehouse) -> None:
    first = warehouse.ingest("trade", CUSTOMS, customs_file(10))
    warehouse.ingest("trade", CUSTOMS, customs_file(4))
    again = warehouse.ingest("trade", CUSTOMS, customs_file(10))
    assert (again.rows, again.total_rows, again.snapshot_id) == (0, 14, first.snapshot_id)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": pa.array([0.5] * 4)}, r"field share: is double, which is not decimal\(38,18\)"),
        ({"share": pa.array([Decimal(1), None, Decimal(1), Decimal(1)])}, "row 2, field share: is empty"),
        ({"share": pa.array([Decimal("1E-19")] * 4)}, "row 1, field share: 1E-19 does not fit"),
        ({"flow": pa.array([1, 2, 3_000_000_000, 4])}, "row 3, field flow: 3000000000 does not fit int"),
        ({"flow": pa.array(["1"] * 4)}, "field flow: is string, which is not int"),
        ({"cleared_at": pa.array([datetime(2026, 1, 1)] * 4)}, "field cleared_at: .*give it a time zone"),  # noqa: DTZ001 -- the missing zone is the point
        ({"distance_km": pa.array([1.0, 2.0, 3.0, float("nan")])}, "row 4, field distance_km: is not a finite number"),
        ({"distance_km": pa.array([1.0, float("-inf"), 3.0, 4.0])}, "row 2, field distance_km: is not a finite number"),
        ({"extra": pa.array([1] * 4)}, "field extra: not in the schema"),
    ],
)
def test_a_row_that_breaks_the_schema_is_named_and_nothing_is_written(
    warehouse: Warehouse, changes: dict[str, pa.Array], message: str
) -> None:
    with pytest.raises(RowsRefusedError, match=message):
        warehouse.ingest("trade", CUSTOMS, customs_file(4, changes))
    with pytest.raises(TableMissingError):
        warehouse.rows("trade", "customs_rows")


def test_what_is_not_parquet_is_said_to_be_so(warehouse: Warehouse) -> None:
    with pytest.raises(RowsRefusedError, match="not Parquet"):
        warehouse.ingest("trade", CUSTOMS, io.BytesIO(b"product_nc,flow\n7201,1\n"))


def test_a_table_of_another_schema_takes_no_rows(warehouse: Warehouse) -> None:
    warehouse.ingest("trade", CUSTOMS, customs_file(4))
    renamed = CUSTOMS.columns[0].model_copy(update={"name": "product"})
    other = CUSTOMS.model_copy(update={"columns": (renamed, *CUSTOMS.columns[1:])})
    columns = {"product": pa.array(["7201"] * 4)}
    file = customs_file(4, columns)
    file = drop_column(file, "product_nc")
    with pytest.raises(CatalogError, match="other columns than the DataTrust says"):
        warehouse.ingest("trade", other, file)


def drop_column(file: io.BytesIO, name: str) -> io.BytesIO:
    kept = io.BytesIO()
    pq.write_table(pq.read_table(file).drop_columns([name]), kept)
    kept.seek(0)
    return kept


def test_what_is_complete_is_the_tables_own_word(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.ingest("trade", CUSTOMS, customs_file(4))
    assert warehouse.complete("trade", "customs_rows") == {"quantity_in_kg", "share", "distance_km"}
    with warehouse.catalog.load_table(("trade", "customs_rows")).update_schema() as change:
        change.make_column_optional("share")
    assert warehouse.complete("trade", "customs_rows") == {"quantity_in_kg", "distance_km"}, "another tool changed it"
    assert warehouse.complete("trade", "absent_rows") == frozenset()
    (tmp_path / "data" / "catalog.db").write_bytes(b"no catalog")
    assert warehouse.complete("trade", "customs_rows") == frozenset()


def test_a_row_count_of_zero_is_a_table_without_rows(warehouse: Warehouse) -> None:
    assert warehouse.ingest("trade", CUSTOMS, customs_file(0)).total_rows == 0


def test_four_writers_lose_nothing(tmp_path: Path) -> None:
    """Each with a catalog of its own, as four processes would have; half of the files are the same for two writers."""
    files = [customs_file(rows).getvalue() for rows in range(1, 7)]

    def write(writer: int) -> list[int]:
        warehouse = Warehouse(tmp_path)
        mine = files[:3] if writer % 2 else files[3:]
        taken = [warehouse.ingest("trade", CUSTOMS, io.BytesIO(file)).rows for file in mine]
        warehouse.close()
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = sum((rows for each in pool.map(write, range(4)) for rows in each), 0)
    warehouse = Warehouse(tmp_path)
    assert taken == warehouse.rows("trade", "customs_rows").num_rows == 1 + 2 + 3 + 4 + 5 + 6
    warehouse.close()


def ingest(tmp_path: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    policies, data = tmp_path / "policies", tmp_path / "data"
    for folder in (policies, data):
        folder.mkdir(exist_ok=True)
    (policies / "policy-trade.json").write_text(policy("ca").render())
    command = [sys.executable, "-m", "data_trusts.ingest", "--trust", "trade", "--member", "ca"]
    places = ["--data", str(data), "--policy-dir", str(policies)]
    return subprocess.run([*command, *places, *arguments], input=stdin, capture_output=True, check=False, timeout=60)


def test_the_command_takes_a_file_from_standard_input(tmp_path: Path) -> None:
    done = ingest(tmp_path, "--dataset", "customs_rows", "--file", "-", stdin=customs_file(5).getvalue())
    assert done.returncode == 0, done.stderr
    assert b"trade.customs_rows: 5 rows added, 5 in all" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--dataset", "payroll", "--file", "-"], b"", b"--dataset payroll: ca is no source of it"),
        (["--dataset", "customs_rows", "--file", "/nowhere"], b"", b"No such file"),
        (["--dataset", "customs_rows", "--file", "-"], b"x", b"not Parquet"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    tmp_path: Path, arguments: list[str], stdin: bytes, message: bytes
) -> None:
    done = ingest(tmp_path, *arguments, stdin=stdin)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_instants_are_kept_in_utc(warehouse: Warehouse) -> None:
    warehouse.ingest("trade", CUSTOMS, customs_file(1))
    assert warehouse.rows("trade", "customs_rows").column("cleared_at").to_pylist() == [
        datetime(2026, 1, 1, tzinfo=UTC)
    ]
