"""The rules about a member's site: each finds its offenders in Python and in CEL.

A rule that the charter leaves open is absent from the table.
"""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from commonweal.kinds.consortium import Overhead
from commonweal.kinds.meta import Resources
from commonweal.quantity import exact
from commonweal.site_policy.rule import (
    APPS,
    DATA,
    SYSTEM,
    Facts,
    Manifest,
    ObjectRule,
    Rule,
    Severity,
    SiteRule,
    cel_list,
    cel_text,
)
from commonweal.site_policy.targets import (
    BINDINGS,
    COUNTRY_LABEL,
    PLACES,
    PODS,
    QUOTAS,
    RIGHTS,
    SERVICES,
    STORAGE,
    ZONE_LABEL,
    containers_of,
    pod_of,
)

ANY = "*"
GRANTED = ("verbs", "resources", "apiGroups", "nonResourceURLs")
HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
EXPOSING = ("NodePort", "LoadBalancer")
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
GPU = "requests.nvidia.com/gpu"
WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")


def rules(facts: Facts) -> tuple[Rule, ...]:
    """Every rule that is in force, in the order in which they are told."""
    always: tuple[Rule, ...] = (
        _no_wildcard_rights(),
        _no_cluster_admin(),
        _no_host_namespaces(),
        _no_privilege(),
        _https_only(),
        _encrypted_storage(),
    )
    stated: list[Rule] = []
    if facts.pledge is not None:
        stated.append(_quota_within_pledge(facts.pledge))
    if facts.countries:
        stated.append(_in_a_country(facts.countries))
    if facts.grid_zones:
        stated.append(_in_a_green_zone(facts.grid_zones))
    if facts.image_sources is not None:
        stated.append(_images_by_digest(facts.image_sources))
    if facts.overhead is not None:
        stated.append(_within_overhead(facts.overhead))
    return (*always, *stated)


def _no_wildcard_rights() -> ObjectRule:
    def granted_by_star(manifest: Manifest) -> tuple[str, ...]:
        granted = manifest.get("rules") or ()
        return tuple(
            name for name in GRANTED if any(ANY in value for rule in granted for value in rule.get(name) or ())
        )

    each = (
        f"(has(object.rules) && object.rules.exists(r, has(r.{name}) && r.{name}.exists(v, v.contains('*'))) "
        f"? ['{name}'] : [])"
        for name in GRANTED
    )
    return ObjectRule(
        id="no-wildcard-rights",
        title="Rights name what they grant",
        clause="least rights",
        wrong="granted by *",
        fix="name each one that is needed",
        severity=Severity.CRITICAL,
        target=RIGHTS,
        offenders=granted_by_star,
        cel=" + ".join(each),
    )


def _no_cluster_admin() -> ObjectRule:
    return ObjectRule(
        id="no-cluster-admin",
        title="Nobody of the site is an administrator of the cluster",
        clause="least rights",
        wrong="would grant everything in the cluster",
        fix="bind a Role that names what is needed",
        severity=Severity.CRITICAL,
        target=BINDINGS,
        offenders=lambda manifest: ("cluster-admin",) if manifest["roleRef"]["name"] == "cluster-admin" else (),
        cel="object.roleRef.name == 'cluster-admin' ? ['cluster-admin'] : []",
    )


def _no_host_namespaces() -> ObjectRule:
    each = (f"(has(variables.pod.{name}) && variables.pod.{name} ? ['{name}'] : [])" for name in HOST_NAMESPACES)
    return ObjectRule(
        id="no-host-namespaces",
        title="Pods stay out of the node's network, processes and memory",
        clause="confinement",
        wrong="would share the node with the pod",
        fix="leave it out",
        severity=Severity.CRITICAL,
        target=PODS,
        offenders=lambda manifest: tuple(name for name in HOST_NAMESPACES if pod_of(manifest).get(name)),
        cel=" + ".join(each),
    )


