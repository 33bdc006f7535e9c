"""Renders the pydantic kinds into CustomResourceDefinitions with structural schemas.

Pydantic's JSON schema is not structural: it refers to definitions, writes optional fields as `anyOf` with null, closes
objects with `additionalProperties: false` and bounds numbers by exclusiveMinimum as a number. Structural schemas know
none of these (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/).
"""

from typing import Any

from commonweal.kinds import KINDS
from commonweal.kinds.meta import GROUP, VERSION, Column, Resource

Schema = dict[str, Any]

_STANDARD_COLUMNS = (
    Column(name="Ready", json_path='.status.conditions[?(@.type=="Ready")].status'),
    Column(name="Reason", json_path='.status.conditions[?(@.type=="Ready")].reason'),
    Column(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    Column(name="Message", json_path='.status.conditions[?(@.type=="Ready")].message', priority=1),
)
_DROPPED = frozenset({"title", "additionalProperties", "uniqueItems", "$defs"})


def structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Turn one pydantic schema node into a structural one, references inlined."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return structural({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions)
    if "anyOf" in schema:
        return _optional(schema, definitions)
    if "allOf" in schema:
        [only] = schema["allOf"]
        return structural({**only, **{k: v for k, v in schema.items() if k != "allOf"}}, definitions)
    node = {k: v for k, v in schema.items() if k not in _DROPPED}
    if node.get("default", ...) is None:
        del node["default"]
    if isinstance(node.get("default"), dict):
        node["default"] = {name: value for name, value in node["default"].items() if value is not None}
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.get("type") == "integer":
        node["format"] = "int64"
    if "properties" in node:
        node["properties"] = {name: structural(part, definitions) for name, part in node["properties"].items()}
    if "items" in node:
        node["items"] = structural(node["items"], definitions)
    return node


def _optional(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """`X | None` becomes X, left out where it is None: the API server has no use for explicit nulls."""
    choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    if len(choices) != 1:
        raise ValueError(f"anyOf with {len(choices)} types cannot be structural: {schema}")
    outer = {k: v for k, v in schema.items() if k not in {"anyOf", "default"}}
    return structural({**choices[0], **outer}, definitions)


def crd(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    definition = kind.definition
    subresources: dict[str, Any] = {"status": {}}
    if definition.scale:
        subresources["scale"] = dict(definition.scale)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": definition.scope.value,
            "names": {
                "kind": definition.kind,
                "listKind": f"{definition.kind}List",
                "plural": definition.plural,
                "singular": definition.singular,
                "shortNames": list(definition.short_names),
                "categories": ["commonweal"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                    "subresources": subresources,
                    "additionalPrinterColumns": [
                        _column(column) for column in (*definition.columns, *_STANDARD_COLUMNS)
                    ],
                }
            ],
        },
    }


def crds() -> list[dict[str, Any]]:
    """Every CustomResourceDefinition, in the order of `KINDS`."""
    return [crd(kind) for kind in KINDS]


def _root_schema(kind: type[Resource]) -> Schema:
    schema = kind.model_json_schema(by_alias=True)
    properties, definitions = schema["properties"], schema["$defs"]
    root: Schema = {
        "type": "object",
        "description": kind.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(properties["spec"], definitions),
            "status": structural(properties["status"], definitions),
        },
    }
    if kind.definition.rules:
        root["x-kubernetes-validations"] = [dict(rule) for rule in kind.definition.rules]
    return root


def _column(column: Column) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.priority:
        rendered["priority"] = column.priority
    return rendered
