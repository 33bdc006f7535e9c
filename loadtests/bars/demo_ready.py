"""Every object of examples/ reaches Ready, and kubectl get lists every kind."""

from pathlib import Path

import yaml

from loadtests.bars import Measurement
from loadtests.wire import demo_cluster, is_ready

NEEDS_DEMO = True
EXAMPLES = Path(__file__).parents[2] / "examples"


def measure() -> list[Measurement]:
    """How many objects of the examples are not Ready after `kubectl wait`."""
    kubectl = demo_cluster("ch")
    not_ready = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        kubectl("wait", "--for=condition=Ready", "--timeout=180s", "-f", str(path))
        for body in yaml.safe_load_all(path.read_text()):
            where = ["-n", body["metadata"]["namespace"]] if "namespace" in body["metadata"] else []
            seen = kubectl.json("get", body["kind"], body["metadata"]["name"], *where)
            if not is_ready(seen):
                not_ready.append(f"{body['kind']}/{body['metadata']['name']}")
    listed = kubectl("get", "commonweal", "-A", "--no-headers").strip().splitlines()
    return [
        Measurement(
            name="demo-ready", value=len(not_ready), unit="objects-not-ready", bound=0, note=", ".join(not_ready)
        ),
        Measurement(name="demo-ready-listed", value=len(listed), unit="objects", bound=10, at_most=False),
    ]
