"""Which provider is chosen, and how each refuses what it cannot do."""

from pathlib import Path

import pytest

from infra.local.machine import LocalError
from infra.local.providers import KubeconfigProvider, provider, require_kind

ENTRY = "{kubeconfig: %s.yaml, hub: %s, server: 'https://x:6443', node_address: 192.0.2.9}"


def clusters_file(folder: Path, *, hubs: tuple[str, ...] = ("ch",), extra: str = "") -> Path:
    for name in ("ch", "ca"):
        (folder / f"{name}.yaml").touch()
    lines = [f"  {name}: {ENTRY % (name, str(name in hubs).lower())}" for name in ("ch", "ca")]
    file = folder / "clusters.yaml"
    file.write_text("clusters:\n" + "\n".join(lines) + f"\nimages: {{site: 'registry.invalid/site:1'}}\n{extra}")
    return file


def test_clusters_that_exist_are_taken_from_the_file(tmp_path: Path) -> None:
    chosen = KubeconfigProvider(file=clusters_file(tmp_path))
    chosen.up()
    assert {name: access.is_hub for name, access in chosen.clusters().items()} == {"ch": True, "ca": False}
    assert chosen.clusters()["ca"].kubeconfig == tmp_path / "ca.yaml"
    assert chosen.load_images() == {"site": "registry.invalid/site:1"}


def test_an_unknown_field_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"clusters.yaml: tokens: .*; correct it"):
        KubeconfigProvider(file=clusters_file(tmp_path, extra="tokens: 1\n")).up()


@pytest.mark.parametrize("hubs", [(), ("ch", "ca")])
def test_anything_but_one_hub_is_refused(tmp_path: Path, hubs: tuple[str, ...]) -> None:
    with pytest.raises(LocalError, match="mark exactly one"):
        KubeconfigProvider(file=clusters_file(tmp_path, hubs=hubs)).up()


def test_a_kubeconfig_that_is_not_there_is_refused_with_its_field(tmp_path: Path) -> None:
    file = clusters_file(tmp_path)
    (tmp_path / "ca.yaml").unlink()
    with pytest.raises(LocalError, match=r"clusters.ca.kubeconfig: .* does not exist"):
        KubeconfigProvider(file=file).up()


def test_a_missing_clusters_file_is_refused_with_the_variable(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="COMMONWEAL_CLUSTERS"):
        KubeconfigProvider(file=tmp_path / "none.yaml").clusters()
    with pytest.raises(LocalError, match="COMMONWEAL_CLUSTERS"):
        provider("kubeconfig", {})


@pytest.mark.parametrize("present", [(), ("docker",), ("kind",)])
def test_kind_is_refused_where_docker_or_kind_is_missing(present: tuple[str, ...]) -> None:
    with pytest.raises(LocalError, match=r"needs (docker|kind), which is not installed"):
        require_kind(lambda name: name if name in present else None)


def test_an_unknown_provider_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(LocalError, match="use local, kind or kubeconfig"):
        provider("cloud", {})
