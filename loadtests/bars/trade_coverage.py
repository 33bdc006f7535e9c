"""90 % intervals hold 88 to 92 % of 10,000 simulated plants with planted lies; needless review requests stay rare."""

import csv
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
PLANTS = 10_000
SEED = 20261125
LIES = (0.0, 0.05, 0.10)  # share of plants that understate; the method itself assumes 0.05
MOST_UNDERSTATED = 0.6
FALSE_DISCOVERY = 0.1
HEADING = (
    "installation_id", "period", "source", "group", "value_t_per_t", "relative_sd", "correlation", "disclosed",
)  # fmt: skip
# Widths as published: thermal activity of one month, mean absolute error 18 % (sd 22.6 %), with a bias of 10 % that
# all months of a plant share, and an emission factor of 10 %; mass balance from customs rows 15 %.
MONTHS, MONTH_SD, BIAS_SD, FACTOR_SD, BALANCE_SD = 12, 0.226, 0.10, 0.10, 0.15
DISCLOSURE_SD = (0.015, 0.05, 0.075)


@dataclass(frozen=True, kw_only=True)
class Plant:
    """One simulated plant: what is true, and by which share of it its disclosure understates."""

    name: str
    truth_t_per_t: float
    understated: float


def measure() -> list[Measurement]:
    """Coverage and needless review requests at each share of lies."""
    found: list[Measurement] = []
    for share in LIES:
        plants = list(simulated(random.Random(f"{SEED} plants {share}"), share))
        answers = fused(plants, random.Random(f"{SEED} sources {share}"))
        held = sum(low <= plant.truth_t_per_t <= high for plant, (low, high, _) in zip(plants, answers, strict=True))
        coverage = 100 * held / PLANTS
        name, note = f"trade-coverage-{share:.0%}-lies", f"{PLANTS} plants"
        found += [
            Measurement(name=f"{name}-least", value=coverage, unit="%", bound=88, at_most=False, note=note),
            Measurement(name=f"{name}-most", value=coverage, unit="%", bound=92, note=note),
            _needless(plants, [asked for _, _, asked in answers], share),
        ]
    return found


def simulated(choice: random.Random, lies: float) -> Iterator[Plant]:
    """Plants from a band of routes; a lie understates by a uniform amount of the logarithm."""
    most = -math.log1p(-MOST_UNDERSTATED)
    for number in range(PLANTS):
        understated = -math.expm1(-choice.uniform(0, most)) if choice.random() < lies else 0.0
        yield Plant(
            name=f"P{number:05d}", truth_t_per_t=math.exp(choice.gauss(math.log(1.9), 0.4)), understated=understated
        )


def fused(plants: Sequence[Plant], choice: random.Random) -> list[tuple[float, float, bool]]:
    """Interval and review request of every plant, by the command that anyone can run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "estimates.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(HEADING)
            for plant in plants:
                writer.writerows(_lines(plant, choice))
        command = [sys.executable, "-m", "apps.trade", "fuse", "--json", "--estimates", str(path)]
        command += ["--false-discovery", str(FALSE_DISCOVERY)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    rows = {row["installation_id"]: row for row in json.loads(done.stdout)}
    each = (rows[plant.name] for plant in plants)
    return [(row["fused"]["low_t_per_t"], row["fused"]["high_t_per_t"], row["review"]) for row in each]


def _lines(plant: Plant, choice: random.Random) -> Iterator[tuple[object, ...]]:
    truth = math.log(plant.truth_t_per_t)
    sd = choice.choice(DISCLOSURE_SD)
    stated = math.exp(truth + math.log1p(-plant.understated) + choice.gauss(0, sd))
    yield plant.name, 2026, "operator report", "report", stated, sd, 0, "true"
    shared = choice.gauss(0, math.hypot(BIAS_SD, FACTOR_SD))
    month_sd = math.hypot(MONTH_SD, BIAS_SD, FACTOR_SD)
    correlation = (BIAS_SD**2 + FACTOR_SD**2) / month_sd**2
    for month in range(MONTHS):
        value = math.exp(truth + shared + choice.gauss(0, MONTH_SD))
        yield plant.name, 2026, f"thermal {month + 1:02d}", "thermal", value, month_sd, correlation, "false"
    if choice.random() < 1 / 3:
        value = math.exp(truth + choice.gauss(0, BALANCE_SD))
        yield plant.name, 2026, "customs mass balance", "balance", value, BALANCE_SD, 0, "false"


def _needless(plants: Sequence[Plant], asked: Sequence[bool], share: float) -> Measurement:
    needless = sum(1 for plant, each in zip(plants, asked, strict=True) if each and plant.understated == 0)
    name = f"trade-needless-{share:.0%}-lies"
    if share == 0:
        # Whoever is asked is asked needlessly: control means that hardly anybody is.
        return Measurement(name=name, value=needless, unit="requests", bound=3)
    liars = sum(1 for plant in plants if plant.understated > 0)
    note = f"{sum(asked)} asked, among them {sum(asked) - needless} of the {liars} that understate"
    return Measurement(name=name, value=needless / sum(asked), unit="share", bound=FALSE_DISCOVERY, note=note)
