"""Damaged files, a full disk and a dead catalog: a clear error that names the cause, and nothing half-written."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from pyiceberg.table import Table

from data_trusts.catalog import CatalogError, Warehouse
from data_trusts.engines import DuckDbEngine, EngineError
from data_trusts.maintenance import maintain
from data_trusts.table_files import FilesError, path_of
from infra.local.trino import free_port
from tests.integration.data_trusts.conftest import customs_file, paths_of, stop, wait_for
from tests.integration.data_trusts.faults import disk_of
from tests.unit.grants.samples import NOON, dataset

CUSTOMS = dataset("customs_rows")
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "noise": lambda content: bytes(byte ^ 0x95 for byte in content),
}


@pytest.fixture
def stock(warehouse: Warehouse) -> Table:
    warehouse.ingest("trade", CUSTOMS, customs_file(10))
    warehouse.ingest("trade", CUSTOMS, customs_file(4))
    return warehouse.table("trade", "customs_rows")


def part(table: Table, which: str) -> Path:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    addresses = {
        "metadata": table.metadata_location,
        "manifest list": snapshot.manifest_list,
        "manifest": snapshot.manifests(table.io)[0].manifest_path,
        "data": next(iter(table.scan().plan_files())).file.file_path,
    }
    return path_of(addresses[which])


def tree(table: Table) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in paths_of(table)}


@pytest.mark.parametrize("damage", [*DAMAGES, "gone"])
@pytest.mark.parametrize("which", ["metadata", "manifest list", "manifest", "data"])
def test_a_damaged_file_is_an_error_with_the_tables_name_and_no_one_acts_on_it(
    warehouse: Warehouse, stock: Table, which: str, damage: str
) -> None:
    path = part(stock, which)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](content))
    before = tree(stock)
    said = "its metadata file" if which == "metadata" else "a file of it"
    with pytest.raises(CatalogError, match=rf"trade\.customs_rows: {said} cannot be read .*restore it from the backup"):
        warehouse.rows("trade", "customs_rows")
    with pytest.raises(EngineError, match="cannot be read"):
        DuckDbEngine(warehouse).run('SELECT count(*) AS "0$" FROM "trade"."customs_rows"', 10)
    with pytest.raises(CatalogError):
        warehouse.erase("trade", "customs_rows", "consignment_id", "SECRET-2")
    if which != "data" or damage == "gone":
        for dry_run in (True, False):
            with pytest.raises((CatalogError, FilesError)):
                maintain(warehouse, "trade", "customs_rows", NOON, dry_run=dry_run)
    path.write_bytes(content)
    assert {**before, path: content} == tree(stock)
    assert warehouse.rows("trade", "customs_rows").num_rows == 14


@pytest.mark.parametrize("size_bytes", [200, 2500, 4500, 6000])
def test_a_full_disk_is_said_and_no_row_is_in(warehouse: Warehouse, stock: Table, size_bytes: int) -> None:
    with (
        disk_of(size_bytes),
        pytest.raises(CatalogError, match=r"trade\.customs_rows: the disk takes no more .*free some space"),
    ):
        warehouse.ingest("trade", CUSTOMS, customs_file(50))
    assert warehouse.rows("trade", "customs_rows").num_rows == 14
    assert warehouse.ingest("trade", CUSTOMS, customs_file(50)).total_rows == 64
    assert stock.refresh().scan().count() == 64


def test_a_catalog_file_that_is_none_is_named(warehouse: Warehouse, stock: Table) -> None:
    before = tree(stock)
    (warehouse.folder / "catalog.db").write_bytes(b"x" * 5000)
    for act in (
        lambda: warehouse.rows("trade", "customs_rows"),
        lambda: warehouse.ingest("trade", CUSTOMS, customs_file(5)),
        lambda: Warehouse(warehouse.folder),
        warehouse.tables,
    ):
        with pytest.raises(CatalogError, match=r"the catalog, catalog\.db, fails .*start or restore it"):
            act()
    assert tree(stock) == before


def test_a_catalog_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("COMMONWEAL_CATALOG_URI", address)
    with pytest.raises(CatalogError, match=rf"the tables: the catalog, COMMONWEAL_CATALOG_URI {address}, fails"):
        Warehouse(tmp_path)


def answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/v1/config").status_code == httpx.codes.UNAUTHORIZED
    return False


def test_a_catalog_that_dies_leaves_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    (tmp_path / "catalog").mkdir()
    argv = [sys.executable, "-m", "data_trusts.rest_catalog", "--data", str(tmp_path / "catalog"), "--port", str(port)]
    process = subprocess.Popen(argv)
    token = tmp_path / "catalog" / "rest-catalog-token"
    try:
        wait_for("the catalog", lambda: answers(port), process, 20)
        monkeypatch.setenv("COMMONWEAL_CATALOG_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("COMMONWEAL_CATALOG_TOKEN", token.read_text())
        warehouse = Warehouse(tmp_path / "data")
        warehouse.ingest("trade", CUSTOMS, customs_file(10))
    finally:
        stop(process)
    with pytest.raises(CatalogError, match=r"COMMONWEAL_CATALOG_URI .* fails"):
        warehouse.ingest("trade", CUSTOMS, customs_file(4))
    with pytest.raises(CatalogError, match=r"COMMONWEAL_CATALOG_URI .* fails"):
        warehouse.rows("trade", "customs_rows")
    monkeypatch.delenv("COMMONWEAL_CATALOG_URI")
    direct = Warehouse(tmp_path / "catalog")
    assert direct.rows("trade", "customs_rows").num_rows == 10
    direct.close()
