"""Keeps what surrounds a member's rows from growing without end: old snapshots, manifests, metadata, orphaned files.

Nothing is removed that a question or a commit may still use: a file must be seen twice, `GRACE` apart, and be in no
snapshot both times. What was seen first is kept in `maintenance/seen.json`; losing it only delays a removal.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pyiceberg.table import Table

from data_trusts.catalog import TABLE_PROPERTIES, Warehouse, explained
from data_trusts.table_files import StoredFile, files_of, forget_uploads, named_by_table, root_of
from data_trusts.tlog import write_durably

GRACE = timedelta(days=1)  # the longest that a commit of an engine may take between its files and itself
KEEP_SNAPSHOTS = timedelta(days=5)  # so long an administrator can go back; questions never can

Seen = dict[str, datetime]


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """What was done to one table, or would be; `waiting` files are in no snapshot, and not old enough to go."""

    trust: str
    dataset: str
    expired_snapshots: int
    removed_files: int
    removed_bytes: int
    waiting_files: int


def maintain(
    warehouse: Warehouse,
    trust: str,
    dataset: str,
    now: datetime,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Maintained:
    """Expire a table's old snapshots and remove the files that nothing has needed for `GRACE`.

    Safe to repeat after a crash at any point, and beside questions, ingests and engines that commit.

    Raises:
        CatalogError: it has no table, or the catalog or its metadata cannot be read.
        FilesError: it lies neither in a folder nor in S3, or a file that it needs is gone.
    """
    memory = warehouse.folder / "maintenance" / f"{trust}.{dataset}.json"
    if dry_run:
        table = warehouse.table(trust, dataset)
        old = _old_snapshots(table, now)
        with explained(f"{trust}.{dataset}"):
            gone, waiting = _sorted_out(table, _read(memory), now)
        return _done(trust, dataset, len(old), gone, waiting)
    with warehouse.changing(trust, dataset) as table:
        _complete_properties(table)
        old = _old_snapshots(table, now)
        if old:
            tell(f"{trust}.{dataset}: expiring {len(old)} of {len(table.snapshots())} snapshots")
            table.maintenance.expire_snapshots().by_ids(old).commit()
        gone, waiting = _sorted_out(table, _read(memory), now)
        done = _done(trust, dataset, len(old), gone, waiting)
        forget_uploads(table, now - GRACE)
        root = root_of(table)
        for place, file in enumerate(gone, start=1):
            root.remove(file.path)
            if place % 100 == 0:
                tell(f"{trust}.{dataset}: removed {place} of {len(gone)} files")
        _write(memory, waiting)
    return done


def _done(trust: str, dataset: str, expired: int, gone: list[StoredFile], waiting: Seen) -> Maintained:
    return Maintained(
        trust=trust,
        dataset=dataset,
        expired_snapshots=expired,
        removed_files=len(gone),
        removed_bytes=sum(file.size_bytes for file in gone),
        waiting_files=len(waiting),
    )


def _complete_properties(table: Table) -> None:
    """Tables that an engine made, or that are older than a property, get what bounds their metadata."""
    missing = {name: value for name, value in TABLE_PROPERTIES.items() if name not in table.properties}
    if missing:
        with table.transaction() as transaction:
            transaction.set_properties(missing)


def _old_snapshots(table: Table, now: datetime) -> list[int]:
    """Snapshots that are old and the head of no branch or tag."""
    heads = {reference.snapshot_id for reference in table.metadata.refs.values()}
    until_ms = int((now - KEEP_SNAPSHOTS).timestamp() * 1000)
    return [
        each.snapshot_id for each in table.snapshots() if each.timestamp_ms < until_ms and each.snapshot_id not in heads
    ]


def _sorted_out(table: Table, seen: Mapping[str, datetime], now: datetime) -> tuple[list[StoredFile], Seen]:
    """The files that nothing names and that may go, and those that must wait, with when they were seen first."""
    root = root_of(table)
    below = files_of(root)
    needed = named_by_table(table, below)
    gone: list[StoredFile] = []
    waiting: Seen = {}
    for file in below:
        if file.path in needed:
            continue
        name = root.within(file.path)
        first = seen.get(name, now)
        if now - first >= GRACE:
            gone.append(file)
        else:
            waiting[name] = first
    return gone, waiting


def _read(memory: Path) -> Seen:
    """What was seen before; a file that cannot be read is as good as none."""
    try:
        return {name: datetime.fromisoformat(at) for name, at in json.loads(memory.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write(memory: Path, waiting: Seen) -> None:
    memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(memory, json.dumps({name: at.isoformat() for name, at in waiting.items()}).encode())
