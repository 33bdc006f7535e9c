"""Ended rows are in no file under the table's root, whatever a crash or another engine left behind."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from commonweal.grants import PolicyDataset
from commonweal.retention import held
from data_trusts.catalog import Warehouse
from data_trusts.gateway.certificates import Identity
from data_trusts.retain import HeldError, RetainError, due, retain
from data_trusts.retention import ORPHAN_AGE
from data_trusts.rows import RowsRefusedError
from data_trusts.signed import opened
from data_trusts.table_files import FilesError, files_of, root_of
from tests.integration.data_trusts.conftest import customs_file, paths_of
from tests.integration.data_trusts.faults import killed_at
from tests.integration.data_trusts.keeping import DAYS, HOLD, identity_in, keeping, kept_dataset, policies_in
from tests.unit.grants.samples import NOON, dataset

FIRST_KEPT = date(2026, 1, 2)
KEPT = kept_dataset()


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return identity_in(tmp_path / "data")


@pytest.fixture
def stock(warehouse: Warehouse) -> Table:
    """Ten rows, of which four have ended, and then four, of which two have."""
    warehouse.ingest("trade", KEPT, customs_file(10))
    warehouse.ingest("trade", KEPT, customs_file(4))
    return warehouse.table("trade", "customs_rows")


def run(
    warehouse: Warehouse,
    identity: Identity,
    *,
    dataset: PolicyDataset = KEPT,
    wait: Callable[[float], object] = lambda _: None,
) -> dict[str, Any]:
    receipt: dict[str, Any] = retain(
        warehouse,
        identity,
        "trade",
        dataset,
        member="ca",
        now=NOON,
        held_now=lambda: held(dataset.name, dataset.holds, NOON),
        wait=wait,
    )["receipt"]
    return receipt


def ended_on_disk(table: Table) -> list[str]:
    """A search of its own: every Parquet file, read whole."""
    files = [path for path in paths_of(table) if path.suffix == ".parquet"]
    return [path.name for path in files if any(day < FIRST_KEPT for day in pq.read_table(path)["day"].to_pylist())]


def test_ended_rows_are_in_no_file_and_every_other_row_is_kept(
    warehouse: Warehouse, stock: Table, identity: Identity
) -> None:
    before = stock.scan().to_arrow().to_pylist()
    assert len(ended_on_disk(stock)) == 2
    receipt = run(warehouse, identity)
    assert (receipt["endedRows"], receipt["keptRows"], receipt["undatedRows"]) == (6, 8, 0)
    assert ended_on_disk(stock) == []
    kept = warehouse.rows("trade", "customs_rows").to_pylist()
    assert sorted(map(str, kept)) == sorted(str(row) for row in before if row["day"] >= FIRST_KEPT)
    assert due(warehouse, "trade", KEPT, NOON) == []


@pytest.mark.parametrize(("days", "ended"), [(DAYS, 3), (DAYS + 1, 1), (DAYS + 2, 0)])
def test_instants_end_at_midnight_in_utc_whatever_their_zone_was(
    warehouse: Warehouse, identity: Identity, days: int, ended: int
) -> None:
    zone = timezone(timedelta(hours=9))
    instants = [datetime(2026, 1, day, hour, tzinfo=zone) for day, hour in ((1, 8), (1, 9), (2, 8), (2, 9))]
    of = kept_dataset(column="cleared_at", days=days)
    warehouse.ingest("trade", of, customs_file(4, {"cleared_at": pa.array(instants)}))
    assert run(warehouse, identity, dataset=of)["endedRows"] == ended
    assert warehouse.rows("trade", "customs_rows").num_rows == 4 - ended


def test_a_second_run_changes_no_row_and_a_file_that_was_taken_is_not_taken_again(
    warehouse: Warehouse, stock: Table, identity: Identity
) -> None:
    run(warehouse, identity)
    assert run(warehouse, identity)["endedRows"] == 0
    assert warehouse.ingest("trade", KEPT, customs_file(10)).rows == 0, "its ended rows would come back"
    assert stock.refresh().scan().to_arrow().num_rows == 8


def test_a_hold_forbids_it_by_name_and_nothing_is_touched(
    warehouse: Warehouse, stock: Table, identity: Identity
) -> None:
    before = files_of(root_of(stock))
    with pytest.raises(HeldError, match=r"customs_rows is under legal hold: court of ke until released \(Case 7\)"):
        run(warehouse, identity, dataset=kept_dataset(HOLD))
    assert files_of(root_of(stock)) == before
    over = kept_dataset({**HOLD, "until": (NOON - timedelta(seconds=1)).isoformat()})
    assert run(warehouse, identity, dataset=over)["endedRows"] == 6


def test_the_old_files_stay_until_no_question_reads_them(
    warehouse: Warehouse, stock: Table, identity: Identity
) -> None:
    """A question that began before the run goes on reading what it planned."""
    planned = stock.scan()

    def read_meanwhile(seconds: float) -> None:
        assert seconds >= 120
        assert planned.to_arrow().num_rows == 14
        assert warehouse.rows("trade", "customs_rows").num_rows == 8

    run(warehouse, identity, wait=read_meanwhile)
    assert warehouse.rows("trade", "customs_rows").num_rows == 8


def test_a_run_that_was_cut_short_is_completed_by_a_later_one(
    warehouse: Warehouse, stock: Table, identity: Identity
) -> None:
    def killed(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(warehouse, identity, wait=killed)
    assert len(ended_on_disk(stock)) == 2
    with pytest.raises(FilesError, match=r"rows from before 2026-01-02 are still in .*run it again in an hour"):
        run(warehouse, identity)
    an_hour_on = NOON.timestamp() - ORPHAN_AGE.total_seconds() - 1
    for path in paths_of(stock):
        os.utime(path, (an_hour_on, an_hour_on))
    assert run(warehouse, identity)["endedRows"] == 0
    assert ended_on_disk(stock) == []


KILLED = """
from data_trusts.retain import retain
from tests.integration.data_trusts.keeping import kept_dataset
from tests.unit.grants.samples import NOON
from data_trusts.gateway.certificates import Identity
from data_trusts.table_files import Root
data = Path(sys.argv[2])
for path in data.rglob("*"):
    os.utime(path, (0, 0))
