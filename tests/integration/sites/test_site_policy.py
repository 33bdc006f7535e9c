"""The consortium's rules where they are enforced: by a member's API server, and by Pulumi's engine."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from pydantic.alias_generators import to_camel

from commonweal.kinds.pilot_app import PilotApp
from commonweal.site_policy import violations
from infra.local.control_plane import Cluster
from infra.sites.programs import language_host
from operators.hub.pilot_objects import assignment
from tests.integration.sites.conftest import Site
from tests.integration.sites.plain import SITES, environment
from tests.integration.sites.test_plain_pulumi import CONFIG
from tests.strategies import workloads
from tests.unit.site_policy.examples import EXAMPLES, FACTS, ORACLE

REPOSITORY = Path(__file__).parents[3]
SEEN_BY_SERVER = [example for example in EXAMPLES if example.get("admission", True)]
IDS = [example["rule"] for example in SEEN_BY_SERVER]
DENIED = "denied request: "
PROGRAM = """\
import pulumi
import pulumi_kubernetes as kubernetes
from infra.sites.program import main
main()
kubeconfig = pulumi.Config("member-site").require("kubeconfig")
options = pulumi.ResourceOptions(provider=kubernetes.Provider("mine", kubeconfig=kubeconfig))
kubernetes.yaml.v2.ConfigFile("mine", file="mine.yaml", skip_await=True, opts=options)
"""


class Server:
    """The API server of a member's site, asked what it would do."""

    def __init__(self, cluster: Cluster, kubectl: Path) -> None:
        self.command = [str(kubectl), f"--kubeconfig={cluster.kubeconfig}"]

    def __call__(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *words], input=stdin, capture_output=True, text=True, check=False, timeout=60
        )

    def refusal(self, body: dict[str, Any]) -> str | None:
        """The sentence with which a policy refuses an object; None if the object is taken."""
        asked = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-")
        done = self(*asked, stdin=yaml.safe_dump(body))
        if done.returncode == 0:
            return None
        assert DENIED in done.stderr, done.stderr
        return done.stderr.strip().rpartition(DENIED)[2]


@pytest.fixture(scope="module")
def server(standing: Site) -> Server:
    """A member's API server with a site that stands."""
    made = Server(standing.cluster, standing.binary)
    # A policy is in force a moment after it is stored, once the server's own watch has brought it.
    for example in SEEN_BY_SERVER:
        assert any(made.refusal(example["bad"]) for _ in range(60)), example["rule"]
    return made


@pytest.mark.parametrize("example", SEEN_BY_SERVER, ids=IDS)
def test_the_api_server_refuses_a_bad_example_by_the_rules_own_sentence(
    server: Server, example: dict[str, Any]
) -> None:
    assert server.refusal(example["bad"]) == example["says"]


@pytest.mark.parametrize("example", SEEN_BY_SERVER, ids=IDS)
def test_the_api_server_takes_a_good_example(server: Server, example: dict[str, Any]) -> None:
    assert server.refusal(example["good"]) is None


@settings(max_examples=25, deadline=None, derandomize=True)
@given(body=workloads())
def test_the_api_server_agrees_with_the_rules_on_workloads_that_nobody_chose(
    server: Server, body: dict[str, Any]
) -> None:
    sentences = {found.sentence for found in violations([body], replace(FACTS, overhead=None))}
    refused = server.refusal(body)
    assert refused in sentences if sentences else refused is None


def test_the_api_server_takes_what_an_assignment_of_a_pilot_holds(server: Server) -> None:
    body = yaml.safe_load((REPOSITORY / "examples" / "50-trade-pilot.yaml").read_text())
    body["metadata"] |= {"uid": "1", "generation": 1}
    objects = assignment(body, PilotApp.read(body), "ca", 2, "{}")["spec"]["objects"]
    assert {each["kind"] for each in objects} >= {"Deployment", "Service"}
    assert [server.refusal(each) for each in objects] == [None] * len(objects)


def test_the_api_server_does_not_judge_what_is_not_the_sites(server: Server) -> None:
    bad = next(example["bad"] for example in EXAMPLES if example["rule"] == "no-privilege")
    assert server.refusal({**bad, "metadata": {**bad["metadata"], "namespace": "default"}}) is None
    role = next(example["bad"] for example in EXAMPLES if example["bad"]["kind"] == "ClusterRole")
    assert server.refusal({**role, "metadata": {"name": "somebody-else"}}) is None


def test_a_container_added_to_a_running_pod_is_judged_too(server: Server) -> None:
    good = next(example["good"] for example in EXAMPLES if example["rule"] == "image-by-digest")
    [container, *_] = good["spec"]["template"]["spec"]["containers"]
    asked = {"cpu": "1m", "memory": "1Mi"}  # or the quota refuses it
    pod = {"containers": [{**container, "resources": {"requests": asked, "limits": asked}}]}
    metadata = {"name": "judged", "namespace": "commonweal-apps"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    made = server("create", "--filename=-", stdin=yaml.safe_dump(body))
    assert made.returncode == 0, made.stderr
    debug = ("debug", "pod/judged", "--namespace=commonweal-apps", "--container=look", "--profile=restricted")
    done = server(*debug, "--image=ghcr.io/example/debug:1")
    server("delete", "pod/judged", "--namespace=commonweal-apps", "--force", "--wait=false")
    assert "Pod commonweal-apps/judged: container look (ghcr.io/example/debug:1) may run only" in done.stderr


def test_no_policy_is_doubtful_to_the_servers_own_type_checker(server: Server) -> None:
    found = json.loads(server("get", "validatingadmissionpolicies", "--output=json").stdout)["items"]
    ours = [item for item in found if item["metadata"]["name"].startswith("commonweal-")]
    assert len(ours) == 7
    for item in ours:
        assert not item.get("status", {}).get("typeChecking", {}).get("expressionWarnings"), item["metadata"]["name"]


def test_pulumis_engine_refuses_what_a_member_adds_to_its_site(clusters: Mapping[str, Cluster], tmp_path: Path) -> None:
    pack = SITES / "policy_pack" / "commonweal-sites"
    (tmp_path / "Pulumi.yaml").write_text((SITES / "Pulumi.yaml").read_text())
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump_all([example["bad"] for example in EXAMPLES]))
    site = {to_camel(name.replace("-", "_")): value for name, value in ORACLE["site"].items()}
    keys = {**CONFIG, **site, "kubeconfig": str(clusters["other"].kubeconfig)}

    def pulumi(*words: str) -> subprocess.CompletedProcess[str]:
        argv = ["pulumi", *words, "--non-interactive"]
        variables = {**environment(tmp_path, language_host()), "PYTHONPATH": str(REPOSITORY), "VIRTUAL_ENV": sys.prefix}
        return subprocess.run(
            argv, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=120
        )

    pulumi("stack", "init", "ca")
    pulumi("config", "set-all", *(word for item in keys.items() for word in ("--plaintext", "=".join(item))))
    done = pulumi("preview", "--policy-pack", str(pack))
    assert done.returncode != 0
    told = " ".join((done.stdout + done.stderr).split())
    assert [example["rule"] for example in EXAMPLES if example["says"] not in told] == []
