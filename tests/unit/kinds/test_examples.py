from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from commonweal.agreements import Deed, agreement_of, grant_state
from commonweal.kinds import KINDS, DataGrant, DataTrust, PooledCluster

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
BY_KIND = {kind.definition.kind: kind for kind in KINDS}


def documents() -> list[tuple[str, dict[str, Any]]]:
    return [(path.name, body) for path in EXAMPLES for body in yaml.safe_load_all(path.read_text())]


@pytest.mark.parametrize(("file", "body"), documents(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_example_parses_and_survives_a_round_trip(file: str, body: dict[str, Any]) -> None:
    kind = BY_KIND[body["kind"]]
    parsed = kind.read(body)
    assert kind.read(parsed.wire()) == parsed, file


def test_the_approvals_of_the_example_grant_are_for_the_example_trust() -> None:
    bodies = {body["kind"]: body for _, body in documents()}
    grant, trust = DataGrant.read(bodies["DataGrant"]), DataTrust.read(bodies["DataTrust"])
    named = {approval.agreement for approval in grant.spec.approvals}
    assert named == {agreement_of(grant, Deed(trust)).sha256}
    sponsor = bodies["PilotApp"]["spec"]["sponsor"]
    assert grant_state(grant, trust, datetime(2026, 11, 24, tzinfo=UTC), sponsor).ready


def test_a_pledge_of_an_unknown_resource_names_the_field() -> None:
    [body] = [body for _, body in documents() if body["metadata"]["name"] == "montreal"]
    body["spec"]["pledge"]["qubits"] = 5
    with pytest.raises(ValidationError, match="qubits"):
        PooledCluster.read(body)
