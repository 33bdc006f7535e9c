from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from commonweal.kinds import KINDS, PooledCluster

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
BY_KIND = {kind.definition.kind: kind for kind in KINDS}


def documents() -> list[tuple[str, dict[str, Any]]]:
    return [(path.name, body) for path in EXAMPLES for body in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize(("file", "body"), documents(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_example_parses_and_survives_a_round_trip(file: str, body: dict[str, Any]) -> None:
    kind = BY_KIND[body["kind"]]
    parsed = kind.read(body)
    assert kind.read(parsed.wire()) == parsed, file


def test_a_pledge_of_an_unknown_resource_names_the_field() -> None:
    [body] = [body for _, body in documents() if body["metadata"]["name"] == "montreal"]
    body["spec"]["pledge"]["qubits"] = 5
    with pytest.raises(ValidationError, match="qubits"):
        PooledCluster.read(body)
