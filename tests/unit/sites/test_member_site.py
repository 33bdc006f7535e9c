from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.sites.clouds.digitalocean import GPU_TAINT
from infra.sites.plan import HIDDEN, Registration
from tests.unit.sites.plans import plan_of

Plan = tuple[Registration, ...]


@pytest.fixture(params=["on_claim", "on_host"])
def plan(request: pytest.FixtureRequest) -> Plan:
    chosen: Plan = request.getfixturevalue(request.param)
    return chosen


def objects(plan: Plan, kind: str) -> list[dict[str, Any]]:
    return [item.inputs for item in plan if item.type.endswith(f":{kind}")]


def one(plan: Plan, kind: str) -> dict[str, Any]:
    (found,) = objects(plan, kind)
    return found


def pods(plan: Plan) -> dict[str, dict[str, Any]]:
    workloads = [*objects(plan, "Deployment"), *objects(plan, "DaemonSet")]
    return {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in workloads}


def containers(plan: Plan) -> Iterator[dict[str, Any]]:
    for pod in pods(plan).values():
        yield from pod["containers"]


def environment(plan: Plan, pod: str) -> dict[str, str]:
    return {item["name"]: item["value"] for item in pods(plan)[pod]["containers"][0]["env"]}


def test_every_container_states_what_it_asks_for_and_its_limits(plan: Plan) -> None:
    for container in containers(plan):
        resources = container["resources"]
        assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}, container["name"]


def test_every_container_is_unprivileged_on_a_read_only_root(plan: Plan) -> None:
    for container in containers(plan):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"], container["name"]
        assert not security["allowPrivilegeEscalation"], container["name"]
        assert security["capabilities"] == {"drop": ["ALL"]}, container["name"]
    for name, pod in pods(plan).items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name


def test_every_container_of_ours_has_probes(plan: Plan) -> None:
    for container in containers(plan):
        if container["name"] != "trino":  # it listens on the pod's loopback, where the kubelet cannot look
            assert {"livenessProbe", "readinessProbe"} <= container.keys(), container["name"]


def test_containers_run_the_images_that_were_given_and_no_other(plan: Plan) -> None:
    images = {container["name"]: container["image"] for container in containers(plan)}
    site, trino = "localhost/commonweal/site:abc", "localhost/commonweal/trino:476-abc"
    assert images == {"agent": site, "exporter": site, "gateway": site, "trino": trino}


def test_every_mount_has_its_volume(plan: Plan) -> None:
    for name, pod in pods(plan).items():
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert volumes == mounts, name


def test_the_quota_is_the_pledge(plan: Plan) -> None:
    quota = one(plan, "ResourceQuota")
    assert quota["metadata"]["namespace"] == "commonweal-apps"
    expected = {"requests.cpu": "2500m", "requests.memory": "4Gi", "requests.nvidia.com/gpu": "2"}
    assert quota["spec"]["hard"] == expected


def test_the_invitation_is_registered_as_a_secret_and_only_there(plan: Plan) -> None:
    assert one(plan, "Secret")["stringData"] == HIDDEN
    assert "the-invitation-token" not in repr(plan)


def test_no_rule_grants_everything(plan: Plan) -> None:
    for role in [*objects(plan, "Role"), *objects(plan, "ClusterRole")]:
        for rule in role["rules"]:
            assert "*" not in repr(rule), role["metadata"]["name"]


def test_only_the_agent_has_rights_in_the_whole_cluster(plan: Plan) -> None:
    (subject,) = one(plan, "ClusterRoleBinding")["subjects"]
    assert (subject["namespace"], subject["name"]) == ("commonweal-system", "agent")


def test_an_identity_without_rights_gets_no_token(plan: Plan) -> None:
    mounted = {
        item["metadata"]["name"]: item["automountServiceAccountToken"] for item in objects(plan, "ServiceAccount")
    }
    assert mounted == {"agent": True, "exporter": False, "gateway": True}


