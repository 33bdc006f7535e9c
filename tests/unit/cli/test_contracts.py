"""Contracts and grants as files: what the commands write, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from commonweal.agreements import Deed, agreement_of
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.odrl import PolicyType, export
from operators.cli.main import app

EXAMPLES = Path(__file__).parents[3] / "examples"
TRUST, GRANT = EXAMPLES / "30-trust.yaml", EXAMPLES / "40-grant.yaml"
RUNNER = CliRunner()


def commonweal(*arguments: str | Path) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def trust() -> DataTrust:
    return DataTrust.read(yaml.safe_load(TRUST.read_text()))


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """The contract of the example's customs rows."""
    written = commonweal("contract", "export", "trade", "--file", TRUST, "--out", tmp_path)
    assert written.exit_code == 0, written.output
    return tmp_path / "customs_rows.odcs.yaml"


def changed(contract: Path, **fields: object) -> Path:
    path = contract.with_name("changed.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(contract.read_text()) | fields))
    return path


def test_a_trust_becomes_contracts_and_a_contract_an_entry_of_a_trust(contract: Path) -> None:
    imported = commonweal("contract", "import", contract, "--strict")
    assert (imported.exit_code, imported.stderr) == (0, "")
    body = yaml.safe_load(TRUST.read_text())
    body["spec"]["datasets"] = [body["spec"]["datasets"][0], *yaml.safe_load(imported.stdout)]
    assert DataTrust.read(body) == trust()


def test_what_a_dataset_cannot_carry_is_named_and_with_strict_refused(contract: Path) -> None:
    path = changed(contract, price={"priceAmount": 1, "priceCurrency": "EUR"})
    told = commonweal("contract", "import", path)
    assert (told.exit_code, told.stderr) == (0, "left out: price\n")
    refused = commonweal("contract", "import", path, "--strict")
    assert refused.exit_code == 1
    assert "1 places have no counterpart" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is a required property"),
        ("- 1", "holds no single contract; give a file with one"),
        ("a: [", "is no YAML"),
        ("---\n{}\n---\n{}", "holds no single contract"),
    ],
)
def test_what_is_no_contract_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    result = commonweal("contract", "import", path)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith(f"error: {path}: ")


def test_a_contract_that_breaks_the_standard_names_the_place(contract: Path) -> None:
    result = commonweal("contract", "import", changed(contract, schema=[{"name": "t", "columns": []}]))
    assert result.exit_code == 1
    assert "$.schema[0]: Unevaluated properties are not allowed" in result.stderr


def test_a_rule_that_does_not_fit_the_columns_is_refused(contract: Path) -> None:
    document = yaml.safe_load(contract.read_text())
    rule = {"name": "old", "anyOf": [{"column": "nope", "operator": "IsNull"}]}
    document["schema"][0]["customProperties"][-1] = {"property": "rowRules", "value": [rule], "vendor": "commonweal"}
    contract.write_text(yaml.safe_dump(document))
    result = commonweal("contract", "import", contract)
    assert (result.exit_code, "there is no column nope" in result.stderr) == (1, True)


def test_changes_that_need_new_agreements_fail_a_comparison(contract: Path) -> None:
    same = commonweal("contract", "compare", contract, changed(contract, version="2"))
    assert (same.exit_code, same.stdout) == (0, "grants go on under what was agreed\n")
    document = yaml.safe_load(contract.read_text())
    document["schema"][0]["properties"].pop(0)
    wider = contract.with_name("wider.yaml")
    wider.write_text(yaml.safe_dump(document))
    result = commonweal("contract", "compare", contract, wider)
    assert (result.exit_code, result.stdout) == (1, "columns[product_nc]: cannot be asked any more\n")


def test_another_trust_than_the_one_that_was_named_writes_nothing(tmp_path: Path) -> None:
    result = commonweal("contract", "export", "other", "--file", TRUST, "--out", tmp_path / "new")
    assert (result.exit_code, (tmp_path / "new").exists()) == (1, False)
    assert "holds the trust trade, not other" in result.stderr


def test_the_name_of_an_agreement_is_known_before_it_is_applied() -> None:
    result = commonweal("grant", "hash", GRANT, "--trust", TRUST)
    grant = DataGrant.read(yaml.safe_load(GRANT.read_text()))
    assert result.stdout.strip() == grant.spec.approvals[0].agreement
    assert "holds 0 objects of kind DataGrant" in commonweal("grant", "hash", TRUST, "--trust", TRUST).stderr


def policy(tmp_path: Path, **changes: object) -> Path:
    grant = DataGrant.read(yaml.safe_load(GRANT.read_text()))
    document: dict[str, Any] = export(grant, agreement_of(grant, Deed(trust())), PolicyType.AGREEMENT)
    path = tmp_path / "policy.jsonld"
    path.write_text(json.dumps(document | changes))
    return path


def test_a_policy_becomes_a_request_without_approvals(tmp_path: Path) -> None:
    result = commonweal("grant", "import", policy(tmp_path))
    assert result.exit_code == 0, result.stderr
    body = yaml.safe_load(result.stdout)
    wanted = yaml.safe_load(GRANT.read_text())
    del wanted["spec"]["approvals"]
    deed = Deed(trust())
    assert agreement_of(DataGrant.read(body), deed) == agreement_of(DataGrant.read(wanted), deed)
    assert "approvals" not in body["spec"]


def test_a_policy_that_says_more_is_refused(tmp_path: Path) -> None:
    result = commonweal("grant", "import", policy(tmp_path, prohibition=[{"action": "derive"}]))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: prohibition: is not understood here; remove it\n"
