"""A member's site in an empty cluster of its own, driven as its people would: by the command line and by kubectl.

No node runs in these clusters, so no pod is waited for; etcd, API server, controllers and scheduler are real.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import engines
from infra.local.control_plane import local_clusters
from loadtests.wire import Kubectl, WireError

TOKEN = "a-token-that-no-state-may-show"  # noqa: S105 - made up, and looked for in the state
SITE_FLAGS = (
    "--display-name=Bar of sites",
    "--country=ZZ",
    "--image=localhost/commonweal/site:bar",
    "--node-address=127.0.0.1",
    "--engine=duckdb",
    "--pledge-cpu-millis=1000",
    "--pledge-memory-mib=1024",
    "--pledge-gpus=0",
    "--wait-for-pods=false",
)
ON_HOST = "--data-host-path=/srv/data"
ON_CLAIM = "--data-claim-mib=64"
# What Kubernetes writes by itself at any time and names at random.
PASSING = {"events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"}
GENERATED = {"Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run of the command line: how many resources it changed, how long it took, what it said."""

    changed: int
    seconds: float
    said: str


@dataclass(frozen=True, kw_only=True)
class DrillSite:
    """One member's cluster and the folder of its stack."""

    member: str
    kubectl: Kubectl
    operator_kubeconfig: Path
    folder: Path

    @property
    def state(self) -> Path:
        """What `--state` names; all members of one drill share it, as on one administrator's machine."""
        return self.folder / "state"

    @property
    def stack(self) -> Path:
        """The folder of this member's stack."""
        return self.state / "sites" / self.member

    @property
    def invitation(self) -> Path:
        """A file in an invitation's place, which no hub minted; nobody reads it in a cluster without pods."""
        path = self.folder / f"{self.member}-invitation.json"
        if not path.exists():
            path.write_text(json.dumps({"token": TOKEN}))
        return path

    def command(self, verb: str, *flags: str) -> list[str]:
        """The command line of one verb."""
        return [sys.executable, "-m", "infra.sites", verb, "--member", self.member, f"--state={self.state}", *flags]

    def up_flags(self, invitation: Path, data: str = ON_HOST) -> list[str]:
        """The flags of a whole site, its data where `data` says."""
        return [f"--kubeconfig={self.kubectl.kubeconfig}", f"--invitation={invitation}", *SITE_FLAGS, data]

    def up(self, data: str = ON_HOST) -> Run:
        """`up` with all flags."""
        return self.do("up", *self.up_flags(self.invitation, data))

    def do(self, verb: str, *flags: str) -> Run:
        """Run one verb to its end.

        Raises:
            WireError: it failed.
        """
        started = time.monotonic()
        done = subprocess.run(self.command(verb, *flags), capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise WireError(f"{verb} of {self.member}: {last}")
        changed = int(json.loads(done.stdout)["changed"])
        return Run(changed=changed, seconds=time.monotonic() - started, said=done.stderr)

    def checkpoint(self) -> list[dict[str, Any]]:
        """The resources of the stack as its checkpoint holds them, and operations that it thinks under way."""
        path = self.stack / "backend" / ".pulumi" / "stacks" / "member-site" / f"{self.member}.json"
        latest = json.loads(path.read_text())["checkpoint"]["latest"]
        pending: list[dict[str, Any]] = latest.get("pending_operations") or []
        resources: list[dict[str, Any]] = latest["resources"]
        return [*resources, *pending]


@contextmanager
def empty_clusters(*members: str) -> Iterator[dict[str, DrillSite]]:
    """Clusters with nothing of ours in them while the block runs."""
    kubectl = engines.build(engines.kubernetes()).parent / "kubectl"
    with (
        tempfile.TemporaryDirectory(prefix="commonweal-bar-") as folder,
        local_clusters(members, state_dir=Path(folder) / "clusters") as clusters,
    ):
        yield {
            name: DrillSite(
                member=name,
                kubectl=Kubectl(binary=kubectl, kubeconfig=cluster.kubeconfig),
                operator_kubeconfig=cluster.hub_operator_kubeconfig,
                folder=Path(folder),
            )
            for name, cluster in clusters.items()
        }


def inventory(kubectl: Kubectl) -> frozenset[str]:
    """Every object of every kind that the API server lists, found by its own discovery: `Kind.group namespace/name`."""
    kinds = sorted(set(kubectl("api-resources", "--verbs=list", "--output=name").split()) - PASSING)
    listed = kubectl.json("get", ",".join(kinds), "--all-namespaces", "--ignore-not-found")["items"]
    return frozenset(_name(item) for item in listed)


def settled(found: frozenset[str]) -> frozenset[str]:
    """Without what controllers make from our objects under names of their own."""
    return frozenset(name for name in found if name.partition(" ")[0].partition(".")[0] not in GENERATED)


def _name(item: dict[str, Any]) -> str:
    group = item["apiVersion"].rpartition("/")[0]
    kind = f"{item['kind']}.{group}" if group else str(item["kind"])
    metadata = item["metadata"]
    return f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"
