"""The configuration of a node."""

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.local.node import cni_settings, containerd_settings, to_toml
from infra.local.topology import NodePlace

SCALARS = (
    st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="ascii", exclude_characters="\x7f"))
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
SETTINGS = st.recursive(st.dictionaries(NAMES, SCALARS), lambda inner: st.dictionaries(NAMES, SCALARS | inner))


@given(SETTINGS)
def test_what_is_written_as_toml_reads_back_the_same(settings: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(settings)) == settings


def test_a_containerd_keeps_to_folders_of_its_own_node() -> None:
    settings = tomllib.loads(to_toml(containerd_settings(Path("/s/ca"), Path("/r/ca"))))
    assert settings["root"] == "/s/ca/containerd"
    assert settings["state"] == "/r/ca/containerd"
    assert settings["grpc"]["address"] == "/r/ca/containerd.sock"
    assert settings["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is True


def test_pods_keep_their_own_addresses_on_the_way_to_other_members() -> None:
    where = NodePlace(address="10.77.0.11", pod_range="10.77.16.0/24", pod_gateway="10.77.16.1")
    plugins = cni_settings(where)["plugins"]
    assert isinstance(plugins, list)
    assert plugins[0]["ipMasq"] is False
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": "10.77.16.0/24", "gateway": "10.77.16.1"}]]
