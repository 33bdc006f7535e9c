"""A member joins in under 20 s warm; withdrawing its acceptance removes its rights within 2 s."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commonweal.membership import member_namespace
from infra.local.control_plane import local_clusters
from loadtests.bars import Measurement
from loadtests.wire import Kubectl, WireError, commonweal, demo_cluster, is_ready

NEEDS_DEMO = True
MEMBER = "zz"
LIMIT_S = 60
SYSTEM = "commonweal-system"


def measure() -> list[Measurement]:
    """Let a fourth member join the running hub from a fresh cluster of its own, then withdraw its acceptance."""
    hub = demo_cluster("ch")
    with tempfile.TemporaryDirectory() as folder, local_clusters([MEMBER], state_dir=Path(folder)) as clusters:
        member = Kubectl(binary=hub.binary, kubeconfig=clusters[MEMBER].kubeconfig)
        for namespace in (SYSTEM, "commonweal-data", "commonweal-apps"):
            member("create", "namespace", namespace)
        try:
            with _agent(member, Path(folder)):
                joined_s = _join_s(hub, member, Path(folder))
                revoked_s = _revocation_s(hub, _agents_own(hub, member, Path(folder)))
        finally:
            hub("delete", "member", MEMBER, "--ignore-not-found", "--timeout=30s")
    return [
        Measurement(name="join", value=joined_s, unit="s", bound=20),
        Measurement(name="join-revoked", value=revoked_s, unit="s", bound=2),
    ]


@contextmanager
def _agent(member: Kubectl, folder: Path) -> Iterator[None]:
    """The agent as a process, as its pod would run it."""
    settings = {
        "COMMONWEAL_MEMBER": MEMBER,
        "COMMONWEAL_DISPLAY_NAME": "Bar of joining",
        "COMMONWEAL_COUNTRY": "ZZ",
        "COMMONWEAL_NODE_ADDRESS": "127.0.0.1",
        "COMMONWEAL_HEALTH_PORT": "0",
        "COMMONWEAL_HEARTBEAT_S": "1",
        "COMMONWEAL_KUBECONFIG": str(member.kubeconfig),
    }
    command = [sys.executable, "-m", "operators.agent"]
    with (folder / "agent.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def _join_s(hub: Kubectl, member: Kubectl, folder: Path) -> float:
    invitation = folder / "invitation.yaml"
    started = time.monotonic()
    commonweal(hub, "invite", MEMBER, "--out", str(invitation))
    member("create", "secret", "generic", "hub-invitation", "-n", SYSTEM, f"--from-file=invitation.json={invitation}")
    deadline = started + LIMIT_S
    accepted = False
    while time.monotonic() < deadline:
        try:
            body = hub.json("get", "member", MEMBER)
        except WireError:
            continue
        if not accepted:
            commonweal(hub, "accept", MEMBER)
            accepted = True
        if is_ready(body):
            return time.monotonic() - started
        time.sleep(0.1)
    raise WireError(f"{MEMBER} is not Ready after {LIMIT_S} s; agent says: {(folder / 'agent.log').read_text()[-500:]}")


def _agents_own(hub: Kubectl, member: Kubectl, folder: Path) -> Kubectl:
    """The agent's own identity on the hub, from the Secret that the member keeps it in."""
    data = member.json("get", "secret", "hub-credentials", "-n", SYSTEM)["data"]
    config = json.loads(hub("config", "view", "--raw", "-o", "json"))
    user = {"client-certificate-data": data["tls.crt"], "client-key-data": data["tls.key"]}
    config["users"] = [{"name": config["users"][0]["name"], "user": user}]
    path = folder / "agent.json"
    path.write_text(json.dumps(config))
    return Kubectl(binary=hub.binary, kubeconfig=path)


def _may_list(agent: Kubectl) -> bool:
    try:
        agent("get", "assignments", "-n", member_namespace(MEMBER))
    except WireError as error:
        if "forbidden" in str(error).lower():
            return False
        raise
    return True


def _revocation_s(hub: Kubectl, agent: Kubectl) -> float:
    if not _may_list(agent):
        raise WireError(f"the agent of {MEMBER} has no rights to begin with; is the member Ready?")
    hub("patch", "member", MEMBER, "--type=merge", "-p", '{"spec":{"hubAccepts":false}}')
    started = time.monotonic()
    while _may_list(agent):
        if time.monotonic() - started > LIMIT_S:
            raise WireError(f"{MEMBER} keeps its rights {LIMIT_S} s after its acceptance was withdrawn")
    return time.monotonic() - started
