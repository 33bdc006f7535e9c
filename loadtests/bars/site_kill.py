"""SIGKILL at 20 random moments of `up` and `destroy`: the next run completes; nothing is orphaned, doubled, locked."""

import os
import random
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from loadtests.bars import Measurement
from loadtests.sites import DrillSite, empty_clusters, inventory, settled
from loadtests.wire import WireError

NEEDS_DEMO = False
MEMBER = "zz"
ROUNDS = 10  # each kills one `up` and one `destroy`
SEED = 20261125
LATEST = 0.95  # of an undisturbed run's length, so that nearly every kill hits a living one


@dataclass
class Tally:
    """What went wrong, in words, and how many kills hit a run that lived."""

    hits: int = 0
    incomplete: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


def measure() -> list[Measurement]:
    """An undisturbed `up` and `destroy` to compare with, then ten rounds of both, each killed and run again."""
    moments, tally = random.Random(SEED), Tally()
    with empty_clusters(MEMBER) as sites:
        site = sites[MEMBER]
        before = inventory(site.kubectl)
        up = site.up()
        whole, resources = settled(inventory(site.kubectl)), len(site.checkpoint())
        destroy = site.do("destroy")
        for number in range(1, ROUNDS + 1):
            flags = site.up_flags(site.invitation)
            tally.hits += _kill(site, "up", flags, moments, up.seconds)
            if _completes(site, "up", flags, tally, number):
                different = settled(inventory(site.kubectl)) ^ whole
                tally.differing += [f"{number}: {name}" for name in sorted(different)]
                tally.differing += [f"{number}: {what}" for what in _doubled(site, resources)]
            tally.hits += _kill(site, "destroy", [], moments, destroy.seconds)
            if _completes(site, "destroy", [], tally, number):
                tally.differing += [f"{number}: {name}" for name in sorted(inventory(site.kubectl) - before)]
                tally.differing += [f"{number}: {path}" for path in [site.stack] if path.exists()]
    note = f"{tally.hits} of {2 * ROUNDS} kills hit a living run; seed {SEED}"
    return [
        Measurement(
            name="site-kill", value=len(tally.incomplete), unit=f"of-{2 * ROUNDS}-runs-not-completed", bound=0,
            note="; ".join([note, *tally.incomplete[:3]]),
        ),
        Measurement(
            name="site-kill-differing", value=len(tally.differing), unit="objects", bound=0,
            note="; ".join(tally.differing[:5]),
        ),
    ]  # fmt: skip


def _kill(site: DrillSite, verb: str, flags: list[str], moments: random.Random, length_s: float) -> bool:
    """Kill the run's first process, or all of its group, somewhere in its length; False if it had ended by then."""
    after_s, alone = moments.uniform(0, LATEST) * length_s, moments.random() < 0.5
    command = site.command(verb, *flags)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
            return True
    return False


def _completes(site: DrillSite, verb: str, flags: list[str], tally: Tally, number: int) -> bool:
    try:
        site.do(verb, *flags)
    except WireError as error:
        tally.incomplete.append(f"{number}: {error}")
        return False
    return True


def _doubled(site: DrillSite, resources: int) -> list[str]:
    """What the checkpoint holds twice, or thinks under way, or lacks."""
    held = site.checkpoint()
    times = Counter(str(item.get("urn") or item["resource"]["urn"]) for item in held)
    found = [f"{count} times {urn}" for urn, count in times.items() if count > 1]
    return found or ([] if len(held) == resources else [f"{len(held)} entries in the state, not {resources}"])
