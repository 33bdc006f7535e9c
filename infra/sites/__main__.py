"""`python -m infra.sites`: a member's site from the command line.

What a flag leaves out stays as the last `up` of the same member configured it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from commonweal.site_policy import ObjectRule, rules, violations
from infra.local.machine import LocalError
from infra.sites import stack
from infra.sites.args import MemberSiteArgs, SiteError, text_of
from infra.sites.flags import flag
from infra.sites.folder import SiteFolder
from infra.sites.manifests import facts_of
from infra.sites.pinned import CLUSTER_UID, KUBECONFIG
from infra.sites.plan import as_json, as_text, planned
from infra.sites.policy import NO_CHARTER, charter_config, lawful_manifests, read_charter, read_manifests
from infra.sites.program import CONFIG_KEYS, INVITATION, PROJECT, checked, member_site
from infra.sites.release import BREAKS

FILES = (KUBECONFIG, INVITATION)
SWITCHES = ("waitForPods",)
VERBS = {
    "up": "bring the site to what its configuration says",
    "preview": "show what `up` would do",
    "plan": "print what the member would get, without engine or cluster",
    "rules": "print the consortium's rules that hold for the site, as JSON",
    "check": "judge the objects of a file by them, as the site's API server will",
    "refresh": "read the cluster's drift into the state",
    "drift": "say what of the site others changed, here and to the hub, and change nothing",
    "destroy": "take the site away, except data on a claim, once the hub has let the member go",
    "rotate-identity": "give the member a new identity, once the hub has let the old one go",
    "outputs": "print the outputs of the last `up` as JSON",
    "forget": "drop the state of a site whose cluster is gone for good",
}
CONFIGURING = ("up", "preview", "plan", "rules", "check")
OPTIONS = {
    "up": {
        "--repair": "also put back what others changed or took away",
        "--take-over": "make the site's what was installed by hand, also where its values differ; for a first `up`",
    },
    "plan": {"--json": "for programs, not for people"},
    "destroy": {"--without-release": f"do not ask the hub; this breaks things: {BREAKS}"},
}


def parser() -> argparse.ArgumentParser:
    """The command line: one verb, the member, and for verbs that configure a flag a key."""
    top = argparse.ArgumentParser(prog="python -m infra.sites", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    for verb, meaning in VERBS.items():
        command = verbs.add_parser(verb, help=meaning, description=meaning)
        command.add_argument("--member", required=True, help="the member's name, as ca")
        command.add_argument("--state", type=Path, help="where stacks lie; by default $COMMONWEAL_STATE")
        if verb in CONFIGURING:
            command.add_argument("--charter", type=Path, help="the hub's charter; what it says of sites is remembered")
            command.add_argument("--config", type=Path, help="a stack's Pulumi.<member>.yaml, below what flags say")
        if verb == "check":
            command.add_argument("--file", type=Path, required=True, help="a YAML file of Kubernetes objects")
        for option, effect in OPTIONS.get(verb, {}).items():
            command.add_argument(option, action="store_true", help=effect)
        for key in CONFIG_KEYS if verb in CONFIGURING else ():
            if key == CLUSTER_UID:
                continue
            is_switch = key in SWITCHES
            command.add_argument(
                flag(key), dest=key, nargs="?" if is_switch else None, const="true" if is_switch else None
            )
    return top


def changes_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The configuration that the flags give; files by their absolute path.

    Raises:
        SiteError: A named file does not exist.
    """
    given = {key: value for key in CONFIG_KEYS if (value := getattr(arguments, key, None)) is not None}
    for key in FILES:
        if key in given:
            path = Path(given[key]).absolute()
            if not path.is_file():
                raise SiteError(f"{flag(key)}: {path} is not a file; name one that exists")
            given[key] = str(path)
    written = read_config(arguments.config) if getattr(arguments, "config", None) else {}
    charter = charter_config(read_charter(arguments.charter)) if getattr(arguments, "charter", None) else {}
    return {**written, **charter, **given}


def read_config(path: Path) -> dict[str, str]:
    """A stack's configuration as Pulumi writes it to a file.

    Raises:
        SiteError: It cannot be read, or holds something that is no configuration.
    """
    try:
        config = yaml.safe_load(path.read_text())["config"]
        return {key.removeprefix(f"{PROJECT}:"): text_of(value) for key, value in config.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise SiteError(f"--config: {path} is no stack's configuration ({why}); give its Pulumi.<stack>.yaml") from None


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says and return the exit status.

    Raises:
        SiteError: Bad input, or the cluster refused.
        LocalError: An engine could not be built.
    """
    folder, changes = stack.site_folder(arguments.member, arguments.state), changes_of(arguments)
    match arguments.verb:
        case "plan":
            print_plan(arguments.member, {**folder.config(), **changes}, as_program=arguments.json)
        case "rules":
            print_rules(checked(arguments.member, {**folder.config(), **changes}))
        case "check":
            return check(checked(arguments.member, {**folder.config(), **changes}), arguments.file)
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
            return stack.destroy(folder, report, without_release=arguments.without_release)
        case "refresh":
            return stack.refresh(folder, report)
        case "drift":
            return stack.drift(folder, report)
        case _:
            return stack.rotate_identity(folder, report)


def tell(arguments: argparse.Namespace, done: stack.Outcome) -> None:
    """What a run did: a line for the reader, the result for programs."""
    report(f"{arguments.member}: {arguments.verb} done, {done.changed} changed")
    write_json({"changed": done.changed, "objects": done.steps, "outputs": done.outputs})


def print_plan(member: str, config: dict[str, str], *, as_program: bool) -> None:
    """Write every resource that the program declares, secrets hidden; a kubeconfig need not be named yet.

    Raises:
        SiteError: The configuration is wrong, or an object breaks a rule of the consortium.
    """
    whole = {KUBECONFIG: "(named at the first up)", **config}
    args = checked(member, whole)
    lawful_manifests(args)
    if args.allowed_images is None:
        report(NO_CHARTER)
    found = planned(member, PROJECT, lambda: member_site(member, whole))
    sys.stdout.write(f"{as_json(found)}\n" if as_program else "".join(as_text(found)))


def print_rules(args: MemberSiteArgs) -> None:
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
        for rule in rules(facts_of(args))
    ]
    write_json(shown)


def check(args: MemberSiteArgs, file: Path) -> int:
    """Write one sentence for each breach in the file; 1 if there is any.

    Raises:
        SiteError: The file holds something that is no whole Kubernetes object.
    """
    try:
        found = violations(read_manifests(file), facts_of(args))
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; an error is one sentence and status 1."""
    try:
        return run(parser().parse_args(argv))
    except (LocalError, SiteError) as error:
        report(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        report("error: interrupted; the next run completes what this one began")
        return 130


if __name__ == "__main__":
    sys.exit(main())
