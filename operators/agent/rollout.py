"""What one Assignment becomes in the member's cluster, and what the agent says of it to the hub. Pure.

The hub may write any object into an Assignment; what reaches the member is only what the allow list here names. The
list is the member's own protection and does not depend on the hub's good behaviour.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from commonweal.kinds.assignment import Assignment, AssignmentCondition, AssignmentReason
from commonweal.membership import MEMBER_LABEL
from operators.agent.pilot_secrets import HeldSecret, Withheld, hidden_reference, versions, withheld
from operators.frame.plan import SPEC_HASH, Finding, covers, spec_hash
from operators.kube import CONFIG_MAPS, DEPLOYMENTS, SERVICE_ACCOUNTS, SERVICES, ApiResource, Json

FIELD_MANAGER = "commonweal-agent"
MANAGED_BY = "app.kubernetes.io/managed-by"
ORIGIN = "commonweal.dev/origin"
ORIGIN_UID = "commonweal.dev/origin-uid"
ASSIGNMENT = "commonweal.dev/assignment"
SECRET_VERSIONS = "commonweal.dev/secret-versions"  # noqa: S105 - an annotation

APPS_NAMESPACE = "commonweal-apps"
DATA_NAMESPACE = "commonweal-data"
POLICY_PREFIX = "policy-"

ALLOWED: Mapping[tuple[str, str, str], ApiResource] = {
    ("apps/v1", "Deployment", APPS_NAMESPACE): DEPLOYMENTS,
    ("v1", "Service", APPS_NAMESPACE): SERVICES,
    ("v1", "ConfigMap", APPS_NAMESPACE): CONFIG_MAPS,
    ("v1", "ServiceAccount", APPS_NAMESPACE): SERVICE_ACCOUNTS,
    ("v1", "ConfigMap", DATA_NAMESPACE): CONFIG_MAPS,
}

_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_CRASH_REASONS = frozenset({"CrashLoopBackOff", "RunContainerError", "CreateContainerConfigError"})


class Ref(NamedTuple):
    """One object in the member's cluster."""

    resource: ApiResource
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Desired:
    """An object as it is applied: labelled, and annotated with where it comes from and with its own hash."""

    ref: Ref
    body: Json


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that a pass depends on: the Assignment, what it made or wants in the member, and who owns names it wants.

    `refusals` are recent answers of the member's API server, by the hash of the object that it refused. `secrets` are
    what the member labelled, by name.
    """

    member: str
    node_address: str
    assignment: Assignment | None
    name: str
    live: Mapping[Ref, Json]
    pods: tuple[Json, ...]
    refusals: Mapping[str, str]
    secrets: Mapping[str, HeldSecret] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do in the member now, and what to say; no finding means: look again after the writes."""

    apply: tuple[Desired, ...] = ()
    delete: tuple[Ref, ...] = ()
    findings: tuple[Finding, ...] = ()
    status: Mapping[str, Any] | None = None

    @property
    def unreported(self) -> bool:
        """Whether another pass has to say what came of this one."""
        return bool(self.apply) and not self.findings


def step(observed: Observed) -> Step:
    """Decide one pass over one Assignment.

    Objects that this Assignment made and does not name any more are deleted, also when it is gone altogether. One
    refused object keeps the others from being applied: half an app is none.
    """
    assignment = observed.assignment
    if assignment is None:
        return Step(delete=tuple(_made_by(observed)))
    refusals = [text for body in assignment.spec.objects if (text := refusal(body))]
    if refusals:
        return Step(findings=_refused("; ".join(refusals)))
    if lacking := withheld(assignment, observed.secrets):
        return _withheld(observed, lacking)
    wanted = {item.ref: item for item in desired(assignment, observed.member, observed.secrets)}
    refusals = [text for item in wanted.values() if (text := _taken(observed, item) or _answered(observed, item))]
    if refusals:
        return Step(findings=_refused("; ".join(refusals)))
    delete = tuple(ref for ref in _made_by(observed) if ref not in wanted)
    apply = tuple(item for item in wanted.values() if not _applied(observed, item))
    if apply or delete:
        return Step(apply=apply, delete=delete)
    # Somebody changed what was applied: repair, and report in the same pass, because a repair may change nothing.
    drifted = tuple(item for item in wanted.values() if not covers(observed.live[item.ref], item.body))
    return replace(_report(observed, wanted), apply=drifted)


