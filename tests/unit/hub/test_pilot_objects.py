"""What a member is asked to run for a PilotApp."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from commonweal.kinds.pilot_app import PilotApp
from operators.hub.pilot_objects import assignment
from operators.kube import Json

TRADE = yaml.safe_load((Path(__file__).parents[3] / "examples" / "50-trade-pilot.yaml").read_text())


def pod(**component: object) -> Json:
    body = TRADE | {"spec": TRADE["spec"] | {"component": TRADE["spec"]["component"] | component}}
    body["metadata"] = body["metadata"] | {"uid": "u1", "generation": 1}
    made = assignment(body, PilotApp.read(body), "ca", 1, "{}")
    [deployment] = [each for each in made["spec"]["objects"] if each["kind"] == "Deployment"]
    spec: Json = deployment["spec"]["template"]["spec"]
    return spec


def test_a_secret_is_named_and_mounted_read_only_for_the_pods_own_group() -> None:
    spec = pod(secrets=["trade-signing", "trade-pact"])
    volumes = [each for each in spec["volumes"] if "secret" in each]
    assert volumes == [
        {"name": "secret-0", "secret": {"secretName": "trade-signing", "defaultMode": 0o440}},
        {"name": "secret-1", "secret": {"secretName": "trade-pact", "defaultMode": 0o440}},
    ]
    mounts = [each for each in spec["containers"][0]["volumeMounts"] if each["name"].startswith("secret-")]
    assert mounts == [
        {"name": "secret-0", "mountPath": "/etc/commonweal-secrets/trade-signing", "readOnly": True},
        {"name": "secret-1", "mountPath": "/etc/commonweal-secrets/trade-pact", "readOnly": True},
    ]


def test_an_app_without_secrets_mounts_none() -> None:
    assert not [each for each in pod(secrets=[], env=[])["volumes"] if "secret" in each]


@pytest.mark.parametrize("name", ["", "../x", "Trade", "a" * 64])
def test_a_secret_that_is_no_name_is_refused_at_the_hub(name: str) -> None:
    with pytest.raises(ValidationError, match="secrets"):
        pod(secrets=[name])
