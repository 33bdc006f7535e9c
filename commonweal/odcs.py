"""Datasets as data contracts in the Open Data Contract Standard, and back; the schema is the published one of 3.2.0.

One document a table. What the standard has no place for (roles, masks, row rules, group sizes, licence, sources) goes
into `customProperties` under our own field names. What a foreign document says and a dataset cannot carry is named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from commonweal.kinds.data_trust import ColumnRole, Dataset, DatasetColumn, DataTrust
from commonweal.kinds.meta import Model

Document = Mapping[str, Any]
API_VERSION = "v3.2.0"
VENDOR = "commonweal"
# The Iceberg type, without its digits, as the standard's logical type and its options.
_LOGICAL: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "boolean": ("boolean", {}),
    "int": ("integer", {"format": "i32"}),
    "long": ("integer", {"format": "i64"}),
    "double": ("number", {}),
    "decimal": ("number", {}),
    "string": ("string", {}),
    "date": ("date", {}),
    "timestamptz": ("timestamp", {"timezone": True}),
}
# What speaks of the document and not of the rows.
_OF_THE_DOCUMENT = frozenset({"apiVersion", "kind", "id", "name", "version", "status", "domain", "contractCreatedTs"})
_OF_THE_TABLE = frozenset({"id", "name", "logicalType", "physicalType", "physicalName", "description", "properties"})
_NATIVE = frozenset({"name", "description", "columns", "type"})
_OF_THE_COLUMN = frozenset({"id", "name", "logicalType", "logicalTypeOptions", "physicalType", "description"})


class ContractError(ValueError):
    """A document is no dataset of ours; the message names the place and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A dataset, and the places of a document that it does not carry."""

    dataset: Dataset
    left_out: tuple[str, ...]


def export(trust: DataTrust, dataset: Dataset) -> dict[str, Any]:
    """The contract of one table; its version is the generation of the trust."""
    table = {
        "name": dataset.name,
        "logicalType": "object",
        "physicalType": "table",
        "description": dataset.description,
        "properties": [_property(column) for column in dataset.columns],
        "customProperties": _custom(dataset),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": f"urn:commonweal:trust:{trust.metadata.name}:{dataset.name}",
        "name": dataset.name,
        "version": str(trust.metadata.generation),
        "status": "active",
        "domain": trust.metadata.name,
        "schema": [table],
    }


def _property(column: DatasetColumn) -> dict[str, Any]:
    logical, options = _LOGICAL[_base(column.type)]
    return {
        "name": column.name,
        "logicalType": logical,
        **({"logicalTypeOptions": dict(options)} if options else {}),
        "physicalType": column.type,
        **({} if column.description is None else {"description": column.description}),
        "required": column.role is ColumnRole.MEASURE,
        "customProperties": _custom(column),
    }


def _custom(model: Model) -> list[dict[str, Any]]:
    return [
        {"property": field, "value": value, "vendor": VENDOR}
        for field, value in model.wire().items()
        if field not in _NATIVE
    ]


def _base(iceberg: str) -> str:
    return iceberg.partition("(")[0]


def read(document: Document, table: str | None = None) -> Imported:
    """The dataset that a contract describes.

    Args:
        document: valid by the published schema of the standard.
        table: which of the document's objects; may be left out where there is one.

    Raises:
        ContractError: a field that a dataset needs is missing or does not fit, or the version is another.
    """
    if not str(document.get("apiVersion", "")).startswith("v3."):
        raise ContractError(f"apiVersion: {document.get('apiVersion')} is not read here; write a contract of v3")
    found = _table(document.get("schema") or (), table)
    where = f"schema[{found['name']}]"
    custom, left_out = _fields(found, Dataset, where)
    shared, beside = _fields(document, Dataset, "")
    properties = found.get("properties") or ()
    columns = [_column(each, f"{where}.properties[{each['name']}]") for each in properties]
    wire = {
        **shared,
        **custom,
        "name": found["name"],
        "description": found.get("description") or (document.get("description") or {}).get("purpose"),
        "columns": [column for column, _ in columns],
    }
    try:
        dataset = Dataset.model_validate(wire)
    except ValidationError as error:
        raise ContractError(_fault(error, where, properties)) from None
    return Imported(
        dataset=dataset,
        left_out=(
            *beside,
            *_beyond(document, _OF_THE_DOCUMENT | {"schema", "customProperties", "description"}, ""),
            *_beyond(document.get("description") or {}, {"purpose"}, "description."),
            *left_out,
            *_beyond(found, _OF_THE_TABLE | {"customProperties"}, f"{where}."),
            *(place for _, places in columns for place in places),
        ),
    )


def _table(objects: Sequence[Document], wanted: str | None) -> Document:
    named = {str(each["name"]): each for each in objects}
    if wanted is None and len(named) == 1:
        return next(iter(named.values()))
    if wanted is None or wanted not in named:
        held = ", ".join(named) or "no object"
        raise ContractError(f"schema: has {held}; name one of its objects by --table")
    return named[wanted]


def _column(found: Document, where: str) -> tuple[dict[str, Any], list[str]]:
    physical = str(found.get("physicalType") or "")
    known = _LOGICAL.get(_base(physical))
    if known is None:
        types = ", ".join(_LOGICAL)
        raise ContractError(f"{where}.physicalType: {physical or 'nothing'} is no type here; write one of {types}")
    logical, options = known
    if found.get("logicalType", logical) != logical:
        raise ContractError(f"{where}.logicalType: {found['logicalType']} is not {physical}; write {logical}")
    custom, left_out = _fields(found, DatasetColumn, where)
    left_out += _beyond(found, _OF_THE_COLUMN | {"required", "customProperties"}, f"{where}.")
    if found.get("logicalTypeOptions", options) != options:
        left_out.append(f"{where}.logicalTypeOptions")
    if "required" in found and found["required"] != (custom.get("role") == ColumnRole.MEASURE):
        left_out.append(f"{where}.required")
    wire = {**custom, "name": found["name"], "type": physical}
    return (wire if found.get("description") is None else {**wire, "description": found["description"]}), left_out


def _fields(element: Document, model: type[Model], where: str) -> tuple[dict[str, Any], list[str]]:
    """Custom properties that are fields of ours, and the places of the others."""
    ours = {field.alias or name for name, field in model.model_fields.items()} - _NATIVE
    fields: dict[str, Any] = {}
    others: list[str] = []
    for each in element.get("customProperties") or ():
        name, vendor = str(each["property"]), each.get("vendor", VENDOR)
        place = f"{where}.customProperties[{name}]".lstrip(".")
        if name not in ours or vendor != VENDOR:
            others.append(place)
        elif name in fields:
            raise ContractError(f"{place}: is there twice; keep one")
        else:
            fields[name] = each["value"]
    return fields, others


def _beyond(element: Document, known: frozenset[str] | set[str], where: str) -> Iterator[str]:
    return (f"{where}{field}" for field in element if field not in known)


def _fault(error: ValidationError, where: str, properties: Sequence[Document]) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    location = [str(part) for part in first["loc"]]
    if location[:1] == ["columns"] and len(location) > 1:
        where = f"{where}.properties[{properties[int(location[1])]['name']}]"
        location = location[2:]
    field = ".".join(location) or "object"
    missing = f"is missing; add it to customProperties of {where}" if first["type"] == "missing" else first["msg"]
    return f"{where}.{field}: {missing}"
