"""A member's site as one call for other programs: each run is a process group of its own, bounded in time.

The Automation API blocks and starts children; here a caller that is interrupted or waits no longer ends them all,
and the next run recovers.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

from infra.sites.args import MemberSiteArgs, SiteError, text_of
from infra.sites.flags import flag
from infra.sites.kinds import MEMBER, SiteKind
from infra.sites.pinned import KUBECONFIG
from infra.sites.program import INVITATION, SITE_KEYS
from infra.sites.programs import built

GRACE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Provisioned:
    """What a run did: the stack's outputs, and how many resources it changed, or found changed, and which."""

    outputs: Mapping[str, Any]
    changed: int
    objects: Sequence[str]


def provision(
    args: MemberSiteArgs,
    kubeconfig: Path,
    *,
    invitation: Path | None = None,
    state: Path | None = None,
    timeout_s: float = 600,
    say: Callable[[str], None] = lambda _: None,
) -> Provisioned:
    """`up` of one member's site: creates it, or brings it to `args`; safe to repeat, also after a kill.

    Raises:
        SiteError: Bad input, no answer from the cluster, or not done within `timeout_s`; the message says what to do.
    """
    flags = site_flags(args, kubeconfig, invitation)
    return run_verb("up", args.member, flags, state=state, timeout_s=timeout_s, say=say)


def site_flags(args: MemberSiteArgs, kubeconfig: Path, invitation: Path | None = None) -> list[str]:
    """The flags that say on the command line what `args` says."""
    values = {key: getattr(args, name) for key, name in SITE_KEYS.items()}
    config = {key: text_of(value) for key, value in values.items() if value is not None}
    files = {KUBECONFIG: str(kubeconfig), **({INVITATION: str(invitation)} if invitation else {})}
    return [word for key, value in {**config, **files}.items() for word in (flag(key), value)]


def decommission(
    member: str,
    *,
    state: Path | None = None,
    without_release: bool = False,
    timeout_s: float = 600,
    say: Callable[[str], None] = lambda _: None,
) -> Provisioned:
    """`destroy` of one member's site; data on a claim stays.

    Raises:
        SiteError: The hub still counts on the member and `without_release` is not given, no answer from the cluster,
            or not done within `timeout_s`.
    """
    flags = ["--without-release"] if without_release else []
    return run_verb("destroy", member, flags, state=state, timeout_s=timeout_s, say=say)


def run_verb(
    verb: str,
    name: str,
    flags: list[str],
    *,
    state: Path | None,
    timeout_s: float,
    say: Callable[[str], None],
    kind: SiteKind = MEMBER,
) -> Provisioned:
    """Run one verb of a site's command line in a process group of its own; engines are built before the time counts.

    Raises:
        SiteError: It failed, or was not done within `timeout_s`.
        LocalError: An engine cannot be built.
    """
    built()
    where = ["--state", str(state)] if state else []
    argv = [sys.executable, "-m", kind.module, verb, f"--{kind.noun}", name, *where, *flags]
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        late = Timer(timeout_s, _end_group, [process.pid, signal.SIGKILL])
        late.start()
        try:
            lines = _told(process, say)
            printed = process.stdout.read() if process.stdout else ""
            process.wait()
        except BaseException:
            _end_in_order(process)
            raise
        finally:
            expired = not late.is_alive()
            late.cancel()
    if process.returncode != 0:
        why = lines[-1].removeprefix("error: ") if lines else f"status {process.returncode}"
        raise SiteError(f"{verb} of {name} was not done within {timeout_s:.0f} s; run it again" if expired else why)
    return Provisioned(**json.loads(printed))


def _told(process: subprocess.Popen[str], say: Callable[[str], None]) -> list[str]:
    lines = []
    for line in process.stderr or ():
        lines.append(line.rstrip())
        say(lines[-1])
    return lines


def _end_in_order(process: subprocess.Popen[str]) -> None:
    """An interrupt first, so that Pulumi writes its state; then what still lives is killed."""
    _end_group(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _end_group(process.pid, signal.SIGKILL)


def _end_group(leader: int, how: signal.Signals) -> None:
    try:
        os.killpg(leader, how)
    except ProcessLookupError:
        return  # all of it has ended
