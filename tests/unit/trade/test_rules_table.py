"""The table of rules and their adversarial tests names what is there."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TABLE = yaml.safe_load((ROOT / "tests" / "oracles" / "trade_rules.yaml").read_text("utf-8"))


@pytest.mark.parametrize("entry", TABLE["rules"], ids=lambda entry: entry["rule"])
def test_every_rule_names_a_test_that_mutation_runs(entry: dict[str, str]) -> None:
    file, _, name = entry["test"].partition("::")
    path = f"tests/unit/trade/{file}"
    assert path in TABLE["tests"]
    assert f"def {name}(" in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("path", [*TABLE["modules"], *TABLE["tests"]])
def test_every_module_and_test_of_the_table_exists(path: str) -> None:
    assert (ROOT / path).is_file()