warehouse = Warehouse(data)
pem = lambda name: (data / "tls" / f"{name}.pem").read_text()
Root.remove, Path.replace = counted(Root.remove), counted(Path.replace)
warehouse.catalog.commit_table = counted(warehouse.catalog.commit_table)
identity = Identity(key_pem=pem("key"), certificate_pem=pem("certificate"))
retain(warehouse, identity, "trade", kept_dataset(), member="ca", now=NOON, held_now=lambda: None, wait=lambda _: None)
"""


def test_killed_at_any_step_no_kept_row_is_lost_and_the_next_run_does_the_rest(
    warehouse: Warehouse, stock: Table, identity: Identity, tmp_path: Path
) -> None:
    assert identity.key_pem
    step = 0
    while killed_at(step, KILLED, tmp_path / "data"):
        days = warehouse.rows("trade", "customs_rows")["day"].to_pylist()
        assert sum(day >= FIRST_KEPT for day in days) == 8, step
        step += 1
    assert step >= 3
    assert ended_on_disk(stock) == []
    assert len(list((tmp_path / "data" / "retentions").iterdir())) == 1


def test_what_a_branch_or_tag_kept_alive_ends_too(warehouse: Warehouse, stock: Table, identity: Identity) -> None:
    first = stock.snapshots()[0].snapshot_id
    with stock.manage_snapshots() as manage:
        manage.create_branch(first, "audit").create_tag(first, "2026")
    run(warehouse, identity)
    assert ended_on_disk(stock) == []
    assert list(stock.refresh().metadata.refs) == ["main"]


def test_rows_without_a_date_are_counted_and_kept(warehouse: Warehouse, identity: Identity) -> None:
    """They are older than the retention of their dataset, which takes none any more."""
    undated = customs_file(3, {"day": [None, date(2026, 1, 1), date(2026, 1, 3)]})
    warehouse.ingest("trade", dataset(), undated)
    receipt = run(warehouse, identity)
    assert (receipt["endedRows"], receipt["keptRows"], receipt["undatedRows"]) == (1, 2, 1)
    again = io.BytesIO(customs_file(3, {"day": [date(2026, 1, 3), None, date(2026, 1, 3)]}).getvalue())
    with pytest.raises(RowsRefusedError, match="row 2, field day: is empty; retention needs a value in every row"):
        warehouse.ingest("trade", KEPT, again)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "data_trusts.retain", *arguments]
    environment = {
        "COMMONWEAL_MEMBER": "ca",
        "COMMONWEAL_DATA": str(folder / "data"),
        "COMMONWEAL_POLICY_DIR": str(folder / "policies"),
    }
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_dry_run_names_files_and_hold_and_touches_nothing(stock: Table, identity: Identity, tmp_path: Path) -> None:
    assert identity.key_pem
    policies_in(tmp_path / "policies", keeping(HOLD))
    before = files_of(root_of(stock))
    done = command(tmp_path, "run", "--trust", "trade", "--dataset", "customs_rows", "--dry-run")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (len(said["files"]), said["held"].split(":")[0]) == (2, "customs_rows is under legal hold")
    assert files_of(root_of(stock)) == before
    real = command(tmp_path, "run", "--trust", "trade", "--dataset", "customs_rows")
    assert (real.returncode, "error: customs_rows is under legal hold: court" in real.stderr) == (1, True)


def test_a_receipt_verifies_and_a_changed_one_does_not(
    warehouse: Warehouse, stock: Table, identity: Identity, tmp_path: Path
) -> None:
    run(warehouse, identity)
    [copy] = (tmp_path / "data" / "retentions").iterdir()
    document = json.loads(copy.read_text())
    assert opened(document, identity.certificate_pem, "RetentionReceipt")["endedRows"] == 6
    assert {each["path"] for each in document["receipt"]["files"]} == {
        root_of(stock).within(file.path) for file in files_of(root_of(stock))
    }
    certificate = str(tmp_path / "data" / "tls" / "certificate.pem")
    assert command(tmp_path, "verify", str(copy), "--certificate", certificate).returncode == 0
    document["receipt"]["endedRows"] = 0
    copy.write_text(json.dumps(document))
    refused = command(tmp_path, "verify", str(copy), "--certificate", certificate)
    assert (refused.returncode, "RetentionReceipt was changed" in refused.stderr) == (1, True)


def test_without_a_retention_nothing_is_removed(warehouse: Warehouse, stock: Table, identity: Identity) -> None:
    before = files_of(root_of(stock))
    with pytest.raises(RetainError, match="declares no retention; declare one"):
        run(warehouse, identity, dataset=dataset())
    assert files_of(root_of(stock)) == before
