"""A member's site by the real engine into real API servers; no node runs, so no pod is waited for."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.local.control_plane import Cluster
from infra.local.machine import LocalError
from infra.sites.args import SiteError
from infra.sites.provision import provision
from infra.sites.rbac import APPS, DATA, SYSTEM
from tests.integration.sites.conftest import ARGS, TOKEN, Site, kill_once_it_says


def test_a_second_up_changes_nothing_even_after_others_touched_what_is_theirs(standing: Site) -> None:
    standing.kubectl("annotate", "deployment/gateway", f"--namespace={DATA}", "example.org/note=looked at")
    standing.kubectl("create", "configmap", "policy-steel", f"--namespace={DATA}")
    again = standing.up()
    assert again.changed == 0
    assert again.outputs["namespaces"] == [SYSTEM, DATA, APPS]
    assert again.outputs["gatewayUrl"] == "https://10.77.0.11:30443"


def test_the_cluster_holds_what_was_asked_for_under_one_owner(standing: Site) -> None:
    quota = standing.get("resourcequota/pledge", f"--namespace={APPS}")
    assert quota["spec"]["hard"] == {"requests.cpu": "1", "requests.memory": "2Gi", "requests.nvidia.com/gpu": "4"}
    gateway = standing.get("deployment/gateway", f"--namespace={DATA}", "--show-managed-fields")
    owners = {item["manager"] for item in gateway["metadata"]["managedFields"] if item["operation"] == "Apply"}
    assert owners == {"commonweal-site"}


def test_the_state_holds_no_secret_in_plain_text(standing: Site) -> None:
    secret = standing.get("secret/hub-invitation", f"--namespace={SYSTEM}")
    assert set(secret["data"]) == {"invitation.json"}
    key = next(line for line in standing.cluster.kubeconfig.read_text().splitlines() if "client-key-data" in line)
    files = [path for path in (standing.state / "sites").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "ca.json" for path in files)
    for path in files:
        text = path.read_bytes()
        assert TOKEN.encode() not in text, path
        assert key.split()[-1].encode() not in text, path


def test_an_invitation_that_is_gone_takes_its_secret_along(standing: Site) -> None:
    standing.invitation.unlink()
    # A flag must name a file that exists, so the run says nothing of it and the configuration is as before.
    again = provision(ARGS, standing.cluster.kubeconfig, state=standing.state, say=standing.told.append)
    assert again.changed == 1
    assert not standing.get("secrets", f"--namespace={SYSTEM}")["items"]
    standing.invite()
    assert standing.up().changed == 1


def test_the_agent_may_do_what_it_needs_and_not_what_it_does_not(standing: Site) -> None:
    agent = f"--as=system:serviceaccount:{SYSTEM}:agent"

    def may(*words: str) -> bool:
        try:
            return standing.kubectl("auth", "can-i", *words, agent).strip() == "yes"
        except LocalError:  # "no" is status 1
            return False

    assert may("create", "deployments.apps", f"--namespace={APPS}")
    assert may("get", "secrets/member-identity", f"--namespace={SYSTEM}")
    assert may("get", "/openid/v1/jwks")
    assert not may("list", "secrets", f"--namespace={SYSTEM}")
    assert not may("get", "secrets/gateway-tls", f"--namespace={DATA}")
    assert not may("create", "rolebindings", f"--namespace={APPS}")
    assert not may("create", "deployments.apps", "--namespace=default")


def test_a_kubeconfig_of_another_cluster_is_refused_and_never_acted_on(
    standing: Site, clusters: Mapping[str, Cluster]
) -> None:
    other = Site(clusters["other"], standing.binary, standing.state)
    with pytest.raises(SiteError, match=r"leads to cluster .* and the site of ca stands on"):
        provision(ARGS, other.cluster.kubeconfig, state=standing.state)
    assert other.remains() == set()
    configured = (standing.state / "sites" / "ca" / "work" / "Pulumi.ca.yaml").read_text()
    assert str(standing.cluster.kubeconfig) in configured
    assert standing.up().changed == 0


def test_a_moved_kubeconfig_replaces_nothing(standing: Site, tmp_path: Path) -> None:
    before = standing.get(f"namespace/{SYSTEM}")["metadata"]["uid"]
    moved = tmp_path / "moved.yaml"
    moved.write_text(standing.cluster.kubeconfig.read_text())
    done = provision(ARGS, moved, state=standing.state, say=standing.told.append)
    assert done.changed == 1  # the provider's own record of where the file is
    assert standing.get(f"namespace/{SYSTEM}")["metadata"]["uid"] == before
    standing.up()


def test_a_run_that_was_killed_is_completed_by_the_next_and_destroy_leaves_nothing(site: Site) -> None:
    command = [sys.executable, "-m", "infra.sites", "up", "--member", "ca", "--state", str(site.state)]
    kill_once_it_says("create Namespace", [*command, *site.flags()])
    site.up()
    assert any("the last run was killed" in line for line in site.told)
    assert site.up().changed == 0
    site.destroy()
    assert site.remains() == set()
    assert not (site.state / "sites" / "ca").exists()


def test_too_little_time_ends_the_run_and_the_next_completes_it(site: Site) -> None:
    with pytest.raises(SiteError, match="up of ca was not done within 1 s; run it again"):
        provision(ARGS, site.cluster.kubeconfig, invitation=site.invitation, state=site.state, timeout_s=1)
    site.up()
    assert site.up().changed == 0
