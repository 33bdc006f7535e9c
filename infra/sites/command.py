"""The command line of a site, a member's (`python -m infra.sites`) or the hub's (`python -m infra.sites.hub`).

What a flag leaves out stays as the last `up` of the same site configured it.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from commonweal.site_policy import Facts, ObjectRule, rules, violations
from infra.local.machine import LocalError
from infra.sites import stack
from infra.sites.args import SiteError, text_of
from infra.sites.flags import flag, helps
from infra.sites.folder import SiteFolder
from infra.sites.kinds import SiteKind
from infra.sites.pinned import CLUSTER_UID, KUBECONFIG
from infra.sites.plan import as_json, as_text, planned
from infra.sites.policy import NO_CHARTER, charter_config, lawful, read_charter, read_manifests

SWITCHES = ("waitForPods",)
LOOKING = ("preview", "drift")
CONFIGURING = ("up", "preview", "plan", "rules", "check")
OPTIONS = {
    "up": {
        "--repair": "also put back what others changed or took away",
        "--take-over": "make the site's what was installed by hand, also where its values differ; for a first `up`",
    },
    "plan": {"--json": "for programs, not for people"},
}


def parser(kind: SiteKind) -> argparse.ArgumentParser:
    """The command line: one verb, whose site, and for verbs that configure a flag a key."""
    described = f"The site of a {kind.noun}. What a flag leaves out stays as the last `up` of the same site set it."
    top = argparse.ArgumentParser(prog=f"python -m {kind.module}", description=described)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="verb")
    means = helps(kind.args, kind.arguments)
    leaving = {
        "--dry-run": "say what would be taken away, or why it may not be, and change nothing",
        "--without-release": f"do not ask whether anybody counts on it; this breaks things: {kind.breaks}",
    }
    for verb, meaning in kind.verbs.items():
        command = verbs.add_parser(verb, help=meaning, description=meaning)
        command.set_defaults(kind=kind)
        command.add_argument(f"--{kind.noun}", dest="name", required=True, help=f"the {kind.noun}'s name")
        command.add_argument("--state", type=Path, help="where stacks lie; by default $COMMONWEAL_STATE")
        if verb == "check":
            command.add_argument("--file", type=Path, required=True, help="a YAML file of Kubernetes objects")
        for option, effect in (leaving if verb == "destroy" else OPTIONS.get(verb, {})).items():
            command.add_argument(option, action="store_true", help=effect)
        if verb in CONFIGURING:
            _add_configuration(command, kind, means)
    return top


def _add_configuration(command: argparse.ArgumentParser, kind: SiteKind, means: Mapping[str, str]) -> None:
    group = command.add_argument_group("what the site is", "written down by `up` and remembered")
    group.add_argument("--charter", type=Path, help="the hub's charter; what it says of sites is remembered")
    group.add_argument("--config", type=Path, help=f"a stack's Pulumi.<{kind.noun}>.yaml, below what flags say")
    for key in kind.keys:
        if key == CLUSTER_UID:
            continue
        wanted, is_switch = "FILE" if key in kind.files else "VALUE", key in SWITCHES
        nargs, const = ("?", "true") if is_switch else (None, None)
        group.add_argument(flag(key), dest=key, metavar=wanted, help=means[key], nargs=nargs, const=const)


def changes_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The configuration that the flags give; files by their absolute path.

    Raises:
        SiteError: A named file does not exist.
    """
    kind = arguments.kind
    given = {key: value for key in kind.keys if (value := getattr(arguments, key, None)) is not None}
    for key in kind.files:
        if key in given:
            path = Path(given[key]).absolute()
            if not path.is_file():
                raise SiteError(f"{flag(key)}: {path} is not a file; name one that exists")
            given[key] = str(path)
    written = read_config(arguments.config, kind.project) if getattr(arguments, "config", None) else {}
    charter = charter_config(read_charter(arguments.charter)) if getattr(arguments, "charter", None) else {}
    # The hub's own site pledges nothing and stands where the consortium put it, so it has keys for less of a charter.
    return {**written, **{key: value for key, value in charter.items() if key in kind.keys}, **given}


