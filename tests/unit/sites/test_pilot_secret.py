import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from commonweal.site_policy import Facts, violations
from infra.sites.args import SiteError
from infra.sites.pilot_secret import Given, look_manifests, main, read_files, secret_manifest, signing_key


def test_a_signing_key_comes_with_its_public_half() -> None:
    held = signing_key("key.pem")
    private = load_pem_private_key(held["key.pem"], password=None)
    assert private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == held["key.pem.pub"]
    assert signing_key("key.pem") != held


def test_a_secret_is_labelled_for_one_application_and_the_agent_may_look_at_it_alone() -> None:
    given = Given(pilot="trade", secret="trade-signing", files={"key.pem": b"\x00secret"})
    secret = secret_manifest(given)
    assert secret["metadata"]["namespace"] == "commonweal-apps"
    assert secret["metadata"]["labels"]["commonweal.dev/pilot"] == "trade"
    assert base64.b64decode(secret["data"]["key.pem"]) == b"\x00secret"
    role, binding = look_manifests("trade-signing")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["trade-signing"], "verbs": ["get"]}
    ]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "agent", "namespace": "commonweal-system"}]
    assert not violations([secret, role, binding], Facts())


def test_files_are_read_as_they_are_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pact.yaml"
    path.write_bytes(b"tokenKey: x\r\n")
    assert read_files([f"pact.yaml={path}"]) == {"pact.yaml": b"tokenKey: x\r\n"}
    with pytest.raises(SiteError, match=r"--file: pact\.yaml is not NAME=PATH"):
        read_files(["pact.yaml"])
    with pytest.raises(SiteError, match=r"No such file or directory; name a file that can be read"):
        read_files([f"a={tmp_path / 'absent'}"])


def test_an_error_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--kubeconfig", str(tmp_path / "none"), "--pilot", "trade", "--secret", "s", "--signing-key", "key.pem"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "PRIVATE" not in said.err + said.out
