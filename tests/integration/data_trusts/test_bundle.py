"""A bundle holds the rows that were there, proves itself, and comes in elsewhere whole or not at all."""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.table import StaticTable, Table

from commonweal.grants import Policy
from data_trusts.audit import AuditLog
from data_trusts.bundle_export import Order, export
from data_trusts.bundle_form import Bundle, BundleError, unpacked, verified
from data_trusts.bundle_import import take_in
from data_trusts.catalog import Warehouse
from data_trusts.gateway.certificates import Identity, make_identity
from data_trusts.relocation import Relocation
from data_trusts.table_files import path_of
from tests.integration.data_trusts.conftest import customs_file
from tests.integration.data_trusts.faults import disk_of, killed_at
from tests.integration.data_trusts.keeping import identity_in, policies_in
from tests.unit.grants.samples import NOON, dataset, grant, policy, trust

CUSTOMS = dataset("customs_rows")


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return identity_in(tmp_path / "data")


@pytest.fixture
def leaving(warehouse: Warehouse, identity: Identity) -> Warehouse:
    """A member with rows of two trusts, of which some were deleted, and a log of what was asked of both."""
    assert identity.key_pem
    warehouse.ingest("trade", CUSTOMS, customs_file(10))
    warehouse.ingest("trade", CUSTOMS, customs_file(4))
    warehouse.table("trade", "customs_rows").delete("consignment_id == 'SECRET-7'")
    warehouse.ingest("nature", CUSTOMS, customs_file(3))
    with AuditLog(warehouse.folder / "audit" / "audit.jsonl", NOON) as log:
        for number in range(300):
            of, request = ("trade" if number % 3 else "nature"), f"r{number}"
            log.append(NOON, {"kind": "asked", "trust": of, "request": request})
            log.append(NOON, {"kind": "answered", "request": request, "rows": number})
    return warehouse


def exported(
    warehouse: Warehouse, identity: Identity, out: Path, *trusts: str, policies: tuple[Policy, ...] = ()
) -> Bundle:
    names = trusts or ("trade",)
    root = out.with_suffix("").as_uri()
    order = Order(member="ca", trusts=names, policies=policies, contracts=(trust(), grant()), root=root, at=NOON)
    return export(warehouse, identity, order, out)


