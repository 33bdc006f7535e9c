"""The committed project under the CLI alone, as a member's platform team would use it."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from infra.local.control_plane import Cluster, local_clusters
from infra.local.engines import build
from infra.sites.programs import built, language_host

SITES = Path(__file__).parents[3] / "infra" / "sites"
CONFIG = {
    "country": "CA",
    "dataHostPath": "/srv/data",
    "displayName": "Canada",
    "engine": "duckdb",
    "image": "localhost/commonweal/site:abc",
    "nodeAddress": "10.77.0.11",
    "pledgeCpuMillis": "2000",
    "pledgeGpus": "0",
    "pledgeMemoryMib": "4096",
    "waitForPods": "false",
}

Pulumi = Callable[..., str]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with local_clusters(["ca"], state_dir=tmp_path_factory.mktemp("clusters")) as found:
        yield found["ca"]


def environment(folder: Path) -> Mapping[str, str]:
    engines = [str(path.parent) for path in (*built(), build(language_host()))]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*engines, os.environ["PATH"]]),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "VIRTUAL_ENV": str(SITES.parents[1] / ".venv"),
    }


@pytest.fixture
def pulumi(tmp_path: Path) -> Pulumi:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("Pulumi.yaml", "program.py"):
        (project / name).symlink_to(SITES / name)
    variables = environment(tmp_path)

    def command(*words: str) -> str:
        argv = ["pulumi", *words, "--non-interactive"]
        done = subprocess.run(
            argv, cwd=project, env=variables, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{words[0]}: {done.stdout} {done.stderr}"
        return done.stdout

    return command


def test_plain_pulumi_makes_a_site_and_takes_it_away(pulumi: Pulumi, cluster: Cluster) -> None:
    pulumi("stack", "init", "ca")
    values = {**CONFIG, "kubeconfig": str(cluster.kubeconfig)}
    pulumi("config", "set-all", *(word for item in values.items() for word in ("--plaintext", "=".join(item))))
    pulumi("up", "--yes", "--skip-preview")
    pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert pulumi("stack", "output", "gatewayUrl").strip() == "https://10.77.0.11:30443"
    assert "have been deleted" in pulumi("destroy", "--yes", "--skip-preview")