def test_all_fields_have_one_owner_by_name(plan: Plan) -> None:
    for item in plan:
        if "metadata" in item.inputs:
            manager = item.inputs["metadata"]["annotations"]["pulumi.com/patchFieldManager"]
            assert manager == "commonweal-site", item.name


def test_every_object_is_a_child_of_the_site(plan: Plan) -> None:
    for item in plan:
        if item.type.startswith("kubernetes:"):
            assert "MemberSite" in item.parent, item.name


@pytest.mark.parametrize(
    ("component", "held"),
    [
        ("MemberSite", {"Deployment commonweal-system/agent"}),
        ("DataTrustSite", {"Deployment commonweal-data/gateway", "Service commonweal-data/gateway"}),
        ("MeteringSite", {"DaemonSet commonweal-system/exporter"}),
    ],
)
def test_what_runs_belongs_to_the_component_that_says_so(plan: Plan, component: str, held: set[str]) -> None:
    running = {
        f"{item.inputs['kind']} {item.inputs['metadata']['namespace']}/{item.inputs['metadata']['name']}"
        for item in plan
        if item.type.endswith((":Deployment", ":DaemonSet", ":Service")) and component in item.parent.split("$")[-1]
    }
    assert running == held


def test_the_exporter_also_runs_on_gpu_nodes_that_clouds_keep_for_who_asks_for_a_gpu(plan: Plan) -> None:
    assert pods(plan)["exporter"]["tolerations"] == [{"key": GPU_TAINT, "operator": "Exists"}]
    assert not any("tolerations" in pod for name, pod in pods(plan).items() if name != "exporter")


def test_the_provider_is_known_by_the_member_and_holds_no_credential(plan: Plan) -> None:
    providers = [item.inputs for item in plan if item.type == "pulumi:providers:kubernetes"]
    assert len(providers) == 2  # one asks the cluster who it is before the other acts
    for provider in providers:
        assert provider["clusterIdentifier"] == "ca"
        assert provider["kubeconfig"].endswith("/kubeconfig")
        assert provider["deleteUnreachable"] == "false"


def test_data_on_a_claim_is_kept_with_the_namespace_around_it(on_claim: Plan) -> None:
    kept = {item.name for item in on_claim if item.retained}
    assert kept == {"ca/commonweal-data", "ca/commonweal-data/commonweal-data"}
    assert kept == {item.name for item in on_claim if item.protected}
    assert one(on_claim, "PersistentVolumeClaim")["spec"]["resources"] == {"requests": {"storage": "2Gi"}}


def test_data_on_the_node_makes_no_claim_and_keeps_no_object(on_host: Plan) -> None:
    assert not objects(on_host, "PersistentVolumeClaim")
    assert not any(item.retained or item.protected for item in on_host)
    data = next(volume for volume in pods(on_host)["gateway"]["volumes"] if volume["name"] == "data")
    assert data["hostPath"] == {"path": "/srv/data", "type": "Directory"}


def test_namespaces_enforce_the_strictest_level_that_their_volumes_allow(on_claim: Plan, on_host: Plan) -> None:
    def levels(plan: Plan) -> dict[str, str]:
        label = "pod-security.kubernetes.io/enforce"
        return {item["metadata"]["name"]: item["metadata"]["labels"][label] for item in objects(plan, "Namespace")}

    strict = {"commonweal-apps": "baseline", "commonweal-data": "restricted", "commonweal-system": "restricted"}
    assert levels(on_claim) == strict
    assert levels(on_host) == {**strict, "commonweal-data": "privileged", "commonweal-system": "privileged"}


def test_a_simulated_gpu_is_called_simulated_and_a_real_one_is_not(on_claim: Plan, on_host: Plan) -> None:
    assert environment(on_host, "exporter")["COMMONWEAL_SIMULATED"] == "true"
    assert environment(on_host, "exporter")["SIMULATED_NVML_GPUS"] == "2"
    assert not any("SIMULATED" in name for name in environment(on_claim, "exporter"))


