from pathlib import Path

import pytest
import yaml

from infra.sites.__main__ import changes_of, main, parser
from infra.sites.flags import flag
from infra.sites.program import CONFIG_KEYS
from tests.unit.sites.plans import CONFIG


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    kubeconfig, invitation = tmp_path / "kubeconfig", tmp_path / "invitation.json"
    kubeconfig.touch()
    invitation.write_text("the-invitation-token")
    return ["--kubeconfig", str(kubeconfig), "--invitation", str(invitation), "--state", str(tmp_path)]


SITE = [word for key, value in CONFIG.items() for word in (flag(key), value)]


def test_every_configuration_key_has_its_flag() -> None:
    assert flag("pledgeCpuMillis") == "--pledge-cpu-millis"
    assert len({flag(key) for key in CONFIG_KEYS}) == len(CONFIG_KEYS)


def test_a_plan_prints_every_object_and_no_secret(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--member", "ca", *files, *SITE, "--data-claim-mib", "1024"]) == 0
    printed = capsys.readouterr().out
    documents = list(yaml.safe_load_all(printed))
    assert sum(item.get("kind") == "Deployment" for item in documents) == 2
    assert "the-invitation-token" not in printed
    assert "(never deleted)" in printed


def test_bad_input_is_one_sentence_and_status_1(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--member", "ca", *files, *SITE]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        "error: data_host_path, data_claim_mib: give one of the two, the place where the member's data lies\n"
    )
    assert not captured.out


def test_a_file_that_does_not_exist_is_named_with_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--member", "ca", "--kubeconfig", str(tmp_path / "nowhere")]) == 1
    assert "--kubeconfig: " in capsys.readouterr().err


def test_a_switch_needs_no_value() -> None:
    arguments = parser().parse_args(["plan", "--member", "ca", "--wait-for-pods", "--image", "a:b"])
    assert changes_of(arguments) == {"waitForPods": "true", "image": "a:b"}


@pytest.mark.parametrize("verb", ["refresh", "outputs", "drift", "rotate-identity"])
def test_a_member_without_a_site_is_told_to_begin_with_up(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--member", "kr", "--state", str(tmp_path)]) == 1
    assert "holds no site of kr; run `up` first" in capsys.readouterr().err


def test_destroying_what_is_not_there_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["destroy", "--member", "kr", "--state", str(tmp_path)]) == 0
    assert "holds no site of kr" in capsys.readouterr().err


def test_the_way_round_the_hub_says_what_it_breaks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["destroy", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "--without-release do not ask the hub; this breaks things: pilots that run here end at once" in printed


def test_destroying_what_a_kill_left_before_any_change_leaves_no_folder(tmp_path: Path) -> None:
    left = tmp_path / "sites" / "kr" / "backend"
    left.mkdir(parents=True)
    assert main(["destroy", "--member", "kr", "--state", str(tmp_path)]) == 0
    assert not left.parent.exists()


def test_a_state_without_its_configuration_is_never_thrown_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stacks = tmp_path / "sites" / "kr" / "backend" / ".pulumi" / "stacks"
    stacks.mkdir(parents=True)
    (stacks / "kr.json").write_text('{"checkpoint": {"latest": {"resources": [{"urn": "u"}]}}}')
    assert main(["destroy", "--member", "kr", "--state", str(tmp_path)]) == 1
    assert "holds a site; run `up` with all flags first" in capsys.readouterr().err
    assert (stacks / "kr.json").exists()
