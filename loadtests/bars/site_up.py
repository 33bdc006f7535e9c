"""A member's site from an empty cluster to joined and Ready in under 90 s warm, by one command of the member.

No node runs here: the agent runs as a process with its Deployment's environment and its ServiceAccount's rights, as
soon as `up` has made them. What a node adds is not measured: fetching images, starting containers, the gateway.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.control_plane import free_ports
from infra.local.podless import as_process
from infra.local.probes import http_ready
from infra.local.supervisor import Process, Supervisor, tail
from loadtests.bars import Measurement
from loadtests.sites import DrillSite, empty_clusters
from loadtests.wire import Kubectl, WireError, commonweal, is_ready

NEEDS_DEMO = False
HUB, MEMBER = "ch", "zz"
BOUND_S = 90
LIMIT_S = 300
LOOK_EVERY_S = 0.2
SYSTEM = "commonweal-system"
CHARTER = Path("examples/10-charter.yaml")


@dataclass(kw_only=True)
class Joining:
    """How far a join has come; each step is taken once, as soon as it can be."""

    hub: Kubectl
    site: DrillSite
    supervisor: Supervisor
    agent_runs: bool = False
    accepted: bool = False

    def advance(self) -> bool:
        """Start the agent, accept the member; whether the hub calls it Ready."""
        if not self.agent_runs and _exist(self.site.kubectl, "rolebinding/commonweal-agent", "deployment/agent"):
            kubectl = self.site.kubectl
            agent = as_process(kubectl.binary, kubectl.kubeconfig, SYSTEM, "agent", self.site.folder)
            self.supervisor.start_one(agent)
            self.agent_runs = True
        if not self.accepted and _exist(self.hub, f"member/{MEMBER}"):
            commonweal(self.hub, "accept", MEMBER)
            self.accepted = True
        return self.accepted and is_ready(self.hub.json("get", "member", MEMBER))


def measure() -> list[Measurement]:
    """A hub with its operator, an empty member cluster, an invitation; then `up`, timed until the Member is Ready."""
    with empty_clusters(HUB, MEMBER) as sites, _supervisor(sites[HUB].folder) as supervisor:
        _start_hub(sites[HUB], supervisor)
        invitation = sites[MEMBER].folder / "invitation.json"
        commonweal(sites[HUB].kubectl, "invite", MEMBER, "--out", str(invitation))
        joining = Joining(hub=sites[HUB].kubectl, site=sites[MEMBER], supervisor=supervisor)
        up_s, ready_s = _join(joining, invitation)
    note = f"`up` alone {up_s:.1f} s; no node: images, containers and gateway are not in it"
    return [Measurement(name="site-up", value=ready_s, unit="s", bound=BOUND_S, note=note)]


@contextmanager
def _supervisor(folder: Path) -> Iterator[Supervisor]:
    (folder / "run").mkdir()
    supervisor = Supervisor(folder / "run")
    try:
        yield supervisor
    finally:
        supervisor.stop_everything()


def _start_hub(site: DrillSite, supervisor: Supervisor) -> None:
    """The hub's operator as a process, on the example's charter."""
    commonweal(site.kubectl, "setup")
    site.kubectl("apply", "--server-side", "--filename", str(CHARTER))
    health, front_door = free_ports(2)
    where = ("--kubeconfig", str(site.operator_kubeconfig), "--state-dir", str(site.folder / "hub"))
    ports = (f"--health-port={health}", f"--front-door-first-port={front_door}")
    operator = Process(
        name="hub-operator",
        argv=(sys.executable, "-m", "operators.hub", *where, *ports),
        log=site.folder / "hub-operator.log",
        ready=http_ready(f"http://127.0.0.1:{health}/readyz"),
    )
    supervisor.start_one(operator)


def _join(joining: Joining, invitation: Path) -> tuple[float, float]:
    """Seconds until `up` ended, and until the hub called the Member Ready."""
    site, log = joining.site, joining.site.folder / "up.log"
    started, up_s = time.monotonic(), None
    with (
        log.open("w") as words,
        subprocess.Popen(site.command("up", *site.up_flags(invitation)), stdout=words, stderr=words) as up,
    ):
        try:
            while time.monotonic() < started + LIMIT_S:
                if up_s is None and up.poll() is not None:
                    if up.returncode:
                        raise WireError(f"up of {MEMBER}: {tail(log)}")
                    up_s = time.monotonic() - started
                if joining.advance() and up_s is not None:
                    return up_s, time.monotonic() - started
                time.sleep(LOOK_EVERY_S)
        finally:
            up.terminate()
    raise WireError(f"{MEMBER} is not Ready after {LIMIT_S} s; its agent says: {tail(site.folder / 'agent.log')}")


def _exist(kubectl: Kubectl, *objects: str) -> bool:
    found = kubectl("get", *objects, f"--namespace={SYSTEM}", "--ignore-not-found", "--output=name")
    return len(found.split()) == len(objects)