def test_an_exporter_that_tells_energy_by_pod_is_the_only_root_and_has_no_capability(by_pod: Plan) -> None:
    exporter = pods(by_pod)["exporter"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & exporter.keys()
    assert {name for name, pod in pods(by_pod).items() if not pod["securityContext"]["runAsNonRoot"]} == {"exporter"}
    (container,) = exporter["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts[environment(by_pod, "exporter")["COMMONWEAL_POD_RESOURCES"]]
    assert {volume["name"] for volume in exporter["volumes"]} == {each["name"] for each in container["volumeMounts"]}


def test_energy_by_pod_opens_its_namespace_to_host_folders_and_nothing_else_does(on_claim: Plan, by_pod: Plan) -> None:
    def levels(plan: Plan) -> dict[str, str]:
        return {
            item["metadata"]["name"]: item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
            for item in objects(plan, "Namespace")
        }

    changed = dict(levels(by_pod).items() - levels(on_claim).items())
    assert changed == {"commonweal-system": "privileged"}


def test_the_gateway_is_found_where_the_agent_says(plan: Plan) -> None:
    (port,) = one(plan, "Service")["spec"]["ports"]
    assert environment(plan, "agent")["COMMONWEAL_GATEWAY_URL"] == f"https://10.77.0.11:{port['nodePort']}"


def test_the_gateway_is_told_its_witnesses(plan: Plan, tmp_path: Path) -> None:
    assert "COMMONWEAL_WITNESSES" not in environment(plan, "gateway")
    named = plan_of(tmp_path, dataClaimMib="2048", witnesses="ke.example/witness+1a+B https://ke")
    assert environment(named, "gateway")["COMMONWEAL_WITNESSES"] == "ke.example/witness+1a+B https://ke"


STORE = {
    "warehouse": "s3://rows/member/ca",
    "storeEndpoint": "https://store.example:9000",
    "storeRegion": "eu-north-1",
    "storeSecret": "store",
}


def test_gateway_and_engine_alone_are_led_to_a_bucket_and_told_its_credentials_by_name(
    on_claim: Plan, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, dataClaimMib="2048", **STORE)
    reading = []
    for container in containers(plan):
        variables = {each["name"]: each for each in container.get("env", ())}
        if "AWS_SECRET_ACCESS_KEY" in variables:
            reading.append(container["name"])
            assert variables["COMMONWEAL_WAREHOUSE"]["value"] == "s3://rows/member/ca"
            assert variables["AWS_ENDPOINT_URL"]["value"] == "https://store.example:9000"
            reference = {"secretKeyRef": {"name": "store", "key": "AWS_SECRET_ACCESS_KEY"}}
            assert variables["AWS_SECRET_ACCESS_KEY"] == {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": reference}
            other_catalog = variables.get("JAVA_TOOL_OPTIONS", {}).get("value")
            assert (other_catalog == "-Dcatalog.config-dir=/etc/trino/catalog-s3") is (container["name"] == "trino")
    assert sorted(reading) == ["gateway", "trino"]

    def openings(of: Plan) -> dict[str, Any]:
        return {item["metadata"]["name"]: item["spec"] for item in objects(of, "NetworkPolicy")}

    assert openings(plan).keys() - openings(on_claim).keys() == {"gateway-to-store"}
    [rule] = openings(plan)["gateway-to-store"]["egress"]
    assert rule["ports"] == [{"port": 9000, "protocol": "TCP"}]


def test_two_plans_of_one_configuration_are_equal(on_claim: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    def without_path(plan: Plan) -> list[Registration]:
        return [item for item in plan if not item.type.startswith("pulumi:providers")]

    again = plan_of(tmp_path_factory.mktemp("again"), dataClaimMib="2048")
    assert without_path(again) == without_path(on_claim)
