"""Green power by the hour: certificates matched with what was drawn in the same zone and hour, and each used up once.

A year's certificates can cover a year's use on paper and half of its hours in fact, so both figures stand side by side.
Sources: EnergyTag's granular certificates (whole Wh, at most an hour), Google's 24/7 carbon-free energy score, SCI
(ISO/IEC 21031), PUE (ISO/IEC 30134-2). Location-based and market-based carbon are types that do not add.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

MJ_PER_WH = 3_600_000  # millijoules; every `mj` here is a millijoule, as everywhere in the books
MJ_PER_KWH = 1000 * MJ_PER_WH
HOUR = timedelta(hours=1)


class GreenError(ValueError):
    """A certificate, a load or a factor that nothing can be claimed from; names the field and the remedy."""


Hour = tuple[str, datetime]  # a zone of the grid, and the start of an hour in UTC


def _refuse_no_hour(field: str, zone: str, start: datetime) -> None:
    if not zone:
        raise GreenError(f"{field}.zone: empty; name the zone of the grid, as CA-QC")
    if start.utcoffset() != timedelta(0) or start.replace(minute=0, second=0, microsecond=0) != start:
        raise GreenError(f"{field}.hour: {start.isoformat()} is not the start of an hour in UTC")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """So many whole watt-hours that one generator delivered to its zone in one hour; the issuer's `id` is unique."""

    id: str
    owner: str
    zone: str
    hour: datetime
    wh: int

    def __post_init__(self) -> None:
        """Refuse what no issuer issues.

        Raises:
            GreenError: no zone, no whole hour, or nothing delivered.
        """
        _refuse_no_hour(f"certificate {self.id}", self.zone, self.hour)
        if self.wh <= 0:
            raise GreenError(f"certificate {self.id}.wh: {self.wh} is not above 0; certificates are of whole Wh")


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one member's meters read in one zone and hour, in millijoules."""

    member: str
    zone: str
    hour: datetime
    mj: int

    def __post_init__(self) -> None:
        """Refuse what no meter reads.

        Raises:
            GreenError: no zone, no whole hour, or below 0.
        """
        _refuse_no_hour(f"load of {self.member}", self.zone, self.hour)
        if self.mj < 0:
            raise GreenError(f"load of {self.member}.mj: {self.mj} is below 0")


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """So many watt-hours of a certificate, used up by a member for an hour's load; it cannot be undone."""

    certificate: str
    member: str
    wh: int


