"""Asks the trade pilot, through its one address, what a tonne of steel embeds. A client like any other."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

TIMEOUT_SECONDS = 10.0
YEAR = 2026
HEADING = "72"  # iron and steel
PROBLEM = "application/problem+json"


class _Answer(BaseModel):
    # The pilot may say more than this page shows.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Interval(_Answer):
    """The central 90 % of what the goods may really embed, tonnes CO2e; an estimate."""

    low_t: Decimal
    high_t: Decimal


class Way(_Answer):
    """One way to declare: by the disclosure or by the default value. None is not known."""

    source: str
    certificates: Decimal | None


class Bill(_Answer):
    """What a consignment costs in certificates, whether actual data pays, in words, and what would lower it."""

    used: Way
    other: Way | None
    verdict: str
    lowers: tuple[str, ...]


class Assessment(_Answer):
    """What one consignment embeds: tonnes CO2e per tonne; None is unknown, never zero."""

    cn_code: str
    country: str
    installation_id: str | None
    source: str
    why: str
    see_direct_t_per_t: Decimal | None
    see_indirect_t_per_t: Decimal | None
    see_counted_t_per_t: Decimal
    counts: str
    default_share: Decimal
    rule_pack: str
    release: str | None
    member: str | None
    data_age_s: int
    interval: Interval | None = None
    bill: Bill | None = None


class Contribution(_Answer):
    """What one member answered."""

    member: str
    dataset: str
    grant: str
    rows: int
    age_s: int


class Line(_Answer):
    """Totals of one good, origin and source."""

    cn_code: str
    country: str
    source: str
    why: str
    rows: int
    mass_t: Decimal
    tonnes_counted: Decimal


class LeftOut(_Answer):
    """Rows that no number could be given for."""

    reason: str
    rows: int
    mass_t: Decimal


class Totals(_Answer):
    """Totals of a heading and a year; tonnes are CO2e, `mass_t` is the goods' own."""

    cn_prefix: str
    year: int
    synthetic: bool
    rows: int
    synthetic_rows: int
    mass_t: Decimal
    tonnes_direct: Decimal
    tonnes_indirect: Decimal
    tonnes_not_split: Decimal
    tonnes_counted: Decimal
    default_share: Decimal | None
    rule_pack: str | None
    release: str | None
    sources: tuple[Contribution, ...]
    lines: tuple[Line, ...]
    unassessed: tuple[LeftOut, ...]


@dataclass(frozen=True, kw_only=True)
class Good:
    """A tonne that the page asks about."""

    label: str
    cn_code: str
    country: str
    installation_id: str | None


# The first is the page's answer; the last shows what a maker pays who discloses nothing.
GOODS = (
    Good(label="Hot-rolled coil, blast furnace", cn_code="72081000", country="KR", installation_id="EC-EXAMPLE-2"),
    Good(label="Stainless slab, electric arc", cn_code="72189911", country="KR", installation_id="EC-EXAMPLE-3"),
    Good(label="Stainless pipe, electric arc", cn_code="73041100", country="KR", installation_id="EC-EXAMPLE-3"),
    Good(label="Hot-rolled coil, not disclosed", cn_code="72081000", country="KR", installation_id=None),
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One good and its answer, or why there is none."""

    good: Good
    assessment: Assessment | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Everything that the trade page shows, asked at one time."""

    asked_at: datetime
    goods: tuple[Asked, ...]
    totals: Totals | None
    totals_problem: str | None


class PilotError(Exception):
    """The pilot gave no answer; the message is the pilot's own where it gave one."""


T = TypeVar("T", bound=_Answer)


def ask(client: httpx.Client, now: datetime) -> Answers:
    """Ask for every good and for the year's totals; a refusal of one is part of the answer."""
    goods = tuple(_asked(client, good) for good in GOODS)
    try:
        request = client.build_request("GET", "/v1/totals", params={"cn_prefix": HEADING, "year": YEAR})
        totals = _answer(client, request, Totals)
    except PilotError as error:
        return Answers(asked_at=now, goods=goods, totals=None, totals_problem=str(error))
    return Answers(asked_at=now, goods=goods, totals=totals, totals_problem=None)


def _asked(client: httpx.Client, good: Good) -> Asked:
    body = {
        "cn_code": good.cn_code,
        "country": good.country,
        "installation_id": good.installation_id,
        "net_mass_kg": "1000",
        "import_year": YEAR,
    }
    try:
        request = client.build_request("POST", "/v1/assessments", json=body)
        return Asked(good=good, assessment=_answer(client, request, Assessment))
    except PilotError as error:
        return Asked(good=good, problem=str(error))


def _answer(client: httpx.Client, request: httpx.Request, model: type[T]) -> T:
    try:
        response = client.send(request)
    except httpx.HTTPError as error:
        raise PilotError(f"the pilot does not answer ({error or type(error).__name__})") from error
    if response.status_code != httpx.codes.OK:
        raise PilotError(f"the pilot answered {response.status_code}{_detail(response)}")
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PilotError(f"the pilot's answer cannot be read: {where}: {first['msg']}") from error


def _detail(response: httpx.Response) -> str:
    if not response.headers.get("content-type", "").startswith(PROBLEM):
        return ""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {detail}"


def connect(address: str) -> httpx.Client:
    """Return a client of a pilot; the caller closes it."""
    return httpx.Client(base_url=address, timeout=TIMEOUT_SECONDS, trust_env=False)
