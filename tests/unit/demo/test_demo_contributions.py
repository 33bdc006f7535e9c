"""In the demo each member claims certificates like its own sources, and says yes to the others' claims as itself."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from commonweal.contributions import Around, Claim, fault
from commonweal.kinds import Contribution, PooledCluster
from infra.demo_contributions import bring, certificates, missing_approvals

NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)
PLEDGES = {
    body["metadata"]["namespace"].removeprefix("member-"): PooledCluster.read(body)
    for body in yaml.safe_load_all((Path(__file__).parents[3] / "examples" / "20-pledges.yaml").read_text())
}


def test_what_a_member_claims_has_no_fault_and_says_that_it_is_simulated() -> None:
    for member, pledge in PLEDGES.items():
        made = Contribution.read(certificates(member, pledge, NOW))
        claim = Claim(member=member, name=made.metadata.name, uid="u", spec=made.spec)
        around = Around(members=frozenset(PLEDGES), zones={member: frozenset({pledge.spec.location.grid_zone})})
        assert fault(claim, around, NOW) == ""
        assert all(line.simulated for line in made.spec.record.certificates)


def test_a_kilowatt_hour_of_four_boards_is_split_over_the_sources_of_the_pledge() -> None:
    lines = certificates("kr", PLEDGES["kr"], NOW)["spec"]["record"]["certificates"]
    assert [(line["source"], line["wh"], line["hour"]) for line in lines] == [
        ("nuclear", 1680, "2026-11-24T12:00:00Z"),
        ("solar", 1120, "2026-11-24T12:00:00Z"),
    ]


def test_everybody_but_the_claimant_is_asked_and_nobody_twice() -> None:
    claim = {"metadata": {"namespace": "member-ca", "name": "one"}, "spec": {"approvals": [{"member": "kr"}]}}
    assert list(missing_approvals([claim], PLEDGES)) == [("ke", "member-ca", "one")]


def test_each_member_speaks_as_itself(tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def kubectl(*words: str, show: bool) -> str:
        assert not show
        asked.append(words)
        claims: list[dict[str, Any]] = [{"metadata": {"namespace": "member-ca", "name": "one"}, "spec": {}}]
        return json.dumps({"items": claims})

    bring(kubectl, PLEDGES, tmp_path)
    spoken = [(words[words.index("--as-group") + 1], words[6:8]) for words in asked if words[0] == "--as"]
    assert spoken[:3] == [(f"commonweal:member:{name}", ("apply", "--server-side")) for name in ("ca", "kr", "ke")]
    assert spoken[3:] == [(f"commonweal:member:{name}", ("-n", "member-ca")) for name in ("ke", "kr")]
