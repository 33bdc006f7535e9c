"""What all consignments of a heading embed in a year: the same rules as for one, applied to groups of customs rows.

Pure. Rows that cannot be assessed are shown with their mass and the reason; they are never counted as zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

from pydantic import ValidationError

from apps.trade.assessment import KG_PER_T, Assessment, Book, Consignment, UnassessableError, assess
from apps.trade.emissions import LEGAL, ZERO
from apps.trade.intervals import Part, interval_t, part_of
from apps.trade.rule_packs import RulePack

SHARE_STEP = Decimal("1e-18")  # as fine as the shares in the disclosures


@dataclass(frozen=True, kw_only=True)
class Group:
    """Customs rows of one member that share good, origin, installation and label."""

    member: str
    cn_code: str
    country: str
    installation_id: str | None
    synthetic: bool
    rows: int
    net_mass_kg: Decimal


@dataclass(frozen=True, kw_only=True)
class Line:
    """Totals of one good, origin and kind of source; tonnes are CO2e, `mass_t` is the goods'."""

    cn_code: str
    country: str
    source: str
    why: str
    rows: int
    mass_t: Decimal
    tonnes_counted: Decimal


@dataclass(frozen=True, kw_only=True)
class Unassessed:
    """Rows left out of the tonnes, and why."""

    reason: str
    rows: int
    mass_t: Decimal


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Totals of a heading and year.

    `tonnes_direct` and `tonnes_indirect` add up what is known by part; `tonnes_not_split` is counted where a default
    value gives the total only. `tonnes_counted` is what the rule pack counts, and `interval_t` the
    central 90 % of what the goods may really embed. `default_share` (0 to 1, weighted by
    counted tonnes) is None where nothing was counted.
    """

    rows: int
    synthetic_rows: int
    mass_t: Decimal
    tonnes_direct: Decimal
    tonnes_indirect: Decimal
    tonnes_not_split: Decimal
    tonnes_counted: Decimal
    interval_t: tuple[float, float] | None
    default_share: Decimal | None
    rows_by_member: dict[str, int]
    lines: tuple[Line, ...]
    unassessed: tuple[Unassessed, ...]


@dataclass
class _Sum:
    rows: int = 0
    mass_t: Decimal = ZERO
    tonnes: Decimal = ZERO


@dataclass
class _Running:
    direct_t: Decimal = ZERO
    indirect_t: Decimal = ZERO
    not_split_t: Decimal = ZERO
    counted_t: Decimal = ZERO
    default_t: Decimal = ZERO
    lines: dict[tuple[str, str, str, str], _Sum] = field(default_factory=dict)
    log_sds: dict[tuple[str, str, str, str], float] = field(default_factory=dict)
    unassessed: dict[str, _Sum] = field(default_factory=dict)


def add_up(groups: Iterable[Group], book: Book, import_year: int, pack: RulePack | None) -> Totals:
    """Assess every group as one consignment and add up; the order of the groups does not matter.

    Goods that another pack than `pack` counts are left out by name: numbers of two methods are never added.
    """
    held = list(groups)
    running = _Running()
    with localcontext(LEGAL):
        for group in held:
            _add(running, group, book, import_year, pack)
        return Totals(
            rows=sum(group.rows for group in held),
            synthetic_rows=sum(group.rows for group in held if group.synthetic),
            mass_t=sum((group.net_mass_kg for group in held), ZERO) / KG_PER_T,
            tonnes_direct=running.direct_t,
            tonnes_indirect=running.indirect_t,
            tonnes_not_split=running.not_split_t,
            tonnes_counted=running.counted_t,
            # Lines are of one value each: rows within a line share its error.
            interval_t=interval_t(
                Part(tonnes=float(line.tonnes), log_sd=running.log_sds[key]) for key, line in running.lines.items()
            ),
            default_share=(running.default_t / running.counted_t).quantize(SHARE_STEP) if running.counted_t else None,
            rows_by_member=_rows_by_member(held),
            lines=tuple(
                Line(
                    cn_code=cn,
                    country=country,
                    source=source,
                    why=why,
                    rows=each.rows,
                    mass_t=each.mass_t,
                    tonnes_counted=each.tonnes,
                )
                for (cn, country, source, why), each in sorted(running.lines.items())
            ),
            unassessed=tuple(
                Unassessed(reason=reason, rows=each.rows, mass_t=each.mass_t)
                for reason, each in sorted(running.unassessed.items())
            ),
        )


def _add(running: _Running, group: Group, book: Book, import_year: int, pack: RulePack | None) -> None:
    mass_t = group.net_mass_kg / KG_PER_T
    try:
        assessment = _assessed(group, book, import_year, pack)
    except UnassessableError as error:
        _put(running.unassessed.setdefault(f"{group.cn_code}: {error}", _Sum()), group.rows, mass_t, ZERO)
        return
    tonnes = assessment.tonnes_counted
    running.counted_t += tonnes
    running.default_t += tonnes * assessment.default_share
    _add_parts(running, assessment)
    key = (group.cn_code, group.country, str(assessment.source), assessment.why)
    _put(running.lines.setdefault(key, _Sum()), group.rows, mass_t, tonnes)
    running.log_sds[key] = part_of(assessment).log_sd


def _assessed(group: Group, book: Book, import_year: int, pack: RulePack | None) -> Assessment:
    assessment = assess(_as_consignment(group, import_year), book)
    if pack is not None and assessment.pack != pack:
        raise UnassessableError(
            "cn_prefix",
            f"{group.cn_code} is counted as '{assessment.pack.label}', the others of this heading as '{pack.label}'",
            f"ask for {group.cn_code[:4]} alone",
        )
    return assessment


def _add_parts(running: _Running, assessment: Assessment) -> None:
    if assessment.tonnes_direct is None:
        running.not_split_t += assessment.tonnes_counted
        return
    running.direct_t += assessment.tonnes_direct
    running.indirect_t += assessment.tonnes_indirect or ZERO


def _as_consignment(group: Group, import_year: int) -> Consignment:
    try:
        return Consignment(
            cn_code=group.cn_code,
            country=group.country,
            installation_id=group.installation_id,
            net_mass_kg=group.net_mass_kg,
            import_year=import_year,
        )
    except ValidationError as error:
        first = error.errors()[0]
        field_name = str(first["loc"][0])
        raise UnassessableError(
            field_name, f"{first['input']!r} at {group.member} is not valid", "correct the customs rows"
        ) from error


def _put(into: _Sum, rows: int, mass_t: Decimal, tonnes: Decimal) -> None:
    into.rows += rows
    into.mass_t += mass_t
    into.tonnes += tonnes


def _rows_by_member(groups: Iterable[Group]) -> dict[str, int]:
    by_member: dict[str, int] = {}
    for group in groups:
        by_member[group.member] = by_member.get(group.member, 0) + group.rows
    return dict(sorted(by_member.items()))
