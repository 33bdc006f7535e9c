"""What every custom resource shares: metadata, conditions, bounded scalar types, and how a kind describes itself.

Field names in Python are snake_case; on the wire they are camelCase, as the Kubernetes API conventions ask.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "commonweal.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
# A member's name becomes part of `member-<name>` and of object names below it, hence the tighter bound.
MemberName = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
SqlName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$", max_length=2)]
# Also a label's value, hence the pattern.
GridZone = Annotated[
    str, StringConstraints(min_length=2, max_length=32, pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")
]
Url = Annotated[str, StringConstraints(pattern=r"^https?://", max_length=512)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Count = Annotated[int, Field(ge=0, le=2**53)]  # 2**53: exact in every JSON reader


def cel(rule: str, message: str, **more: str) -> dict[str, Any]:
    """One CEL rule for `json_schema_extra`: what must hold, and the words a person reads when it does not."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message, **more}]}


def both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two CEL rules for one node."""
    rules = "x-kubernetes-validations"
    return {rules: [*one[rules], *other[rules]]}


def keyed_by(field: str) -> dict[str, Any]:
    """A list in which the API server tells entries apart by a field."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}


def immutable(what: str, remedy: str) -> dict[str, Any]:
    """A field that is set once."""
    return cel("self == oldSelf", f"{what} cannot be changed; {remedy}")


class Model(BaseModel):
    """A part of a custom resource: frozen, closed to unknown fields, camelCase on the wire."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def wire(self) -> dict[str, Any]:
        """The JSON form that the Kubernetes API takes; unset values are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ConditionStatus(StrEnum):
    """Whether a condition holds; Unknown is an answer, not an error."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """metav1.Condition with the bounds of apimachinery; `last_transition_time` moves only when `status` flips."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)]
    """The question that this condition answers, as Ready."""
    status: ConditionStatus
    """True, False, or Unknown where it cannot be told."""
    reason: Annotated[
        str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """One word to search for."""
    message: Annotated[str, StringConstraints(max_length=32768)]
    """What is so and what to do about it."""
    last_transition_time: datetime
    """When status last flipped."""
    observed_generation: Count
    """The generation of the spec that this condition speaks of."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        default=(),
        max_length=16,
        json_schema_extra=keyed_by("type"),
    ),
]


class Status(Model):
    """What every status carries."""

    observed_generation: Count | None = None
    """The generation of the spec that this status speaks of."""
    conditions: Conditions


class ObjectMeta(BaseModel):
    """The part of metav1.ObjectMeta that rules look at; the rest passes through untouched."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: str
    namespace: str | None = None
    uid: str | None = None
    generation: int = 0
    resource_version: str | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Resources(Model):
    """Compute in whole units: thousandths of a core, MiB, GPU devices."""

    cpu_millis: Count = 0
    """Thousandths of a core."""
    memory_mib: Count = 0
    """MiB of memory."""
    gpus: Count = 0
    """GPU devices."""


class Scope(StrEnum):
    """Where objects of a kind live."""

    CLUSTER = "Cluster"
    NAMESPACED = "Namespaced"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of `kubectl get`; priority 1 shows it only with `-o wide`."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class Definition:
    """How a kind presents itself to the API server and to kubectl."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: Scope
    columns: tuple[Column, ...] = ()
    scale: dict[str, str] | None = None
    rules: tuple[dict[str, str], ...] = field(default=())

    @property
    def singular(self) -> str:
        """The name for one object, as in `kubectl get member ca`."""
        return self.kind.lower()


# Kubernetes lets names have dots; where a name of one object is a field of another, as of a policy, it is a `Name`.
PLAIN_NAME = {
    "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
    "message": "metadata.name: use at most 63 of a-z, 0-9 and -, without a dot",
}


class Resource(Model):
    """A custom resource; subclasses set `definition`, `spec` and `status`."""

    definition: ClassVar[Definition]

    api_version: str = API_VERSION
    kind: str
    metadata: ObjectMeta

    @classmethod
    def read(cls, body: dict[str, Any]) -> Self:
        """Parse an object as the API server returned it.

        Raises:
            pydantic.ValidationError: where the body does not follow this version of the schema.
        """
        return cls.model_validate(body)
