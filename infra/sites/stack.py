"""A member's site by Pulumi's Automation API: up, preview, refresh, destroy, outputs, each safe to run again."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi import automation

from infra.local.machine import default_places
from infra.sites.args import SiteError
from infra.sites.folder import SiteFolder
from infra.sites.program import CLUSTER_UID, KUBECONFIG, PROJECT, checked, member_site
from infra.sites.programs import built, installed_sdks, require_matching
from infra.sites.reach import require_answer
from infra.sites.story import Story

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run changed, as how many resources by operation (`create`, `update`, ..); and the stack's outputs."""

    changes: Mapping[str, int]
    outputs: Mapping[str, Any]

    @property
    def changed(self) -> int:
        """How many resources are not as they were."""
        return sum(self.changes.values())


def site_folder(member: str, state: Path | None = None) -> SiteFolder:
    """Where the stack of `member` lies, under `state` or the machine's state folder."""
    return SiteFolder(root=(state or default_places().state) / "sites" / member, member=member, project=PROJECT)


def up(folder: SiteFolder, changes: Mapping[str, str], say: Say) -> Outcome:
    """Bring the site to what its configuration says, after `changes` to it.

    Raises:
        SiteError: The configuration is wrong, versions do not match, or the cluster refused or was not reached.
    """
    config, story = _checked(folder, changes), Story(say)
    with _opened(folder, config, story) as stack:
        folder.configure(_until_it_works(config, folder.config()))
        result = stack.up(on_event=story)
        outputs = _plain(result.outputs)
        folder.configure({**config, CLUSTER_UID: outputs["clusterUid"]})
    return Outcome(changes=dict(story.changes), outputs=outputs)


def preview(folder: SiteFolder, changes: Mapping[str, str], say: Say) -> Outcome:
    """What `up` would do to the cluster.

    Raises:
        SiteError: As `up`.
    """
    story = Story(say)
    with _opened(folder, _checked(folder, changes), story) as stack:
        stack.preview(on_event=story)
        return Outcome(changes=dict(story.changes), outputs=_plain(stack.outputs()))


def refresh(folder: SiteFolder, say: Say) -> Outcome:
    """Bring the state to what the cluster holds; changes are drift.

    Raises:
        SiteError: The cluster was not reached.
    """
    story = Story(say)
    with _opened(folder, _known(folder), story) as stack:
        stack.refresh(on_event=story)
        return Outcome(changes=dict(story.changes), outputs=_plain(stack.outputs()))


def outputs(folder: SiteFolder, say: Say) -> dict[str, Any]:
    """The outputs of the last `up`.

    Raises:
        SiteError: There was none.
    """
    with _opened(folder, _known(folder), Story(say), needs_cluster=False) as stack:
        return _plain(stack.outputs())


def destroy(folder: SiteFolder, say: Say) -> Outcome:
    """Take the site away, except data on a claim, whose namespace stays as well.

    When nothing stays, the stack and its folder go too; where there is none, nothing is to be done.

    Raises:
        SiteError: The cluster was not reached, or a deletion did not end.
    """
    if not folder.config_file.exists():
        say(f"{folder.root} holds no site of {folder.member}")
        return Outcome(changes={}, outputs={})
    story = Story(say)
    with _opened(folder, _known(folder), story) as stack:
        stack.destroy(on_event=story, exclude_protected=True)
        kept = [item for item in (stack.export_stack().deployment or {}).get("resources", []) if item.get("protect")]
        if not kept:
            stack.workspace.remove_stack(stack.name)
    if not kept:
        shutil.rmtree(folder.root)
    for item in kept:
        say(f"kept {item['id']}: it holds the member's data")
    return Outcome(changes=dict(story.changes), outputs={})


def forget(folder: SiteFolder) -> None:
    """Drop the stack's folder without touching any cluster; for a cluster that is gone for good."""
    with folder.run():
        pass
    shutil.rmtree(folder.root)


def _until_it_works(wanted: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """What to remember while `up` runs: all that is wanted, but the old kubeconfig of a site that stands."""
    return {**wanted, KUBECONFIG: (before if CLUSTER_UID in before else wanted)[KUBECONFIG]}


def _known(folder: SiteFolder) -> dict[str, str]:
    if not folder.config_file.exists():
        raise SiteError(f"{folder.root} holds no site of {folder.member}; run `up` first")
    return _checked(folder, {})


def _checked(folder: SiteFolder, changes: Mapping[str, str]) -> dict[str, str]:
    config = {**folder.config(), **changes}
    checked(folder.member, config)
    return config


@contextmanager
def _opened(
    folder: SiteFolder, config: Mapping[str, str], story: Story, *, needs_cluster: bool = True
) -> Iterator[automation.Stack]:
    """The member's stack with its engines built, recovered if the last run was killed; errors become one sentence."""
    if needs_cluster:
        require_answer(Path(config[KUBECONFIG]))
    cli, provider = built()
    try:
        with folder.run() as killed:
            folder.prepare(cli, provider)
            os.environ.update(folder.environment())
            command = automation.PulumiCommand(root=str(folder.home))
            require_matching(installed_sdks(), f"v{command.version}")
            options = automation.LocalWorkspaceOptions(work_dir=str(folder.work), pulumi_command=command)
            program = _program(folder.member, config)
            stack = automation.create_or_select_stack(folder.member, PROJECT, program, opts=options)
            if killed:
                recover(stack, story)
            yield stack
    except automation.ConcurrentUpdateError as error:
        raise SiteError(f"{folder.member}: another pulumi holds the stack; wait for it and run again") from error
    except automation.CommandError as error:
        raise SiteError(story.cause or f"{folder.member}: {_last_error(str(error))}") from error


def _program(member: str, config: Mapping[str, str]) -> Callable[[], None]:
    def program() -> None:
        member_site(member, config)

    return program


def recover(stack: automation.Stack, story: Story) -> None:
    """After a killed run: give back its lock, and forget creations of which the outcome is not known.

    Server-side apply makes creating them a second time harmless.
    """
    story.say("the last run was killed; looking at what it left")
    stack.cancel()
    stack.refresh(clear_pending_creates=True, on_event=story)


def _last_error(text: str) -> str:
    errors = [line.strip() for line in text.splitlines() if line.strip().startswith("error:")]
    return errors[-1].removeprefix("error:").strip() if errors else text.strip()


def _plain(values: automation.OutputMap) -> dict[str, Any]:
    return {name: "[secret]" if item.secret else item.value for name, item in values.items()}
