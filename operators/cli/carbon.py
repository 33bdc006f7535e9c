"""What an application emits where it runs, and what the greenest members that may run it would save."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from rich.table import Table

from commonweal.carbon_choice import Intensity, Range, emitted, greenest, intensities, ranked, saved
from commonweal.green import MJ_PER_WH, Basis, Factor, GreenError, Method
from commonweal.kinds.member import Member
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster
from commonweal.membership import member_of
from commonweal.placement import app_of, refusal
from operators.cli.terminal import CommandError
from operators.hub.resources import MEMBERS, PILOT_APPS, POOLED_CLUSTERS
from operators.kube import Kube, NotFound

COLUMNS = tuple(each.name for each in fields(Factor))


@dataclass(frozen=True, kw_only=True)
class Case:
    """Where an application runs, and the zones of the members that may run it."""

    app: PilotApp
    placed: Mapping[str, int]
    zones: Mapping[str, str]
    allowed: frozenset[str]


def read_factors(path: Path) -> dict[str, Intensity]:
    """Read a CSV of factors; every row names its zone, vintage, method, basis, source and licence.

    Raises:
        CommandError: the file or a row is not that; names the line.
    """
    if not path.is_file():
        raise CommandError(f"--factors: {path} does not exist; give a CSV with the columns {', '.join(COLUMNS)}")
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if set(rows.fieldnames or ()) != set(COLUMNS):
            raise CommandError(f"--factors: {path}: its columns are not {', '.join(COLUMNS)}")
        for row in rows:
            try:
                found.append(_factor(row))
            except (GreenError, ValueError) as error:
                raise CommandError(f"--factors: {path}: line {rows.line_num}: {error}") from None
    try:
        return intensities(found)
    except GreenError as error:
        raise CommandError(f"--factors: {path}: {error}") from None


def _factor(row: Mapping[str, str]) -> Factor:
    return Factor(
        zone=row["zone"],
        vintage=int(row["vintage"]),
        method=Method(row["method"]),
        basis=Basis(row["basis"]),
        source=row["source"],
        licence=row["licence"],
        mg_per_kwh=int(row["mg_per_kwh"]),
    )


async def read_case(kube: Kube, name: str) -> Case:
    """Where an application runs now.

    Raises:
        CommandError: there is no such application, or it runs nowhere.
    """
    try:
        app = PilotApp.read(await kube.get(PILOT_APPS, name))
    except NotFound:
        raise CommandError(f"APP: there is no PilotApp {name}; `commonweal status` lists them") from None
    pledges = [PooledCluster.read(body) for body in (await kube.list(POOLED_CLUSTERS)).items]
    return case_of(app, pledges, [Member.read(body) for body in (await kube.list(MEMBERS)).items])


def case_of(app: PilotApp, pledges: Iterable[PooledCluster], members: Iterable[Member]) -> Case:
    """Where an application runs, and which of the members that pledge may run it by the rules of placement.

    Raises:
        CommandError: it runs nowhere.
    """
    placed = {each.member: each.replicas for each in app.status.placements if each.replicas} if app.status else {}
    if not placed:
        raise CommandError(f"APP: {app.metadata.name} runs nowhere; there is nothing to compare")
    zones: dict[str, str] = {}
    for pledge in sorted(pledges, key=lambda each: each.metadata.name):
        if member := member_of(pledge.metadata.namespace or ""):
            zones.setdefault(member, pledge.spec.location.grid_zone)
    allowed = frozenset(each.metadata.name for each in members if each.metadata.name in zones and _may_run(app, each))
    return Case(app=app, placed=placed, zones=zones, allowed=allowed)


def _may_run(app: PilotApp, member: Member) -> bool:
    engine = member.status.site.engine if member.status and member.status.site else None
    spec = member.spec
    return refusal(app_of(app), member.metadata.name, spec.country, engine, accepted=spec.hub_accepts) is None


def report(case: Case, known: Mapping[str, Intensity], watts: int) -> tuple[Table, str]:
    """Every member that may run it, and what the greenest of them would save, in grams an hour.

    Raises:
        CommandError: a member's zone has no factor.
    """
    mj_an_hour = watts * MJ_PER_WH
    here = {name: case.zones[name] for name in case.allowed | case.placed.keys() if name in case.zones}
    try:
        order = ranked(here, known)
    except GreenError as error:
        raise CommandError(f"--{error}") from None
    may = [name for name in order if name in case.allowed]
    instead = greenest(may, sum(case.placed.values()), case.app.spec.placement.min_members)
    table = Table(title=f"{case.app.metadata.name}, {watts} W a replica, location-based", title_justify="left")
    for heading in ("member", "zone", "replicas", "greenest", "g CO2e an hour for one"):
        table.add_column(heading, overflow="fold")
    for name in order:
        one = emitted({name: 1}, here, known, mj_an_hour)
        counts = str(case.placed.get(name, 0)), str(instead.get(name, 0))
        table.add_row(name, here[name], *counts, _grams(one))
    now = emitted(case.placed, here, known, mj_an_hour)
    gain = saved(case.placed, instead, here, known, mj_an_hour)
    return table, (
        f"Where it runs it emits {_grams(now)} g CO2e an hour; the greenest placement, if it had room, would save "
        f"{_grams(gain)} g of that"
    )


def _grams(amount: Range) -> str:
    low, high = (f"{float(each / 1000):.2f}" for each in (amount.low_mg, amount.high_mg))
    return low if low == high else f"{low} to {high}"
