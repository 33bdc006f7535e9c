"""The hub operator's options come from the command line or the environment, and a wrong one is named."""

from pathlib import Path

import pytest

from operators.hub.settings import parse


def test_every_option_can_come_from_the_environment() -> None:
    environment = {
        "COMMONWEAL_HUB_KUBECONFIG": "hub.yaml",
        "COMMONWEAL_HUB_STATE_DIR": "state",
        "COMMONWEAL_HUB_HEALTH_PORT": "0",
        "COMMONWEAL_HUB_FRONT_DOOR_HOST": "0.0.0.0",  # noqa: S104 - a text
        "COMMONWEAL_HUB_FRONT_DOOR_FIRST_PORT": "20000",
        "COMMONWEAL_HUB_IDENTITY": "one",
    }
    settings = parse([], environment)
    assert (settings.kubeconfig, settings.state_dir) == (Path("hub.yaml"), Path("state"))
    assert (settings.health_port, settings.front_door_first_port) == (0, 20000)
    assert parse(["--identity", "two"], environment).identity == "two"


def test_an_empty_variable_counts_as_absent() -> None:
    environment = {"KUBECONFIG": "", "COMMONWEAL_HUB_KUBECONFIG": "", "COMMONWEAL_HUB_STATE_DIR": "state"}
    assert parse([], environment).kubeconfig is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--state-dir is missing: name a folder that survives restarts"),
        (["--state-dir", "x", "--health-port", "70000"], "--health-port: 70000 is not a port; use 0 to 65535"),
        (["--state-dir", "x", "--log-level", "LOUD"], "--log-level"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments, {})
    assert words in capsys.readouterr().err
