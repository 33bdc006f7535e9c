"""A member that cannot reach the hub for two minutes loses no pod; work resumes and nothing runs twice."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.bars import Measurement
from loadtests.wire import Kubectl, WireError, demo_cluster, is_ready

NEEDS_DEMO = True
MEMBER = "ca"
CUT_S = 120
LIMIT_S = 120
RUN = Path("/run/commonweal")
TABLE = "commonweal_bar"


def measure() -> list[Measurement]:
    """Drop every packet from one member's node to the hub's API server for two minutes, and compare its pods."""
    hub, member = demo_cluster("ch"), demo_cluster(MEMBER)
    before = _pods(member)
    server = hub.json("config", "view", "--minify")["clusters"][0]["cluster"]["server"]
    with _cut_off(str(urlsplit(server).hostname)):
        time.sleep(CUT_S)
        lost = before - _pods(member)
        noticed = not is_ready(hub.json("get", "member", MEMBER))
    started = time.monotonic()
    while not is_ready(hub.json("get", "member", MEMBER)):
        if time.monotonic() - started > LIMIT_S:
            raise WireError(f"{MEMBER} is not Ready {LIMIT_S} s after the partition healed")
        time.sleep(0.5)
    back_s = time.monotonic() - started
    twice = _pods(member) - before
    return [
        Measurement(name="partition-evicted", value=len(lost), unit="pods", bound=0),
        Measurement(name="partition-noticed", value=int(noticed), unit="members", bound=1, at_most=False),
        Measurement(name="partition-doubled", value=len(twice), unit="pods", bound=0),
        Measurement(name="partition-back", value=back_s, unit="s", bound=60),
    ]


def _pods(member: Kubectl) -> frozenset[str]:
    pods = member.json("get", "pods", "-n", "commonweal-apps")["items"]
    return frozenset(f"{pod['metadata']['name']} {pod['metadata']['uid']}" for pod in pods)


@contextmanager
def _cut_off(hub_address: str) -> Iterator[None]:
    """A table of our own in the node's network namespace, gone again whatever happens."""
    rule = f"ip daddr {hub_address} drop"
    chains = (f"chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}" for hook in ("output", "forward"))
    _in_node("nft", "\n".join([f"table ip {TABLE} {{", *chains, "}"]))
    try:
        yield
    finally:
        _in_node("nft", f"delete table ip {TABLE}")


def _in_node(program: str, rules: str) -> None:
    holder = json.loads((RUN / f"{MEMBER}-node.pid").read_text())["identity"]["pid"]
    first = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()[0]
    command = ["nsenter", f"--target={first}", "--net", "--", program, "--file", "-"]
    done = subprocess.run(command, input=rules, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WireError(f"{program} in the node of {MEMBER}: {done.stderr.strip()}")
