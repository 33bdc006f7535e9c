from pathlib import Path

import yaml

from infra.demo import EXAMPLES, by_digest

DIGEST = f"localhost/commonweal/site@sha256:{'a' * 64}"


def test_pilots_are_applied_by_digest_and_nothing_else_differs(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "60-of-an-older-version.yaml").touch()
    folder = by_digest(EXAMPLES, tmp_path / "examples", DIGEST)
    assert {path.name for path in folder.iterdir()} == {path.name for path in EXAMPLES.glob("*.yaml")}
    pilot = yaml.safe_load((folder / "50-trade-pilot.yaml").read_text())
    assert pilot["spec"]["component"]["image"] == DIGEST
    original = yaml.safe_load((EXAMPLES / "50-trade-pilot.yaml").read_text())
    original["spec"]["component"]["image"] = DIGEST
    assert pilot == original