def _no_privilege() -> ObjectRule:
    def privileged(manifest: Manifest) -> tuple[str, ...]:
        return tuple(
            f"container {container['name']}"
            for container in containers_of(manifest)
            if (container.get("securityContext") or {}).get("privileged")
        )

    return ObjectRule(
        id="no-privilege",
        title="No container is privileged",
        clause="confinement",
        wrong="may not run privileged",
        fix="leave out securityContext.privileged",
        severity=Severity.CRITICAL,
        target=PODS,
        offenders=privileged,
        cel=(
            "variables.containers.filter(c, has(c.securityContext) && has(c.securityContext.privileged) && "
            "c.securityContext.privileged).map(c, 'container ' + c.name)"
        ),
    )


def _https_only() -> ObjectRule:
    # Pilots are left out: their node ports are plain HTTP for the front door, which is an open gap and not a rule.
    def plain(manifest: Manifest) -> tuple[str, ...]:
        spec = manifest["spec"]
        if manifest["metadata"]["namespace"] == APPS or spec.get("type") not in EXPOSING:
            return ()
        return tuple(f"port {port['port']}" for port in spec.get("ports") or () if not _says_https(port))

    said = (
        "(has(p.name) && (p.name == 'https' || p.name.startsWith('https-'))) || "
        "(has(p.appProtocol) && p.appProtocol == 'https')"
    )
    return ObjectRule(
        id="https-only",
        title="Where rows and keys lie, what is open to the outside speaks HTTPS",
        clause="encryption in transit",
        wrong="may not be open to the outside unless it is HTTPS",
        fix="serve HTTPS and name the port https, or make the Service a ClusterIP",
        severity=Severity.HIGH,
        target=SERVICES,
        offenders=plain,
        cel=(
            f"object.metadata.namespace == {cel_text(APPS)} || !has(object.spec.type) || "
            f"!(object.spec.type in {cel_list(EXPOSING)}) || !has(object.spec.ports) ? [] : "
            f"object.spec.ports.filter(p, !({said})).map(p, 'port ' + string(p.port))"
        ),
    )


def _says_https(port: Manifest) -> bool:
    name = port.get("name", "")
    return name == "https" or name.startswith("https-") or port.get("appProtocol") == "https"


def _encrypted_storage() -> ObjectRule:
    def stated(manifest: Manifest) -> tuple[str, ...]:
        value = (manifest.get("parameters") or {}).get("encrypted", "true")
        return () if value == "true" else (f"parameters.encrypted {value}",)

    return ObjectRule(
        id="encrypted-storage",
        title="A storage class that says whether it encrypts says yes",
        clause="encryption at rest",
        wrong="would leave the data readable on the disk",
        fix="set it to true",
        severity=Severity.HIGH,
        target=STORAGE,
        offenders=stated,
        cel=(
            "has(object.parameters) && 'encrypted' in object.parameters && object.parameters['encrypted'] != 'true' "
            "? ['parameters.encrypted ' + object.parameters['encrypted']] : []"
        ),
    )


def _quota_within_pledge(pledge: Resources) -> ObjectRule:
    limits = {
        "requests.cpu": f"{pledge.cpu_millis}m",
        "requests.memory": f"{pledge.memory_mib}Mi",
        GPU: str(pledge.gpus),
    }

    def above(manifest: Manifest) -> tuple[str, ...]:
        metadata = manifest["metadata"]
        if (metadata["namespace"], metadata["name"]) != (APPS, "pledge"):
            return ()
        hard = manifest["spec"].get("hard") or {}
        return tuple(
            name for name, limit in limits.items() if name not in hard or exact(str(hard[name])) > exact(limit)
        )

    limit_of = "{" + ", ".join(f"{cel_text(name)}: {cel_text(limit)}" for name, limit in limits.items()) + "}"
    return ObjectRule(
        id="quota-within-pledge",
        title="The pool is given the pledge and no more",
        clause="pledges",
        wrong="may not be above the pledge or without a limit",
        fix=f"set at most {', '.join(f'{name} {limit}' for name, limit in limits.items())}",
        severity=Severity.MEDIUM,
        target=QUOTAS,
        offenders=above,
        cel=(
            f"object.metadata.namespace != {cel_text(APPS)} || object.metadata.name != 'pledge' ? [] : "
            f"{cel_list(tuple(limits))}.filter(k, !has(object.spec.hard) || !(k in object.spec.hard) || "
            f"quantity(object.spec.hard[k]).isGreaterThan(quantity({limit_of}[k])))"
        ),
    )


