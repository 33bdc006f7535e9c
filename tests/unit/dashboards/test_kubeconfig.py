"""A kubeconfig is read as kubectl reads it, and refused with field and remedy where a reader cannot use it."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.kubeconfig import KubeconfigError, read_access

PEM = base64.b64encode(b"pem").decode()


def write(folder: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
    document = {
        "current-context": "hub",
        "contexts": [
            {"name": "other", "context": {"cluster": "nowhere", "user": "nobody"}},
            {"name": "hub", "context": {"cluster": "hub", "user": "reader"}},
        ],
        "clusters": [{"name": "hub", "cluster": cluster or {"server": "https://hub.example:6443"}}],
        "users": [{"name": "reader", "user": user or {"token": "secret-token"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_current_context_is_used(tmp_path: Path) -> None:
    assert read_access(write(tmp_path)).server == "https://hub.example:6443"


def test_inline_data_and_files_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "reader.key").write_bytes(b"pem")
    user = {"client-certificate-data": PEM, "client-key": "reader.key"}
    access = read_access(write(tmp_path, user=user))
    assert (access.certificate_pem, access.key_pem) == (b"pem", b"pem")


def test_a_token_in_a_file_is_read_again_each_time_as_a_pod_needs_it(tmp_path: Path) -> None:
    path = write(tmp_path, user={"tokenFile": "token"})
    for token in ("first", "second"):
        (tmp_path / "token").write_text(f"{token}\n")
        assert read_access(path).token == token


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    assert "secret-token" not in repr(read_access(write(tmp_path)))


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"server": "http://hub.example"}, None, "is not an https URL"),
        ({"server": "https://h", "insecure-skip-tls-verify": True}, None, "give certificate-authority"),
        ({"server": "https://h", "certificate-authority-data": "%"}, None, "certificate-authority-data"),
        ({"server": "https://h", "certificate-authority": "none.crt"}, None, "name a readable file"),
        (None, {"tokenFile": "none"}, "tokenFile: .*name a readable file"),
        (None, {"exec": {"command": "login"}}, "use a client certificate or a token"),
    ],
)
def test_what_a_reader_cannot_use_is_refused_with_a_remedy(
    tmp_path: Path, cluster: dict[str, Any] | None, user: dict[str, Any] | None, said: str
) -> None:
    with pytest.raises(KubeconfigError, match=said):
        read_access(write(tmp_path, cluster, user))


@pytest.mark.parametrize("content", ["", "- a list", "a: [", "current-context: hub"])
def test_what_is_no_kubeconfig_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(KubeconfigError, match=str(path)):
        read_access(path)


def test_a_missing_file_is_refused_with_the_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="KUBECONFIG"):
        read_access(tmp_path / "missing")


def test_a_broken_certificate_is_refused(tmp_path: Path) -> None:
    cluster = {"server": "https://hub.example", "certificate-authority-data": PEM}
    with pytest.raises(KubeconfigError, match="write the kubeconfig again"):
        read_access(write(tmp_path, cluster)).ssl_context()
