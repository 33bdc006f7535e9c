import socket
from pathlib import Path

import pytest
import yaml

from infra.sites.args import SiteError
from infra.sites.reach import require_answer, server_of


def kubeconfig(server: str, **more: str) -> str:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": server, **more}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


def test_a_listening_server_is_accepted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig(f"https://127.0.0.1:{server.getsockname()[1]}"))
        require_answer(path, environ={})


def test_a_silent_server_is_named_with_the_file_that_leads_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can answer here
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig(f"https://127.0.0.1:{unused.getsockname()[1]}"))
        with pytest.raises(
            SiteError, match=r"https://127.0.0.1:\d+ of .*kubeconfig does not answer .*start the cluster"
        ):
            require_answer(path, environ={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"kubeconfig: .*/nowhere cannot be read"):
        require_answer(tmp_path / "nowhere", environ={})


@pytest.mark.parametrize("text", ["", "current-context: x", "[]", ":\n:"])
def test_a_file_that_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(SiteError, match="no usable current context"):
        server_of(text)


def test_a_server_behind_a_proxy_is_not_asked_directly() -> None:
    assert server_of(kubeconfig("https://10.0.0.1:6443", **{"proxy-url": "socks5://127.0.0.1:1080"})) is None
