"""The policy pack over its own protocol, as Pulumi's engine speaks to it; tests/integration/sites has the engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pydantic import TypeAdapter

from commonweal.site_policy import Facts, rules
from infra.sites.analyzer import PACK, Analyzer, serve
from infra.sites.member import FACTS as FACTS_KEY
from infra.sites.member import SITE_TYPE
from tests.unit.site_policy.examples import EXAMPLES, FACTS

PROGRAM = Path(__file__).parents[3] / "infra" / "sites" / "policy_pack" / "commonweal-sites"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # the wire's mark of what a preview cannot know
BY_RULE = {example["rule"]: example for example in EXAMPLES}


class Engine:
    """What Pulumi's engine asks of a pack."""

    def __init__(self, stub: analyzer_pb2_grpc.AnalyzerStub) -> None:
        self.stub = stub

    def shows(self, kind: str, inputs: dict[str, Any], name: str = "x") -> list[str]:
        properties = struct_pb2.Struct()
        properties.update(inputs)
        request = analyzer_pb2.AnalyzeRequest(urn=f"urn:pulumi:ca::p::{kind}::{name}", type=kind, properties=properties)
        return [found.message for found in self.stub.Analyze(request).diagnostics]

    def shows_object(self, body: dict[str, Any]) -> list[str]:
        return self.shows(f"kubernetes:{body['apiVersion']}:{body['kind']}", body, str(body))

    def shows_site(self) -> list[str]:
        return self.shows(SITE_TYPE, {FACTS_KEY: TypeAdapter(Facts).dump_python(FACTS, mode="json")})


@pytest.fixture
def engine() -> Iterator[Engine]:
    server, port = serve(Analyzer())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Engine(analyzer_pb2_grpc.AnalyzerStub(channel))
    server.stop(grace=None)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["rule"] for example in EXAMPLES])
def test_a_bad_example_gets_the_rules_sentence(engine: Engine, example: dict[str, Any]) -> None:
    assert engine.shows_site() == []
    assert engine.shows_object(example["bad"]) == [example["says"]]


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["rule"] for example in EXAMPLES])
def test_a_good_example_is_let_through(engine: Engine, example: dict[str, Any]) -> None:
    assert engine.shows_site() == []
    assert engine.shows_object(example["good"]) == []


def test_what_came_before_the_charter_is_judged_when_the_charter_comes(engine: Engine) -> None:
    image = BY_RULE["image-by-digest"]
    assert engine.shows_object(image["bad"]) == []
    assert engine.shows_site() == [image["says"]]


def test_a_breach_is_told_once(engine: Engine) -> None:
    bad = BY_RULE["no-cluster-admin"]["bad"]
    assert len(engine.shows_object(bad)) == 1
    assert engine.shows_object(bad) == []


def test_what_a_preview_cannot_know_yet_is_left_to_the_update(engine: Engine) -> None:
    bad = BY_RULE["no-cluster-admin"]["bad"]
    assert engine.shows_object({**bad, "metadata": {**bad["metadata"], "labels": {"of": UNKNOWN}}}) == []


def test_half_an_object_stops_the_run(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError, match="Deployment commonweal-apps/x: cannot be judged"):
        engine.shows_object(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "commonweal-apps"}}
        )


def test_the_pack_names_every_rule_that_holds_without_a_charter_as_mandatory(engine: Engine) -> None:
    info = engine.stub.GetAnalyzerInfo(empty_pb2.Empty())
    assert [each.name for each in info.policies] == [rule.id for rule in rules(Facts())]
    assert {each.enforcementLevel for each in info.policies} == {analyzer_pb2.MANDATORY}


def test_the_file_that_pulumi_starts_serves_this_pack() -> None:
    assert PROGRAM.name == PACK
    assert PROGRAM.stat().st_mode & 0o111
    assert f"-m {Analyzer.__module__} " in PROGRAM.read_text()
