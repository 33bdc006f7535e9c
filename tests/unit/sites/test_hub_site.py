"""The hub's site: the same objects that an administrator applies by hand, and the pods that the demo runs beside it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.sites.args import SiteError, read_args
from infra.sites.hub.args import HubSiteArgs
from infra.sites.hub.manifests import hub_manifests, lawful_manifests
from infra.sites.hub.network import openings
from infra.sites.hub.program import PROJECT, hub_site
from infra.sites.objects import Manifest
from infra.sites.plan import Registration, planned
from infra.sites.policy import charter_arguments, read_charter
from operators.hub import setup

GOLDEN = Path(__file__).parent / "golden" / "hub-network.txt"
CHARTER = Path(__file__).parents[3] / "examples" / "10-charter.yaml"
ARGS: dict[str, Any] = {
    "hub": "ch",
    "image": "localhost/commonweal/hub:abc",
    "front_door_image": "localhost/commonweal/front-door:abc",
    "public_host": "pilots.example.org",
    "state_claim_mib": 1024,
}
BY_NODE = {"front_door_exposure": "NodePort", "front_door_tls_secret": "pilots", "front_door_first_port": 30100}


def arguments(**changes: object) -> HubSiteArgs:
    return read_args(HubSiteArgs, {**ARGS, **changes})


def bodies(kind: str, **changes: object) -> dict[str, Manifest]:
    found = hub_manifests(arguments(**changes))
    return {body["metadata"]["name"]: body for body in found if body["kind"] == kind}


def pods(**changes: object) -> dict[str, Manifest]:
    return {name: body["spec"]["template"]["spec"] for name, body in bodies("Deployment", **changes).items()}


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def environment(container: Manifest) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def plan() -> tuple[Registration, ...]:
    config = {
        "frontDoorImage": ARGS["front_door_image"],
        "image": ARGS["image"],
        "kubeconfig": "/nowhere",
        "publicHost": ARGS["public_host"],
        "stateClaimMib": "1024",
    }
    return planned("ch", PROJECT, lambda: hub_site("ch", config))


def test_what_an_administrator_applies_by_hand_is_all_in_it() -> None:
    made = {(body["kind"], body["metadata"]["name"]): body for body in hub_manifests(arguments())}
    for body in setup.manifests():
        own = made[body["kind"], body["metadata"]["name"]]
        for key in body.keys() - {"metadata"}:
            assert own[key] == body[key], body["metadata"]["name"]


def test_pulumi_sends_the_schemas_as_they_were_generated() -> None:
    sent = {item.inputs["metadata"]["name"]: item.inputs["spec"] for item in plan() if "CustomResource" in item.type}
    assert sent == {body["metadata"]["name"]: body["spec"] for body in setup.definitions()}


def test_records_and_books_are_kept_and_nothing_else_is() -> None:
    kept = {item.name for item in plan() if item.retained and item.protected}
    kinds = {f"ch/{body['metadata']['name']}" for body in setup.definitions()}
    assert kept == {"ch/commonweal-system", "ch/commonweal-system/hub-state", *kinds}


def test_every_pod_runs_as_an_account_that_the_hubs_rights_name() -> None:
    named = {
        subject["name"]
        for body in setup.manifests()
        for subject in body.get("subjects", ())
        if subject["kind"] == "ServiceAccount"
    }
    assert {pod["serviceAccountName"] for pod in pods().values()} == named == bodies("ServiceAccount").keys()


def test_every_container_is_unprivileged_on_a_read_only_root_and_says_what_it_needs() -> None:
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"], name
        for container in containers(pod):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], container["name"]
            assert security["capabilities"] == {"drop": ["ALL"]}, container["name"]
            assert container["resources"].keys() == {"requests", "limits"}, container["name"]
            volumes = {volume["name"] for volume in pod["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, container["name"]


def test_the_books_have_one_writer_and_doors_have_several() -> None:
    made = bodies("Deployment")
    assert made["hub-operator"]["spec"]["replicas"] == 1
    assert made["hub-operator"]["spec"]["strategy"] == {"type": "Recreate"}
    assert made["front-door"]["spec"]["replicas"] == 2
    assert made["front-door"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert bodies("PodDisruptionBudget").keys() == {"front-door"}
    assert not bodies("PodDisruptionBudget", front_door_replicas=1)


def test_doors_are_announced_where_they_are_public_and_served_on_every_address() -> None:
    keeper = environment(pods()["front-door"]["initContainers"][0])
    operator = environment(pods()["hub-operator"]["containers"][0])
    for told in (keeper, operator):
        assert told["COMMONWEAL_HUB_FRONT_DOOR_HOST"] == "pilots.example.org"
        assert told["COMMONWEAL_HUB_FRONT_DOOR_BIND"] == "0.0.0.0"  # noqa: S104  # a text
    assert keeper["COMMONWEAL_HUB_FRONT_DOOR_ONLY"] == "true"
    assert "COMMONWEAL_HUB_FRONT_DOOR_ONLY" not in operator


def test_the_doorkeeper_comes_first_and_can_signal_haproxy() -> None:
    pod = pods()["front-door"]
    (keeper,) = pod["initContainers"]
    assert keeper["restartPolicy"] == "Always"
    assert "startupProbe" in keeper
    assert pod["shareProcessNamespace"]


@pytest.mark.parametrize("changes", [{}, BY_NODE, {**BY_NODE, "front_door_exposure": "LoadBalancer"}])
def test_the_service_opens_every_door_and_says_https_where_it_is(changes: dict[str, object]) -> None:
    args = arguments(**changes)
    service = bodies("Service", **changes)["front-door"]["spec"]
    assert [port["port"] for port in service["ports"]] == list(args.doors)
    scheme = "https-" if args.front_door_tls_secret else "http-"
    assert all(port["name"].startswith(scheme) for port in service["ports"])
    assert [port.get("nodePort", port["port"]) for port in service["ports"]] == list(args.doors)
    lawful_manifests(args)


def test_a_certificate_is_found_by_haproxy_where_the_doorkeeper_says() -> None:
    pod = pods(**BY_NODE)["front-door"]
    told = environment(pod["initContainers"][0])["COMMONWEAL_HUB_FRONT_DOOR_CERTIFICATE"]
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "tls")
    (volume,) = (each for each in pod["volumes"] if each["name"] == "tls")
    assert volume["secret"]["secretName"] == "pilots"
    paths = {f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    assert paths == {told, f"{told}.key"}


def test_the_dashboards_kubeconfig_holds_no_secret() -> None:
    config = yaml.safe_load(bodies("ConfigMap")["dashboard"]["data"]["kubeconfig"])
    assert config["users"] == [
        {"name": "dashboard", "user": {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}}
    ]


def test_what_may_speak_to_what_is_what_was_reviewed() -> None:
    found = "".join(f"{opening.sentence()}\n" for opening in openings(arguments()))
    assert found == GOLDEN.read_text(), f"openings changed; review them and write this text to {GOLDEN}:\n{found}"


def test_every_opening_is_for_pods_that_the_hub_runs() -> None:
    assert {opening.pods for opening in openings(arguments())} == pods().keys()


def test_the_charter_judges_the_hubs_images_as_a_members() -> None:
    sources = charter_arguments(read_charter(CHARTER))["allowed_images"]
    lawful_manifests(arguments(allowed_images=sources))
    with pytest.raises(SiteError, match=r"Deployment commonweal-system/front-door: container .*named by digest"):
        lawful_manifests(arguments(allowed_images=()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state_claim_mib": None}, "state_host_path, state_claim_mib: give one of the two"),
        ({"state_host_path": "/srv"}, "state_host_path, state_claim_mib: give one of the two"),
        ({"front_door_exposure": "LoadBalancer"}, "front_door_tls_secret: .* by LoadBalancer is open to the outside"),
        ({**BY_NODE, "front_door_first_port": 30000}, "front_door_first_port: .*from 30001 to 32767"),
        ({**BY_NODE, "front_door_first_port": 32760}, "front_door_first_port: .*whose 16 doors lie between"),
        ({"public_host": "https://pilots"}, "public_host: "),
        ({"colour": "red"}, "colour: "),
    ],
)
def test_a_wrong_value_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SiteError, match=said):
        arguments(**changes)
