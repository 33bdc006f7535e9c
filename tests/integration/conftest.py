"""One real hub API server for all tests that only read or add; tests that break a server start their own."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import engines
from infra.local.control_plane import Cluster, local_clusters

CRDS = Path(__file__).parents[2] / "operators" / "crds"

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def kubectl_binary() -> Path:
    return engines.build(engines.kubernetes()).parent / "kubectl"


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with local_clusters(["ch"], state_dir=tmp_path_factory.mktemp("hub")) as clusters:
        yield clusters["ch"]


@pytest.fixture(scope="session")
def kubectl(hub: Cluster, kubectl_binary: Path) -> Kubectl:
    """kubectl as the hub's administrator, with the CRDs established."""

    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(kubectl_binary), "--kubeconfig", str(hub.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    applied = run("apply", "--server-side", "-f", str(CRDS))
    assert applied.returncode == 0, applied.stderr
    established = run("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    assert established.returncode == 0, established.stderr
    return run
