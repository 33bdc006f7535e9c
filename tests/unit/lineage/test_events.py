"""An answered question as OpenLineage events: what was read, and nothing of what it said."""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from data_trusts.lineage import Read, events, sources
from tests.unit.grants.samples import NOON

READ = Read(
    member="ca",
    request="0123456789abcdef0123456789abcdef",
    trust="trade",
    dataset="customs_rows",
    grant="steel",
    purpose="trade-embedded-emissions",
    beneficiary="steel-pilot",
    policy_hash="ab",
    audit_position=7,
    rows=3,
    columns=[("flow", "int"), ("kg", "long"), ("group_rows", "long")],
    statement='SELECT "flow", CAST(SUM("quantity_in_kg") AS BIGINT), COUNT(*) FROM "trade"."customs_rows" '
    'WHERE "product_nc" = \'SECRET\' GROUP BY "flow" HAVING COUNT(*) >= 3',
    dialect="duckdb",
    reads=["flow", "product_nc", "quantity_in_kg"],
    asked_at=NOON,
    answered_at=NOON + timedelta(seconds=2),
)


def sent() -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(json.dumps(events(READ)))
    return read


@pytest.mark.parametrize("event", sent(), ids=["start", "complete"])
def test_an_event_has_every_field_that_the_specification_requires(event: dict[str, Any]) -> None:
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert ":" in event["producer"], "a URI"
    assert datetime.fromisoformat(event["eventTime"]).utcoffset() is not None
    assert str(uuid.UUID(event["run"]["runId"])) == event["run"]["runId"]
    for named in (event["job"], *event["inputs"], *event["outputs"]):
        assert named["namespace"]
        assert named["name"]
    facets = [*event["run"]["facets"].values()]
    for output in event["outputs"]:
        facets += [*output["facets"].values(), *output["outputFacets"].values()]
    assert all(facet["_producer"] and facet["_schemaURL"].startswith("https://") for facet in facets)


def test_a_run_starts_and_completes_once() -> None:
    start, done = sent()
    assert [start["eventType"], done["eventType"]] == ["START", "COMPLETE"]
    assert start["run"] == done["run"]
    assert start["eventTime"] < done["eventTime"]


def test_columns_are_traced_to_the_columns_they_are_computed_from() -> None:
    [output] = sent()[1]["outputs"]
    lineage = output["facets"]["columnLineage"]
    traced = {column: [each["field"] for each in of["inputFields"]] for column, of in lineage["fields"].items()}
    assert traced == {"flow": ["flow"], "kg": ["quantity_in_kg"], "group_rows": []}
    assert [each["field"] for each in lineage["dataset"]] == ["flow", "product_nc", "quantity_in_kg"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 3


def test_no_literal_of_the_question_is_sent() -> None:
    assert "SECRET" not in json.dumps(sent())


def test_a_statement_with_fewer_expressions_traces_what_it_can() -> None:
    assert sources("SELECT a FROM t", "duckdb", ["x", "y"]) == {"x": ["a"]}
