"""Exporter and agent killed 500 times: counters never fall, downtime is flagged, readings come once and whole."""

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from commonweal.membership import SYSTEM_NAMESPACE, member_namespace
from commonweal.metering import Flag, Limits, Reading, verify
from infra.local.control_plane import local_clusters
from loadtests.bars import Measurement
from loadtests.crashing_site import MEMBER, PERIOD_S, WATTS, Site, crashing_site, get
from loadtests.wire import WireError
from operators.agent.vault import Vault
from operators.hub.readings import contents, is_reading
from operators.kube import CONFIG_MAPS, NAMESPACES, Kube

NEEDS_DEMO = False
KILLS = 500
CATCH_UP_S = 30
POWER = re.compile(r'^commonweal_gpu_power_watts{gpu_uuid="([^"]+)"[^}]*} (\S+)$', re.MULTILINE)
SLACK_S = 2  # one sample of the site's fast clock: a period's first and last joules may be dated so wrongly
NAMESPACE = member_namespace(MEMBER)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was left: the hub's objects, the exporter's own list, and the counters of the last scrape."""

    reported: tuple[tuple[bytes, bytes], ...]
    closed: dict[str, int]
    energies_mj: dict[str, int]
    watts: dict[str, int]


def measure(kills: int = KILLS) -> list[Measurement]:
    """Drill, let both sides catch up, and judge what every side holds."""
    with tempfile.TemporaryDirectory() as folder, local_clusters(["ch"], state_dir=Path(folder) / "ch") as clusters:
        kubeconfig = clusters["ch"].kubeconfig
        asyncio.run(_namespaces(kubeconfig))
        with crashing_site(Path(folder), kubeconfig) as site:
            before_s = time.monotonic()
            agent_kills = site.drill(kills, Random(6))
            took_s = time.monotonic() - before_s
            evidence, findings = asyncio.run(_caught_up(kubeconfig, site))
    readings = [Reading.model_validate_json(payload) for payload, _ in evidence.reported]
    wrong = [*findings, *_lost(readings, evidence), *_inflated(readings, evidence, site)]
    unflagged = [said for one in readings for said in _unmarked(one, site.outages)]
    note = f"and {agent_kills} of the agent in {took_s:.0f} s; load {os.getloadavg()[0]:.1f}"
    counters = f"{site.scraper.scrapes} scrapes of {len(site.scraper.last)} counters; {_first(site.scraper.falls)}"
    return [
        Measurement(name="energy-crash", value=kills, unit="kills", bound=KILLS, at_most=False, note=note),
        Measurement(name="energy-crash-falls", value=len(site.scraper.falls), unit="counters", bound=0, note=counters),
        Measurement(name="energy-crash-balance", value=site.scraper.unbalanced_mj, unit="mJ", bound=0),
        Measurement(
            name="energy-crash-downtime",
            value=len(unflagged),
            unit="readings-that-hide-it",
            bound=0,
            note=f"{len(site.outages)} outages of more than 10 s; {_first(unflagged)}",
        ),
        Measurement(
            name="energy-crash-readings",
            value=len(wrong),
            unit="readings-lost-doubled-or-inflated",
            bound=0,
            note=f"{len(readings)} signed readings; {_first(wrong)}",
        ),
    ]


def _first(said: list[str]) -> str:
    return said[0] if said else "none"


async def _namespaces(kubeconfig: Path) -> None:
    async with await Kube.from_kubeconfig(kubeconfig) as kube:
        for name in (SYSTEM_NAMESPACE, NAMESPACE):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await kube.apply(NAMESPACES, body, field_manager="bar")


async def _caught_up(kubeconfig: Path, site: Site) -> tuple[Evidence, list[str]]:
    """Wait until the hub has what the exporter closed, and verify it as the hub does.

    Raises:
        WireError: the agent does not catch up, so that something is stuck.
    """
    site.clock.stop()  # so that what is open, closed and shown is of one instant
    async with await Kube.from_kubeconfig(kubeconfig) as kube:
        deadline_s = time.monotonic() + CATCH_UP_S
        while True:
            await asyncio.sleep(1)
            evidence = await _evidence(kube, site)
            if len(evidence.reported) >= sum(evidence.closed.values()):
                break
            if time.monotonic() > deadline_s:
                raise WireError(f"{len(evidence.reported)} readings reported of {evidence.closed}; see the agent's log")
        key = (await Vault(kube=kube).identity()).public_key()
    now = datetime.fromtimestamp(site.clock.now_ms() / 1000, UTC)
    limits = Limits(period_s=PERIOD_S, max_power_mw=max(WATTS) * 1000, min_power_mw=1000, allow_simulated=True)
    findings: list[str] = []
    previous: dict[str, Reading] = {}
    for payload, signature in evidence.reported:
        meter = Reading.model_validate_json(payload).meter
        verdict = verify(
            payload, signature, key, member=MEMBER, previous=previous.get(meter), limits=limits, received_at=now
        )
        findings += [finding.message for finding in verdict.findings]
        if verdict.reading is not None:
            previous[meter] = verdict.reading
    return evidence, findings


async def _evidence(kube: Kube, site: Site) -> Evidence:
    closed: dict[str, int] = json.loads(get(f"{site.url}/readings?after={'9' * 18}"))["meters"]
    reports = [contents(body) for body in (await kube.list(CONFIG_MAPS, NAMESPACE)).items if is_reading(body)]
    reports.sort(key=lambda report: Reading.model_validate_json(report[0]).sequence)
    watts = {meter: int(float(value)) for meter, value in POWER.findall(get(f"{site.url}/metrics"))}
    return Evidence(reported=tuple(reports), closed=closed, energies_mj=dict(site.scraper.last), watts=watts)


def _lost(readings: Iterable[Reading], evidence: Evidence) -> Iterable[str]:
    """What was metered is in a reading, unplaced, or in the one open period."""
    placed_mj = dict.fromkeys(evidence.closed, 0)
    for reading in readings:
        placed_mj[reading.meter] += reading.energy_mj
    for meter in evidence.closed:
        metered_mj = _counter(evidence, "commonweal_gpu_energy_metered", meter)
        open_mj = metered_mj - placed_mj[meter] - _counter(evidence, "commonweal_gpu_energy_unplaced", meter)
        if not 0 <= open_mj <= evidence.watts[meter] * 1000 * (PERIOD_S + SLACK_S):
            yield f"{meter}: {open_mj} mJ of {metered_mj} are in no reading and not unplaced"


def _counter(evidence: Evidence, name: str, meter: str) -> int:
    return max(mj for series, mj in evidence.energies_mj.items() if series.startswith(name) and meter in series)


def _inflated(readings: Iterable[Reading], evidence: Evidence, site: Site) -> Iterable[str]:
    """A reading claims no more than the board's constant power over the period, and no second of an outage."""
    for reading in readings:
        begin_s, end_s = reading.period_start.timestamp(), reading.period_end.timestamp()
        down_s = sum(max(0.0, min(end_s, to / 1000) - max(begin_s, start / 1000)) for start, to in site.outages)
        name = f"{reading.meter} {reading.sequence}"
        if reading.device_seconds > PERIOD_S - down_s + SLACK_S:
            yield f"{name}: {reading.device_seconds} s seen, {down_s:.0f} s of the period down"
        most_mj = evidence.watts[reading.meter] * 1000 * (PERIOD_S + SLACK_S)
        if reading.energy_mj > most_mj:
            yield f"{name}: {reading.energy_mj} mJ, more than {most_mj}"


def _unmarked(reading: Reading, outages: Iterable[tuple[int, int]]) -> Iterable[str]:
    """A reading whose period has seconds of an outage says so."""
    for start, to in outages:
        begin, end = (datetime.fromtimestamp(each / 1000, UTC) for each in (start, to))
        overlaps = begin < reading.period_end and end > reading.period_start
        if overlaps and not {Flag.OUTAGE, Flag.PARTIAL} & set(reading.flags):
            yield f"{reading.meter} {reading.sequence}: no flag for the outage of {begin:%H:%M:%S} to {end:%H:%M:%S}"
