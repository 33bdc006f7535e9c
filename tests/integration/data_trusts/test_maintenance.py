"""Metadata stays bounded, and no file goes that a question, a commit or a killed run may still need."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from data_trusts.catalog import Warehouse
from data_trusts.maintenance import GRACE, KEEP_SNAPSHOTS, Maintained, maintain
from data_trusts.table_files import FilesError, files_of, named_by_table, path_of, root_of
from tests.integration.data_trusts.conftest import customs_file
from tests.integration.data_trusts.faults import killed_at
from tests.integration.data_trusts.keeping import HOLD, keeping, policies_in
from tests.unit.grants.samples import dataset, policy

CUSTOMS = dataset("customs_rows")
COMMITS = 30
SOON = timedelta(minutes=1)


@pytest.fixture
def busy(warehouse: Warehouse) -> Table:
    """A table of many small commits."""
    warehouse.ingest("trade", CUSTOMS, customs_file(1))
    for rows in range(2, COMMITS + 1):
        warehouse.ingest("trade", CUSTOMS, customs_file(rows))
    return warehouse.table("trade", "customs_rows")


def later(by: timedelta = timedelta(0)) -> datetime:
    """When every snapshot of a test is old enough to go."""
    return datetime.now(UTC) + KEEP_SNAPSHOTS + SOON + by


def metadata_files(table: Table) -> int:
    return len(list((Path(root_of(table).path) / "metadata").iterdir()))


def run(warehouse: Warehouse, now: datetime, *, dry_run: bool = False) -> Maintained:
    return maintain(warehouse, "trade", "customs_rows", now, dry_run=dry_run)


def test_metadata_is_bounded_however_often_rows_come_in(warehouse: Warehouse, busy: Table) -> None:
    before = busy.scan().to_arrow().num_rows
    assert len(busy.snapshots()) == COMMITS
    snapshot = busy.current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(busy.io)) <= 20, "manifests are merged as they come"
    grown = metadata_files(busy)
    run(warehouse, later())
    done = run(warehouse, later(GRACE))
    assert done.removed_files > COMMITS
    busy.refresh()
    assert len(busy.snapshots()) == 1
    assert metadata_files(busy) < grown / 2
    below = files_of(root_of(busy))
    assert {each.path for each in below} == named_by_table(busy, below)
    assert busy.scan().to_arrow().num_rows == before
    assert warehouse.ingest("trade", CUSTOMS, customs_file(7)).rows == 0, "what was taken stays known"


def test_young_snapshots_and_heads_of_branches_are_kept(warehouse: Warehouse, busy: Table) -> None:
    assert run(warehouse, datetime.now(UTC)).expired_snapshots == 0
    first = busy.snapshots()[0].snapshot_id
    with busy.manage_snapshots() as manage:
        manage.create_tag(first, "opening")
    assert run(warehouse, later()).expired_snapshots == COMMITS - 2
    assert {each.snapshot_id for each in busy.refresh().snapshots()} >= {first}


def test_a_question_that_planned_before_goes_on_reading(warehouse: Warehouse, busy: Table) -> None:
    """Its snapshot is expired under it, and a rewrite has replaced its files."""
    planned = busy.scan()
    other = Warehouse(warehouse.folder)
    with other.changing("trade", "customs_rows") as table:
        table.overwrite(table.scan().to_arrow())
    other.close()
    rows = planned.to_arrow().num_rows
    assert run(warehouse, later()).expired_snapshots == COMMITS + 1
    assert run(warehouse, later(GRACE - SOON - SOON)).removed_files == 0
    assert planned.to_arrow().num_rows == rows
    assert run(warehouse, later(GRACE)).removed_files > 0
    assert warehouse.rows("trade", "customs_rows").num_rows == rows


def test_a_commit_under_way_keeps_its_files(warehouse: Warehouse, busy: Table) -> None:
    """What nobody names yet is seen, then named, then forgotten again: its time begins anew."""
    orphan = Path(root_of(busy).path) / "data" / "under-way.parquet"
    written = schema_to_pyarrow(busy.schema(), include_field_ids=False)
    pq.write_table(busy.scan(limit=3).to_arrow().cast(written), orphan)
    assert run(warehouse, later()).waiting_files > 0
    assert orphan.exists()
    busy.refresh().add_files([orphan.as_uri()])
    run(warehouse, later(GRACE))
    assert orphan.exists()
    assert warehouse.rows("trade", "customs_rows").num_rows == sum(range(1, COMMITS + 1)) + 3


def test_a_dry_run_says_what_a_run_does_and_does_nothing(warehouse: Warehouse, busy: Table) -> None:
    before = files_of(root_of(busy))
    assert run(warehouse, later(), dry_run=True).expired_snapshots == COMMITS - 1
    assert len(busy.refresh().snapshots()) == COMMITS
    assert files_of(root_of(busy)) == before
    assert not (warehouse.folder / "maintenance").exists()


def test_an_address_with_signs_in_it_is_the_file_that_it_names(warehouse: Warehouse) -> None:
    """Partitions put values into addresses; who decoded them would take live files for orphans."""
    warehouse.catalog.create_namespace("trade")
    table = warehouse.catalog.create_table("trade.customs_rows", pa.schema([("key", pa.string())]))
    with table.update_spec() as spec:
        spec.add_identity("key")
    table.append(pa.table({"key": ["a b", "100%", "d/é=%20", None]}))
    run(warehouse, later())
    assert run(warehouse, later(GRACE)).removed_files == 0
    assert warehouse.rows("trade", "customs_rows").num_rows == 4


def test_a_table_that_lost_a_file_is_left_as_it_is(warehouse: Warehouse, busy: Table) -> None:
    lost = path_of(next(iter(busy.scan().plan_files())).file.file_path)
    lost.unlink()
    before = files_of(root_of(busy))
    with pytest.raises(FilesError, match="the table names it and it is gone; restore it from the backup"):
        run(warehouse, datetime.now(UTC))
    assert files_of(root_of(busy)) == before


def test_ingests_and_questions_go_on_beside_it(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.ingest("trade", CUSTOMS, customs_file(1))
    seen: list[int] = []

    def take_in(first: int) -> None:
        own = Warehouse(tmp_path / "data")
        for rows in range(first, first + 6):
            own.ingest("trade", CUSTOMS, customs_file(rows))
        own.close()

    def ask() -> None:
        seen.extend(warehouse.rows("trade", "customs_rows").num_rows for _ in range(12))

    def tidy() -> None:
        own = Warehouse(tmp_path / "data")
        for turn in range(6):
            run(own, later(turn * SOON))
        own.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(take_in, 2), pool.submit(take_in, 8), pool.submit(ask), pool.submit(tidy)]:
            done.result()
    assert warehouse.rows("trade", "customs_rows").num_rows == sum(range(1, 14))
    assert seen == sorted(seen), "no question saw fewer rows than one before it"


KILLED = """
from datetime import datetime
from data_trusts.maintenance import maintain
from data_trusts.table_files import Root
warehouse = Warehouse(Path(sys.argv[2]))
Root.remove, Path.replace = counted(Root.remove), counted(Path.replace)
warehouse.catalog.commit_table = counted(warehouse.catalog.commit_table)
maintain(warehouse, "trade", "customs_rows", datetime.fromisoformat(sys.argv[3]))
"""


def test_killed_at_any_step_no_row_is_lost_and_the_next_run_does_the_rest(warehouse: Warehouse, tmp_path: Path) -> None:
    for rows in range(1, 5):
        warehouse.ingest("trade", CUSTOMS, customs_file(rows))
    run(warehouse, later())
    step = 0
    while killed_at(step, KILLED, tmp_path / "data", later(2 * GRACE).isoformat()):
        assert warehouse.rows("trade", "customs_rows").num_rows == 10, step
        table = warehouse.table("trade", "customs_rows")
        assert named_by_table(table, files_of(root_of(table)))
        step += 1
    assert step >= 3
    table = warehouse.table("trade", "customs_rows")
    assert table.scan().count() == 10
    below = files_of(root_of(table))
    assert {each.path for each in below} == named_by_table(table, below)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--data", str(folder / "data"), "--policy-dir", str(folder / "policies"), "--member", "ca"]
    argv = [sys.executable, "-m", "data_trusts.maintain", *places, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_leaves_alone_what_is_held_or_unknown(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.ingest("trade", CUSTOMS, customs_file(3))
    warehouse.catalog.create_namespace("lab")
    warehouse.catalog.create_table("lab.notes", pa.schema([("text", pa.string())]))
    policies_in(tmp_path / "policies", policy("ca"))
    done = command(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    [said] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (said["trust"], said["dataset"], said["dryRun"]) == ("trade", "customs_rows", True)
    assert "lab.notes: left alone; nobody knows its legal holds" in done.stderr
    policies_in(tmp_path / "policies", keeping(HOLD))
    held = command(tmp_path)
    assert (held.stdout, "trade.customs_rows: left alone; customs_rows is under legal hold" in held.stderr) == (
        "",
        True,
    )
