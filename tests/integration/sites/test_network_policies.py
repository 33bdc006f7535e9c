"""What a site does not open is dropped: its NetworkPolicies on a node's network, held by a real controller."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.sites.walls import WORLD, Flow

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

OPEN: tuple[Flow, ...] = (
    ("agent", WORLD, 443),
    ("agent", WORLD, 6443),
    ("agent", WORLD, 53),
    ("agent", "exporter", 9400),
    ("gateway", WORLD, 6443),
    ("gateway", WORLD, 53),
    (WORLD, "gateway", 8443),
    ("neighbour", "gateway", 8443),
    ("pilot", "gateway", 8443),
    ("pilot", WORLD, 30443),
    ("pilot", WORLD, 53),
    (WORLD, "pilot", 8000),
    ("neighbour", "pilot", 8000),
    ("neighbour", WORLD, 80),  # the member's own pods are not the consortium's to shut in
)
SHUT: tuple[Flow, ...] = (
    ("agent", WORLD, 80),
    ("agent", "gateway", 8443),
    ("agent", "pilot", 8000),
    ("agent", "exporter", 8081),
    ("exporter", WORLD, 443),
    ("exporter", WORLD, 53),
    ("exporter", "agent", 8080),
    ("gateway", WORLD, 80),
    ("gateway", "exporter", 9400),
    ("gateway", "pilot", 8000),
    ("pilot", WORLD, 443),
    ("pilot", WORLD, 6443),
    ("pilot", WORLD, 80),
    ("pilot", WORLD, 32768),  # one above the node ports
    ("pilot", "gateway", 8080),  # Trino's, which is for the gateway beside it alone
    ("pilot", "exporter", 9400),
    ("pilot", "agent", 8080),
    ("pilot", "neighbour", 8000),
    ("pilot", "lodger", 8000),
    ("lodger", WORLD, 53),
    ("lodger", "gateway", 8443),
    (WORLD, "lodger", 8000),
    (WORLD, "agent", 8080),
    (WORLD, "exporter", 9400),
    (WORLD, "gateway", 8080),
    ("neighbour", "agent", 8080),
    ("neighbour", "exporter", 9400),
    ("neighbour", "lodger", 8000),
)


@pytest.fixture(scope="module")
def passed() -> Mapping[str, dict[Flow, bool]]:
    """Which flows passed before the controller ran, and after."""
    flows = [*OPEN, *SHUT]
    argv = ["unshare", "--net", "--", sys.executable, "-m", "tests.integration.sites.walls"]
    done = subprocess.run(
        argv, cwd=REPOSITORY, input=json.dumps(flows), capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {when: dict(zip(flows, found[when], strict=True)) for when in ("before", "after")}


def name_of(flow: Flow) -> str:
    return f"{flow[0]} to {flow[1]} on {flow[2]}"


@pytest.mark.parametrize("flow", OPEN, ids=name_of)
def test_what_the_site_opens_passes(flow: Flow, passed: Mapping[str, dict[Flow, bool]]) -> None:
    assert passed["after"][flow]


@pytest.mark.parametrize("flow", SHUT, ids=name_of)
def test_what_the_site_does_not_open_passes_without_its_policies_and_not_with_them(
    flow: Flow, passed: Mapping[str, dict[Flow, bool]]
) -> None:
    assert passed["before"][flow]
    assert not passed["after"][flow]
