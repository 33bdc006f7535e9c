"""What tests of more than one behaviour start from."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from commonweal.metering import Measurement, Scope


def measurement(
    sequence: int,
    *,
    start: datetime,
    period: timedelta = timedelta(minutes=1),
    meter: str = "GPU-1",
    energy_mj: int = 6_000_000,
    estimated_mj: int = 0,
) -> Measurement:
    """One whole period of one simulated device; `metering.adopt` makes it a member's reading."""
    return Measurement(
        meter=meter,
        sequence=sequence,
        period_start=start,
        period_end=start + period,
        energy_mj=energy_mj,
        estimated_mj=estimated_mj,
        device_seconds=int(period.total_seconds()),
        gpu_count=1,
        scope=Scope.GPU,
        epoch=1,
        flags=(),
        simulated=True,
    )


def kubernetes_names() -> st.SearchStrategy[str]:
    """Names that objects, containers and rights may have; none holds a star."""
    return st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


def images() -> st.SearchStrategy[str]:
    """Images by tag, by digest, and by both, from two registries of which one is often allowed."""
    path = st.sampled_from(["localhost/commonweal/site", "localhost/commonweal-evil/site", "ghcr.io/example/web"])
    tag = st.sampled_from(["", ":1.2", ":latest"])
    digest = st.one_of(st.just(""), st.integers(0, 2**256 - 1).map(lambda value: f"@sha256:{value:064x}"))
    return st.builds("{}{}{}".format, path, tag, digest)


def pod_specs() -> st.SearchStrategy[dict[str, Any]]:
    """Pods of one to three containers, confined and not."""
    security = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"privileged": st.booleans()}))
    container = st.builds(
        lambda name, image, context: {"name": name, "image": image} | ({"securityContext": context} if context else {}),
        kubernetes_names(),
        images(),
        security,
    )
    containers = st.lists(container, min_size=1, max_size=3, unique_by=lambda each: each["name"])
    shared = {key: st.booleans() for key in ("hostNetwork", "hostPID", "hostIPC")}
    return st.fixed_dictionaries({"containers": containers}, optional=shared)


def workloads() -> st.SearchStrategy[dict[str, Any]]:
    """Deployments in and outside a site's namespaces."""
    spaces = st.sampled_from(["commonweal-system", "commonweal-data", "commonweal-apps", "default"])

    def workload(name: str, space: str, pod: dict[str, Any]) -> dict[str, Any]:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": pod}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": space},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }

    return st.builds(workload, kubernetes_names(), spaces, pod_specs())
