"""A second `up` changes nothing, also after others touched what the site does not own, and it undoes none of that."""

import json

from loadtests.bars import Measurement
from loadtests.sites import DrillSite, empty_clusters
from loadtests.wire import Kubectl

NEEDS_DEMO = False
MEMBER = "zz"
DATA, APPS, SYSTEM = "commonweal-data", "commonweal-apps", "commonweal-system"
SEEN = {"type": "example.org/Seen", "status": "True", "reason": "Seen", "message": "by another controller"}
# The gateway's replicas are the site's own: there is one SQLite catalog. Another's Deployment is another's to scale.
TOUCHES: dict[str, tuple[str, ...]] = {
    "an annotation": ("annotate", "deployment/gateway", f"--namespace={DATA}", "example.org/note=looked-at"),
    "a label": ("label", "deployment/agent", f"--namespace={SYSTEM}", "example.org/team=platform"),
    "a namespace's label": ("label", f"namespace/{APPS}", "example.org/cost-centre=42"),
    "an extra ConfigMap": ("create", "configmap", "policy-steel", f"--namespace={DATA}", "--from-literal=a=b"),
    "another's Deployment": ("create", "deployment", "pilot", f"--namespace={APPS}", "--image=localhost/pilot:1"),
    "its scale": ("scale", "deployment/pilot", f"--namespace={APPS}", "--replicas=3"),
    "a pull secret": (
        *("patch", "serviceaccount/agent", f"--namespace={SYSTEM}", "--type=merge"),
        '--patch={"imagePullSecrets":[{"name":"registry"}]}',
    ),
    "a variable from a webhook": ("set", "env", "deployment/agent", f"--namespace={SYSTEM}", "NO_PROXY=10.0.0.0/8"),
    "a status": (
        *("patch", "service/gateway", f"--namespace={DATA}", "--subresource=status", "--type=merge"),
        f"--patch={json.dumps({'status': {'conditions': [{**SEEN, 'lastTransitionTime': '2026-01-01T00:00:00Z'}]}})}",
    ),
}
STANDS: dict[str, tuple[str, ...]] = {
    "looked-at": ("deployment/gateway", f"--namespace={DATA}"),
    "platform": ("deployment/agent", f"--namespace={SYSTEM}"),
    "cost-centre": (f"namespace/{APPS}",),
    "policy-steel": ("configmap/policy-steel", f"--namespace={DATA}"),
    '"replicas": 3': ("deployment/pilot", f"--namespace={APPS}"),
    '"registry"': ("serviceaccount/agent", f"--namespace={SYSTEM}"),
    "NO_PROXY": ("deployment/agent", f"--namespace={SYSTEM}"),
    "example.org/Seen": ("service/gateway", f"--namespace={DATA}"),
}


def measure() -> list[Measurement]:
    """`up` twice; then touches of nine kinds and `up` again."""
    with empty_clusters(MEMBER) as sites:
        site = sites[MEMBER]
        first, second = site.up(), site.up()
        for touch in TOUCHES.values():
            site.kubectl(*touch)
        touched = site.up()
        undone = [mark for mark, where in STANDS.items() if not _stands(site.kubectl, mark, where)]
        drifted = _drift(site)
    note = f"{first.changed} made by the first; no-op took {second.seconds:.1f} s"
    return [
        Measurement(name="site-steady", value=second.changed, unit="changed", bound=0, note=note),
        Measurement(
            name="site-steady-touched", value=touched.changed, unit="changed", bound=0, note=", ".join(TOUCHES)
        ),
        Measurement(name="site-steady-undone", value=len(undone), unit="touches", bound=0, note=", ".join(undone)),
        Measurement(name="site-steady-drift", value=drifted, unit="objects-called-drift", bound=0),
    ]


def _stands(kubectl: Kubectl, mark: str, where: tuple[str, ...]) -> bool:
    return mark in kubectl("get", *where, "--output=json")


def _drift(site: DrillSite) -> int:
    return site.do("drift").changed
