"""An erased value is in no byte under the table's root; PyIceberg alone leaves it there."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from data_trusts.catalog import CATALOG_NAME, TableMissingError, Warehouse
from data_trusts.erasure import ErasureError, holders
from data_trusts.gateway.certificates import make_identity
from data_trusts.table_files import files_of, root_of
from tests.integration.data_trusts.conftest import customs_file, paths_of
from tests.integration.data_trusts.keeping import HOLD, identity_in, keeping, policies_in
from tests.unit.grants.samples import NOON, dataset, policy

CUSTOMS = dataset("customs_rows")
WHERE = ("trade", "customs_rows", "consignment_id")


@pytest.fixture
def stock(warehouse: Warehouse, tmp_path: Path) -> Table:
    """The table with ten rows and then four, as PyIceberg itself opens it."""
    warehouse.ingest("trade", CUSTOMS, customs_file(10))
    warehouse.ingest("trade", CUSTOMS, customs_file(4))
    return opened(tmp_path / "data")


def opened(folder: Path) -> Table:
    places = {"uri": f"sqlite:///{folder / 'catalog.db'}", "warehouse": (folder / "warehouse").as_uri()}
    return SqlCatalog(CATALOG_NAME, **places).load_table(("trade", "customs_rows"))


def readable(table: Table, value: str) -> list[str]:
    root = root_of(table)
    return [root.within(path) for path in holders(root, "consignment_id", value)]


def test_pyiceberg_alone_leaves_a_deleted_and_expired_value_on_disk(stock: Table) -> None:
    stock.delete("consignment_id == 'SECRET-7'")
    current = stock.current_snapshot()
    assert current is not None
    old = [each.snapshot_id for each in stock.snapshots() if each.snapshot_id != current.snapshot_id]
    stock.maintenance.expire_snapshots().by_ids(old).commit()
    assert "SECRET-7" not in stock.scan().to_arrow()["consignment_id"].to_pylist()
    assert len(stock.snapshots()) == 1
    assert any(name.endswith(".parquet") for name in readable(stock, "SECRET-7"))


def test_an_erased_value_is_in_no_file_and_every_other_row_is_kept(warehouse: Warehouse, stock: Table) -> None:
    before = stock.scan().to_arrow().to_pylist()
    erased = warehouse.erase(*WHERE, "SECRET-2")
    assert (erased.erased_rows, erased.kept_rows) == (2, 12)
    assert readable(stock, "SECRET-2") == []
    assert not any(b"SECRET-2" in path.read_bytes() for path in paths_of(stock))
    parquet = [path for path in paths_of(stock) if path.suffix == ".parquet"]
    assert not any("SECRET-2" in pq.read_table(path)["consignment_id"].to_pylist() for path in parquet)
    kept = warehouse.rows("trade", "customs_rows").to_pylist()
    assert sorted(map(str, kept)) == sorted(str(row) for row in before if row["consignment_id"] != "SECRET-2")


def test_the_bounds_in_a_manifest_count_as_bytes_too(warehouse: Warehouse, stock: Table) -> None:
    assert any(name.endswith(".avro") for name in readable(stock, "SECRET-0"))  # the least value is a lower bound
    warehouse.erase(*WHERE, "SECRET-0")
    assert readable(stock, "SECRET-0") == []


def test_what_was_deleted_long_ago_is_erased_from_history(warehouse: Warehouse, stock: Table) -> None:
    stock.delete("consignment_id == 'SECRET-5'")
    erased = warehouse.erase(*WHERE, "SECRET-5")
    assert erased.erased_rows == 0
    assert erased.removed_files > 0
    assert readable(stock, "SECRET-5") == []


def test_a_branch_and_a_tag_keep_nothing_alive(warehouse: Warehouse, stock: Table) -> None:
    first = stock.snapshots()[0].snapshot_id
    with stock.manage_snapshots() as manage:
        manage.create_branch(first, "audit").create_tag(first, "2026")
    warehouse.erase(*WHERE, "SECRET-5")
    assert readable(stock, "SECRET-5") == []
    assert list(stock.refresh().metadata.refs) == ["main"]


def test_a_file_that_a_killed_commit_left_behind_is_found(warehouse: Warehouse, stock: Table) -> None:
    orphan = Path(root_of(stock).path) / "data" / "orphan.parquet"
    orphan.write_bytes(customs_file(10).getvalue())
    assert "data/orphan.parquet" in readable(stock, "SECRET-5")
    warehouse.erase(*WHERE, "SECRET-5")
    assert not orphan.exists()


def test_erasing_twice_changes_no_row_and_the_table_takes_rows_afterwards(warehouse: Warehouse, stock: Table) -> None:
    warehouse.erase(*WHERE, "SECRET-5")
    again = warehouse.erase(*WHERE, "SECRET-5")
    assert (again.erased_rows, again.kept_rows) == (0, 13)
    assert warehouse.ingest("trade", CUSTOMS, customs_file(3)).total_rows == 16
    assert stock.refresh().scan().to_arrow().num_rows == 16


def test_other_readers_still_read_the_table(warehouse: Warehouse, stock: Table) -> None:
    warehouse.erase(*WHERE, "SECRET-5")
    parquet = [str(path) for path in paths_of(stock) if path.suffix == ".parquet"]
    counted = duckdb.connect().execute("SELECT count(*) FROM read_parquet(?)", [parquet]).fetchone()
    assert counted == (13,)
    assert stock.refresh().scan().to_duckdb("t").execute("SELECT count(*) FROM t").fetchone() == (13,)


def test_a_number_is_erased_by_its_value(warehouse: Warehouse, stock: Table) -> None:
    erased = warehouse.erase("trade", "customs_rows", "quantity_in_kg", "1003")
    assert erased.erased_rows == 2
    assert holders(root_of(stock), "quantity_in_kg", "1003") == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("name", "x", "--column name: unknown; the table has product_nc"), ("day", "soon", "--value: it is no date32")],
)
def test_a_wrong_column_or_value_is_refused_and_nothing_is_touched(
    warehouse: Warehouse, stock: Table, column: str, value: str, said: str
) -> None:
    before = files_of(root_of(stock))
    with pytest.raises(ErasureError, match=said):
        warehouse.erase("trade", "customs_rows", column, value)
    assert files_of(root_of(stock)) == before


def test_a_table_that_is_not_there_is_said_to_be_so(warehouse: Warehouse) -> None:
    with pytest.raises(TableMissingError, match=r"trade\.payroll has no table yet"):
        warehouse.erase("trade", "payroll", "consignment_id", "SECRET-5")


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "data_trusts.erase", *arguments]
    policies = folder / "policies"
    environment = {"COMMONWEAL_MEMBER": "ca", "COMMONWEAL_DATA": str(folder / "data")}
    environment["COMMONWEAL_POLICY_DIR"] = str(policies if policies.exists() else policies_in(policies, policy("ca")))
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    where = ["--trust", "trade", "--dataset", "customs_rows", "--column", "consignment_id", "--value", "SECRET-5"]
    return command(folder, "run", *where, *more)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    identity_in(tmp_path / "data")
    return tmp_path / "data" / "tls" / "certificate.pem"


def test_a_receipt_names_what_is_left_and_verifies_with_the_gateways_certificate(
    stock: Table, certificate: Path, tmp_path: Path
) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    issued: dict[str, Any] = json.loads(done.stdout)
    assert {each["path"] for each in issued["receipt"]["files"]} == {
        root_of(stock).within(file.path) for file in files_of(root_of(stock))
    }
    assert "SECRET-5" not in done.stdout
    receipt = tmp_path / "receipt.json"
    receipt.write_text(done.stdout)
    about = ["--value", "SECRET-5", "--nonce", issued["nonce"]]
    checked = command(tmp_path, "verify", str(receipt), "--certificate", str(certificate), *about)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["erasedRows"] == 1
    other = command(tmp_path, "verify", str(receipt), "--certificate", str(certificate), "--value", "X", *about[2:])
    assert "about another value" in other.stderr


@pytest.mark.usefixtures("stock")
def test_a_changed_receipt_or_another_gateways_is_refused(certificate: Path, tmp_path: Path) -> None:
    issued = json.loads(run(tmp_path).stdout)
    receipt = tmp_path / "receipt.json"
    changed = {**issued, "receipt": {**issued["receipt"], "erasedRows": 99}}
    receipt.write_text(json.dumps(changed))
    done = command(tmp_path, "verify", str(receipt), "--certificate", str(certificate))
    assert (done.returncode, "was changed" in done.stderr) == (1, True)
    receipt.write_text(json.dumps({**issued, "signature": base64.b64encode(b"x" * 70).decode()}))
    assert command(tmp_path, "verify", str(receipt), "--certificate", str(certificate)).returncode == 1
    receipt.write_text(json.dumps(issued))
    certificate.write_text(make_identity("kr", ["127.0.0.1"], NOON).certificate_pem)
    assert command(tmp_path, "verify", str(receipt), "--certificate", str(certificate)).returncode == 1


def test_a_dry_run_names_the_files_and_touches_none(stock: Table, certificate: Path, tmp_path: Path) -> None:
    before = files_of(root_of(stock))
    done = run(tmp_path, "--dry-run")
    assert json.loads(done.stdout)["dryRun"] is True
    assert any(name.endswith(".parquet") for name in json.loads(done.stdout)["files"])
    assert files_of(root_of(stock)) == before
    assert certificate.exists()


def test_without_a_key_for_the_receipt_nothing_is_erased(stock: Table, tmp_path: Path) -> None:
    before = files_of(root_of(stock))
    done = run(tmp_path)
    assert done.returncode == 1
    assert "not in a pod with a service account" in done.stderr
    assert files_of(root_of(stock)) == before


def test_a_legal_hold_forbids_erasure_by_name(stock: Table, certificate: Path, tmp_path: Path) -> None:
    assert certificate.exists()
    policies_in(tmp_path / "policies", keeping(HOLD))
    before = files_of(root_of(stock))
    done = run(tmp_path)
    assert done.returncode == 1
    assert "customs_rows is under legal hold: court of ke until released (Case 7)" in done.stderr
    assert files_of(root_of(stock)) == before


def test_while_no_policy_says_what_is_held_nothing_is_erased(stock: Table, certificate: Path, tmp_path: Path) -> None:
    assert certificate.exists()
    (tmp_path / "policies").mkdir()
    before = files_of(root_of(stock))
    done = run(tmp_path)
    assert (done.returncode, "no policy here" in done.stderr) == (1, True)
    assert files_of(root_of(stock)) == before


def test_a_file_that_was_erased_from_is_not_taken_again(warehouse: Warehouse, stock: Table) -> None:
    warehouse.erase(*WHERE, "SECRET-2")
    assert warehouse.ingest("trade", CUSTOMS, customs_file(10)).rows == 0
    assert readable(stock, "SECRET-2") == []
