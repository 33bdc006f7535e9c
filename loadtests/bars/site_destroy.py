"""After `destroy` a cluster holds what it held before `up`, and beside it only the data that it was told to keep."""

from loadtests.bars import Measurement
from loadtests.sites import ON_CLAIM, DrillSite, empty_clusters, inventory

NEEDS_DEMO = False
MEMBER = "zz"
DATA = "commonweal-data"
KEPT = {f"Namespace /{DATA}", f"PersistentVolumeClaim {DATA}/commonweal-data"}
# Kubernetes puts these into every namespace.
BY_KUBERNETES = {f"ServiceAccount {DATA}/default", f"ConfigMap {DATA}/kube-root-ca.crt"}
OURS = "app.kubernetes.io/managed-by=commonweal"


def measure() -> list[Measurement]:
    """A site with its data on the node, then one with a claim, each with what agent and gateway write at run time."""
    with empty_clusters(MEMBER) as sites:
        site = sites[MEMBER]
        before = inventory(site.kubectl)
        site.up()
        _as_if_it_ran(site)
        made = inventory(site.kubectl) - before
        took = site.do("destroy")
        left = inventory(site.kubectl) - before
        lost = before - inventory(site.kubectl)
        site.up(ON_CLAIM)
        _as_if_it_ran(site)
        site.do("destroy")
        beside = inventory(site.kubectl) - before - KEPT - BY_KUBERNETES
        missing = KEPT - inventory(site.kubectl)
    return [
        Measurement(
            name="site-destroy", value=len(left | lost), unit=f"of-{len(made)}-objects", bound=0,
            note="; ".join([*sorted(left | lost)[:5], f"took {took.seconds:.1f} s"]),
        ),
        Measurement(
            name="site-destroy-beside-data", value=len(beside), unit="objects", bound=0,
            note="; ".join(sorted(beside)[:5]),
        ),
        Measurement(
            name="site-destroy-data-lost", value=len(missing), unit="objects", bound=0, note="; ".join(sorted(missing))
        ),
    ]  # fmt: skip


def _as_if_it_ran(site: DrillSite) -> None:
    """Objects that only pods would make here: identity, certificates, policies, a pilot."""
    made = (
        ("secret", "generic", "member-identity", "commonweal-system"),
        ("secret", "generic", "hub-credentials", "commonweal-system"),
        ("secret", "generic", "gateway-tls", DATA),
        ("configmap", "gateway-site", DATA),
        ("configmap", "policy-steel", DATA),
    )
    for *what, namespace in made:
        site.kubectl("create", *what, f"--namespace={namespace}", "--from-literal=a=b")
        kind, name = what[0], what[-1]
        site.kubectl("label", f"{kind}/{name}", f"--namespace={namespace}", OURS)
    pilot = ("pilot", "--namespace=commonweal-apps", "--image=localhost/pilot:1")
    site.kubectl("create", "deployment", *pilot)
