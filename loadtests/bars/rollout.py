"""A PilotApp applied to pods ready on two members, warm, under 15 s."""

import time

from loadtests.bars import Measurement
from loadtests.demo_grants import agree, renamed
from loadtests.wire import Kubectl, WireError, demo_cluster, is_ready

NEEDS_DEMO = True
NAME = "bar-rollout"
RUNS = 3
LIMIT_S = 60


def measure() -> list[Measurement]:
    """The median of three roll-outs of a second pilot."""
    kubectl = demo_cluster("ch")
    seconds = sorted(_once(kubectl) for _ in range(RUNS))
    note = f"min {seconds[0]:.1f} max {seconds[-1]:.1f}"
    return [Measurement(name="rollout", value=seconds[RUNS // 2], unit="s", bound=15, note=note)]


def _once(kubectl: Kubectl) -> float:
    agree(kubectl, NAME, NAME)
    trade = kubectl.json("get", "pilotapp", "trade")
    # The members' signing keys are labelled for the trade pilot, and no other application gets them.
    component = {key: value for key, value in trade["spec"]["component"].items() if key not in {"secrets", "env"}}
    pilot = renamed(trade, NAME, {"grants": [NAME], "component": component})
    started = time.monotonic()
    kubectl("apply", "--server-side", "-f", "-", stdin=pilot)
    try:
        while time.monotonic() - started < LIMIT_S:
            seen = kubectl.json("get", "pilotapp", NAME)
            placements = seen.get("status", {}).get("placements", [])
            if is_ready(seen) and sum(place["readyReplicas"] > 0 for place in placements) >= 2:
                return time.monotonic() - started
            time.sleep(0.1)
        raise WireError(f"PilotApp {NAME} is not Ready after {LIMIT_S} s: {seen.get('status')}")
    finally:
        kubectl("delete", f"pilotapp/{NAME}", f"datagrant/{NAME}", "--wait=true", "--timeout=60s")
        _wait_gone(kubectl)


def _wait_gone(kubectl: Kubectl) -> None:
    deadline = time.monotonic() + LIMIT_S
    while any(item["spec"]["owner"]["name"] == NAME for item in kubectl.json("get", "assignments", "-A")["items"]):
        if time.monotonic() > deadline:
            raise WireError(f"assignments of {NAME} are still there {LIMIT_S} s after its deletion")
        time.sleep(0.2)
