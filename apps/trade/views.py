"""The JSON that the API speaks. Exact numbers are decimal strings, so that no client's float changes them."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer

from apps.trade.assessment import Assessment
from apps.trade.bill import Bill, Way
from apps.trade.goods import Strict
from apps.trade.intervals import METHOD, interval_t, part_of
from apps.trade.rule_packs import RulePack
from apps.trade.totals import Totals

ASKED = ("cn_code", "country", "installation_id", "net_mass_kg", "import_year")


def plain(value: Decimal) -> str:
    """A Decimal without exponent and without trailing zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


Exact = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]


class WayView(Strict):
    """One way to declare: by the disclosure or by the default value. Null is not known, and `allocation` says why."""

    source: str
    tonnes_counted: Exact
    sefa_t_per_t: Annotated[Exact | None, Field(description="specific embedded free allocation per functional unit")]
    allocation: str
    certificates: Exact | None


class BillView(Strict):
    """Certificates of one consignment, one for each tonne CO2e after free allocation."""

    used: WayView
    other: WayView | None
    actual_pays: Annotated[
        bool | None, Field(description="false: actual data does not pay here; null: nothing to compare")
    ]
    verdict: str
    lowers: Annotated[tuple[str, ...], Field(description="what would lower the number")]
    certificate_eur: Exact | None
    cost_eur: Exact | None


class IntervalView(Strict):
    """The central 90 % of what the goods may really embed, tonnes CO2e; an estimate in floating point."""

    low_t: float
    high_t: float
    method: str = METHOD


class AssessmentView(Strict):
    """Answer of POST /v1/assessments. SEE is tonnes CO2e per tonne; null is unknown, never zero."""

    cn_code: str
    country: str
    installation_id: str | None
    net_mass_kg: Exact
    import_year: int
    source: Annotated[str, Field(description="disclosure, default or zero-rated")]
    why: str
    unit: Annotated[str, Field(description="what quantity_t and the SEE are per")]
    quantity_t: Exact
    see_direct_t_per_t: Exact | None
    see_indirect_t_per_t: Exact | None
    see_counted_t_per_t: Exact
    tonnes_direct: Exact | None
    tonnes_indirect: Exact | None
    tonnes_counted: Annotated[Exact, Field(description="tonnes CO2e that the rule pack counts")]
    counts: Annotated[str, Field(description="direct, or direct and indirect")]
    default_share: Annotated[Exact, Field(description="0 to 1: part that rests on default values")]
    rule_pack: str
    label: Annotated[str, Field(description="the method; numbers of different labels are never added")]
    celex: str
    release: str | None
    release_note: str | None
    markup_bp: int | None
    is_fallback: Annotated[bool, Field(description="whether the default value is that of other countries")]
    member: Annotated[str | None, Field(description="the member whose disclosure this is")]
    members_asked: tuple[str, ...]
    grant: str
    evidence_sha256: Annotated[str | None, Field(description="of the disclosure's inputs, or of the default table")]
    data_age_s: Annotated[int, Field(description="seconds since the oldest answer used came from its member")]
    interval: Annotated[IntervalView | None, Field(description="null where nothing is counted")] = None
    bill: Annotated[BillView | None, Field(description="null where the method knows no certificates")] = None


class MemberView(Strict):
    """What one member contributed to an answer."""

    member: str
    dataset: str
    grant: str
    rows: int
    age_s: int


class LineView(Strict):
    """Totals of one good, origin and kind of source."""

    cn_code: str
    country: str
    source: str
    why: str
    rows: int
    mass_t: Exact
    tonnes_counted: Exact


class UnassessedView(Strict):
    """Rows left out of the tonnes, and why."""

    reason: str
    rows: int
    mass_t: Exact


