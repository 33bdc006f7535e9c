"""What comes after the first `up`: drift, a site that was there before, and the way out."""

import base64
import json
from dataclasses import replace

import pytest
import yaml

from commonweal.membership import HubAddress
from infra.local.machine import LocalError, run
from infra.sites.args import SiteError
from infra.sites.manifests import site_manifests
from infra.sites.member import DATA_TRUST_TYPE, METERING_TYPE
from infra.sites.provision import decommission
from infra.sites.rbac import APPS, DATA, SYSTEM
from tests.integration.sites.conftest import ARGS, ON_CLAIM, Site

PARTS = (DATA_TRUST_TYPE, METERING_TYPE)
OURS = "app.kubernetes.io/managed-by=commonweal"
GATEWAYS_OWN = (("secret", "generic", "gateway-tls"), ("configmap", "gateway-site"))


def test_what_others_changed_is_found_told_to_the_agent_and_put_back_on_demand(standing: Site) -> None:
    site = standing
    assert site.do("drift").changed == 0
    site.kubectl("scale", "deployment/agent", f"--namespace={SYSTEM}", "--replicas=0")
    site.kubectl("delete", "rolebinding/commonweal-gateway", f"--namespace={DATA}")
    found = site.do("drift")
    expected = {
        "update Deployment ca/commonweal-system/agent",
        "create RoleBinding ca/commonweal-data/commonweal-gateway",
    }
    assert set(found.objects) == expected
    told = json.loads(site.get("configmap/site-drift", f"--namespace={SYSTEM}")["data"]["drift.json"])
    assert (told["objects"], set(told["differing"])) == (2, expected)

    assert set(site.do("up", "--repair").objects) == expected
    assert site.get("deployment/agent", f"--namespace={SYSTEM}")["spec"]["replicas"] == 1
    assert site.do("drift").changed == 0


def test_changes_that_wait_for_an_up_are_not_called_drift(standing: Site) -> None:
    standing.invitation.unlink()
    with pytest.raises(SiteError, match=r"1 changes wait, as delete Secret .*; run `up` first"):
        standing.do("drift")
    standing.invite()


def test_an_upgrade_changes_the_workloads_where_they_stand_and_keeps_what_outlives_them(standing: Site) -> None:
    living = (("deployment/agent", SYSTEM), ("deployment/gateway", DATA), ("daemonset/exporter", SYSTEM))

    def uids() -> list[str]:
        return [standing.get(what, f"--namespace={space}")["metadata"]["uid"] for what, space in living]

    before = uids()
    changed = standing.up(replace(ARGS, image="localhost/commonweal/site:newer"))
    assert set(changed.objects) == {
        "update ConfigMap ca/commonweal-system/site-declaration",
        "update DaemonSet ca/commonweal-system/exporter",
        "update Deployment ca/commonweal-data/gateway",
        "update Deployment ca/commonweal-system/agent",
    }
    assert uids() == before
    assert any("meterHostPath: not named, so an upgrade loses" in line for line in standing.told)
    standing.up()


def test_a_pledge_rises_and_falls_though_the_policy_of_before_refuses_it_for_a_moment(standing: Site) -> None:
    def pledged() -> str:
        quota = standing.get("resourcequota/pledge", f"--namespace={APPS}")
        return str(quota["spec"]["hard"]["requests.cpu"])

    standing.up(replace(ARGS, pledge_cpu_millis=2000))
    assert pledged() == "2"
    standing.up()
    assert pledged() == "1"


def forget_the_parts(site: Site) -> None:
    """Make the state that of a version in which every object was the MemberSite's own child."""
    (checkpoint,) = (site.state / "sites" / "ca" / "backend").glob(".pulumi/stacks/*/ca.json")
    whole = json.loads(checkpoint.read_text())
    latest = whole["checkpoint"]["latest"]
    latest["resources"] = [each for each in latest["resources"] if each["type"] not in PARTS]
    text = json.dumps(whole)
    for part in PARTS:
        text = text.replace(f"${part}", "")
    checkpoint.write_text(text)


def test_a_site_from_before_its_parts_were_components_only_gets_new_parents(site: Site) -> None:
    site.up(ON_CLAIM)
    living = "deployment/gateway", "persistentvolumeclaim/commonweal-data", "service/gateway"
    before = [site.get(each, f"--namespace={DATA}")["metadata"] for each in living]
    forget_the_parts(site)
    assert set(site.up(ON_CLAIM).objects) == {"create DataTrustSite ca", "create MeteringSite ca"}
    after = [site.get(each, f"--namespace={DATA}")["metadata"] for each in living]
    assert [(each["uid"], each["resourceVersion"]) for each in after] == [
        (each["uid"], each["resourceVersion"]) for each in before
    ]
    assert site.up(ON_CLAIM).changed == 0


def by_hand(site: Site, cores: int) -> None:
    """The site as somebody with kubectl alone installs it; with another pledge where `cores` differs."""
    manifests = site_manifests(ARGS)
    for manifest in manifests:
        if manifest["kind"] == "ResourceQuota":
            manifest["spec"]["hard"]["requests.cpu"] = str(cores)
    apply = [str(site.binary), f"--kubeconfig={site.cluster.kubeconfig}", "apply", "--filename=-"]
    run(apply, stdin=yaml.safe_dump_all(manifests))


