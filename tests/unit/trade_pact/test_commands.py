"""What an analyst types to check footprints of others, and what a producer is told before it serves its own."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from apps.trade.cli import app
from apps.trade.disclosures import EXAMPLES

from .conftest import PRODUCT, TOKEN_KEY
from .test_footprints import WHOLE

OFF = {**WHOLE, "pcf": {**WHOLE["pcf"], "pcfExcludingBiogenicUptake": "1.8"}}


def check(tmp_path: Path, content: object) -> Result:
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(content))
    return CliRunner().invoke(app, ["check-footprints", str(file)])


@pytest.mark.parametrize("content", [WHOLE, [WHOLE], {"data": WHOLE}, {"data": [WHOLE, WHOLE]}])
def test_footprints_that_add_up_are_said_to(tmp_path: Path, content: object) -> None:
    result = check(tmp_path, content)
    assert result.exit_code == 0, result.stderr
    assert f"0: {WHOLE['id']} adds up" in result.stdout


def test_each_wrong_footprint_is_named_by_place_property_and_remedy(tmp_path: Path) -> None:
    result = check(tmp_path, {"data": [WHOLE, OFF]})
    assert result.exit_code == 1
    assert "theirs.json: 1.pcf: " in result.stderr
    assert "the parts add up to 1.7; state the sum of the parts" in result.stderr
    assert "0: " in result.stdout


def test_a_file_that_is_no_json_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    result = CliRunner().invoke(app, ["check-footprints", str(tmp_path / "x.json")])
    assert result.exit_code == 2
    assert "give a file of JSON" in result.stderr


@pytest.mark.parametrize(
    ("changed", "content", "said"),
    [
        ("register", {"clients": []}, "--register: "),
        ("disclosures", [{"installation_id": "X"}], "--disclosures: "),
        ("certificate", None, "--certificate: "),
        ("certificate-key", None, "--certificate-key: "),
    ],
)
def test_a_producer_is_told_what_is_missing_before_anything_is_served(
    tmp_path: Path, changed: str, content: object, said: str
) -> None:
    files: dict[str, Any] = {
        "register": {"tokenKey": TOKEN_KEY, "clients": [], "products": [PRODUCT]},
        "disclosures": yaml.safe_load(EXAMPLES.read_text("utf-8")),
        "certificate": "pem",
        "certificate-key": "pem",
        changed: content,
    }
    for name, each in files.items():
        if each is not None:
            (tmp_path / name).write_text(yaml.safe_dump(each))
    options = [part for name in files for part in (f"--{name}", str(tmp_path / name))]
    result = CliRunner().invoke(app, ["pact", *options])
    assert result.exit_code == 2
    assert result.stderr.startswith(said)
