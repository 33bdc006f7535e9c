"""Which Secrets of the member the pods of an Assignment may be given. Pure.

A Secret belongs to the member. Its label `commonweal.dev/pilot: NAME` says which one application may have it mounted,
and without that label none may. The member lets the agent look at the Secret by its name, and the agent asks for labels
and version alone: what the Secret holds it never learns.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from commonweal.kinds.assignment import Assignment, AssignmentReason, OwnerKind
from commonweal.kinds.pilot_app import PILOT_LABEL
from operators.kube import Json

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # goes into a path of the API


@dataclass(frozen=True, kw_only=True)
class HeldSecret:
    """A Secret of the member as far as the agent knows it: for which application it is, and its version."""

    pilot: str | None
    version: str


@dataclass(frozen=True, kw_only=True)
class Withheld:
    """A Secret that an Assignment asks for and does not get."""

    reason: AssignmentReason
    message: str


def held_secret(metadata: Json) -> HeldSecret:
    """What the metadata of a Secret says."""
    return HeldSecret(pilot=metadata.get("labels", {}).get(PILOT_LABEL), version=metadata["resourceVersion"])


def mounted(assignment: Assignment) -> tuple[str, ...]:
    """The Secrets that the pods of an Assignment mount, each once, by name."""
    return tuple(sorted({name for body in assignment.spec.objects for name in _mounted(body) if _NAME.fullmatch(name)}))


def hidden_reference(body: Json) -> str | None:
    """A field that reaches a Secret by another way than a volume of a plain name: a variable, a pull, another volume.

    Kubernetes has a dozen such fields and grows more; all of them say `secret`, so any field that does is refused.
    """
    if body["kind"] == "ServiceAccount":
        return next(_naming({key: body[key] for key in body.keys() - {"metadata"}}, ""), None)
    if body["kind"] != "Deployment":
        return None
    pod = _pod(body)
    if any(not _NAME.fullmatch(name) for name in _mounted(body)):
        return "spec.template.spec.volumes: a secretName that is no name"
    volumes = [{key: value for key, value in each.items() if key != "secret"} for each in pod.get("volumes") or ()]
    return next(_naming({**pod, "volumes": volumes}, "spec.template.spec"), None)


def withheld(assignment: Assignment, held: Mapping[str, HeldSecret]) -> list[Withheld]:
    """Every Secret that the Assignment asks for and does not get, missing ones first, each with the remedy."""
    owner = assignment.spec.owner
    pilot = owner.name if owner.kind is OwnerKind.PILOT_APP else None
    found = []
    for name in mounted(assignment):
        where = f"Secret commonweal-apps/{name}"
        if name not in held:
            words = (
                f"{where}: this member shows none; `python -m infra.sites.pilot_secret --pilot {owner.name} "
                f"--secret {name}` makes it"
            )
            found.append(Withheld(reason=AssignmentReason.SECRET_MISSING, message=words))
        elif pilot is None or held[name].pilot != pilot:
            label = f"{PILOT_LABEL}={owner.name}"
            words = f"{where}: this member has not labelled it {label}; label it, or take it out of the application"
            found.append(Withheld(reason=AssignmentReason.SECRET_NOT_ALLOWED, message=words))
    return sorted(found, key=lambda each: each.reason is not AssignmentReason.SECRET_MISSING)


def versions(body: Json, held: Mapping[str, HeldSecret]) -> str:
    """The versions of all Secrets that a Deployment mounts; new ones mean new pods, as they do for grants."""
    return ",".join(f"{name}={held[name].version}" for name in _mounted(body) if name in held)


def _mounted(body: Json) -> Iterator[str]:
    for volume in _pod(body).get("volumes") or ():
        if volume.get("secret"):
            yield str(volume["secret"].get("secretName", ""))


def _pod(body: Json) -> Json:
    pod: Json = body.get("spec", {}).get("template", {}).get("spec", {})
    return pod


def _naming(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            where = f"{path}.{key}" if path else str(key)
            if "secret" in str(key).casefold() and inner:
                yield where
            yield from _naming(inner, where)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _naming(inner, f"{path}[{index}]")
