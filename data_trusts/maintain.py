"""`python -m data_trusts.maintain`: expires old snapshots and removes files that no table needs.

The gateway does it by itself every hour; this is for an administrator who wants to look (`--dry-run`) or not to wait.
Tables of which no policy says whether they are under legal hold, and those that are, are left alone.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from data_trusts.catalog import CatalogError, warehouse_at
from data_trusts.declared import add_arguments, policies_of, tell, undestroyable
from data_trusts.gateway.cluster import ClusterError
from data_trusts.maintenance import maintain
from data_trusts.signed import wire
from data_trusts.table_files import FilesError


def maintainable(
    tables: Iterable[tuple[str, str]], forbidden: Callable[[str, str], str | None], tell: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """Trust and dataset of each table that may be maintained.

    Args:
        tables: trust and dataset of all that there are.
        forbidden: says why one of them may not be at this moment; asked when it is its turn.
        tell: hears which may not, and why.
    """
    for trust, dataset in tables:
        if why := forbidden(trust, dataset):
            tell(f"{trust}.{dataset}: left alone; {why}")
        else:
            yield trust, dataset


def main(argv: list[str] | None = None) -> int:
    """Print one JSON line a table; an error is one sentence and status 1."""
    parser = argparse.ArgumentParser(prog="python -m data_trusts.maintain", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    arguments = parser.parse_args(argv)
    now = datetime.now(UTC)
    try:
        with warehouse_at(arguments.data) as warehouse:
            policies = policies_of(arguments.member, arguments.policy_dir)
            tables = warehouse.tables()
            if not tables:
                tell(f"--data {arguments.data}: holds no table yet; there is nothing to maintain")
            allowed = maintainable(tables, lambda of, name: undestroyable(policies, of, name, now), tell)
            for trust, dataset in allowed:
                done = maintain(warehouse, trust, dataset, now, dry_run=arguments.dry_run, tell=tell)
                sys.stdout.write(f"{json.dumps({'dryRun': arguments.dry_run, **wire(done)})}\n")
                sys.stdout.flush()
    except (CatalogError, ClusterError, FilesError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
