"""The API's description, from the same models that check and answer."""

from typing import Any

from pydantic.json_schema import models_json_schema

from apps.trade.assessment import Consignment
from apps.trade.views import AssessmentView, Problem, TotalsView

VERSION = "1.2.0"
_REF = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    _, definitions = models_json_schema(
        [
            (Consignment, "validation"),
            (AssessmentView, "serialization"),
            (TotalsView, "serialization"),
            (Problem, "serialization"),
        ],
        ref_template=_REF,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Embedded emissions of traded goods",
            "version": VERSION,
            "description": "Answers from rows that stay with their members. Exact numbers are decimal strings.",
        },
        "paths": _paths(),
        "components": {"schemas": definitions["$defs"]},
    }


def _paths() -> dict[str, Any]:
    prefix = {
        "name": "cn_prefix",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9]{2,8}$"},
    }
    year = {"name": "year", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 2023}}
    body = {"required": True, "content": {"application/json": {"schema": _schema("Consignment")}}}
    return {
        "/v1/assessments": {
            "post": {
                "operationId": "assess",
                "summary": "What one consignment embeds, and why",
                "requestBody": body,
                "responses": _responses("AssessmentView"),
            }
        },
        "/v1/assessments/bundle": {
            "post": {
                "operationId": "bundle",
                "summary": "The same answer as a signed file from which anyone recomputes it offline",
                "requestBody": body,
                "responses": {
                    **_responses("AssessmentView"),
                    "200": {"description": "The bundle", "content": {"application/zip": {}}},
                    "501": {"description": "The service was given no signing key", "content": _refused()},
                },
            }
        },
        "/v1/totals": {
            "get": {
                "operationId": "totals",
                "summary": "What all imports of a heading embed in a year",
                "parameters": [prefix, year],
                "responses": _responses("TotalsView"),
            }
        },
        "/healthz": {"get": {"operationId": "alive", "responses": {"200": {"description": "The process answers"}}}},
        "/readyz": {"get": {"operationId": "ready", "responses": {"200": {"description": "Members were asked"}}}},
    }


def _responses(model: str) -> dict[str, Any]:
    refused = _refused()
    return {
        "200": {"description": "The answer", "content": {"application/json": {"schema": _schema(model)}}},
        "403": {"description": "A member refused; the problem names its rule", "content": refused},
        "422": {"description": "A field is wrong, or no number can be given", "content": refused},
        "503": {"description": "A member cannot be asked now", "content": refused},
    }


def _refused() -> dict[str, Any]:
    return {"application/problem+json": {"schema": _schema("Problem")}}


def _schema(model: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=model)}
