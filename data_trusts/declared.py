"""What the hub's policies declare for this member, read once, by commands that its administrators run."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from commonweal.grants import POLICY_LABEL, PolicyDataset
from commonweal.policy_parcels import unpack
from commonweal.retention import held
from data_trusts.gateway.cluster import Cluster
from data_trusts.gateway.policies import Policies, read_policies


class NotDeclaredError(Exception):
    """No policy says what is asked for; the message says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--member`, `--data` and `--policy-dir`, by default as the gateway's environment says."""
    env = os.environ
    folder = env.get("COMMONWEAL_POLICY_DIR")
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


def policies_of(member: str, folder: Path | None) -> Policies:
    """The member's policies, from a folder or from its API server.

    Raises:
        ClusterError: the API server does not answer.
        OSError: the folder cannot be read.
    """
    if folder is None:
        return asyncio.run(_from_cluster(member))
    if not folder.is_dir():
        raise NotADirectoryError(f"--policy-dir {folder}: is not a folder; name the one with the policies")
    return read_policies({path.name: path.read_text() for path in folder.glob("*.json")}, member)


async def _from_cluster(member: str) -> Policies:
    cluster = Cluster.from_pod()
    try:
        listed = await cluster.list_config_maps(f"{POLICY_LABEL}=true")
    finally:
        await cluster.close()
    return read_policies({name: unpack(item) for name, item in listed.objects.items()}, member)


def declared_dataset(policies: Policies, trust: str, dataset: str) -> PolicyDataset:
    """The dataset as this member's policy declares it.

    Raises:
        NotDeclaredError: there is no policy for the trust, or it names no such dataset here.
    """
    policy = policies.by_trust.get(trust)
    if policy is None:
        because = "; ".join(f"{name}: {problem}" for name, problem in policies.problems.items())
        raise NotDeclaredError(
            f"--trust {trust}: no policy here ({because or 'none was written'}); wait until the hub has one"
        )
    found = policy.dataset(dataset)
    if found is None:
        held = ", ".join(each.name for each in policy.datasets) or "none"
        raise NotDeclaredError(f"--dataset {dataset}: {policy.member} is no source of it; its datasets are {held}")
    return found


def undestroyable(policies: Policies, trust: str, dataset: str, now: datetime) -> str | None:
    """Why nothing of a dataset may be destroyed now, also where nobody can say; None where it may be."""
    try:
        return held(dataset, declared_dataset(policies, trust, dataset).holds, now)
    except NotDeclaredError as error:
        return f"nobody knows its legal holds ({error})"


def tell(said: str) -> None:
    """Say at once, beside a command's output, how far it is."""
    sys.stderr.write(f"{said}\n")
    sys.stderr.flush()


def printed(work: Callable[[], dict[str, Any]], *errors: type[Exception]) -> int:
    """Do a command's work and print its result as JSON; one of the errors is one sentence, and status 1."""
    try:
        result = work()
    except errors as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(result, indent=2)}\n")
    return 0
