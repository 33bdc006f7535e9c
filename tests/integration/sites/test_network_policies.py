"""What a site does not open is refused: its NetworkPolicies on a node's network, held by a real controller."""

import os
from collections.abc import Mapping

import pytest

from loadtests.walls import OPEN, SHUT, Flow, Seen, look

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture(scope="module")
def seen() -> Mapping[Flow, Seen]:
    return look()


def name_of(flow: Flow) -> str:
    return f"{flow[0]} to {flow[1]} on {flow[2]}"


@pytest.mark.parametrize("flow", OPEN, ids=name_of)
def test_what_the_site_opens_passes(flow: Flow, seen: Mapping[Flow, Seen]) -> None:
    assert seen[flow] == Seen(before=True, after=True)


@pytest.mark.parametrize("flow", SHUT, ids=name_of)
def test_what_the_site_does_not_open_passes_without_its_policies_and_not_with_them(
    flow: Flow, seen: Mapping[Flow, Seen]
) -> None:
    assert seen[flow] == Seen(before=True, after=False)
