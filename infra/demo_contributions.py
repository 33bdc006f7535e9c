"""What the demo's members bring that no meter reads: simulated certificates, and each one's yes to the others' claims.

Every member speaks as itself: the hub's fences let nobody else, so the demo's administrator impersonates them.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commonweal.apportion import part_bp
from commonweal.contributions import CARBON_FREE, hour_of
from commonweal.kinds import PooledCluster
from commonweal.membership import agent_user, member_group, member_namespace

BOARD_WATTS = 700  # what one device of the demo may draw
Kubectl = Callable[..., str]


def certificates(member: str, pledge: PooledCluster, now: datetime) -> dict[str, Any]:
    """A Contribution: what generators like those of the pledge would be certified for in the present hour."""
    hour, spec = hour_of(now), pledge.spec
    lines = [
        {
            "registry": "simulated",
            "id": f"{member}-{each.kind}-{hour:%Y%m%d%H}",
            "zone": spec.location.grid_zone,
            "hour": f"{hour:%FT%TZ}",
            "wh": part_bp(spec.pledge.gpus * BOARD_WATTS, each.share_bp),
            "source": each.kind.value,
            "simulated": True,
        }
        for each in spec.power_sources
        if each.kind in CARBON_FREE
    ]
    return {
        "apiVersion": "commonweal.dev/v1alpha1",
        "kind": "Contribution",
        "metadata": {"name": f"hour-{hour:%Y%m%d%H}", "namespace": member_namespace(member)},
        "spec": {"record": {"certificates": lines}},
    }


def missing_approvals(
    contributions: Iterable[dict[str, Any]], members: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Who has yet to approve which claim: member, namespace, name."""
    names = sorted(members)
    for each in contributions:
        metadata = each["metadata"]
        said = {one["member"] for one in each["spec"].get("approvals", ())}
        yield from (
            (name, metadata["namespace"], metadata["name"])
            for name in names
            if name not in said and member_namespace(name) != metadata["namespace"]
        )


def bring(kubectl: Kubectl, pledges: dict[str, PooledCluster], folder: Path) -> None:
    """Claim this hour's certificates for every member, and have each approve what the others claim."""
    folder.mkdir(parents=True, exist_ok=True)
    for member, pledge in pledges.items():
        file = folder / f"{member}.json"
        file.write_text(json.dumps(certificates(member, pledge, datetime.now(UTC))), "utf-8")
        kubectl(*_as(member), "apply", "--server-side", "-f", str(file), show=False)
    claims = json.loads(kubectl("get", "contributions", "--all-namespaces", "-o", "json", show=False))["items"]
    for member, namespace, name in missing_approvals(claims, pledges):
        patch = json.dumps([{"op": "add", "path": "/spec/approvals/-", "value": {"member": member}}])
        kubectl(*_as(member), "-n", namespace, "patch", "contribution", name, "--type=json", "-p", patch, show=False)


def _as(member: str) -> tuple[str, ...]:
    return ("--as", agent_user(member), "--as-group", member_group(member), "--as-group", "system:authenticated")
