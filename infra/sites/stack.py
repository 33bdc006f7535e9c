"""A site by Pulumi's Automation API: up, preview, refresh, drift, destroy, outputs, each safe to run again."""

import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

from pulumi import automation

from infra.local.machine import default_places
from infra.sites import cluster
from infra.sites.args import SiteError
from infra.sites.folder import SKIP_CONFIRMATIONS, SiteFolder
from infra.sites.kinds import KINDS, MEMBER, Declared, SiteKind
from infra.sites.pinned import CLUSTER_UID, KUBECONFIG
from infra.sites.policy import lawful
from infra.sites.programs import built, installed_sdks, require_matching
from infra.sites.reach import require_answer
from infra.sites.release import hub_view
from infra.sites.story import Story
from operators.kube import NotFound

Say = Callable[[str], None]
T = TypeVar("T")
OUR_POLICY = "ValidatingAdmissionPolicy 'commonweal-"
IN_FORCE_TRIES, IN_FORCE_EVERY_S = 15, 2.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run changed, by operation (`create`, `update`, ..) and in lines; and the stack's outputs."""

    changes: Mapping[str, int]
    outputs: Mapping[str, Any]
    steps: Sequence[str] = ()

    @property
    def changed(self) -> int:
        """How many resources are not as they were."""
        return sum(self.changes.values())


def site_folder(name: str, state: Path | None = None, kind: SiteKind = MEMBER) -> SiteFolder:
    """Where the stack of the site `name` lies, under `state` or the machine's state folder."""
    root = (state or default_places().state) / kind.folder / name
    return SiteFolder(root=root, name=name, project=kind.project)


def kind_of(folder: SiteFolder) -> SiteKind:
    """Whose site the folder is for."""
    return KINDS[folder.project]


def up(
    folder: SiteFolder, changes: Mapping[str, str], say: Say, *, repair: bool = False, take_over: bool = False
) -> Outcome:
    """Bring the site to what its configuration says, after `changes` to it; with `repair` also what others changed.

    With `take_over`, what somebody installed by hand becomes the site's, also where its values differ.

    Raises:
        SiteError: The configuration is wrong, an object breaks a rule of the consortium, versions do not match, or the
            cluster refused or was not reached.
    """
    config, story = _lawful(folder, changes), Story(say)
    if take_over:
        _take_over(folder, config, say)
    with _opened(folder, config, story) as stack:
        folder.configure(_until_it_works(config, folder.config()))
        result = until_in_force(lambda: stack.up(on_event=story, refresh=repair), story)
        outputs = _plain(result.outputs)
        folder.configure({**config, CLUSTER_UID: outputs["clusterUid"]})
    return Outcome(changes=dict(story.changes), outputs=outputs, steps=story.steps)


def until_in_force(run: Callable[[], T], story: Story, every_s: float = IN_FORCE_EVERY_S) -> T:
    """Do `run` again while an API server refuses by a policy of ours what our rules, judged before, take.

    It is the policy as it was, as when a pledge rises: a server obeys a changed one some seconds after it is stored.

    Raises:
        CommandError: Another cause, or the policy refuses for longer.
    """
    for _ in range(IN_FORCE_TRIES):
        try:
            return run()
        except automation.CommandError:
            if OUR_POLICY not in (story.cause or ""):
                raise
            story.errors.clear()
            story.say("a policy of the site is not in force yet as it was changed; trying again")
            sleep(every_s)
    return run()


def _take_over(folder: SiteFolder, config: Mapping[str, str], say: Say) -> None:
    if CLUSTER_UID in config:
        raise SiteError(f"--take-over: the site of {folder.name} stands already; `up --repair` puts it right")
    manifests, kubeconfig = _declared(folder, config).manifests, Path(config[KUBECONFIG])
    require_answer(kubeconfig)
    for taken in cluster.speak(kubeconfig, lambda kube: cluster.take_over(kube, manifests)):
        say(f"take over {taken}")


def preview(folder: SiteFolder, changes: Mapping[str, str], say: Say) -> Outcome:
    """What `up` would do to the cluster.

    Raises:
        SiteError: As `up`.
    """
    story = Story(say)
    with _opened(folder, _lawful(folder, changes), story) as stack:
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


def drift(folder: SiteFolder, say: Say) -> Outcome:
    """What `up` with `repair` would put right: objects of the site that others changed or took away. Changes nothing.

    A member's agent is left a report, which it carries to the hub.

    Raises:
        SiteError: There is no site, what it is declared as was not brought about yet, or the cluster was not reached.
    """
    config, story = _known(folder), Story(say)
    with _opened(folder, config, story) as stack:
        stack.preview(on_event=story, refresh=True)
        if story.steps:
            _require_applied(stack, folder.name)
        found = _plain(stack.outputs())
    if tell := kind_of(folder).tell:
        cluster.speak(Path(config[KUBECONFIG]), lambda kube: _report(tell(kube, story.steps, datetime.now(UTC)), say))
    return Outcome(changes=dict(story.changes), outputs=found, steps=story.steps)


async def _report(telling: Awaitable[None], say: Say) -> None:
    try:
        await telling
    except NotFound:
        say("the agent's namespace is gone, so the hub is not told; `up --repair` makes it again")


def _require_applied(stack: automation.Stack, name: str) -> None:
    """Tell what others changed from what `up` was not asked to do yet, as after an upgrade or a spent invitation."""
    waiting = Story(lambda _: None)
    stack.preview(on_event=waiting)
    if waiting.steps:
        first = waiting.steps[0]
        raise SiteError(f"{name}: {len(waiting.steps)} changes wait, as {first}; run `up` first, then compare again")


