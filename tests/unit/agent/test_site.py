"""What the member says it has: never more than the pool's quota."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.member import DRIFT_NAMED, Engine, SiteDeclaration, SiteDrift
from commonweal.kinds.meta import Resources
from operators.agent.settings import SettingsError, read_settings
from operators.agent.site import DECLARATION_KEY, DRIFT_KEY, allocatable, read_declaration, read_drift
from operators.kube import Json


def node(
    cpu: str = "0", memory: str = "0", gpus: str = "0", *, ready: bool = True, unschedulable: bool = False
) -> Json:
    amounts = {"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpus}
    status: Json = {"allocatable": amounts, "conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"spec": {"unschedulable": unschedulable}, "status": status}


def test_capacity_is_the_sum_of_the_nodes_that_take_pods() -> None:
    nodes = [
        node(cpu="2", memory="4Gi"),
        node(cpu="1500m", memory="1Gi"),
        node(cpu="64", memory="1Gi", ready=False),
        node(cpu="64", memory="1Gi", unschedulable=True),
    ]
    assert allocatable(nodes, None) == Resources(cpu_millis=3500, memory_mib=5120, gpus=0)


def test_capacity_is_never_more_than_the_quota() -> None:
    hard = {"requests.cpu": "1", "requests.memory": "512Mi", "requests.nvidia.com/gpu": "0"}
    nodes = [node(cpu="2", memory="4Gi"), node(gpus="8")]
    assert allocatable(nodes, {"spec": {"hard": hard}}) == Resources(cpu_millis=1000, memory_mib=512, gpus=0)


def test_settings_name_every_variable_that_is_missing_or_wrong() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"COMMONWEAL_MEMBER": "Not A Name", "COMMONWEAL_COUNTRY": ""})
    for name in ("COMMONWEAL_MEMBER", "COMMONWEAL_COUNTRY", "COMMONWEAL_NODE_ADDRESS", "COMMONWEAL_DISPLAY_NAME"):
        assert name in str(caught.value)


@given(steps=st.lists(st.text(min_size=1, max_size=200), max_size=40))
def test_a_report_of_drift_is_read_as_it_was_written(steps: list[str]) -> None:
    named = tuple(steps[:DRIFT_NAMED])
    drift = SiteDrift(checked_at=datetime(2026, 11, 25, tzinfo=UTC), objects=len(steps), differing=named)
    assert read_drift({"data": {DRIFT_KEY: drift.model_dump_json(by_alias=True)}}) == drift


@pytest.mark.parametrize("data", [{}, {DRIFT_KEY: "no JSON"}, {DRIFT_KEY: '{"objects": -1}'}])
def test_an_unreadable_report_of_drift_is_no_report_and_not_zero(
    data: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert read_drift({"data": data}) is None
    assert "compare again" in caplog.text


def test_a_declaration_is_read_as_the_program_wrote_it_and_an_unreadable_one_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    declared = SiteDeclaration(
        country="CA", engine=Engine.DUCKDB, gateway_url="https://ca", images=("a@sha256:b",), objects=1, digest="0" * 64
    )
    assert read_declaration({"data": {DECLARATION_KEY: declared.model_dump_json(by_alias=True)}}) == declared
    assert read_declaration({"data": {DECLARATION_KEY: "{}"}}) is None
    assert "run `up` again" in caplog.text
