"""The dashboard says what it lacks when it is started without it."""

from pathlib import Path

import pytest

from dashboards.settings import SettingsError, read_settings


def test_the_flag_outranks_the_environment() -> None:
    settings = read_settings(["--kubeconfig", "/a"], {"KUBECONFIG": "/b"})
    assert settings.kubeconfig == Path("/a")


def test_the_environment_names_both_files() -> None:
    settings = read_settings([], {"KUBECONFIG": "/b", "COMMONWEAL_PROBE_FILE": "/p.jsonl"})
    assert (settings.kubeconfig, settings.probe_file) == (Path("/b"), Path("/p.jsonl"))


@pytest.mark.parametrize("environment", [{}, {"KUBECONFIG": ""}, {"KUBECONFIG": "/a:/b"}])
def test_no_kubeconfig_or_several_is_refused_with_the_variable(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="KUBECONFIG"):
        read_settings([], environment)
