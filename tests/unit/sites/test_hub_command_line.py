from pathlib import Path

import pytest
import yaml

from infra.sites.args import SiteError
from infra.sites.command import parser
from infra.sites.flags import flag, helps
from infra.sites.hub.__main__ import main
from infra.sites.kinds import HUB, MEMBER, SiteKind
from infra.sites.pinned import CLUSTER_UID

REPOSITORY = Path(__file__).parents[3]
SITE = [
    "--image=localhost/commonweal/hub:abc",
    "--front-door-image=localhost/commonweal/front-door:abc",
    "--public-host=pilots.example.org",
    "--state-claim-mib=1024",
]


def test_a_plan_of_the_hub_prints_its_three_pods_and_what_is_never_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--hub", "ch", "--state", str(tmp_path), *SITE]) == 0
    printed = capsys.readouterr()
    found = list(yaml.safe_load_all(printed.out))
    deployments = {item["metadata"]["name"] for item in found if item.get("kind") == "Deployment"}
    assert deployments == {"hub-operator", "front-door", "dashboard"}
    assert "PersistentVolumeClaim ch/commonweal-system/hub-state (HubSite ch, never deleted)" in printed.out
    assert "no charter named" in printed.err
    assert not list(tmp_path.iterdir())


def test_the_charter_says_which_images_a_hub_may_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    charter = f"--charter={REPOSITORY / 'examples' / '10-charter.yaml'}"
    words = ["plan", "--hub", "ch", "--state", str(tmp_path), charter, *SITE, "--image=docker.io/example/hub:1"]
    assert main(words) == 1
    assert "may run only an image that is named by digest" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["refresh", "outputs", "drift"])
def test_a_hub_without_a_site_is_told_to_begin_with_up(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--hub", "ch", "--state", str(tmp_path)]) == 1
    assert "holds no site of ch; run `up` first" in capsys.readouterr().err


def test_a_hub_and_a_member_of_one_name_share_no_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sites" / "ch" / "backend"
    folder.mkdir(parents=True)
    assert main(["destroy", "--hub", "ch", "--state", str(tmp_path)]) == 0
    assert str(tmp_path / "hub-sites" / "ch") in capsys.readouterr().err
    assert folder.exists()


def test_a_hub_has_no_identity_to_rotate(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser(HUB).parse_args(["rotate-identity", "--hub", "ch"])
    assert "invalid choice: 'rotate-identity'" in capsys.readouterr().err


def test_a_key_that_a_hub_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(SiteError, match="pledgeGpus: unknown; a site takes allowedImages, "):
        HUB.declared("ch", {"kubeconfig": "hub.yaml", "pledgeGpus": "1"})


@pytest.mark.parametrize("kind", [MEMBER, HUB], ids=["member", "hub"])
def test_every_flag_of_a_site_says_what_it_means(kind: SiteKind) -> None:
    means = helps(kind.args, kind.arguments)
    assert set(kind.keys) - {CLUSTER_UID} <= means.keys()
    assert all(text.endswith(".") for text in means.values())
    assert len({flag(key) for key in kind.keys}) == len(kind.keys)


def test_the_help_lists_what_may_be_chosen_and_what_holds_otherwise() -> None:
    assert helps(MEMBER.args, MEMBER.arguments)["engine"].endswith("One of trino, duckdb. By default trino.")
    assert helps(HUB.args, HUB.arguments)["waitForPods"].endswith("By default true.")