def read_config(path: Path, project: str) -> dict[str, str]:
    """A stack's configuration as Pulumi writes it to a file.

    Raises:
        SiteError: It cannot be read, or holds something that is no configuration.
    """
    try:
        config = yaml.safe_load(path.read_text())["config"]
        return {key.removeprefix(f"{project}:"): text_of(value) for key, value in config.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise SiteError(f"--config: {path} is no stack's configuration ({why}); give its Pulumi.<stack>.yaml") from None


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says and return the exit status.

    Raises:
        SiteError: Bad input, or the cluster refused.
        LocalError: An engine could not be built.
    """
    kind, name = arguments.kind, arguments.name
    folder, changes = stack.site_folder(name, arguments.state, kind), changes_of(arguments)
    config = {**folder.config(), **changes}
    match arguments.verb:
        case "plan":
            print_plan(kind, name, config, as_program=arguments.json)
        case "rules":
            print_rules(kind.declared(name, config).facts)
        case "check":
            return check(kind.declared(name, config).facts, arguments.file)
        case "outputs":
            write_json(stack.outputs(folder, report))
        case "forget":
            stack.forget(folder)
        case _:
            tell(arguments, act(arguments, folder, changes))
    return 0


def act(arguments: argparse.Namespace, folder: SiteFolder, changes: dict[str, str]) -> stack.Outcome:
    """Do what a verb says to a cluster or its state.

    Raises:
        SiteError: As `run`.
        LocalError: As `run`.
    """
    match arguments.verb:
        case "up":
            return stack.up(folder, changes, report, repair=arguments.repair, take_over=arguments.take_over)
        case "preview":
            return stack.preview(folder, changes, report)
        case "destroy":
            take_away = stack.preview_destroy if arguments.dry_run else stack.destroy
            return take_away(folder, report, without_release=arguments.without_release)
        case "refresh":
            return stack.refresh(folder, report)
        case "drift":
            return stack.drift(folder, report)
        case _:
            return stack.rotate_identity(folder, report)


def tell(arguments: argparse.Namespace, done: stack.Outcome) -> None:
    """What a run did: a line for the reader, the result for programs."""
    looked = arguments.verb in LOOKING or getattr(arguments, "dry_run", False)
    what = "would change" if looked else "changed"
    report(f"{arguments.name}: {arguments.verb} done, {done.changed} {what}")
    write_json({"changed": done.changed, "objects": done.steps, "outputs": done.outputs})


def print_plan(kind: SiteKind, name: str, config: dict[str, str], *, as_program: bool) -> None:
    """Write every resource that the program declares, secrets hidden; a kubeconfig need not be named yet.

    Raises:
        SiteError: The configuration is wrong, or an object breaks a rule of the consortium.
    """
    whole = {KUBECONFIG: "(named at the first up)", **config}
    declared = kind.declared(name, whole)
    lawful(declared.manifests, declared.facts)
    if declared.facts.image_sources is None:
        report(NO_CHARTER)
    found = planned(name, kind.project, lambda: kind.program(name, whole))
    sys.stdout.write(f"{as_json(found)}\n" if as_program else "".join(as_text(found)))


def print_rules(facts: Facts) -> None:
    """Write the rules that hold for the site: what each says, where the charter says it, and what mends a breach."""
    shown = [
        {
            "id": rule.id,
            "title": rule.title,
            "clause": rule.clause,
            "severity": rule.severity.value,
            "kinds": list(rule.kinds) if isinstance(rule, ObjectRule) else [],
            "fix": rule.fix,
        }
        for rule in rules(facts)
    ]
    write_json(shown)


def check(facts: Facts, file: Path) -> int:
    """Write one sentence for each breach in the file; 1 if there is any.

    Raises:
        SiteError: The file holds something that is no whole Kubernetes object.
    """
    try:
        found = violations(read_manifests(file), facts)
    except ValueError as error:
        raise SiteError(f"--file: {error}") from None
    for each in found:
        sys.stdout.write(f"{each.sentence}\n")
    return 1 if found else 0


def write_json(result: object) -> None:
    """A result, on standard output."""
    sys.stdout.write(f"{json.dumps(result, indent=2)}\n")


def report(line: str) -> None:
    """One line of progress on standard error, so that standard output holds results only."""
    if line.strip():
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def main(kind: SiteKind, argv: Sequence[str] | None = None) -> int:
    """Run one command; an error is one sentence and status 1."""
    try:
        return run(parser(kind).parse_args(argv))
    except (LocalError, SiteError) as error:
        report(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        report("error: interrupted; the next run completes what this one began")
        return 130
