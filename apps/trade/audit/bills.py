"""The certificates of an assessment as a second attested result, with a statement and a trace of its own.

A price is new every quarter and an emission is not: the statement about emissions names no price and does not change
with one. The statement about the bill names the result that it is the bill of, the prices, and the rules.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from apps.trade.assessment import Assessment, Source, by_default
from apps.trade.audit import formulas
from apps.trade.audit.allocations import Scales, disclosed_allocation
from apps.trade.audit.evidence import ROWS, Evidence
from apps.trade.audit.steps import Operand, Trace
from apps.trade.audit.trace import asked_for, served_row, value
from apps.trade.bill import Bill, Way
from apps.trade.certificates import price_reduction_t
from apps.trade.emissions import LEGAL, ZERO
from apps.trade.views import bill_view
from commonweal.transparency import canonical_json

BILL = "bill.json"
BILL_TRACE = "bill-trace.jsonl"
BILL_ENVELOPE = "bill.dsse.json"
PREDICATE_TYPE = "https://commonweal.dev/attestations/trade-bill/v1"
RESULT = "result.json"  # what a bill is the bill of
ABOUT = "bill"


def bill_json(bill: Bill) -> bytes:
    """The bill as it is packed: exact numbers as text."""
    return canonical_json(bill_view(bill).model_dump(mode="json"))


def bill_trace(evidence: Evidence, bill: Bill) -> Trace:
    """The steps from the assessed quantity, its SEE, benchmarks and price to certificates and cost.

    Raises:
        UnassessableError: no value can be given.

    """
    trace, assessment = Trace(), evidence.assessment
    with localcontext(LEGAL):
        reduction = _reduction(trace, evidence, bill)
        quantity = _result("quantity_t", assessment.unit, assessment.quantity_t)
        unit = f"t CO2e/{assessment.unit}"
        see = _result("see_counted_t_per_t", unit, assessment.see_counted_t_per_t)
        used = _way(_Walk(trace=trace, evidence=evidence, assessment=assessment), bill.used, [quantity, see], reduction)
        if bill.other is not None:
            other = by_default(evidence.consignment, evidence.book, assessment.pack)
            operands = list(value(trace, evidence, other))
            _way(_Walk(trace=trace, evidence=evidence, assessment=other), bill.other, operands, [])
        if bill.cost_eur is not None and used is not None:
            trace.add(ABOUT, formulas.COST, [used, *_price(evidence, bill)], bill.cost_eur)
    return trace


@dataclass(frozen=True, kw_only=True)
class _Walk:
    trace: Trace
    evidence: Evidence
    assessment: Assessment


def _way(walk: _Walk, way: Way, assessed: list[Operand], reduction: list[Operand]) -> Operand | None:
    """The steps of one way to declare; None where its free allocation is not known, and then nothing is claimed."""
    if way.sefa_t_per_t is None or way.certificates is None:
        return None
    sefa = _allocation(walk, way.sefa_t_per_t)
    operands = [*assessed, sefa.named("free allocation"), *reduction]
    return walk.trace.add(f"{ABOUT}, {way.source}", formulas.CERTIFICATES, operands, way.certificates)


def _allocation(walk: _Walk, sefa_t_per_t: Decimal) -> Operand:
    evidence, assessment = walk.evidence, walk.assessment
    asked = evidence.consignment
    if assessment.source is Source.ZERO_RATED:
        return walk.trace.add(ABOUT, formulas.NOTHING_FREE, [asked_for("country", "country", asked.country)], ZERO)
    index, row = served_row(evidence) if assessment.source is Source.DISCLOSURE else (0, None)
    if row is not None and evidence.disclosure is None:
        name = "free_allocation_t_per_t"
        unit = f"t CO2e/{assessment.unit}"
        return Operand(name=name, unit=unit, value=sefa_t_per_t, source=f"{ROWS}#/{index}/{name}")
    scales = _scales(walk)
    if row is None or evidence.disclosure is None:
        return scales.by_default(ABOUT, asked.cn_code)
    return disclosed_allocation(scales, evidence.disclosure, row, sefa_t_per_t)


def _scales(walk: _Walk) -> Scales:
    pack, evidence = walk.assessment.pack, walk.evidence
    table, file = evidence.benchmarks(pack.id), pack.free_allocation
    if table is None or file is None:
        raise AssertionError(f"{pack.id} gave a bill and holds no benchmarks")
    year = evidence.consignment.import_year
    return Scales(trace=walk.trace, pack=pack, file=file, table=table, year=year)


def _reduction(trace: Trace, evidence: Evidence, bill: Bill) -> list[Operand]:
    """The carbon price paid, as certificates; nothing where none is claimed."""
    paid = evidence.consignment.carbon_price_paid_eur
    if not paid or bill.certificate_eur is None:
        return []
    operands = [asked_for("carbon_price_paid_eur", "EUR", paid), *_price(evidence, bill)]
    return [trace.add(ABOUT, formulas.PRICE_PAID, operands, price_reduction_t(paid, bill.certificate_eur))]


def _price(evidence: Evidence, bill: Bill) -> list[Operand]:
    asked, file = evidence.consignment, evidence.assessment.pack.certificate_prices
    if bill.certificate_eur is None:
        return []
    quarter = f"{asked.import_year}-Q{asked.import_quarter}"
    return [Operand(name="price", unit="EUR", value=bill.certificate_eur, source=f"{file}#{quarter}")]


def _result(name: str, unit: str, number: Decimal) -> Operand:
    return Operand(name=name, unit=unit, value=number, source=f"{RESULT}#/{name}")