def refusal(body: Json) -> str | None:
    """Why an object of an Assignment is not applied; None if it may be."""
    metadata = body.get("metadata", {})
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    where = f"{body.get('kind', 'object')} {namespace}/{name}"
    if (body.get("apiVersion", ""), body.get("kind", ""), namespace) not in ALLOWED:
        allowed = ", ".join(sorted(f"{kind} in {space}" for _, kind, space in ALLOWED))
        return f"{where}: this member takes only {allowed}"
    if not name:
        return f"{where}: metadata.name is missing"
    if namespace == DATA_NAMESPACE and not name.startswith(POLICY_PREFIX):
        return f"{where}: in {DATA_NAMESPACE} only names that start with {POLICY_PREFIX} are taken"
    spec = body.get("spec", {})
    if body["kind"] == "Service" and (
        spec.get("type", "ClusterIP") not in {"ClusterIP", "NodePort"} or spec.get("externalIPs")
    ):
        return f"{where}: spec.type must be ClusterIP or NodePort, without externalIPs"
    if field_ := hidden_reference(body):
        return f"{where}: {field_}: this member gives Secrets as volumes only; name it in spec.component.secrets"
    return None


def desired(
    assignment: Assignment, member: str, secrets: Mapping[str, HeldSecret] = MappingProxyType({})
) -> Iterator[Desired]:
    """The objects of an Assignment as the member gets them."""
    for body in assignment.spec.objects:
        metadata = body["metadata"]
        ref = Ref(
            ALLOWED[body["apiVersion"], body["kind"], metadata["namespace"]], metadata["namespace"], metadata["name"]
        )
        yield Desired(ref=ref, body=_marked(body, assignment, member, secrets))


def _marked(body: Json, assignment: Assignment, member: str, secrets: Mapping[str, HeldSecret]) -> Json:
    metadata, owner = body["metadata"], assignment.spec.owner
    labels = {**metadata.get("labels", {}), MANAGED_BY: "commonweal", MEMBER_LABEL: member}
    annotations = {
        **metadata.get("annotations", {}),
        ORIGIN: f"{owner.kind}/{owner.name}",
        ORIGIN_UID: owner.uid,
        ASSIGNMENT: assignment.metadata.name,
    }
    kept = {"name": metadata["name"], "namespace": metadata["namespace"]}
    marked = {**body, "metadata": {**kept, "labels": labels, "annotations": annotations}}
    marked.pop("status", None)
    if body["kind"] == "Deployment":
        marked["spec"] = _with_marked_pods(body.get("spec", {}), assignment.metadata.name, versions(body, secrets))
    return marked


def _with_marked_pods(spec: Json, name: str, secret_versions: str) -> Json:
    """Pods name their Assignment too, so that an event of a pod leads back to it; a changed Secret means new pods."""
    template = spec.get("template", {})
    metadata = template.get("metadata", {})
    marks = {ASSIGNMENT: name} | ({SECRET_VERSIONS: secret_versions} if secret_versions else {})
    annotations = {**metadata.get("annotations", {}), **marks}
    return {**spec, "template": {**template, "metadata": {**metadata, "annotations": annotations}}}


def assignment_of(body: Json) -> str | None:
    """The Assignment that an object in the member was made for; None if the agent did not make it."""
    name: str | None = body["metadata"].get("annotations", {}).get(ASSIGNMENT)
    return name


def _made_by(observed: Observed) -> Iterator[Ref]:
    for ref, body in sorted(observed.live.items(), key=lambda item: str(item[0])):
        marks = body["metadata"].get("annotations", {})
        if assignment_of(body) == observed.name and ORIGIN_UID in marks and "deletionTimestamp" not in body["metadata"]:
            yield ref


def _taken(observed: Observed, item: Desired) -> str | None:
    live = observed.live.get(item.ref)
    if live is None or assignment_of(live) == observed.name:
        return None
    if other := assignment_of(live):
        return f"{item.ref}: belongs to Assignment {other}; use another name"
    return f"{item.ref}: exists and was not made by Commonweal; use another name or delete it"


def _answered(observed: Observed, item: Desired) -> str | None:
    answer = observed.refusals.get(spec_hash(item.body))
    return f"{item.ref}: {answer}" if answer else None


def _applied(observed: Observed, item: Desired) -> bool:
    live = observed.live.get(item.ref)
    return live is not None and live["metadata"].get("annotations", {}).get(SPEC_HASH) == spec_hash(item.body)


