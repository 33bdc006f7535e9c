"""A dataset as a contract of the standard, and a contract as a dataset."""

import copy
import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft201909Validator

from commonweal.kinds.data_trust import Dataset
from commonweal.odcs import ContractError, export, read
from tests.strategies import datasets
from tests.unit.grants.samples import CUSTOMS, trust

SCHEMA = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
VALIDATOR = Draft201909Validator(SCHEMA)


def contract() -> dict[str, Any]:
    return export(trust(), Dataset.model_validate(CUSTOMS))


def table(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["schema"][0]
    return found


@given(datasets())
def test_every_dataset_comes_back_as_it_was(dataset: Dataset) -> None:
    document = json.loads(json.dumps(export(trust(), dataset)))
    back = read(document)
    assert back.dataset == dataset
    assert back.left_out == ()


@settings(max_examples=25)
@given(datasets())
def test_every_contract_is_valid_by_the_published_schema(dataset: Dataset) -> None:
    assert list(VALIDATOR.iter_errors(export(trust(), dataset))) == []


def test_what_a_dataset_cannot_carry_is_named_by_its_place() -> None:
    document = contract()
    document["price"] = {"priceAmount": 9.95, "priceCurrency": "USD"}
    document["description"] = {"purpose": "Imports.", "limitations": "Not for navigation."}
    document["customProperties"] = [{"property": "costCentre", "value": 7}]
    found = table(document)
    found["quality"] = [{"type": "text", "description": "No duplicates."}]
    found["properties"][0] |= {"unique": True, "required": True, "logicalTypeOptions": {"maxLength": 8}}
    found["properties"][0]["customProperties"].append({"property": "role", "value": "owner", "vendor": "atlan"})
    assert list(VALIDATOR.iter_errors(document)) == []
    assert read(document).left_out == (
        "customProperties[costCentre]",
        "price",
        "description.limitations",
        "schema[customs_rows].quality",
        "schema[customs_rows].properties[product_nc].customProperties[role]",
        "schema[customs_rows].properties[product_nc].unique",
        "schema[customs_rows].properties[product_nc].logicalTypeOptions",
        "schema[customs_rows].properties[product_nc].required",
    )


def without(document: dict[str, Any], field: str, column: int | None = None) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    element = table(changed) if column is None else table(changed)["properties"][column]
    element["customProperties"] = [each for each in element["customProperties"] if each["property"] != field]
    return changed


@pytest.mark.parametrize("field", ["licence", "minimumGroupSize", "sources"])
def test_what_a_dataset_needs_is_never_invented(field: str) -> None:
    with pytest.raises(ContractError, match=rf"schema\[customs_rows\].{field}: is missing; add it to customProperties"):
        read(without(contract(), field))


def test_a_column_without_a_role_is_refused() -> None:
    with pytest.raises(ContractError, match=r"properties\[flow\].role: is missing"):
        read(without(contract(), "role", column=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"physicalType": "VARCHAR(8)"}, r"properties\[product_nc\].physicalType: VARCHAR\(8\) is no type here"),
        ({"physicalType": None}, "physicalType: nothing is no type here; write one of boolean, int"),
        ({"logicalType": "integer"}, "logicalType: integer is not string; write string"),
        ({"physicalType": "decimal(400,2)", "logicalType": "number"}, r"properties\[product_nc\].type"),
    ],
)
def test_a_type_that_no_engine_here_reads_is_refused(change: dict[str, Any], message: str) -> None:
    document = contract()
    table(document)["properties"][0] |= change
    with pytest.raises(ContractError, match=message):
        read(document)


def test_one_of_several_tables_is_named() -> None:
    document = contract()
    document["schema"].append({**table(document), "name": "other"})
    with pytest.raises(ContractError, match="schema: has customs_rows, other; name one of its objects by --table"):
        read(document)
    assert read(document, "other").dataset.name == "other"


def test_another_version_and_a_field_that_stands_twice_are_refused() -> None:
    with pytest.raises(ContractError, match=r"apiVersion: v2.2.2 is not read here"):
        read({**contract(), "apiVersion": "v2.2.2"})
    document = contract()
    table(document)["customProperties"] *= 2
    with pytest.raises(ContractError, match="is there twice; keep one"):
        read(document)