class TotalsView(Strict):
    """Answer of GET /v1/totals. Tonnes are CO2e; `mass_t` is the goods' own."""

    cn_prefix: str
    year: int
    synthetic: Annotated[bool, Field(description="whether any of the rows is made up")]
    rows: int
    synthetic_rows: int
    mass_t: Exact
    tonnes_direct: Exact
    tonnes_indirect: Annotated[Exact, Field(description="disclosed indirect emissions, whether or not they count")]
    tonnes_not_split: Annotated[Exact, Field(description="counted where a default value gives the total only")]
    tonnes_counted: Exact
    interval: IntervalView | None
    default_share: Exact | None
    rule_pack: str | None
    label: str | None
    release: str | None
    sources: tuple[MemberView, ...]
    lines: tuple[LineView, ...]
    unassessed: tuple[UnassessedView, ...]


class FieldProblem(Strict):
    """One wrong field."""

    field: str
    detail: str
    remedy: str


class Problem(Strict):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldProblem, ...] = ()


def assessment_view(
    assessment: Assessment, *, members: tuple[str, ...], grant: str, age_s: float, bill: Bill | None = None
) -> AssessmentView:
    """The answer for one consignment."""
    defaults = assessment.pack.defaults if assessment.markup_bp is not None else None
    return AssessmentView(
        **{name: getattr(assessment.consignment, name) for name in ASKED},
        source=str(assessment.source),
        why=assessment.why,
        unit=assessment.unit,
        quantity_t=assessment.quantity_t,
        see_direct_t_per_t=assessment.see_direct_t_per_t,
        see_indirect_t_per_t=assessment.see_indirect_t_per_t,
        see_counted_t_per_t=assessment.see_counted_t_per_t,
        tonnes_direct=assessment.tonnes_direct,
        tonnes_indirect=assessment.tonnes_indirect,
        tonnes_counted=assessment.tonnes_counted,
        counts=assessment.counts,
        default_share=assessment.default_share,
        rule_pack=assessment.pack.id,
        label=assessment.pack.label,
        celex=assessment.pack.celex,
        release=defaults.release if defaults else None,
        release_note=defaults.note if defaults else None,
        markup_bp=assessment.markup_bp,
        is_fallback=assessment.is_fallback,
        member=assessment.member,
        members_asked=members,
        grant=grant,
        evidence_sha256=assessment.evidence_sha256,
        data_age_s=int(age_s),
        interval=_interval_view(interval_t([part_of(assessment)])),
        bill=bill_view(bill) if bill is not None else None,
    )


def _interval_view(interval: tuple[float, float] | None) -> IntervalView | None:
    return None if interval is None else IntervalView(low_t=interval[0], high_t=interval[1])


def bill_view(bill: Bill) -> BillView:
    """The certificates of one consignment."""
    return BillView(
        used=_way_view(bill.used),
        other=_way_view(bill.other) if bill.other is not None else None,
        actual_pays=bill.actual_pays,
        verdict=bill.verdict,
        lowers=bill.lowers,
        certificate_eur=bill.certificate_eur,
        cost_eur=bill.cost_eur,
    )


def _way_view(way: Way) -> WayView:
    return WayView(
        source=str(way.source),
        tonnes_counted=way.tonnes_counted,
        sefa_t_per_t=way.sefa_t_per_t,
        allocation=way.allocation,
        certificates=way.certificates,
    )


def totals_view(
    cn_prefix: str,
    year: int,
    totals: Totals,
    *,
    sources: tuple[MemberView, ...],
    pack: RulePack | None,
) -> TotalsView:
    """The answer for a heading and year."""
    return TotalsView(
        cn_prefix=cn_prefix,
        year=year,
        synthetic=totals.synthetic_rows > 0,
        rows=totals.rows,
        synthetic_rows=totals.synthetic_rows,
        mass_t=totals.mass_t,
        tonnes_direct=totals.tonnes_direct,
        tonnes_indirect=totals.tonnes_indirect,
        tonnes_not_split=totals.tonnes_not_split,
        tonnes_counted=totals.tonnes_counted,
        interval=_interval_view(totals.interval_t),
        default_share=totals.default_share,
        rule_pack=pack.id if pack else None,
        label=pack.label if pack else None,
        release=pack.defaults.release if pack and pack.defaults else None,
        sources=sources,
        lines=tuple(LineView(**vars(line)) for line in totals.lines),
        unassessed=tuple(UnassessedView(**vars(each)) for each in totals.unassessed),
    )
