from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from commonweal.kinds import KINDS
from commonweal.kinds.meta import Resource
from commonweal.kinds.render import crd, structural

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "operators" / "crds"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def root_schema(kind: type[Resource]) -> dict[str, Any]:
    schema: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
class TestEveryKind:
    def test_equals_its_golden_file(self, kind: type[Resource]) -> None:
        golden = yaml.safe_load((GOLDEN / f"{kind.definition.singular}.yaml").read_text())
        assert crd(kind) == golden, "run `commonweal crds render --out operators/crds` and read the difference"

    def test_bounds_every_string_and_list(self, kind: type[Resource]) -> None:
        unbounded = [
            path
            for path, node in nodes(root_schema(kind))
            if (node.get("type") == "string" and not {"maxLength", "enum", "format"} & node.keys() and "." in path[1:])
            or (node.get("type") == "array" and "maxItems" not in node)
        ]
        assert unbounded == []

    def test_bounds_every_number_above(self, kind: type[Resource]) -> None:
        assert [
            path for path, node in nodes(root_schema(kind)) if node.get("type") == "integer" and "maximum" not in node
        ] == []

    def test_describes_every_field_of_its_spec(self, kind: type[Resource]) -> None:
        spec = root_schema(kind)["properties"]["spec"]
        silent = [path for path, node in nodes(spec) if not path.endswith("[]") and not node.get("description")]
        assert silent == []

    def test_shows_ready_reason_and_age(self, kind: type[Resource]) -> None:
        columns = crd(kind)["spec"]["versions"][0]["additionalPrinterColumns"]
        assert {"Ready", "Reason", "Age"} <= {column["name"] for column in columns}

    def test_no_default_is_null(self, kind: type[Resource]) -> None:
        defaults = [(path, node["default"]) for path, node in nodes(root_schema(kind)) if "default" in node]
        nulls = [path for path, value in defaults if None in (value.values() if isinstance(value, dict) else [value])]
        assert nulls == [], "the API server refuses a default that its own schema does not allow"

    def test_is_structural(self, kind: type[Resource]) -> None:
        forbidden = {"$ref", "$defs", "anyOf", "allOf", "additionalProperties", "title", "const", "uniqueItems"}
        assert [path for path, node in nodes(root_schema(kind)) if forbidden & node.keys()] == []


def test_short_names_are_unique_and_avoid_those_of_kubernetes() -> None:
    taken = {"pc", "po", "no", "ns", "cm", "ev", "ds", "sa", "pv", "ep", "rs", "rc", "sc", "pdb"}
    names = [name for kind in KINDS for name in kind.definition.short_names]
    assert len(set(names)) == len(names)
    assert not taken & set(names)


def test_a_union_of_two_types_is_refused_because_it_cannot_be_structural() -> None:
    with pytest.raises(ValueError, match="cannot be structural"):
        structural({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {})
