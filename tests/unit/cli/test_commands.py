"""What the commands refuse before they speak to anyone, and how."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from commonweal.membership import HubAddress, Invitation
from operators.cli.main import app
from operators.cli.terminal import sentence
from operators.kube import Forbidden, NotFound, Unauthorized, Unreachable

RUNNER = CliRunner()


def commonweal(*arguments: str | Path, **environment: str) -> Result:
    return RUNNER.invoke(app, [str(argument) for argument in arguments], env={"KUBECONFIG": "", **environment})


def invitation(**changes: object) -> Invitation:
    values: dict[str, object] = {
        "member": "ke",
        "hub": HubAddress(server="https://10.0.0.1:6443", certificate_authority="ca"),
        "token": "t",
        "nonce": "n" * 43,
        "expires_at": datetime.now(UTC) + timedelta(minutes=30),
        "certificate_seconds": 86_400,
    }
    return Invitation.model_validate(values | changes)


@pytest.mark.parametrize(
    "command", [["status"], ["accept", "ke"], ["drain", "ke", "--dry-run"], ["equity", "explain", "ke"], ["setup"]]
)
def test_a_missing_kubeconfig_is_one_sentence_and_a_failure(command: list[str], tmp_path: Path) -> None:
    result = commonweal("--kubeconfig", tmp_path / "none", *command)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: kubeconfig {tmp_path / 'none'} does not exist; give --kubeconfig or set KUBECONFIG\n"
    )


def test_kubeconfig_is_taken_from_the_environment(tmp_path: Path) -> None:
    assert str(tmp_path / "env") in commonweal("status", KUBECONFIG=f"{tmp_path / 'env'}:/other").stderr


def test_a_broken_kubeconfig_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_text("clusters: nonsense\n")
    result = commonweal("--kubeconfig", path, "status")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: kubeconfig {path}: ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["Ke", "k e", "a" * 21, "k/e", "ké", ""])
def test_a_bad_member_name_is_refused_before_anything_is_minted(name: str, tmp_path: Path) -> None:
    result = commonweal("--kubeconfig", tmp_path / "none", "invite", name, "--out", tmp_path / "out.json")
    assert result.exit_code == 1
    assert "is not a member's name; use at most 20 of a-z, 0-9 and -" in result.stderr


def test_an_invitation_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("precious")
    result = commonweal("--kubeconfig", tmp_path / "none", "invite", "ke", "--out", path)
    assert "an invitation is never overwritten" in result.stderr
    assert path.read_text() == "precious"


def test_join_tells_what_will_happen(tmp_path: Path) -> None:
    path = tmp_path / "invitation.json"
    path.write_text(invitation().render())
    result = commonweal("join", path)
    assert result.exit_code == 0
    assert "This invites ke to the hub https://10.0.0.1:6443" in result.stdout
    assert "a certificate of 24 h" in result.stdout.replace("\n", " ")
    assert "Nothing happens until the hub's administrator accepts" in result.stdout.replace("\n", " ")


def test_join_refuses_an_expired_or_broken_invitation(tmp_path: Path) -> None:
    path = tmp_path / "invitation.json"
    path.write_text(invitation(expires_at=datetime(2026, 1, 1, tzinfo=UTC)).render())
    assert "expired at 2026-01-01T00:00:00+00:00; ask the hub for a new one" in commonweal("join", path).stderr
    path.write_text("{}")
    assert "invitation member: Field required; ask the hub for the file again" in commonweal("join", path).stderr
    assert "does not exist" in commonweal("join", tmp_path / "none").stderr


@pytest.mark.parametrize("pair", ["energy_mj", "energy_mj=-1", "energy_mj=1.5", "=3x"])
def test_a_counterfactual_is_a_name_and_a_whole_number(pair: str) -> None:
    result = commonweal("equity", "explain", "ke", "--set", pair)
    assert result.exit_code == 1
    assert "write an amount and a whole number, as delivered_gpu_seconds=7200" in result.stderr


def test_rendered_definitions_are_those_in_the_tree(tmp_path: Path) -> None:
    assert commonweal("crds", "render", "--out", tmp_path).exit_code == 0
    tree = Path(__file__).parents[3] / "operators" / "crds"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in tree.glob("*.yaml")
    }
    documents = list(yaml.safe_load_all(commonweal("crds", "render").stdout))
    assert len(documents) == len(list(tmp_path.iterdir()))


def test_setup_can_be_asked_what_it_would_do() -> None:
    result = commonweal("setup", "--dry-run")
    assert result.exit_code == 0
    assert "would apply Namespace commonweal-system" in result.stdout


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Unauthorized("m"), "log in again"),
        (Forbidden("m"), "ask an administrator"),
        (NotFound("m"), "check the name"),
        (Unreachable("m"), "check that the cluster runs"),
    ],
)
def test_every_api_error_carries_a_remedy(error: Exception, remedy: str) -> None:
    assert sentence(error).startswith(f"m; {remedy}")


def test_completion_and_help_work() -> None:
    assert "invite" in commonweal("--help").stdout
    result = RUNNER.invoke(app, [], prog_name="commonweal", env={"_COMMONWEAL_COMPLETE": "source_bash"})
    assert "_COMMONWEAL_COMPLETE=complete_bash" in result.stdout


def test_an_invitation_file_is_what_the_agent_reads() -> None:
    assert Invitation.parse(json.dumps(json.loads(invitation().render()))).member == "ke"