def test_a_site_that_was_installed_by_hand_becomes_the_programs_and_nothing_is_made_twice(site: Site) -> None:
    by_hand(site, cores=1)
    before = site.get(f"namespace/{DATA}")["metadata"]["uid"]
    site.up()
    assert site.get(f"namespace/{DATA}")["metadata"]["uid"] == before
    assert site.up().changed == 0
    site.destroy()
    assert site.remains() == set()


def test_a_hand_made_site_that_differs_is_refused_by_name_and_taken_over_on_demand(site: Site) -> None:
    by_hand(site, cores=0)
    with pytest.raises(SiteError, match=r"pledge: .*conflict.*requests\.cpu.*`up --take-over`"):
        site.up()
    site.do("up", "--take-over", *site.flags())
    assert site.get("resourcequota/pledge", f"--namespace={APPS}")["spec"]["hard"]["requests.cpu"] == "1"
    assert site.up().changed == 0
    with pytest.raises(SiteError, match="stands already; `up --repair` puts it right"):
        site.do("up", "--take-over")


def test_a_site_on_which_the_hub_may_count_stays_unless_its_people_insist(site: Site) -> None:
    site.up()
    hub = HubAddress(server="https://127.0.0.1:9", certificate_authority="none").wire() | {"certificateSeconds": 3600}
    values = [f"--from-literal={key}={value}" for key, value in (("tls.crt", "x"), ("tls.key", "x"))]
    values.append(f"--from-literal=hub.json={json.dumps(hub)}")
    site.kubectl("create", "secret", "generic", "hub-credentials", f"--namespace={SYSTEM}", *values)
    for flags in ([], ["--dry-run"]):
        with pytest.raises(SiteError, match=r"the hub cannot be asked .*--without-release, which breaks this: pilots"):
            site.do("destroy", *flags)
    assert site.get("deployment/agent", f"--namespace={SYSTEM}")["spec"]["replicas"] == 1
    decommission("ca", state=site.state, without_release=True, say=site.told.append)
    assert any("counts on ca: pilots that run here end at once" in line for line in site.told)
    assert site.remains() == set()


def test_an_identity_is_not_replaced_before_there_is_one(standing: Site) -> None:
    with pytest.raises(SiteError, match="has no identity yet; its agent makes one"):
        standing.do("rotate-identity")


def test_a_replaced_identity_is_another_and_the_agent_starts_again(standing: Site) -> None:
    site = standing
    old = "--from-literal=identity.pem=old"
    site.kubectl("create", "secret", "generic", "member-identity", f"--namespace={SYSTEM}", old)
    site.kubectl("wait", "--for=create", "pod", "--selector=app.kubernetes.io/name=agent", f"--namespace={SYSTEM}")
    before = {item["metadata"]["uid"] for item in site.get("pods", f"--namespace={SYSTEM}")["items"]}
    site.do("rotate-identity")
    secret = site.get("secret/member-identity", f"--namespace={SYSTEM}")["data"]
    assert base64.b64decode(secret["identity.pem"]).startswith(b"-----BEGIN PRIVATE KEY-----")
    agents = site.get("pods", f"--namespace={SYSTEM}", "--selector=app.kubernetes.io/name=agent")["items"]
    assert not before & {item["metadata"]["uid"] for item in agents}
    site.kubectl("delete", "secret/member-identity", f"--namespace={SYSTEM}")


def test_destroy_keeps_data_on_a_claim_and_no_key_beside_it_and_a_new_up_finds_it(site: Site) -> None:
    site.up(ON_CLAIM)
    claim = site.get("persistentvolumeclaim/commonweal-data", f"--namespace={DATA}")["metadata"]["uid"]
    for made in GATEWAYS_OWN:
        site.kubectl("create", *made, f"--namespace={DATA}", "--from-literal=tls.key=secret")
        site.kubectl("label", f"{made[0]}/{made[-1]}", f"--namespace={DATA}", OURS)
    site.kubectl("create", "configmap", "a-members-own", f"--namespace={DATA}")
    planned = site.do("destroy", "--dry-run")
    assert "delete Deployment ca/commonweal-data/gateway" in planned.objects
    assert not [line for line in planned.objects if line.endswith("/commonweal-data")]
    assert site.get("deployment/gateway", f"--namespace={DATA}")

    done = site.destroy()
    assert sorted(done.objects) == sorted(planned.objects)
    assert site.remains() == {f"namespace/{DATA}"}
    assert any("holds the member's data" in line for line in site.told)
    assert site.get("configmap/a-members-own", f"--namespace={DATA}")
    for made in GATEWAYS_OWN:
        with pytest.raises(LocalError, match="NotFound"):
            site.get(f"{made[0]}/{made[-1]}", f"--namespace={DATA}")

    site.up(ON_CLAIM)
    again = site.get("persistentvolumeclaim/commonweal-data", f"--namespace={DATA}")
    assert again["metadata"]["uid"] == claim
