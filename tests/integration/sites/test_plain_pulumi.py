"""The member's project under the CLI alone, in Python and in YAML."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.control_plane import Cluster, local_clusters
from infra.local.machine import run
from infra.sites.components import package_schema
from infra.sites.programs import language_host, yaml_host
from tests.integration.sites.plain import SITES, Project

IMAGE = "localhost/commonweal/site:abc"
CONFIG = {
    "country": "CA",
    "dataHostPath": "/srv/data",
    "displayName": "Canada",
    "engine": "duckdb",
    "image": IMAGE,
    "nodeAddress": "10.77.0.11",
    "pledgeCpuMillis": "2000",
    "pledgeGpus": "0",
    "pledgeMemoryMib": "4096",
    "waitForPods": "false",
}


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Cluster]]:
    with local_clusters(["ca", "kr"], state_dir=tmp_path_factory.mktemp("clusters")) as found:
        yield dict(found)


@pytest.fixture
def in_yaml(tmp_path: Path) -> Project:
    return Project(tmp_path, SITES / "examples" / "yaml", ["Pulumi.yaml"], yaml_host())


def test_plain_pulumi_makes_a_site_and_takes_it_away(tmp_path: Path, clusters: dict[str, Cluster]) -> None:
    project = Project(tmp_path, SITES, ["Pulumi.yaml", "program.py"], language_host())
    project.configure("ca", {**CONFIG, "kubeconfig": str(clusters["ca"].kubeconfig)})
    project.up()
    project.up("--expect-no-changes")
    assert project.pulumi("stack", "output", "gatewayUrl").strip() == "https://10.77.0.11:30443"
    assert "have been deleted" in project.pulumi("destroy", "--yes", "--skip-preview")


def test_a_program_in_yaml_makes_the_same_site(
    in_yaml: Project, clusters: dict[str, Cluster], kubectl_binary: Path
) -> None:
    cluster = clusters["kr"]
    in_yaml.configure("ca", {"image": IMAGE, "kubeconfig": str(cluster.kubeconfig)})
    in_yaml.up()
    in_yaml.up("--expect-no-changes")
    outputs = json.loads(in_yaml.pulumi("stack", "output", "--json"))
    assert outputs == {"gatewayUrl": "https://10.77.0.11:30443", "images": [IMAGE]}
    selected = ["--all-namespaces", "--selector=commonweal.dev/member=ca", "--output=name"]
    running = run([kubectl_binary, f"--kubeconfig={cluster.kubeconfig}", "get", "deployments,daemonsets", *selected])
    assert set(running.split()) == {
        "deployment.apps/agent",
        "deployment.apps/gateway",
        "daemonset.apps/exporter",
    }


def test_a_program_in_yaml_is_refused_by_the_rules_in_one_sentence(
    in_yaml: Project, clusters: dict[str, Cluster]
) -> None:
    values = {"image": "docker.io/example/site:1", "kubeconfig": str(clusters["kr"].kubeconfig)}
    in_yaml.configure("ca", values)
    said = in_yaml.pulumi("preview", fails=True)
    assert "may run only an image that is named by digest" in " ".join(said.split()), said
    assert "Traceback" not in said


def test_the_cli_reads_the_schema_that_other_languages_are_generated_from(in_yaml: Project) -> None:
    program = SITES / "component_provider" / "pulumi-resource-commonweal"
    found = json.loads(in_yaml.pulumi("package", "get-schema", str(program)))
    assert found["resources"].keys() == package_schema()["resources"].keys()
