import json
from pathlib import Path

import pytest
import yaml

from infra.sites.__main__ import main
from infra.sites.command import changes_of, parser
from infra.sites.flags import flag
from infra.sites.kinds import MEMBER
from infra.sites.program import CONFIG_KEYS
from tests.unit.sites.plans import CONFIG

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = [
    f"--config={REPOSITORY / 'infra' / 'sites' / 'examples' / 'Pulumi.ca.yaml'}",
    f"--charter={REPOSITORY / 'examples' / '10-charter.yaml'}",
]


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
    assert ", never deleted)" in printed


def test_the_plan_of_the_example_needs_no_cluster_and_says_what_each_component_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plan", "--member", "ca", "--state", str(tmp_path), *EXAMPLE]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert not printed.err
    heads = [line for line in printed.out.partition("---")[0].splitlines() if "Site ca" in line]
    assert [head.split(":")[0] for head in heads] == ["# DataTrustSite ca", "# MemberSite ca", "# MeteringSite ca"]
    assert "1 DaemonSet" in heads[2]
    assert main(words) == 0
    assert capsys.readouterr().out == printed.out
    assert not list(tmp_path.iterdir())


def test_the_plan_for_programs_holds_the_same_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--member", "ca", "--state", str(tmp_path), *EXAMPLE]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(words) == 0
    assert [item["inputs"] for item in found] == list(yaml.safe_load_all(capsys.readouterr().out))
    assert {item["component"] for item in found} >= {"DataTrustSite ca", "MemberSite ca", "MeteringSite ca"}


def test_a_flag_counts_more_than_the_file_of_the_stack() -> None:
    words = ["plan", "--member", "ca", *EXAMPLE, "--pledge-gpus", "1"]
    assert changes_of(parser(MEMBER).parse_args(words))["pledgeGpus"] == "1"


def test_the_example_pledges_what_the_demo_pledges() -> None:
    pledged = next(yaml.safe_load_all((REPOSITORY / "examples" / "20-pledges.yaml").read_text()))["spec"]
    config = changes_of(parser(MEMBER).parse_args(["plan", "--member", "ca", *EXAMPLE]))
    keys = {"pledgeCpuMillis": "cpuMillis", "pledgeMemoryMib": "memoryMib", "pledgeGpus": "gpus"}
    assert {key: int(config[key]) for key in keys} == {key: pledged["pledge"][name] for key, name in keys.items()}
    assert config["gridZone"] == pledged["location"]["gridZone"]


@pytest.mark.parametrize("text", ["", "[]", "config: 1", "colour: red", "{"])
def test_a_file_that_is_no_configuration_is_refused_by_name(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Pulumi.ca.yaml"
    file.write_text(text)
    assert main(["plan", "--member", "ca", "--config", str(file)]) == 1
    assert f"error: --config: {file} is no stack's configuration" in capsys.readouterr().err


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
    arguments = parser(MEMBER).parse_args(["plan", "--member", "ca", "--wait-for-pods", "--image", "a:b"])
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
        parser(MEMBER).parse_args(["destroy", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "--without-release do not ask whether anybody counts on it; this breaks things: pilots that run" in printed


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
