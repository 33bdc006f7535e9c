"""How a value came about: the ordered steps from what was asked and released, or disclosed, to the tonnes that count.

A trace decides nothing: every output is what the rules' own functions returned for the assessment. The tests recompute
each step from the inputs that it names, by equations typed a second time.
"""

from decimal import Decimal, localcontext

from apps.trade.assessment import Disclosed, Source
from apps.trade.audit import formulas
from apps.trade.audit.evidence import CONSIGNMENT, ROWS, Evidence
from apps.trade.audit.processes import released
from apps.trade.audit.steps import Operand, Trace
from apps.trade.defaults import default_value
from apps.trade.emissions import LEGAL

ABOUT = "consignment"


def trace_of(evidence: Evidence) -> Trace:
    """The steps of an assessment.

    Raises:
        UnassessableError: no value can be given.

    """
    assessment = evidence.assessment
    trace = Trace()
    quantity = _quantity(trace, evidence)
    see = {
        Source.DISCLOSURE: _from_disclosure,
        Source.DEFAULT: _from_default,
        Source.ZERO_RATED: _zero_rated,
    }[assessment.source](trace, evidence)
    trace.add(ABOUT, formulas.TONNES, [quantity, see], assessment.tonnes_counted)
    return trace


def _quantity(trace: Trace, evidence: Evidence) -> Operand:
    asked, assessment = evidence.consignment, evidence.assessment
    operands = [_asked("net_mass_kg", "kg", asked.net_mass_kg)]
    if assessment.contained is None:
        return trace.add(ABOUT, formulas.QUANTITY, operands, assessment.quantity_t)
    content = f"{assessment.contained}_t_per_t"
    operands.append(_asked(content, "t/t", getattr(asked, content)))
    return trace.add(ABOUT, formulas.QUANTITY_CONTAINED[assessment.contained], operands, assessment.quantity_t)


def _from_disclosure(trace: Trace, evidence: Evidence) -> Operand:
    index, row = _row(evidence)
    if evidence.disclosure is not None:
        direct, indirect = released(trace, evidence.disclosure, row, evidence.assessment.pack)
    else:
        unit = f"t CO2e/{evidence.assessment.unit}"
        direct, indirect = (
            Operand(name=name, unit=unit, value=getattr(row, name), source=f"{ROWS}#/{index}/{name}")
            for name in ("see_direct_t_per_t", "see_indirect_t_per_t")
        )
    operands = [direct.named("direct SEE"), indirect.named("indirect SEE")]
    return trace.add(ABOUT, formulas.COUNTED, operands, evidence.assessment.see_counted_t_per_t)


def _row(evidence: Evidence) -> tuple[int, Disclosed]:
    """The row that served; where two members released the same one, the first."""
    asked = evidence.consignment
    wanted = (asked.cn_code, str(asked.import_year), evidence.assessment.pack.id)
    return next(
        (index, row)
        for index, row in enumerate(evidence.disclosed)
        if (row.cn_code, row.period, row.rule_pack) == wanted
    )


def _from_default(trace: Trace, evidence: Evidence) -> Operand:
    asked, pack = evidence.consignment, evidence.assessment.pack
    table = evidence.defaults(pack.id)
    if table is None or pack.defaults is None:
        raise AssertionError(f"{pack.id} gave a default value and holds none")
    with localcontext(LEGAL):
        value = default_value(table, asked.cn_code, asked.country, asked.import_year)
    row, raw = value.row, value.row.total_t_per_t
    if not isinstance(raw, Decimal):
        raise AssertionError(f"{row.good} of {row.country} served as a default value and has none")  # noqa: TRY004
    total = Operand(
        name="total_t_per_t",
        unit="t CO2e/t",
        value=raw,
        source=f"{pack.defaults.file}#{row.cn_prefix},{row.good},{row.country}",
    )
    looked_up = [_asked("cn_code", "CN code", asked.cn_code), _asked("country", "country", asked.country), total]
    found = trace.add(ABOUT, formulas.DEFAULT_ROW, looked_up, raw)
    markup = Operand(
        name="mark-up",
        unit="basis points",
        value=Decimal(value.markup_bp),
        source=f"{pack.id}.yaml#/defaults/markup_bp",
    )
    return trace.add(ABOUT, formulas.MARK_UP, [found, markup], evidence.assessment.see_counted_t_per_t)


def _zero_rated(trace: Trace, evidence: Evidence) -> Operand:
    origin = _asked("country", "country", evidence.consignment.country)
    return trace.add(ABOUT, formulas.ZERO_RATED, [origin], evidence.assessment.see_counted_t_per_t)


def _asked(name: str, unit: str, value: Decimal | str) -> Operand:
    return Operand(name=name, unit=unit, value=value, source=f"{CONSIGNMENT}#/{name}")
