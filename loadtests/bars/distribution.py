"""Hub write to member write over 500 Assignments: p50 and p99 with the agent of one member."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx

from loadtests.bars import Measurement
from loadtests.wire import GROUP, demo_cluster

NEEDS_DEMO = True
COUNT = 500
MEMBER = "ke"
LABEL = "commonweal.dev/bar"
NAMESPACE = "commonweal-apps"
WAIT_S = 180
RATE_PER_S = 25  # arrivals are open: a slow system is not asked more gently


def measure() -> list[Measurement]:
    """Write 500 Assignments of one ConfigMap each to the hub, and watch the ConfigMaps arrive at the member."""
    hub, member = demo_cluster("ch"), demo_cluster(MEMBER)
    arrived: dict[str, float] = {}
    sent: dict[str, float] = {}
    done = threading.Event()
    with hub.proxy() as at_hub, member.proxy() as at_member:
        watcher = threading.Thread(target=_watch, args=(at_member, arrived, done), daemon=True)
        watcher.start()
        try:
            started = time.monotonic()
            for number, body in enumerate(_assignments()):
                time.sleep(max(0.0, started + number / RATE_PER_S - time.monotonic()))
                sent[body["metadata"]["name"]] = time.monotonic()
                at_hub.post(f"{GROUP}/namespaces/member-{MEMBER}/assignments", json=body).raise_for_status()
            done.wait(WAIT_S)
        finally:
            selector = f"{LABEL}=distribution"
            at_hub.request(
                "DELETE", f"{GROUP}/namespaces/member-{MEMBER}/assignments", params={"labelSelector": selector}
            )
    latencies = sorted(arrived[name] - sent[name] for name in arrived)
    missing = COUNT - len(latencies)
    figures = [Measurement(name="distribution-missing", value=missing, unit="assignments", bound=0)]
    if latencies:
        p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
        figures.append(Measurement(name="distribution-p50", value=p50, unit="s", bound=0.5))
        figures.append(Measurement(name="distribution-p99", value=p99, unit="s", bound=1.0))
    return figures


def _assignments() -> Iterator[dict[str, Any]]:
    for number in range(COUNT):
        name = f"bar-{number:04d}"
        labels = {LABEL: "distribution"}
        child = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "data": {"number": str(number)},
        }
        owner = {"kind": "PilotApp", "name": "bar-distribution", "uid": f"bar-{number}", "generation": 1}
        yield {
            "apiVersion": "commonweal.dev/v1alpha1",
            "kind": "Assignment",
            "metadata": {"name": name, "labels": labels},
            "spec": {"owner": owner, "objects": [child]},
        }


def _watch(client: httpx.Client, arrived: dict[str, float], done: threading.Event) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    parameters = {"watch": "true", "labelSelector": f"{LABEL}=distribution"}
    with client.stream("GET", path, params=parameters, timeout=None) as stream:
        for line in stream.iter_lines():
            event = json.loads(line)
            arrived.setdefault(event["object"]["metadata"]["name"], time.monotonic())
            if len(arrived) == COUNT:
                done.set()
                return
