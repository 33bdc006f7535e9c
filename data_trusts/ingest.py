"""`python -m data_trusts.ingest`: a Parquet file into a member's table, whole or not at all.

The schema comes from the policy that the hub wrote for this member, so it is the one that questions are checked with.
`--file -` reads standard input, as `kubectl exec -i` gives it.
"""

import argparse
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from data_trusts.catalog import CatalogError, Ingested, warehouse_at
from data_trusts.declared import NotDeclaredError, add_arguments, declared_dataset, policies_of
from data_trusts.gateway.cluster import ClusterError
from data_trusts.rows import RowsRefusedError


def _run(arguments: argparse.Namespace) -> Ingested:
    with warehouse_at(arguments.data) as warehouse:
        policies = policies_of(arguments.member, arguments.policy_dir)
        dataset = declared_dataset(policies, arguments.trust, arguments.dataset)
        content = sys.stdin.buffer.read() if arguments.file == "-" else Path(arguments.file).read_bytes()
        return warehouse.ingest(arguments.trust, dataset, io.BytesIO(content))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_trusts.ingest", description=__doc__)
    parser.add_argument("--trust", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--file", required=True, help="a Parquet file, or - for standard input")
    add_arguments(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Take the file; 0 also where it had been taken before, 1 where it was refused."""
    arguments = _arguments(argv)
    table = f"{arguments.trust}.{arguments.dataset}"
    try:
        taken = _run(arguments)
    except (NotDeclaredError, RowsRefusedError, CatalogError, ClusterError, OSError) as error:
        sys.stderr.write(f"{table}: {error}\n")
        return 1
    what = f"{taken.rows} rows added" if taken.rows else "this file was taken before, nothing added"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    sys.stdout.write(f"{at} {table}: {what}, {taken.total_rows} in all, snapshot {taken.snapshot_id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
