"""Pods of the trade pilot answer on two members; deletion heals, cordon moves nothing, drain moves all, none fails."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from loadtests.bars import Measurement
from loadtests.wire import Kubectl, WireError, demo_cluster, is_ready

NEEDS_DEMO = True
PILOT = "trade"
LIMIT_S = 120
RATE_PER_S = 20
SETTLE_S = 5


class Caller:
    """Asks the pilot's one address at a fixed rate and counts what did not answer."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self.address, timeout=10) as client:
            while not self._stop.wait(1 / RATE_PER_S):
                self.asked += 1
                try:
                    answer = client.get("/readyz")
                    if answer.status_code != httpx.codes.OK:
                        self.failed.append(f"status {answer.status_code}")
                except httpx.HTTPError as error:
                    self.failed.append(type(error).__name__)


def measure() -> list[Measurement]:
    """Delete a pod, cordon a member, drain it and take it back, while the pilot is asked 20 times a second."""
    hub = demo_cluster("ch")
    pilot = hub.json("get", "pilotapp", PILOT)
    before = _places(pilot)
    answering = sum(_answers(endpoint) for endpoint in _endpoints(pilot))
    victim = min(before)
    caller = Caller(pilot["status"]["address"])
    with caller.asking():
        _delete_a_pod(victim)
        _until(hub, lambda body: is_ready(body) and _places(body) == before, "a deleted pod was not replaced")
        _schedule(hub, victim, "Cordoned")
        time.sleep(SETTLE_S)
        moved_by_cordon = int(_places(hub.json("get", "pilotapp", PILOT)) != before)
        _schedule(hub, victim, "Draining")
        _until(hub, lambda body: is_ready(body) and victim not in _places(body), f"{victim} still holds replicas")
        _schedule(hub, victim, "Active")
        time.sleep(SETTLE_S)
    return [
        Measurement(name="pods-real-members", value=answering, unit="members", bound=2, at_most=False),
        Measurement(name="pods-real-cordon-moved", value=moved_by_cordon, unit="placements", bound=0),
        Measurement(
            name="pods-real-failed",
            value=len(caller.failed),
            unit=f"of-{caller.asked}-requests",
            bound=0,
            note=", ".join(sorted(set(caller.failed))),
        ),
    ]


def _places(body: dict[str, Any]) -> dict[str, int]:
    return {str(each["member"]): each["readyReplicas"] for each in body["status"]["placements"] if each["replicas"]}


def _endpoints(body: dict[str, Any]) -> list[str]:
    return [each["endpoints"][0] for each in body["status"]["placements"] if each["endpoints"]]


def _answers(endpoint: str) -> bool:
    return httpx.get(f"{endpoint}/readyz", timeout=10).status_code == httpx.codes.OK


def _delete_a_pod(member: str) -> None:
    kubectl = demo_cluster(member)
    pods = kubectl.json("get", "pods", "-n", "commonweal-apps")["items"]
    mine = [pod["metadata"]["name"] for pod in pods if PILOT in pod["metadata"]["name"]]
    if not mine:
        raise WireError(f"{member} runs no pod of {PILOT}; is the demo up?")
    kubectl("delete", "pod", mine[0], "-n", "commonweal-apps", "--wait=true")


def _schedule(hub: Kubectl, member: str, scheduling: str) -> None:
    hub("patch", "member", member, "--type=merge", "-p", f'{{"spec":{{"scheduling":"{scheduling}"}}}}')


def _until(hub: Kubectl, holds: Callable[[dict[str, Any]], bool], otherwise: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds(hub.json("get", "pilotapp", PILOT)):
        if time.monotonic() > deadline:
            raise WireError(f"{otherwise} within {LIMIT_S} s")
        time.sleep(0.3)
