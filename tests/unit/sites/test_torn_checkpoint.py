from pathlib import Path

from infra.sites.folder import SiteFolder


def test_a_checkpoint_that_a_kill_left_empty_is_restored_from_its_backup(tmp_path: Path) -> None:
    folder = SiteFolder(root=tmp_path, name="ca", project="member-site")
    stacks = tmp_path / "backend" / ".pulumi" / "stacks" / "member-site"
    stacks.mkdir(parents=True)
    (stacks / "ca.json").touch()
    (stacks / "ca.json.bak").write_text('{"version": 3}')
    folder.unfinished.touch()
    with folder.run() as killed:
        assert killed
        assert (stacks / "ca.json").read_text() == '{"version": 3}'