def matched(
    certificates: Iterable[Certificate], loads: Iterable[Load], retired: Iterable[Retirement] = ()
) -> tuple[Retirement, ...]:
    """Use up certificates for their owners' loads of the same zone and hour, in whole Wh rounded down, by id.

    What `retired` used up before is gone. Surplus of one hour is not carried to another. What is given twice counts
    once, so a member's load is one sum a zone and hour.

    Raises:
        GreenError: two different certificates of one id, or more was retired of one than it holds.
    """
    unique = _one_an_id(certificates)
    left = _left(unique, retired)
    need: Counter[tuple[str, Hour]] = Counter()
    for load in set(loads):
        need[load.member, (load.zone, load.hour)] += load.mj
    done = []
    open_wh = {key: mj // MJ_PER_WH for key, mj in need.items()}
    for certificate in sorted(unique.values(), key=lambda one: one.id):
        key = certificate.owner, (certificate.zone, certificate.hour)
        if wh := min(left[certificate.id], open_wh.get(key, 0)):
            open_wh[key] -= wh
            done.append(Retirement(certificate=certificate.id, member=certificate.owner, wh=wh))
    return tuple(done)


def _one_an_id(certificates: Iterable[Certificate]) -> dict[str, Certificate]:
    unique: dict[str, Certificate] = {}
    for certificate in certificates:
        if unique.setdefault(certificate.id, certificate) != certificate:
            raise GreenError(f"certificate {certificate.id}.id: issued twice, differently; ask the issuer which holds")
    return unique


def _left(certificates: Mapping[str, Certificate], retired: Iterable[Retirement]) -> dict[str, int]:
    left = {id_: certificate.wh for id_, certificate in certificates.items()}
    for one in retired:
        if one.certificate in left:
            left[one.certificate] -= one.wh
            if left[one.certificate] < 0:
                raise GreenError(f"certificate {one.certificate}: retired beyond its Wh; a certificate backs one claim")
    return left


def green_mj(retirements: Iterable[Retirement]) -> dict[str, int]:
    """What each member's matched certificates cover, in millijoules: the green energy of its contribution."""
    sums: Counter[str] = Counter()
    for one in retirements:
        sums[one.member] += one.wh * MJ_PER_WH
    return dict(sums)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How green a span was: by the hour, by the hour with what the grid itself had, and over the whole span."""

    hourly: Fraction
    carbon_free: Fraction
    annual: Fraction


def scores(supply: Mapping[Hour, int], load: Mapping[Hour, int], grid_carbon_free: Mapping[Hour, Fraction]) -> Scores:
    """Score a span from supply and load in one energy unit, and the grid's carbon-free share of each hour.

    hourly = sum min(C, L) / sum L; carbon-free = sum (min(C, L) + g x max(L - C, 0)) / sum L;
    annual = min(sum C, sum L) / sum L.

    Raises:
        GreenError: nothing was drawn, or an hour's share of the grid is missing or no share.
    """
    whole = sum(load.values())
    if whole <= 0:
        raise GreenError("load: 0 in all; a score of no use says nothing")
    own = carbon_free = Fraction(0)
    for hour, drawn in load.items():
        share = grid_carbon_free.get(hour)
        if share is None or not 0 <= share <= 1:
            raise GreenError(f"grid_carbon_free: {hour[0]} at {hour[1]:%FT%HZ} is {share}; give a share of 0 to 1")
        covered = min(supply.get(hour, 0), drawn)
        own += covered
        carbon_free += covered + share * (drawn - covered)
    annual = Fraction(min(sum(supply.values()), whole), whole)
    return Scores(hourly=own / whole, carbon_free=carbon_free / whole, annual=annual)


class Method(StrEnum):
    """What a factor counts: burning at the plant, or the plant's whole life."""

    DIRECT = "direct"
    LIFECYCLE = "lifecycle"


class Basis(StrEnum):
    """Whose power a factor is of: what the zone generates, or what it consumes with its imports."""

    PRODUCTION = "production"
    CONSUMPTION = "consumption"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """Milligrams of CO2e per kWh, with all that decides whether two of them are of one kind."""

    zone: str
    vintage: int
    method: Method
    basis: Basis
    source: str
    licence: str
    mg_per_kwh: int

    def __post_init__(self) -> None:
        """Refuse a factor that nobody could check.

        Raises:
            GreenError: a field is empty, or the factor is below 0.
        """
        for field in ("zone", "source", "licence"):
            if not getattr(self, field):
                raise GreenError(f"factor.{field}: empty; a factor without it cannot be checked")
        if self.mg_per_kwh < 0:
            raise GreenError(f"factor.mg_per_kwh: {self.mg_per_kwh} is below 0; removals are not a factor")

    @property
    def kind(self) -> tuple[Method, Basis]:
        """What two amounts must share to be summed."""
        return self.method, self.basis


@dataclass(frozen=True)
class LocationBased:
    """Milligrams of CO2e by the grid where the machines stand; what SCI counts."""

    mg: Fraction
    kind: tuple[Method, Basis]

    def __add__(self, other: "LocationBased") -> "LocationBased":
        """Sum two amounts of one kind."""
        return LocationBased(_summed(self, other), self.kind)


@dataclass(frozen=True)
class MarketBased:
    """Milligrams of CO2e by the contracts that were bought; never added to what the grid emitted."""

    mg: Fraction
    kind: tuple[Method, Basis]

    def __add__(self, other: "MarketBased") -> "MarketBased":
        """Sum two amounts of one kind."""
        return MarketBased(_summed(self, other), self.kind)


A = TypeVar("A", LocationBased, MarketBased)


def _summed(one: A, other: A) -> Fraction:
    if type(one) is not type(other):
        raise GreenError(f"{type(one).__name__} and {type(other).__name__} do not add; report both, side by side")
    if one.kind != other.kind:
        raise GreenError(f"factors of {one.kind} and {other.kind} do not add; take both from one method and basis")
    return one.mg + other.mg


def location_based(mj: int, factor: Factor) -> LocationBased:
    """What drawing so many millijoules emitted on the grid of the factor's zone."""
    return LocationBased(Fraction(mj * factor.mg_per_kwh, MJ_PER_KWH), factor.kind)


def market_based(load: Load, retirements: Iterable[Retirement], residual: Factor) -> MarketBased:
    """What a load emitted by contract: nothing where a certificate was retired for it, the residual mix elsewhere.

    Raises:
        GreenError: the residual mix is another zone's, or more was retired than was drawn.
    """
    if residual.zone != load.zone:
        raise GreenError(f"factor.zone: {residual.zone}, but the load is in {load.zone}")
    uncovered_mj = load.mj - sum(one.wh for one in retirements if one.member == load.member) * MJ_PER_WH
    if uncovered_mj < 0:
        raise GreenError(f"load of {load.member}: less than was retired for it; retire for the hour's load only")
    return MarketBased(Fraction(uncovered_mj * residual.mg_per_kwh, MJ_PER_KWH), residual.kind)


def pue(facility_mj: int, it_mj: int) -> Fraction:
    """Power usage effectiveness: what the facility drew for each joule of its IT.

    Raises:
        GreenError: no IT energy, or the whole drew less than its part.
    """
    if not 0 < it_mj <= facility_mj:
        raise GreenError(
            f"it_mj: {it_mj} of {facility_mj}; a facility draws at least what its IT draws, and that is some"
        )
    return Fraction(facility_mj, it_mj)


def embodied_mg(*, whole_mg: int, reserved_s: int, lifespan_s: int, reserved_parts: int, whole_parts: int) -> Fraction:
    """SCI's M = TE x (TiR / EL) x (RR / ToR): the part of making the hardware that a reservation answers for.

    Raises:
        GreenError: a reservation of more than there is, or no lifespan.
    """
    if not (0 <= reserved_s <= lifespan_s and 0 <= reserved_parts <= whole_parts and lifespan_s and whole_parts):
        raise GreenError("embodied: a reservation is at most the lifespan and at most the whole; check both pairs")
    return Fraction(whole_mg * reserved_s * reserved_parts, lifespan_s * whole_parts)


def intensity(operational: LocationBased, embodied: Fraction, units: int) -> Fraction:
    """SCI = (E x I + M) per R, in milligrams of CO2e per functional unit; location-based only.

    Raises:
        GreenError: no functional unit was delivered, or a market-based amount was given.
    """
    if not isinstance(operational, LocationBased):
        raise GreenError("operational: SCI excludes market-based measures; give what the grid emitted")
    if units <= 0:
        raise GreenError(f"units: {units} is not above 0; an intensity is per something delivered")
    return (operational.mg + embodied) / units
