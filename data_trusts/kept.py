"""`python -m data_trusts.kept`: what a member kept of a dataset, as the Contribution that it may claim.

The table's own snapshots say how many rows it had and when; the fewest of a span count (docs/equity.md).
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pyiceberg.table import Table

from commonweal.kinds.contribution import Contribution
from commonweal.membership import member_namespace
from data_trusts.catalog import CatalogError, TableMissingError, warehouse_at

INSTANT = "%Y-%m-%dT%H:%M:%SZ"
Version = tuple[datetime, int]  # since when a table had so many rows


class KeptError(Exception):
    """The table does not say what was asked; the message says why and what to ask."""


def fewest_rows(versions: Iterable[Version], begin: datetime, end: datetime) -> int:
    """Return the fewest rows that a table had in a span.

    Raises:
        KeptError: its history does not reach so far back, or it had none.
    """
    known = sorted(versions)
    if not known or known[0][0] > begin:
        since = f"{known[0][0]:{INSTANT}}" if known else "never"
        raise KeptError(f"--begin: {begin:{INSTANT}}, but the table's snapshots begin {since}; ask for a later span")
    current = max(index for index, (since, _) in enumerate(known) if since <= begin)
    rows = min(rows for since, rows in known[current:] if since < end)
    if not rows:
        raise KeptError("--begin: the table had no rows for a part of the span; ask for one in which it had some")
    return rows


def versions_of(table: Table) -> list[Version]:
    """Every version of a table that its metadata still names."""
    found = list[Version]()
    for entry in table.history():
        snapshot = table.snapshot_by_id(entry.snapshot_id)
        if snapshot is None or snapshot.summary is None or (total := snapshot.summary.get("total-records")) is None:
            found.clear()  # what an erasure took away says nothing of the rows before it
            continue
        found.append((datetime.fromtimestamp(entry.timestamp_ms / 1000, UTC), int(total)))
    return found


def contribution(member: str, trust: str, dataset: str, rows: int, span: tuple[datetime, datetime]) -> Contribution:
    """The object that claims it."""
    begin, end = span
    line = {"trust": trust, "dataset": dataset, "rows": rows, "begin": begin, "end": end}
    name = f"kept-{dataset.replace('_', '-')}-{begin:%Y%m%d%H%M%S}"
    metadata = {"name": name, "namespace": member_namespace(member)}
    return Contribution.model_validate(
        {"kind": "Contribution", "metadata": metadata, "spec": {"record": {"data": [line]}}}
    )


def printed(made: Contribution) -> str:
    """The object as `kubectl apply -f -` takes it."""
    body = made.model_dump(mode="json", by_alias=True, exclude_none=True)
    body["metadata"] = {"name": made.metadata.name, "namespace": made.metadata.namespace}
    return f"{json.dumps(body, indent=2)}\n"


def _instant(text: str) -> datetime:
    try:
        return datetime.strptime(text, INSTANT).replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no instant; write it as 2026-11-24T12:00:00Z") from None


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    env = os.environ
    parser = argparse.ArgumentParser(prog="python -m data_trusts.kept", description=__doc__)
    parser.add_argument("--trust", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--begin", required=True, type=_instant, help="inclusive, as 2026-11-24T12:00:00Z")
    parser.add_argument("--end", required=True, type=_instant, help="exclusive; it must be over")
    parser.add_argument("--member", default=env.get("COMMONWEAL_MEMBER", ""), help="default: COMMONWEAL_MEMBER")
    parser.add_argument("--data", type=Path, default=Path(env.get("COMMONWEAL_DATA", "/var/lib/commonweal-data")))
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace, now: datetime) -> Contribution:
    if not arguments.begin < arguments.end <= now:
        raise KeptError(f"--end: {arguments.end:{INSTANT}} is not after --begin, or not over; claim it when it is")
    try:
        with warehouse_at(arguments.data) as warehouse:
            table = warehouse.table(arguments.trust, arguments.dataset)
    except TableMissingError:
        raise KeptError(f"--dataset: there is no table {arguments.trust}.{arguments.dataset} here") from None
    rows = fewest_rows(versions_of(table), arguments.begin, arguments.end)
    return contribution(arguments.member, arguments.trust, arguments.dataset, rows, (arguments.begin, arguments.end))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the Contribution as JSON, for `kubectl apply -f -`; 1 with one sentence where there is none."""
    try:
        made = _run(_arguments(argv), datetime.now(UTC))
    except (KeptError, CatalogError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(printed(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