def rotate_identity(folder: SiteFolder, say: Say) -> Outcome:
    """Replace the member's identity, once the hub has let the old one go; the agent starts again and asks to join.

    Raises:
        SiteError: The hub still counts on the member or cannot be asked, or there is no identity yet.
    """
    kubeconfig = Path(_known(folder)[KUBECONFIG])
    view = cluster.speak(kubeconfig, lambda kube: hub_view(kube, folder.name))
    if not view.released:
        raise SiteError(f"{view.message}; a new identity joins once the old one has left")
    cluster.speak(kubeconfig, cluster.replace_identity)
    say(f"{folder.name} has a new identity; ask the hub for an invitation and run `up --invitation`")
    return Outcome(changes={"replace": 1}, outputs={}, steps=[f"replace the identity of {folder.name}"])


def outputs(folder: SiteFolder, say: Say) -> dict[str, Any]:
    """The outputs of the last `up`.

    Raises:
        SiteError: There was none.
    """
    with _opened(folder, _known(folder), Story(say), needs_cluster=False) as stack:
        return _plain(stack.outputs())


def destroy(folder: SiteFolder, say: Say, *, without_release: bool = False) -> Outcome:
    """Take the site away, except what is protected: data on a claim, the hub's records and books, their namespaces.

    When nothing stays, the stack and its folder go too; where there is none, nothing is to be done.

    Raises:
        SiteError: Somebody still counts on the site or cannot be asked, and `without_release` is not given; the cluster
            was not reached, or a deletion did not end.
    """
    if not folder.config_file.exists():
        _sweep(folder, say)
        return Outcome(changes={}, outputs={})
    config, story, kind = _let_go(folder, say, without_release=without_release), Story(say), kind_of(folder)
    kubeconfig = Path(config[KUBECONFIG])
    with _opened(folder, config, story) as stack:
        stack.destroy(on_event=story, exclude_protected=True)
        kept = [item for item in (stack.export_stack().deployment or {}).get("resources", []) if item.get("protect")]
        if not kept:
            stack.workspace.remove_stack(stack.name)
    if not kept:
        shutil.rmtree(folder.root)
    for removed in cluster.speak(kubeconfig, kind.clear) if kept and kind.clear else ():
        say(f"delete {removed}")
    for item in kept:
        say(f"kept {item['id']}: it holds {kind.kept}")
    return Outcome(changes=dict(story.changes), outputs={}, steps=story.steps)


def preview_destroy(folder: SiteFolder, say: Say, *, without_release: bool = False) -> Outcome:
    """What `destroy` would take away; it is refused where `destroy` would be, and changes nothing.

    Raises:
        SiteError: As `destroy`, or there is no site.
    """
    config, story = _let_go(folder, say, without_release=without_release), Story(say)
    with _opened(folder, config, story) as stack:
        # By this variable the CLI says yes, which it refuses to do where nothing is to be confirmed.
        os.environ.pop(SKIP_CONFIRMATIONS, None)
        stack.preview_destroy(on_event=story, exclude_protected=True)
    return Outcome(changes=dict(story.changes), outputs={}, steps=story.steps)


def _let_go(folder: SiteFolder, say: Say, *, without_release: bool) -> dict[str, str]:
    """The configuration of a site that nobody counts on any more."""
    config, kind = _known(folder), kind_of(folder)
    kubeconfig = Path(config[KUBECONFIG])
    require_answer(kubeconfig)
    if without_release:
        say(f"not asking whether anybody counts on {folder.name}: {kind.breaks}")
    else:
        cluster.speak(kubeconfig, lambda kube: kind.release(kube, folder.name))
    return config


def _sweep(folder: SiteFolder, say: Say) -> None:
    """Remove what a run left that was killed before its first change, or after its last."""
    say(f"{folder.root} holds no site of {folder.name}")
    if folder.holds_resources():
        raise SiteError(
            f"{folder.config_file}: missing, though the state beside it holds a site; run `up` with all flags first"
        )
    if folder.root.exists():
        forget(folder)


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
        raise SiteError(f"{folder.root} holds no site of {folder.name}; run `up` first")
    config = folder.config()
    _declared(folder, config)  # a site that breaks a new rule can still be refreshed and destroyed
    return config


def _declared(folder: SiteFolder, config: Mapping[str, str]) -> Declared:
    return kind_of(folder).declared(folder.name, config)


def _lawful(folder: SiteFolder, changes: Mapping[str, str]) -> dict[str, str]:
    """The configuration after `changes`, checked, and judged by the rules."""
    config = {**folder.config(), **changes}
    declared = _declared(folder, config)
    lawful(declared.manifests, declared.facts)
    return config


@contextmanager
def _opened(
    folder: SiteFolder, config: Mapping[str, str], story: Story, *, needs_cluster: bool = True
) -> Iterator[automation.Stack]:
    """The site's stack with its engines built, recovered if the last run was killed; errors become one sentence."""
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
            program = _program(folder, config)
            stack = automation.create_or_select_stack(folder.name, folder.project, program, opts=options)
            if killed:
                recover(stack, story)
            yield stack
    except automation.ConcurrentUpdateError as error:
        raise SiteError(f"{folder.name}: another pulumi holds the stack; wait for it and run again") from error
    except automation.CommandError as error:
        cause = story.cause or f"{folder.name}: {_last_error(str(error))}"
        remedy = "; `up --take-over` makes it the site's" if "conflict" in cause else ""
        raise SiteError(f"{cause}{remedy}") from error


def _program(folder: SiteFolder, config: Mapping[str, str]) -> Callable[[], None]:
    def program() -> None:
        kind_of(folder).program(folder.name, config)

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