def _withheld(observed: Observed, lacking: Sequence[Withheld]) -> Step:
    """Nothing is applied; a member that took a label back also takes away the pods that had the Secret."""
    reason = lacking[0].reason
    taken_back = any(each.reason is AssignmentReason.SECRET_NOT_ALLOWED for each in lacking)
    return Step(
        delete=tuple(ref for ref in _made_by(observed) if taken_back and ref.resource == DEPLOYMENTS),
        findings=_refused("; ".join(each.message for each in lacking), reason),
        status={"readyReplicas": 0} if taken_back else None,
    )


def _refused(message: str, reason: AssignmentReason = AssignmentReason.OBJECT_REFUSED) -> tuple[Finding, ...]:
    return tuple(
        Finding(type=kind, holds=False, reason=reason, message=message)
        for kind in (AssignmentCondition.APPLIED, AssignmentCondition.READY)
    )


def _report(observed: Observed, wanted: Mapping[Ref, Desired]) -> Step:
    count = len(wanted)
    applied = Finding(
        type=AssignmentCondition.APPLIED,
        holds=True,
        reason=AssignmentReason.APPLIED,
        message=f"{count} {'object' if count == 1 else 'objects'} applied",
    )
    live = [observed.live[ref] for ref in wanted]
    deployments = [body for body in live if body["kind"] == "Deployment"]
    ready = sum(body.get("status", {}).get("readyReplicas", 0) for body in deployments)
    status: dict[str, Any] = {"readyReplicas": ready} if deployments else {}
    if endpoints := list(_endpoints(live, observed.node_address)):
        status["endpoints"] = endpoints
    return Step(findings=(applied, _readiness(deployments, observed.pods)), status=status)


def _endpoints(live: Iterable[Json], node_address: str) -> Iterator[str]:
    for body in live:
        if body["kind"] == "Service":
            for port in body["spec"].get("ports", ()):
                if node_port := port.get("nodePort"):
                    yield f"http://{node_address}:{node_port}"


def _readiness(deployments: list[Json], pods: Iterable[Json]) -> Finding:
    if not deployments:
        return _ready(holds=True, reason=AssignmentReason.APPLIED, message="Nothing to wait for")
    wanted = sum(body["spec"].get("replicas", 1) for body in deployments)
    serving = sum(body.get("status", {}).get("readyReplicas", 0) for body in deployments)
    if all(map(_rolled_out, deployments)):
        return _ready(holds=True, reason=AssignmentReason.RUNNING, message=f"{serving} of {wanted} replicas ready")
    reason, cause = _cause(deployments, pods)
    message = f"{serving} of {wanted} replicas ready" + (f"; {cause}" if cause else "")
    return _ready(holds=False, reason=reason, message=message)


def _ready(*, holds: bool, reason: AssignmentReason, message: str) -> Finding:
    return Finding(type=AssignmentCondition.READY, holds=holds, reason=reason, message=message)


def _rolled_out(deployment: Json) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("readyReplicas", 0) >= wanted
    )


def _cause(deployments: Iterable[Json], pods: Iterable[Json]) -> tuple[AssignmentReason, str]:
    """The first of: an image, a crash, a quota, a scheduler's word; in the words of whoever said it."""
    pods = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    for reasons, verdict in (
        (_IMAGE_REASONS, AssignmentReason.IMAGE_PULL_FAILED),
        (_CRASH_REASONS, AssignmentReason.CRASHING),
    ):
        for pod in pods:
            if words := _container_words(pod, reasons):
                return verdict, words
    for body in deployments:
        for condition in body.get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                message = condition.get("message", "")
                quota = "exceeded quota" in message
                return AssignmentReason.QUOTA_EXCEEDED if quota else AssignmentReason.PROGRESSING, message
    for pod in pods:
        for condition in pod.get("status", {}).get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return AssignmentReason.PROGRESSING, f"pod {pod['metadata']['name']}: {condition.get('message', '')}"
    return AssignmentReason.PROGRESSING, ""


def _container_words(pod: Json, reasons: frozenset[str]) -> str | None:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in reasons:
            ended = container.get("lastState", {}).get("terminated", {})
            words = waiting.get("message", "")
            if ended:
                words += f" (last exit: {ended.get('reason', 'unknown')}, code {ended.get('exitCode')})"
            return f"pod {pod['metadata']['name']}, image {container.get('image')}: {waiting['reason']}: {words}"
    return None
