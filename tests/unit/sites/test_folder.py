import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.local.machine import LocalError
from infra.sites.folder import SiteFolder, end_leftovers

EXIT_THREAD = {"x86_64": 60, "aarch64": 93}[platform.machine()]  # the number of exit(2), which ends one thread


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    return SiteFolder(root=tmp_path / "ca", name="ca", project="member-site")


def prepare(folder: SiteFolder, cli: str = "cli-1") -> None:
    folder.prepare(folder.root.parent / cli, folder.root.parent / "provider" / "pulumi-resource-kubernetes")


@pytest.fixture
def orphan(folder: SiteFolder) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PULUMI_HOME": str(folder.home)}
    code = "import sys, time; sys.stdout.write('.'); sys.stdout.flush(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        yield process
        process.kill()


def test_the_passphrase_is_made_once_and_is_its_owners_alone(folder: SiteFolder) -> None:
    prepare(folder)
    first = folder.passphrase.read_text()
    prepare(folder)
    assert folder.passphrase.read_text() == first
    assert len(first) >= 32
    assert folder.passphrase.stat().st_mode & 0o777 == 0o600


def test_two_members_share_no_passphrase_and_no_folder(tmp_path: Path) -> None:
    folders = [SiteFolder(root=tmp_path / name, name=name, project="member-site") for name in ("ca", "kr")]
    for each in folders:
        prepare(each)
    ca, kr = (set(each.environment().values()) - {"true"} for each in folders)
    assert not ca & kr
    assert folders[0].passphrase.read_text() != folders[1].passphrase.read_text()


def test_the_cli_follows_its_build(folder: SiteFolder) -> None:
    prepare(folder, "cli-1")
    prepare(folder, "cli-2")
    assert (folder.home / "bin" / "pulumi").readlink().name == "cli-2"


def test_the_configuration_reads_back_and_keeps_what_pulumi_wrote_beside_it(folder: SiteFolder) -> None:
    prepare(folder)
    folder.config_file.write_text(yaml.safe_dump({"encryptionsalt": "v1:salt", "config": {"member-site:image": "old"}}))
    folder.configure({"image": "new", "pledgeGpus": "2"})
    assert folder.config() == {"image": "new", "pledgeGpus": "2"}
    assert yaml.safe_load(folder.config_file.read_text())["encryptionsalt"] == "v1:salt"


def test_a_second_run_of_one_member_is_refused(folder: SiteFolder) -> None:
    with folder.run(), pytest.raises(LocalError, match="pulumi for ca is already under way"), folder.run():
        pass


def test_a_run_that_ended_or_failed_leaves_nothing_to_recover(folder: SiteFolder) -> None:
    with folder.run() as killed:
        assert not killed
    with pytest.raises(RuntimeError), folder.run():
        raise RuntimeError("the cluster refused")
    with folder.run() as killed:
        assert not killed


def test_a_run_that_was_killed_is_noticed_by_the_next(folder: SiteFolder) -> None:
    with pytest.raises(KeyboardInterrupt), folder.run():
        raise KeyboardInterrupt
    with folder.run() as killed:
        assert killed


def test_what_a_killed_run_left_running_is_ended(folder: SiteFolder, orphan: subprocess.Popen[bytes]) -> None:
    folder.root.mkdir()
    folder.unfinished.touch()
    with folder.run():
        assert orphan.wait(10) == -signal.SIGKILL


def test_a_process_whose_first_thread_has_ended_is_ended_too(folder: SiteFolder) -> None:
    code = (
        "import ctypes, sys, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
        f"sys.stdout.write('.'); sys.stdout.flush(); ctypes.CDLL(None).syscall({EXIT_THREAD}, 0)"
    )
    environment = {**os.environ, "PULUMI_HOME": str(folder.home)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as half_dead:
        assert half_dead.stdout is not None
        assert half_dead.stdout.read(1) == b"."
        assert any(Path(f"/proc/{half_dead.pid}/stat").read_text().split()[2] == "Z" for _ in range(100_000))
        ended = end_leftovers(folder.home)
        half_dead.kill()
        assert ended == [half_dead.pid]
        assert half_dead.wait(10) == -signal.SIGKILL


def test_a_torn_checkpoint_is_mended_also_after_a_run_that_failed_in_good_order(folder: SiteFolder) -> None:
    stacks = folder.root / "backend" / ".pulumi" / "stacks" / "member-site"
    stacks.mkdir(parents=True)
    (stacks / "ca.json").touch()
    (stacks / "ca.json.bak").write_text('{"checkpoint": {}}')
    for name, text in (("ca.json.attrs", ""), ("ca.json.bak.attrs", "{}")):
        (stacks / name).write_text(text)
    with folder.run() as killed:
        assert not killed
        assert sorted(path.name for path in stacks.glob("*.attrs")) == ["ca.json.bak.attrs"]
        assert (stacks / "ca.json").read_text() == '{"checkpoint": {}}'


def test_processes_of_another_member_are_left_alone(tmp_path: Path, orphan: subprocess.Popen[bytes]) -> None:
    assert end_leftovers(tmp_path / "kr" / "home") == []
    assert orphan.poll() is None


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('{"checkpoint": {"latest": null}}', False),
        ('{"checkpoint": {"latest": {"resources": []}}}', False),
        ('{"checkpoint": {"latest": {"resources": [{"urn": "u"}]}}}', True),
        ('{"checkpoint": {"latest": {"pending_operations": [{"resource": {}}]}}}', True),
        ("", True),
    ],
)
def test_a_state_that_may_know_of_a_cluster_is_told_from_an_empty_one(
    folder: SiteFolder, text: str, holds: bool
) -> None:
    assert not folder.holds_resources()
    stacks = folder.root / "backend" / ".pulumi" / "stacks" / "member-site"
    stacks.mkdir(parents=True)
    (stacks / "ca.json").write_text(text)
    assert folder.holds_resources() is holds


def test_whatever_a_run_writes_is_its_owners_alone(folder: SiteFolder, tmp_path: Path) -> None:
    with folder.run():
        subprocess.run(["touch", folder.root / "by-a-child"], check=True)
        for path in (folder.root, folder.root / "lock", folder.unfinished, folder.root / "by-a-child"):
            assert path.stat().st_mode & 0o077 == 0, path
    (tmp_path / "later").touch()
    assert (tmp_path / "later").stat().st_mode & 0o044