@pytest.fixture
def arriving(tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = Warehouse(tmp_path / "elsewhere")
    yield warehouse
    warehouse.close()


def contents(table: Table) -> list[str]:
    return sorted(map(str, table.scan().to_arrow().to_pylist()))


def rows(warehouse: Warehouse, of: str = "trade") -> list[str]:
    return contents(warehouse.table(of, "customs_rows"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_elsewhere_are_the_rows_that_were_there(
    leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    exported(leaving, identity, tmp_path / "bundle", "nature", "trade")
    bundle = verified(tmp_path / "bundle", identity.certificate_pem)
    assert {table.name: table.rows for table in bundle.tables} == {"nature.customs_rows": 3, "trade.customs_rows": 13}
    done = take_in(arriving, tmp_path / "bundle", bundle)
    assert all(each.added for each in done)
    for of in ("trade", "nature"):
        assert rows(arriving, of) == rows(leaving, of)
    assert arriving.ingest("trade", CUSTOMS, customs_file(10)).rows == 0, "what was taken stays known"
    assert arriving.ingest("trade", CUSTOMS, customs_file(5)).total_rows == 18
    assert (arriving.folder / "imported").exists()


def test_stock_readers_read_a_bundle_where_it_lies(leaving: Warehouse, identity: Identity, tmp_path: Path) -> None:
    bundle = exported(leaving, identity, tmp_path / "bundle")
    place = tmp_path / "bundle" / bundle.tables[0].root
    for address in (place.as_uri(), (tmp_path / "bundle" / bundle.tables[0].metadata).as_uri()):
        assert contents(StaticTable.from_metadata(address)) == rows(leaving)
    static = StaticTable.from_metadata(place.as_uri())
    files = [path_of(task.file.file_path) for task in static.scan().plan_files()]
    assert all(path.is_relative_to(place) for path in files)
    counted = duckdb.connect().execute("SELECT count(*) FROM read_parquet(?)", [[str(path) for path in files]])
    assert counted.fetchone() == (13,)


def test_what_was_deleted_does_not_go_along(leaving: Warehouse, identity: Identity, tmp_path: Path) -> None:
    with leaving.changing("trade", "customs_rows") as table:
        table.overwrite(table.scan(row_filter="consignment_id != 'SECRET-3'").to_arrow())
    exported(leaving, identity, tmp_path / "bundle")
    assert not [name for name, held in tree(tmp_path / "bundle").items() if b"SECRET-3" in held]


def test_a_tar_carries_the_same_and_is_read_where_it_is_unpacked(
    leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    exported(leaving, identity, tmp_path / "bundle.tar")
    with unpacked(tmp_path / "bundle.tar") as folder:
        bundle = verified(folder, identity.certificate_pem)
        take_in(arriving, folder, bundle)
    assert rows(arriving) == rows(leaving)
    shutil.unpack_archive(tmp_path / "bundle.tar", tmp_path / "bundle")
    assert contents(StaticTable.from_metadata((tmp_path / "bundle" / bundle.tables[0].root).as_uri())) == rows(leaving)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_a_tar_that_reaches_outside_is_refused(tmp_path: Path, name: str) -> None:
    content = tmp_path / "content"
    content.write_text("x")
    with tarfile.open(tmp_path / "bundle.tar", "w") as archive:
        member = archive.gettarinfo(content)
        member.name = name
        with content.open("rb") as file:
            archive.addfile(member, file)
    with pytest.raises(BundleError, match="is outside the bundle"), unpacked(tmp_path / "bundle.tar"):
        pass
    assert not (tmp_path / "evil").exists()


def test_a_bundle_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nope\.tar: is not there; name"), unpacked(tmp_path / "nope.tar"):
        pass


def test_what_is_no_tar_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "bundle.tar").write_text("x")
    with (
        pytest.raises(BundleError, match="is neither a folder nor a whole tar file"),
        unpacked(tmp_path / "bundle.tar"),
    ):
        pass


def test_only_what_concerns_the_trust_goes_along_and_the_log_proves_it(
    leaving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    bundle = exported(leaving, identity, tmp_path / "bundle", policies=(policy("ca"),))
    assert bundle.audit_size == 600
    lines = (tmp_path / "bundle" / "audit" / "entries.jsonl").read_text().splitlines()
    entries = [json.loads(json.loads(line)["entry"]) for line in lines]
    assert len(entries) == 400
    assert {entry["kind"] for entry in entries} == {"asked", "answered"}
    assert not any(int(entry["request"][1:]) % 3 == 0 for entry in entries)
    names = {path.name for path in (tmp_path / "bundle" / "contracts").iterdir()}
    assert names == {"policy-trade.json", "datatrust-trade.json", "datagrant-steel.json"}
    assert not any("nature" in name or "key.pem" in name for name in tree(tmp_path / "bundle"))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _append(path: Path) -> None:
    (path.parent / "more").write_text("x")


@pytest.mark.parametrize(
    ("which", "change_to"),
    [
        ("tables/*/*/data/*.parquet", (_flip, "is not as it was signed")),
        ("tables/*/*/metadata/*.metadata.json", (_flip, "is not as it was signed")),
        ("audit/entries.jsonl", (_flip, "is not as it was signed")),
        ("audit/checkpoint", (Path.unlink, "audit/checkpoint: is missing")),
        ("contracts/policy-trade.json", (_append, "contracts/more: is not in the list")),
        ("bundle.json", (_flip, "bundle.json: ")),
        ("bundle.json", (Path.unlink, "has no bundle.json")),
    ],
)
def test_every_change_of_a_bundle_is_found(
    leaving: Warehouse, identity: Identity, tmp_path: Path, which: str, change_to: tuple[Callable[[Path], None], str]
) -> None:
    change, said = change_to
    exported(leaving, identity, tmp_path / "bundle", policies=(policy("ca"),))
    verified(tmp_path / "bundle", identity.certificate_pem)
    change(next((tmp_path / "bundle").glob(which)))
    with pytest.raises(BundleError, match=said):
        verified(tmp_path / "bundle", identity.certificate_pem)


def test_another_gateways_bundle_is_refused(leaving: Warehouse, identity: Identity, tmp_path: Path) -> None:
    exported(leaving, identity, tmp_path / "bundle")
    with pytest.raises(BundleError, match="TrustBundle was changed, or another gateway signed it"):
        verified(tmp_path / "bundle", make_identity("kr", ["127.0.0.1"], NOON).certificate_pem)


def test_an_entry_that_the_log_never_held_is_found_though_its_gateway_signs(
    leaving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    log = leaving.folder / "audit" / "audit.jsonl"
    log.write_text(log.read_text().replace('"rows":1}', '"rows":9}'))
    exported(leaving, identity, tmp_path / "bundle")
    with pytest.raises(BundleError, match="entry 3 is not in the log that was signed"):
        verified(tmp_path / "bundle", identity.certificate_pem)


def test_a_table_that_is_there_is_taken_once_and_never_overwritten(
    leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    bundle = exported(leaving, identity, tmp_path / "bundle")
    take_in(arriving, tmp_path / "bundle", bundle)
    before = tree(arriving.folder / "warehouse")
    [again] = take_in(arriving, tmp_path / "bundle", bundle)
    assert not again.added
    arriving.ingest("trade", CUSTOMS, customs_file(6))
    held = rows(arriving)
    with pytest.raises(BundleError, match=r"trade\.customs_rows: is there already with another content"):
        take_in(arriving, tmp_path / "bundle", bundle)
    assert rows(arriving) == held
    assert before.items() <= tree(arriving.folder / "warehouse").items()


def test_one_table_that_is_refused_leaves_all_as_they_were(
    leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    arriving.ingest("trade", CUSTOMS, customs_file(6))
    bundle = exported(leaving, identity, tmp_path / "bundle", "nature", "trade")
    before = tree(arriving.folder)
    with pytest.raises(BundleError, match="is there already"):
        take_in(arriving, tmp_path / "bundle", bundle)
    assert tree(arriving.folder) == before


def test_a_folder_that_is_not_ours_is_left_alone(
    leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    bundle = exported(leaving, identity, tmp_path / "bundle")
    foreign = arriving.folder / "warehouse" / "trade" / "customs_rows" / "precious"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("x")
    with pytest.raises(BundleError, match="is there, and no table of the catalog; move it away"):
        take_in(arriving, tmp_path / "bundle", bundle)
    assert foreign.read_text() == "x"


def test_a_dry_run_changes_nothing(leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path) -> None:
    bundle = exported(leaving, identity, tmp_path / "bundle")
    before = tree(arriving.folder)
    [would] = take_in(arriving, tmp_path / "bundle", bundle, dry_run=True)
    assert (would.added, would.rows) == (True, 13)
    assert tree(arriving.folder) == before


KILLED = """
import data_trusts.relocation as relocation
from data_trusts.bundle_form import verified
from data_trusts.bundle_import import take_in
folder = Path(sys.argv[2])
bundle = verified(folder, Path(sys.argv[3]).read_text())
warehouse = Warehouse(Path(sys.argv[4]))
relocation.synced, Path.rename = counted(relocation.synced), counted(Path.rename)
warehouse.catalog.register_table = counted(warehouse.catalog.register_table)
take_in(warehouse, folder, bundle)
"""


def test_killed_at_any_step_nothing_is_half_there_and_the_next_run_does_the_rest(
    leaving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    exported(leaving, identity, tmp_path / "bundle", "nature", "trade")
    certificate = tmp_path / "data" / "tls" / "certificate.pem"
    step, going = 0, True
    while going:
        going = killed_at(step, KILLED, tmp_path / "bundle", certificate, tmp_path / "elsewhere")
        arriving = Warehouse(tmp_path / "elsewhere")
        there = arriving.tables()
        assert all(rows(arriving, of) == rows(leaving, of) for of, _ in there), step
        arriving.close()
        step += 1
    assert len(there) == 2
    assert step > 4
    assert not (tmp_path / "elsewhere" / "warehouse" / ".importing" / "trade.customs_rows").exists()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "data_trusts.bundle", *arguments]
    environment = {
        "COMMONWEAL_MEMBER": "ca",
        "COMMONWEAL_DATA": str(folder),
        "COMMONWEAL_POLICY_DIR": str(policies_in(folder.parent / "policies", policy("ca"))),
    }
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_the_commands_carry_a_member_from_one_place_to_another(leaving: Warehouse, tmp_path: Path) -> None:
    out, certificate = str(tmp_path / "bundle.tar"), str(tmp_path / "data" / "tls" / "certificate.pem")
    done = command(tmp_path / "data", "export", "--all", "--out", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"] == {"nature.customs_rows": 3, "trade.customs_rows": 13}
    assert "nature: no policy of it here" in done.stderr
    assert json.loads(command(tmp_path, "verify", out, "--certificate", certificate).stdout)["verified"] is True
    (tmp_path / "elsewhere").mkdir()
    taken = command(tmp_path / "elsewhere", "import", out, "--certificate", certificate)
    assert taken.returncode == 0, taken.stderr
    assert all(each["added"] for each in json.loads(taken.stdout)["tables"])
    again = command(tmp_path / "data", "export", "--trust", "trade", "--out", out)
    assert (again.returncode, f"--out {out}: is there already" in again.stderr) == (1, True)
    unknown = command(tmp_path / "data", "export", "--trust", "payroll", "--out", f"{out}2")
    assert (unknown.returncode, "--trust payroll: no table and no policy" in unknown.stderr) == (1, True)
    assert rows(leaving)


def test_a_full_disk_leaves_nothing_behind(
    leaving: Warehouse, arriving: Warehouse, identity: Identity, tmp_path: Path
) -> None:
    for size_bytes in (100, 3000):
        with disk_of(size_bytes), pytest.raises(OSError, match="File too large"):
            exported(leaving, identity, tmp_path / "bundle")
        assert not list(tmp_path.glob("*bundle*"))
    bundle = exported(leaving, identity, tmp_path / "bundle", "nature", "trade")
    before = tree(arriving.folder)
    with disk_of(3000), pytest.raises(OSError, match="File too large"):
        take_in(arriving, tmp_path / "bundle", bundle)
    assert tree(arriving.folder) == before
    assert all(each.added for each in take_in(arriving, tmp_path / "bundle", bundle))


SCALARS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "flag": (pa.bool_(), st.booleans()),
    "small": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "large": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "exact": (pa.decimal128(12, 3), st.decimals(-(10**6), 10**6, places=3)),
    "real": (pa.float64(), st.floats(allow_nan=False)),
    "text": (pa.string(), st.text(max_size=8)),
    "day": (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    "at": (
        pa.timestamp("us", "UTC"),
        st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 -- bounds
    ),
}
KEYS = ("a", "b c", "d/é=%20", None)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2**32)),
        st.tuples(st.just("delete"), st.sampled_from(KEYS[:3])),
        st.tuples(st.just("add"), st.integers(0, 99)),
        st.tuples(st.just("rename"), st.integers(0, 99)),
    ),
    min_size=1,
    max_size=5,
)


class Changing:
    """A table that a test grows, deletes from and evolves."""

    def __init__(self, warehouse: Warehouse, columns: list[str], partitioned: bool) -> None:
        fields = [pa.field("key", pa.string()), *(pa.field(name, SCALARS[name][0]) for name in columns)]
        warehouse.catalog.create_namespace("lab")
        self.table = warehouse.catalog.create_table("lab.notes", pa.schema(fields))
        if partitioned:
            with self.table.update_spec() as spec:
                spec.add_identity("key")

    def append(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        schema = self.table.schema().as_arrow()
        kinds = {str(of_type): values for of_type, values in SCALARS.values()}

        def column(field: pa.Field) -> pa.Array:
            of = str(field.type).replace("large_", "")
            values = st.sampled_from(KEYS) if field.name == "key" else st.none() | kinds[of]
            return pa.array(draw(st.lists(values, min_size=3, max_size=3)), field.type)

        self.table.append(pa.table([column(field) for field in schema], schema=schema))

    def evolve(self, what: str, number: int) -> None:
        others = [field.name for field in self.table.schema().fields if field.name != "key"]
        with self.table.update_schema() as schema:
            if what == "add":
                schema.add_column(f"added_{len(self.table.schema().fields)}", self.table.schema().find_type("key"))
            elif others:
                old = others[number % len(others)]
                schema.rename_column(old, f"{old[:20]}_r{len(self.table.metadata.schemas)}")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    columns=st.lists(st.sampled_from(sorted(SCALARS)), unique=True, max_size=8),
    partitioned=st.booleans(),
    steps=STEPS,
    data=st.data(),
)
def test_no_type_delete_evolution_or_partition_changes_a_row_on_the_way(
    columns: list[str], partitioned: bool, steps: list[tuple[str, Any]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        warehouse = Warehouse(Path(scratch) / "here")
        changing = Changing(warehouse, columns, partitioned)
        for what, value in steps:
            if what == "append":
                changing.append(data.draw)
            elif what == "delete":
                changing.table.delete(f"key == '{value}'")
            else:
                changing.evolve(what, value)
        once = Path(scratch) / "once"
        table = changing.table
        first = Relocation(metadata=table.metadata, source=table.io, target=once, uri=once.as_uri()).run()
        moved = StaticTable.from_metadata((once / first).as_uri())
        assert contents(moved) == contents(changing.table)
        assert moved.schema() == changing.table.schema()
        for key in KEYS[:3]:
            asked = f"key == '{key}'"
            assert moved.scan(row_filter=asked).count() == changing.table.scan(row_filter=asked).count()
        warehouse.close()


def test_decimals_keep_their_digits(leaving: Warehouse, identity: Identity, tmp_path: Path) -> None:
    bundle = exported(leaving, identity, tmp_path / "bundle")
    table = StaticTable.from_metadata((tmp_path / "bundle" / bundle.tables[0].metadata).as_uri())
    assert Decimal("0.125") in table.scan().to_arrow()["share"].to_pylist()
