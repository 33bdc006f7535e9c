"""How a value came about: the ordered steps from what was asked and released, or disclosed, to the tonnes that count.

A trace decides nothing: every output is what the rules' own functions returned for the assessment. The tests recompute
each step from the inputs that it names, by equations typed a second time.
"""

from decimal import Decimal, localcontext

from apps.trade.assessment import Assessment, Disclosed, Source
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
    trace = Trace()
    quantity, see = value(trace, evidence, evidence.assessment)
    trace.add(ABOUT, formulas.TONNES, [quantity, see], evidence.assessment.tonnes_counted)
    return trace


def value(trace: Trace, evidence: Evidence, assessment: Assessment) -> tuple[Operand, Operand]:
    """Add the steps to one way of assessing; returns its quantity and its counted SEE as operands."""
    see = {
        Source.DISCLOSURE: _from_disclosure,
        Source.DEFAULT: _from_default,
        Source.ZERO_RATED: _zero_rated,
    }[assessment.source]
    return _quantity(trace, assessment), see(trace, evidence, assessment)


def _quantity(trace: Trace, assessment: Assessment) -> Operand:
    asked = assessment.consignment
    operands = [asked_for("net_mass_kg", "kg", asked.net_mass_kg)]
    if assessment.contained is None:
        return trace.add(ABOUT, formulas.QUANTITY, operands, assessment.quantity_t)
    content = f"{assessment.contained}_t_per_t"
    operands.append(asked_for(content, "t/t", getattr(asked, content)))
    return trace.add(ABOUT, formulas.QUANTITY_CONTAINED[assessment.contained], operands, assessment.quantity_t)


def _from_disclosure(trace: Trace, evidence: Evidence, assessment: Assessment) -> Operand:
    index, row = served_row(evidence)
    if evidence.disclosure is not None:
        direct, indirect = released(trace, evidence.disclosure, row, assessment.pack)
    else:
        unit = f"t CO2e/{assessment.unit}"
        direct, indirect = (
            Operand(name=name, unit=unit, value=getattr(row, name), source=f"{ROWS}#/{index}/{name}")
            for name in ("see_direct_t_per_t", "see_indirect_t_per_t")
        )
    operands = [direct.named("direct SEE"), indirect.named("indirect SEE")]
    return trace.add(ABOUT, formulas.COUNTED, operands, assessment.see_counted_t_per_t)


def served_row(evidence: Evidence) -> tuple[int, Disclosed]:
    """The row that served; where two members released the same one, the first."""
    asked = evidence.consignment
    wanted = (asked.cn_code, str(asked.import_year), evidence.assessment.pack.id)
    return next(
        (index, row)
        for index, row in enumerate(evidence.disclosed)
        if (row.cn_code, row.period, row.rule_pack) == wanted
    )


def _from_default(trace: Trace, evidence: Evidence, assessment: Assessment) -> Operand:
    asked, pack = evidence.consignment, assessment.pack
    table = evidence.defaults(pack.id)
    if table is None or pack.defaults is None:
        raise AssertionError(f"{pack.id} gave a default value and holds none")
    with localcontext(LEGAL):
        value = default_value(table, asked.cn_code, asked.country, asked.import_year, asked.good)
    row, raw = value.row, value.row.total_t_per_t
    if not isinstance(raw, Decimal):
        raise AssertionError(f"{row.good} of {row.country} served as a default value and has none")  # noqa: TRY004
    total = Operand(
        name="total_t_per_t",
        unit="t CO2e/t",
        value=raw,
        source=f"{pack.defaults.file}#{row.cn_prefix},{row.good},{row.country}",
    )
    looked_up = [asked_for("cn_code", "CN code", asked.cn_code), asked_for("country", "country", asked.country)]
    if asked.good is not None:
        looked_up.append(asked_for("good", "words", asked.good))
    found = trace.add(ABOUT, formulas.DEFAULT_ROW, [*looked_up, total], raw)
    markup = Operand(
        name="mark-up",
        unit="basis points",
        value=Decimal(value.markup_bp),
        source=f"{pack.id}.yaml#/defaults/markup_bp",
    )
    return trace.add(ABOUT, formulas.MARK_UP, [found, markup], assessment.see_counted_t_per_t)


def _zero_rated(trace: Trace, evidence: Evidence, assessment: Assessment) -> Operand:
    origin = asked_for("country", "country", evidence.consignment.country)
    return trace.add(ABOUT, formulas.ZERO_RATED, [origin], assessment.see_counted_t_per_t)


def asked_for(name: str, unit: str, value: Decimal | str) -> Operand:
    """A field of the consignment as an operand."""
    return Operand(name=name, unit=unit, value=value, source=f"{CONSIGNMENT}#/{name}")