def _in_a_country(countries: Sequence[str]) -> ObjectRule:
    return ObjectRule(
        id="allowed-country",
        title="The site stands in a country of the charter",
        clause="spec.sites.countries",
        wrong=f"as {COUNTRY_LABEL} is no country of the charter",
        fix=f"place the site in {_one_of(countries)}",
        severity=Severity.HIGH,
        target=PLACES,
        offenders=_label_outside(COUNTRY_LABEL, countries),
        cel=f"variables.country in {cel_list(countries)} ? [] : [variables.country]",
    )


def _in_a_green_zone(zones: Sequence[str]) -> ObjectRule:
    return ObjectRule(
        id="green-zone",
        title="The site draws from a grid zone of the charter",
        clause="spec.sites.gridZones",
        wrong=f"as {ZONE_LABEL} is no grid zone of the charter",
        fix=f"place the site in {_one_of(zones)}",
        severity=Severity.MEDIUM,
        target=PLACES,
        offenders=_label_outside(ZONE_LABEL, zones),
        cel=f"variables.zone in {cel_list(zones)} ? [] : [variables.zone]",
    )


def _label_outside(label: str, allowed: Sequence[str]) -> Callable[[Manifest], tuple[str, ...]]:
    def outside(manifest: Manifest) -> tuple[str, ...]:
        value = (manifest["metadata"].get("labels") or {}).get(label, "nothing")
        return () if value in allowed else (value,)

    return outside


def _images_by_digest(sources: Sequence[str]) -> ObjectRule:
    def by_tag(manifest: Manifest) -> tuple[str, ...]:
        return tuple(
            f"container {container['name']} ({image})"
            for container in containers_of(manifest)
            if not DIGEST.search(image := container.get("image", ""))
            and not any(image.startswith(f"{source}/") for source in sources)
        )

    image = "(has(c.image) ? c.image : '')"
    return ObjectRule(
        id="image-by-digest",
        title="An image cannot change under its name",
        clause="spec.sites.imageSources",
        wrong="may run only an image that is named by digest",
        fix=f"name it by @sha256{f', or take it from {_one_of(sources)}' if sources else ''}",
        severity=Severity.HIGH,
        target=PODS,
        offenders=by_tag,
        cel=(
            f"variables.containers.filter(c, !{image}.matches({cel_text(DIGEST.pattern)}) && "
            f"!{cel_list(sources)}.exists(s, {image}.startsWith(s + '/')))"
            f".map(c, 'container ' + c.name + ' (' + {image} + ')')"
        ),
    )


def _within_overhead(overhead: Overhead) -> SiteRule:
    limits = {"cpu": f"{overhead.cpu_millis}m", "memory": f"{overhead.memory_mib}Mi"}

    def above(manifests: Sequence[Manifest]) -> tuple[str, ...]:
        own = [
            each for each in manifests if each["kind"] in WORKLOADS and each["metadata"]["namespace"] in (SYSTEM, DATA)
        ]
        return tuple(
            name for name, limit in limits.items() if sum(_requested(each, name) for each in own) > exact(limit)
        )

    return SiteRule(
        id="overhead",
        title="The site's own pods take no more than the charter allows beside the pledge",
        clause="spec.sites.overhead",
        where=f"The pods of {SYSTEM} and {DATA}",
        wrong="requested in sum may not be above the overhead",
        fix=f"request at most {limits['cpu']} cpu and {limits['memory']} memory together",
        severity=Severity.MEDIUM,
        offenders=above,
    )


def _requested(workload: Manifest, name: str) -> Fraction:
    """What a workload requests; a DaemonSet counts once, because how many nodes there are is not the site's to say."""
    replicas = 1 if workload["kind"] == "DaemonSet" else workload["spec"].get("replicas", 1)
    asked = ((container.get("resources") or {}).get("requests") or {} for container in pod_of(workload)["containers"])
    return Fraction(replicas) * sum((exact(str(requests.get(name, "0"))) for requests in asked), Fraction(0))


def _one_of(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
