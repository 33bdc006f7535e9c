"""`python -m data_trusts.ingest`: a Parquet file into a member's table, whole or not at all.

The schema comes from the policy that the hub wrote for this member, so it is the one that questions are checked with.
`--file -` reads standard input, as `kubectl exec -i` gives it.
"""

import argparse
import asyncio
import io
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from commonweal.grants import POLICY_LABEL, PolicyDataset
from commonweal.policy_parcels import unpack
from data_trusts.catalog import CatalogError, Ingested, Warehouse
from data_trusts.gateway.cluster import Cluster, ClusterError
from data_trusts.gateway.policies import Policies, read_policies
from data_trusts.rows import RowsRefusedError


class IngestError(Exception):
    """The file was not taken; the message says why and what to do."""


async def _from_cluster(member: str) -> Policies:
    cluster = Cluster.from_pod()
    try:
        listed = await cluster.list_config_maps(f"{POLICY_LABEL}=true")
    finally:
        await cluster.close()
    return read_policies({name: unpack(item) for name, item in listed.objects.items()}, member)


def _from_folder(folder: Path, member: str) -> Policies:
    return read_policies({path.name: path.read_text() for path in folder.glob("*.json")}, member)


def declared_dataset(policies: Policies, trust: str, dataset: str) -> PolicyDataset:
    """The dataset as this member's policy declares it.

    Raises:
        IngestError: there is no policy for the trust, or it names no such dataset here.
    """
    policy = policies.by_trust.get(trust)
    if policy is None:
        because = "; ".join(f"{name}: {problem}" for name, problem in policies.problems.items())
        raise IngestError(
            f"--trust {trust}: no policy here ({because or 'none was written'}); wait until the hub has one"
        )
    found = policy.dataset(dataset)
    if found is None:
        held = ", ".join(each.name for each in policy.datasets) or "none"
        raise IngestError(f"--dataset {dataset}: {policy.member} is no source of it; its datasets are {held}")
    return found


def _run(arguments: argparse.Namespace) -> Ingested:
    member = arguments.member
    policies = (
        _from_folder(arguments.policy_dir, member)
        if arguments.policy_dir is not None
        else asyncio.run(_from_cluster(member))
    )
    dataset = declared_dataset(policies, arguments.trust, arguments.dataset)
    content = sys.stdin.buffer.read() if arguments.file == "-" else Path(arguments.file).read_bytes()
    warehouse = Warehouse(arguments.data)
    try:
        return warehouse.ingest(arguments.trust, dataset, io.BytesIO(content))
    finally:
        warehouse.close()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    env = os.environ
    folder = env.get("COMMONWEAL_POLICY_DIR")
    parser = argparse.ArgumentParser(prog="python -m data_trusts.ingest", description=__doc__)
    parser.add_argument("--trust", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--file", required=True, help="a Parquet file, or - for standard input")
    parser.add_argument("--member", default=env.get("COMMONWEAL_MEMBER", ""), help="default: COMMONWEAL_MEMBER")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(env.get("COMMONWEAL_DATA", "/var/lib/commonweal-data")),
        help="the data folder",
    )
    parser.add_argument(
        "--policy-dir", type=Path, default=Path(folder) if folder else None, help="default: the member's API server"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Take the file; 0 also where it had been taken before, 1 where it was refused."""
    arguments = _arguments(argv)
    table = f"{arguments.trust}.{arguments.dataset}"
    try:
        taken = _run(arguments)
    except (IngestError, RowsRefusedError, CatalogError, ClusterError, OSError) as error:
        sys.stderr.write(f"{table}: {error}\n")
        return 1
    what = f"{taken.rows} rows added" if taken.rows else "this file was taken before, nothing added"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    sys.stdout.write(f"{at} {table}: {what}, {taken.total_rows} in all, snapshot {taken.snapshot_id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
