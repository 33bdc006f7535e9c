"""`python -m data_trusts.retain`: removes rows whose retention has passed, and gives a signed receipt.

`run` does for one dataset, now, what the gateway does for all of them by itself; `verify` checks a receipt with the
gateway's certificate, which the hub publishes. Legal holds come first: a dataset under one is refused.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from commonweal.grants import PolicyDataset
from commonweal.kinds.retention import Retention
from commonweal.retention import first_kept, held
from data_trusts.catalog import CatalogError, Warehouse, explained, warehouse_at
from data_trusts.declared import NotDeclaredError, add_arguments, declared_dataset, policies_of, printed, tell
from data_trusts.gateway.certificates import Identity
from data_trusts.gateway.cluster import ClusterError
from data_trusts.retention import end_rows, ended_files, remove
from data_trusts.signed import SignedError, keep_copy, opened_file, own_identity, signed, wire
from data_trusts.table_files import FilesError

RECEIPT_KIND = "RetentionReceipt"
GRACE_S = 120.0  # no question runs longer than 60 s; after twice that, none reads a file that the table forgot before


class RetainError(Exception):
    """Rows were not removed as asked; the message says why and what to do."""


class HeldError(RetainError):
    """A legal hold forbids it."""


def _bound(trust: str, dataset: PolicyDataset, now: datetime) -> tuple[Retention, date | datetime]:
    retention = dataset.retention
    column = dataset.column(retention.column) if retention else None
    if retention is None or column is None:
        raise RetainError(f"{trust}.{dataset.name}: its DataTrust declares no retention; declare one, or erase rows")
    return retention, first_kept(retention, column.type, now)


def due(warehouse: Warehouse, trust: str, dataset: PolicyDataset, now: datetime) -> list[str]:
    """The files in which rows can be read whose retention has passed.

    Raises:
        RetainError: the dataset has no retention.
        CatalogError: it has no table, or the catalog or a file of it cannot be read.
        FilesError: its table lies neither in a folder nor in S3.
    """
    retention, first = _bound(trust, dataset, now)
    table = warehouse.table(trust, dataset.name)
    with explained(f"{trust}.{dataset.name}"):
        return [file.path for file in ended_files(table, retention.column, first)]


def retain(
    warehouse: Warehouse,
    identity: Identity,
    trust: str,
    dataset: PolicyDataset,
    *,
    member: str,
    now: datetime,
    held_now: Callable[[], str | None],
    wait: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Remove a dataset's ended rows for good; returns the signed receipt, of which a copy is kept.

    Safe to repeat after a crash at any point. Questions go on: the files are removed after `wait` was given the seconds
    that the longest question may still read them. Where `wait` raises, a later run does the rest. `held_now` says why
    rows may not be destroyed at this moment; it is asked before rows leave the table, and before files are removed.

    Raises:
        HeldError: a legal hold is in force; no file was removed.
        RetainError: the dataset has no retention.
        CatalogError: it has no table, or the catalog cannot be read.
        FilesError: a file still holds an ended row.
    """
    retention, first = _bound(trust, dataset, now)
    _forbid_held(held_now)
    with warehouse.changing(trust, dataset.name) as table:
        ending = end_rows(table, retention.column, first)
    wait(GRACE_S)
    _forbid_held(held_now)
    with warehouse.changing(trust, dataset.name) as table:
        ended = remove(table, retention.column, first, ending, now)
    receipt = {
        "kind": RECEIPT_KIND,
        "member": member,
        "trust": trust,
        "dataset": dataset.name,
        "column": retention.column,
        "days": retention.days,
        "firstKept": first.isoformat(),
        "at": now.isoformat(timespec="seconds"),
        **wire(ended),
    }
    document = signed(receipt, identity)
    name = f"{receipt['at'].replace(':', '')}-{trust}.{dataset.name}.json"
    keep_copy(document, warehouse.folder / "retentions" / name)
    return document


def _forbid_held(held_now: Callable[[], str | None]) -> None:
    if why := held_now():
        raise HeldError(why)


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    def held_now() -> str | None:
        return held(arguments.dataset, _declared(arguments).holds, datetime.now(UTC))

    with warehouse_at(arguments.data) as warehouse:
        identity = asyncio.run(own_identity(arguments.data))  # nothing is removed that no receipt could be given for
        dataset, now = _declared(arguments), datetime.now(UTC)
        if arguments.dry_run:
            found = due(warehouse, arguments.trust, dataset, now)
            return {"dryRun": True, "files": found, "held": held_now()}
        return retain(
            warehouse,
            identity,
            arguments.trust,
            dataset,
            member=arguments.member,
            now=now,
            held_now=held_now,
            wait=_patiently,
        )


def _declared(arguments: argparse.Namespace) -> PolicyDataset:
    return declared_dataset(policies_of(arguments.member, arguments.policy_dir), arguments.trust, arguments.dataset)


def _patiently(seconds: float) -> None:
    tell(f"the rows have left the table; waiting {seconds:g} s for questions that still read its files")
    time.sleep(seconds)


def _verify(arguments: argparse.Namespace) -> dict[str, Any]:
    receipt = opened_file(arguments.receipt, arguments.certificate, RECEIPT_KIND)
    return {"verified": True, **{name: receipt[name] for name in ("at", "firstKept", "endedRows")}}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_trusts.retain", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="remove ended rows, and print the signed receipt as JSON")
    for name in ("trust", "dataset"):
        run.add_argument(f"--{name}", required=True)
    add_arguments(run)
    run.add_argument("--dry-run", action="store_true", help="only name the files in which ended rows can be read")
    check = verbs.add_parser("verify", help="check a receipt")
    check.add_argument("receipt", type=Path)
    check.add_argument("--certificate", type=Path, required=True, help="the gateway's, PEM, as the hub shows it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; an error is one sentence and status 1."""
    arguments = _arguments(argv)
    work = _run if arguments.verb == "run" else _verify
    errors = (RetainError, FilesError, SignedError, NotDeclaredError, CatalogError, ClusterError, OSError)
    return printed(lambda: work(arguments), *errors)


if __name__ == "__main__":
    sys.exit(main())
