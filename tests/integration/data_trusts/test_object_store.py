"""A member's warehouse in a bucket does what one in a folder does, and a store that fails is named without a secret."""

import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_trusts.bucket import Bucket, BucketError, properties_of
from data_trusts.bundle_export import Order, export
from data_trusts.bundle_form import BundleError, verified
from data_trusts.bundle_import import take_in
from data_trusts.catalog import CatalogError, Warehouse
from data_trusts.engines import DuckDbEngine
from data_trusts.gateway.certificates import Identity
from data_trusts.maintenance import GRACE, KEEP_SNAPSHOTS, maintain
from data_trusts.retain import due, retain
from data_trusts.table_files import FilesError, files_of, named_by_table, root_of
from tests.integration.data_trusts.conftest import customs_file, wait_for
from tests.integration.data_trusts.faults import killed_at
from tests.integration.data_trusts.keeping import identity_in, kept_dataset
from tests.integration.data_trusts.stores import KEY_ID, SECRET, ObjectStore, storing
from tests.unit.grants.samples import NOON, dataset

CUSTOMS = dataset("customs_rows")
WHERE = ("trade", "customs_rows", "consignment_id")
BUCKET = "rows"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with storing(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture
def store(running: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store, and a bucket of this test's own in the environment."""
    name = f"rows-{secrets.token_hex(8)}"
    for variable in running.environment(name).items():
        monkeypatch.setenv(*variable)
    return ObjectStore(running.folder / name, running.port)


@pytest.fixture
def stock(store: ObjectStore, warehouse: Warehouse) -> Warehouse:
    """Ten rows and then four in the bucket."""
    assert store.answers()
    for rows in (10, 4):
        warehouse.ingest("trade", CUSTOMS, customs_file(rows))
    return warehouse


def everything(folder: Path) -> list[Path]:
    """All that lies in a folder, whatever the store takes it for."""
    return [path for path in folder.rglob("*") if path.is_file()]


def holding(folder: Path, value: str) -> list[str]:
    """Files in which a value stands, as bytes or in a column: a search that asks neither the store nor our code."""
    found = []
    for path in everything(folder):
        columns = pq.read_table(path, partitioning=None) if path.suffix == ".parquet" else None
        column = columns["consignment_id"].to_pylist() if columns else []
        if value.encode() in path.read_bytes() or value in column:
            found.append(path.name)
    return found


def ended(stock: Warehouse, folder: Path) -> dict[str, Any]:
    """The receipt of a retention that ends now."""
    identity = identity_in(folder / "data")
    own = kept_dataset()
    done = retain(stock, identity, "trade", own, member="ca", now=NOON, held_now=lambda: None, wait=lambda _: None)
    receipt: dict[str, Any] = done["receipt"]
    return receipt


def test_rows_lie_in_the_bucket_alone_and_questions_are_answered(
    store: ObjectStore, stock: Warehouse, tmp_path: Path
) -> None:
    assert stock.ingest("trade", CUSTOMS, customs_file(4)).rows == 0, "the same file is taken once"
    sql = 'SELECT flow, count(*) AS n FROM "trade"."customs_rows" GROUP BY flow ORDER BY flow'
    assert DuckDbEngine(stock).run(sql, 30).rows == [(1, 12), (2, 2)]
    assert not (tmp_path / "data" / "warehouse").exists()
    assert len([path for path in everything(store.folder) if path.suffix == ".parquet"]) == 2
    assert stock.table("trade", "customs_rows").location() == f"{stock.root_uri}/trade/customs_rows"


def test_no_secret_is_in_the_state_the_objects_or_the_log(
    store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    opened = Warehouse(tmp_path / "data")
    opened.ingest("trade", CUSTOMS, customs_file(3))
    opened.erase(*WHERE, "SECRET-1")
    opened.close()
    written = [path.read_bytes() for folder in (tmp_path, store.folder) for path in everything(folder)]
    assert len(written) > 6
    assert not any(SECRET.encode() in content or KEY_ID.encode() in content for content in written)
    assert SECRET not in caplog.text
    assert SECRET not in repr(Bucket.of(BUCKET, properties_of(os.environ)))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (("AWS_SECRET_ACCESS_KEY", "wrong-and-secret"), "refuses the credentials"),
        (("AWS_ACCESS_KEY_ID", "nobody"), "refuses the credentials"),
        (("COMMONWEAL_WAREHOUSE", "s3://absent/member/ca"), "has no such bucket"),
        (("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), "does not answer"),
    ],
)
def test_a_store_that_does_not_serve_is_named_with_the_cause_and_no_secret(
    stock: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: tuple[str, str], said: str
) -> None:
    monkeypatch.setenv(*setting)
    for folder in ("data", "new"):
        if folder == "data" and setting[0] == "COMMONWEAL_WAREHOUSE":
            continue  # a table stays where it was made
        opened = Warehouse(tmp_path / folder)
        with pytest.raises(
            CatalogError, match=rf"^trade.customs_rows: the object store s3://\S+ at \S+ {said}"
        ) as caught:
            opened.ingest("trade", CUSTOMS, customs_file(5))
        assert not {SECRET, "wrong-and-secret"} & set(str(caught.value).split())
        if folder == "data":
            with pytest.raises(CatalogError, match=said):
                opened.rows("trade", "customs_rows")
            with pytest.raises(CatalogError, match=said):
                opened.erase(*WHERE, "SECRET-2")
        else:
            assert opened.tables() == []
        opened.close()
    monkeypatch.undo()
    assert stock.rows("trade", "customs_rows").num_rows == 14


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            ("COMMONWEAL_WAREHOUSE", "s3://rows"),
            r"COMMONWEAL_WAREHOUSE is no place in a bucket; write s3://BUCKET/PREFIX",
        ),
        (("COMMONWEAL_WAREHOUSE", f"s3://key:{SECRET}@rows/x"), "write s3://BUCKET/PREFIX"),
        (("COMMONWEAL_WAREHOUSE", "s3://rows/../other"), "write s3://BUCKET/PREFIX"),
        (("AWS_REGION", ""), "AWS_REGION is not set"),
        (("AWS_SECRET_ACCESS_KEY", ""), "AWS_SECRET_ACCESS_KEY is not set"),
        (("AWS_ENDPOINT_URL", f"http://u:{SECRET}@127.0.0.1"), "AWS_ENDPOINT_URL is no address of a store"),
        (("AWS_ENDPOINT_URL", "127.0.0.1:9000"), "AWS_ENDPOINT_URL is no address of a store"),
        (("COMMONWEAL_CATALOG_URI", "http://127.0.0.1:1"), "COMMONWEAL_WAREHOUSE are both set; unset one"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name_before_anything_is_made(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: tuple[str, str], said: str
) -> None:
    monkeypatch.setenv(*setting)
    with pytest.raises(CatalogError, match=said) as refused:
        Warehouse(tmp_path / "data")
    assert SECRET not in str(refused.value)
    assert everything(store.folder) == []
    assert not (tmp_path / "data" / "catalog.db").exists()


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>welcome</html>"), (301, b""), (200, b"")])
def test_a_page_of_something_else_is_not_taken_for_a_bucket_without_versioning(status: int, body: bytes) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(BucketError, match=rf"the object store s3://rows at {endpoint} fails \(HTTP{status}\)"):
            Bucket.of("rows", {"s3.endpoint": endpoint}).versioning()


def test_an_erased_value_is_in_no_object_and_every_other_row_is_kept(store: ObjectStore, stock: Warehouse) -> None:
    assert holding(store.folder, "SECRET-2")
    erased = stock.erase(*WHERE, "SECRET-2")
    assert (erased.erased_rows, erased.kept_rows) == (2, 12)
    assert holding(store.folder, "SECRET-2") == []
    assert stock.holders(*WHERE, "SECRET-2") == []
    names = {str(path.relative_to(store.folder / "member/ca/trade/customs_rows")) for path in everything(store.folder)}
    assert {file.path for file in erased.files} == names
    assert len(stock.rows("trade", "customs_rows")) == 12


UNFINISHED = """
import os, sys
from data_trusts.catalog import Warehouse
from pathlib import Path
table = Warehouse(Path(sys.argv[1])).table("trade", "customs_rows")
output = table.io.new_output(f"{table.location()}/data/unfinished.parquet").create()
output.write(b"SECRET-2".ljust(12_000_000))
output.flush()
while True:
    sys.stdout.write("written\\n")
    sys.stdout.flush()
    sys.stdin.readline()
    os.kill(os.getpid(), 9)
"""


def leave_parts(store: ObjectStore, folder: Path) -> None:
    """Begin an upload and be killed when its first part is there."""
    argv = [sys.executable, "-c", UNFINISHED, str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"written\n"
        wait_for(
            "a part", lambda: any(each.stat().st_size > 1_000_000 for each in everything(store.folder)), killed, 30
        )
        killed.communicate(b"\n", timeout=30)


def test_what_a_killed_upload_left_in_parts_is_erased_too(store: ObjectStore, stock: Warehouse, tmp_path: Path) -> None:
    leave_parts(store, tmp_path / "data")
    root = root_of(stock.table("trade", "customs_rows"))
    assert not any("unfinished" in file.path for file in files_of(root)), "no list of files shows it"
    assert max(path.stat().st_size for path in everything(store.folder)) > 1_000_000
    stock.erase(*WHERE, "SECRET-2")
    assert holding(store.folder, "SECRET-2") == []
    assert max(path.stat().st_size for path in everything(store.folder)) < 1_000_000


def test_an_upload_under_way_keeps_its_parts_for_a_day(store: ObjectStore, stock: Warehouse, tmp_path: Path) -> None:
    leave_parts(store, tmp_path / "data")
    now = datetime.now(UTC)
    for at, kept in ((now, True), (now + GRACE + timedelta(minutes=1), False)):
        maintain(stock, "trade", "customs_rows", at)
        assert any(path.stat().st_size > 1_000_000 for path in everything(store.folder)) is kept


@pytest.mark.parametrize(("state", "said"), [(b"\x01", "Enabled"), (b"\x00", "Suspended")])
def test_a_bucket_that_keeps_what_is_removed_gives_no_receipt_and_nothing_is_changed(
    store: ObjectStore, stock: Warehouse, tmp_path: Path, state: bytes, said: str
) -> None:
    os.setxattr(store.folder, "user.versioning", state)  # as the store itself notes it
    before = everything(store.folder)
    with pytest.raises(FilesError, match=rf"has versioning {said}, so it keeps what is removed"):
        stock.erase(*WHERE, "SECRET-2")
    with pytest.raises(FilesError, match="move the warehouse into a bucket that never had versioning"):
        retain(
            stock, identity_in(tmp_path / "data"), "trade", kept_dataset(), member="ca", now=NOON, held_now=lambda: None
        )
    assert everything(store.folder) == before


def test_ended_rows_are_in_no_object(store: ObjectStore, stock: Warehouse, tmp_path: Path) -> None:
    assert len(due(stock, "trade", kept_dataset(), NOON)) == 2
    receipt = ended(stock, tmp_path)
    assert (receipt["endedRows"], receipt["keptRows"]) == (6, 8)
    days = [
        day
        for path in everything(store.folder)
        if path.suffix == ".parquet"
        for day in pq.read_table(path)["day"].to_pylist()
    ]
    assert len(days) == 8
    assert min(days).isoformat() == "2026-01-02"


def test_what_surrounds_the_rows_is_bounded_however_often_they_come_in(
    store: ObjectStore, warehouse: Warehouse
) -> None:
    for rows in range(1, 26):
        warehouse.ingest("trade", CUSTOMS, customs_file(rows))
    later = datetime.now(UTC) + KEEP_SNAPSHOTS + timedelta(minutes=1)
    maintain(warehouse, "trade", "customs_rows", later)
    done = maintain(warehouse, "trade", "customs_rows", later + GRACE)
    assert done.removed_files > 25
    table = warehouse.table("trade", "customs_rows")
    assert len(table.snapshots()) == 1
    below = files_of(root_of(table))
    assert {file.path for file in below} == named_by_table(table, below)
    assert len(everything(store.folder)) == len(below)
    assert table.scan().count() == sum(range(1, 26))


KILLED = """
import io
from pyiceberg.io.pyarrow import PyArrowFile
from tests.integration.data_trusts.conftest import customs_file, wait_for
from tests.unit.grants.samples import dataset
PyArrowFile.create = counted(PyArrowFile.create)
warehouse = Warehouse(Path(sys.argv[2]))
warehouse.catalog.commit_table = counted(warehouse.catalog.commit_table)
warehouse.ingest("trade", dataset("customs_rows"), customs_file(7))
"""


def test_killed_between_any_two_objects_the_table_stays_readable(stock: Warehouse, tmp_path: Path) -> None:
    step = 0
    while killed_at(step, KILLED, tmp_path / "data"):
        assert stock.rows("trade", "customs_rows").num_rows == 14, step
        step += 1
    assert step >= 4, "data, manifest, manifest list, commit, metadata"
    assert stock.rows("trade", "customs_rows").num_rows == 21


def exported(stock: Warehouse, folder: Path) -> Identity:
    """A bundle of the bucket's tables in a folder, and who signed it."""
    identity = identity_in(folder / "data")
    root = (folder / "bundle").as_uri()
    order = Order(member="ca", trusts=("trade",), policies=(), contracts=(), root=root, at=NOON)
    export(stock, identity, order, folder / "bundle")
    return identity


KILLED_IMPORT = """
from pyiceberg.io.pyarrow import PyArrowFile
from data_trusts.bundle_form import verified
from data_trusts.bundle_import import take_in
warehouse, bundle = Warehouse(Path(sys.argv[2])), Path(sys.argv[3])
PyArrowFile.create = counted(PyArrowFile.create)
warehouse.catalog.register_table = counted(warehouse.catalog.register_table)
take_in(warehouse, bundle, verified(bundle, (bundle / "certificate.pem").read_text()))
"""


def test_a_bundle_leads_out_of_a_bucket_and_into_another_killed_at_any_step(
    running: ObjectStore, stock: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = exported(stock, tmp_path)
    bundle = verified(tmp_path / "bundle", identity.certificate_pem)
    assert {table.name: table.rows for table in bundle.tables} == {"trade.customs_rows": 14}
    for variable in running.environment(f"other-{secrets.token_hex(8)}").items():
        monkeypatch.setenv(*variable)
    step = 0
    while killed_at(step, KILLED_IMPORT, tmp_path / "elsewhere", tmp_path / "bundle"):
        step += 1
    assert step >= 6, "what is relocated, the mark, each object"
    arriving = Warehouse(tmp_path / "elsewhere")
    assert sorted(map(str, arriving.rows("trade", "customs_rows").to_pylist())) == sorted(
        map(str, stock.rows("trade", "customs_rows").to_pylist())
    )
    table = arriving.table("trade", "customs_rows")
    assert table.location() == f"{os.environ['COMMONWEAL_WAREHOUSE']}/trade/customs_rows"
    assert arriving.ingest("trade", CUSTOMS, customs_file(10)).rows == 0, "what was taken stays known"
    assert all(not path.name.startswith("UNFINISHED") for path in everything(running.folder))
    arriving.close()


def test_a_bundle_is_not_written_over_objects_that_are_not_its_own(
    running: ObjectStore, stock: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = exported(stock, tmp_path)
    bundle = verified(tmp_path / "bundle", identity.certificate_pem)
    name = f"other-{secrets.token_hex(8)}"
    for variable in running.environment(name).items():
        monkeypatch.setenv(*variable)
    foreign = running.folder / name / "member/ca/trade/customs_rows/data/foreign.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"another's")
    arriving = Warehouse(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is there, and no table of the catalog; move it away"):
        take_in(arriving, tmp_path / "bundle", bundle)
    assert everything(running.folder / name) == [foreign]
    arriving.close()
