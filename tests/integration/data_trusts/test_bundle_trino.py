"""What Trino wrote goes along too: positional deletes, hidden partitions, evolved columns; and Trino reads a bundle."""

from pathlib import Path

import pyarrow.parquet as pq
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import StaticTable, Table

from data_trusts.bundle_export import Order, export
from data_trusts.bundle_form import verified
from data_trusts.bundle_import import take_in
from data_trusts.catalog import Warehouse
from data_trusts.retain import retain
from data_trusts.table_files import address_of, path_of
from infra.local.trino import administrator, serving
from tests.integration.data_trusts.conftest import customs_file, paths_of
from tests.integration.data_trusts.keeping import identity_in, kept_dataset
from tests.unit.grants.samples import NOON

KEPT = kept_dataset()


def contents(table: Table) -> list[str]:
    return sorted(map(str, table.scan().to_arrow().to_pylist()))


def values_on_disk(table: Table, column: str) -> set[object]:
    """Every value that a Parquet file under the table's root still holds, live or not."""
    files = [path for path in paths_of(table) if path.suffix == ".parquet"]
    read = [pq.read_table(path, partitioning=None) for path in files]
    return {value for each in read if column in each.column_names for value in each[column].to_pylist()}


def test_what_trino_deleted_and_partitioned_goes_along_and_is_erased(tmp_path: Path) -> None:
    data = tmp_path / "data"
    identity, warehouse = identity_in(data), Warehouse(data)
    for dataset in ("customs_rows", "others"):
        warehouse.ingest("trade", KEPT.model_copy(update={"name": dataset}), customs_file(12))
    with serving(tmp_path, data, controlled=False) as server:
        run = administrator(server)
        run(
            "CREATE TABLE trade.parts WITH (partitioning = ARRAY['bucket(consignment_id, 3)', 'month(day)']) "
            "AS SELECT consignment_id, day, share FROM trade.customs_rows"
        )
        run("ALTER TABLE trade.parts RENAME COLUMN share TO part")
        run("ALTER TABLE trade.parts ADD COLUMN note varchar")
        run("INSERT INTO trade.parts VALUES ('late', DATE '2026-02-01', 1.5, 'x%y z')")
        for name in ("customs_rows", "others", "parts"):
            run(f"DELETE FROM trade.{name} WHERE consignment_id IN ('SECRET-5', 'SECRET-3')")  # noqa: S608 -- names of this test
        deletes = warehouse.table("trade", "customs_rows").inspect.delete_files()
        assert deletes["content"].to_pylist() == [DataFileContent.POSITION_DELETES] * deletes.num_rows != []

        order = Order(
            member="ca", trusts=("trade",), policies=(), contracts=(), root=address_of(tmp_path / "bundle"), at=NOON
        )
        export(warehouse, identity, order, tmp_path / "bundle")
        bundle = verified(tmp_path / "bundle", identity.certificate_pem)
        arriving = Warehouse(tmp_path / "elsewhere")
        take_in(arriving, tmp_path / "bundle", bundle)
        run("CREATE SCHEMA taken")
        for table in bundle.tables:
            here = contents(warehouse.table("trade", table.dataset))
            assert len(here) == table.rows
            assert contents(StaticTable.from_metadata(address_of(tmp_path / "bundle" / table.metadata))) == here
            assert contents(arriving.table("trade", table.dataset)) == here
            place = address_of(tmp_path / "bundle" / table.root)
            run(f"CALL commonweal.system.register_table('taken', '{table.dataset}', '{place}')")
            for left, right in (("trade", "taken"), ("taken", "trade")):
                differing = f"SELECT * FROM {left}.{table.dataset} EXCEPT ALL SELECT * FROM {right}.{table.dataset}"  # noqa: S608 -- names of this test
                assert run(differing) == []
            assert run(f"SELECT count(*) FROM taken.{table.dataset}") == [[table.rows]]  # noqa: S608 -- names of this test
        arriving.close()

        erased = warehouse.erase("trade", "customs_rows", "consignment_id", "SECRET-5")
        assert (erased.erased_rows, erased.kept_rows) == (0, 10)
        assert "SECRET-5" not in values_on_disk(warehouse.table("trade", "customs_rows"), "consignment_id")
        others = KEPT.model_copy(update={"name": "others"})
        run("DELETE FROM trade.others WHERE day = DATE '2026-01-01'")
        retain(warehouse, identity, "trade", others, member="ca", now=NOON, held_now=lambda: None, wait=lambda _: None)
        assert min(map(str, values_on_disk(warehouse.table("trade", "others"), "day"))) == "2026-01-02"
        assert run("SELECT count(*) FROM trade.others") == [[7]]
        assert path_of(warehouse.root_uri).exists()
    warehouse.close()
