"""A member's site from an empty cluster to joined and Ready in under 90 s warm, by one command of the member.

No node runs here: the agent runs as a process with its Deployment's environment and its ServiceAccount's rights, as
soon as `up` has made them. What a node adds is not measured: fetching images, starting containers, the gateway.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import yaml

from infra.local.control_plane import free_ports
from loadtests.bars import Measurement
from loadtests.sites import ON_HOST, DrillSite, empty_clusters
from loadtests.wire import Kubectl, WireError, commonweal, is_ready

NEEDS_DEMO = False
HUB, MEMBER = "ch", "zz"
BOUND_S = 90
LIMIT_S = 300
LOOK_EVERY_S = 0.2
SYSTEM = "commonweal-system"
CHARTER = Path("examples/10-charter.yaml")


def measure() -> list[Measurement]:
    """A hub with its operator, an empty member cluster, an invitation; then `up`, timed until the Member is Ready."""
    with empty_clusters(HUB, MEMBER) as sites, _hub(sites[HUB]) as hub:
        invitation = sites[MEMBER].folder / "invitation.json"
        commonweal(hub, "invite", MEMBER, "--out", str(invitation))
        up_s, ready_s = _join(hub, sites[MEMBER], invitation)
    note = f"`up` alone {up_s:.1f} s; no node: images, containers and gateway are not in it"
    return [Measurement(name="site-up", value=ready_s, unit="s", bound=BOUND_S, note=note)]


@contextmanager
def _hub(site: DrillSite) -> Iterator[Kubectl]:
    """The hub's operator as a process, on the example's charter."""
    hub = site.kubectl
    commonweal(hub, "setup")
    hub("apply", "--server-side", "--filename", str(CHARTER))
    where = ["--kubeconfig", str(site.operator_kubeconfig), "--state-dir", str(site.folder / "hub"), "--health-port=0"]
    command = [sys.executable, "-m", "operators.hub", *where, f"--front-door-first-port={free_ports(1)[0]}"]
    with (site.folder / "hub.log").open("w") as log, _process(command, {}, log):
        hub("wait", "--for=condition=Ready", "consortium/charter", "--timeout=60s")
        yield hub


def _join(hub: Kubectl, site: DrillSite, invitation: Path) -> tuple[float, float]:
    """Seconds until `up` ended, and until the hub calls the Member Ready."""
    started, up_s, accepted = time.monotonic(), None, False
    command = site.command("up", *site.up_flags(invitation, ON_HOST))
    with ExitStack() as running, (site.folder / "up.log").open("w+") as log:
        up = running.enter_context(_process(command, {}, log))
        agent = None
        while time.monotonic() < started + LIMIT_S:
            if up_s is None and up.poll() is not None:
                _require_success(up, log)
                up_s = time.monotonic() - started
            if agent is None and _exists(site.kubectl, "rolebinding/commonweal-agent", "deployment/agent"):
                agent = running.enter_context(_agent(site))
            if not accepted and _exists(hub, f"member/{MEMBER}"):
                commonweal(hub, "accept", MEMBER)
                accepted = True
            if up_s is not None and accepted and is_ready(hub.json("get", "member", MEMBER)):
                return up_s, time.monotonic() - started
            time.sleep(LOOK_EVERY_S)
        said = (site.folder / "agent.log").read_text()[-500:] if agent else "no agent was started"
    raise WireError(f"{MEMBER} is not Ready after {LIMIT_S} s; its agent says: {said}")


@contextmanager
def _agent(site: DrillSite) -> Iterator[subprocess.Popen[str]]:
    """The agent as its Deployment says, with a token of its ServiceAccount."""
    pod = site.kubectl.json("get", "deployment", "agent", f"--namespace={SYSTEM}")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    token = site.kubectl("create", "token", pod["serviceAccountName"], f"--namespace={SYSTEM}").strip()
    config = yaml.safe_load(site.kubectl("config", "view", "--raw"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    kubeconfig = site.folder / "agent.yaml"
    kubeconfig.write_text(yaml.safe_dump(config))
    environment = {item["name"]: item["value"] for item in container["env"]}
    # On this machine, not in a pod of its own: any free port for its health, and its rights from a file.
    environment |= {"COMMONWEAL_HEALTH_PORT": "0", "COMMONWEAL_KUBECONFIG": str(kubeconfig)}
    with (
        (site.folder / "agent.log").open("w") as log,
        _process([sys.executable, *container["args"]], environment, log) as process,
    ):
        yield process


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: IO[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _require_success(up: subprocess.Popen[str], log: IO[str]) -> None:
    if up.returncode:
        log.seek(0)
        raise WireError(f"up of {MEMBER}: {log.read().strip()[-300:]}")


def _exists(kubectl: Kubectl, *objects: str) -> bool:
    return len(kubectl("get", *objects, f"--namespace={SYSTEM}", "--ignore-not-found", "-o", "name").split()) == len(
        objects
    )
