"""The page of a customs officer: one consignment, then a heading's year. Plain HTML, no script."""

from decimal import Decimal
from html import escape
from urllib.parse import urlencode

from apps.trade.views import AssessmentView, BillView, IntervalView, Problem, TotalsView, plain

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
form{display:flex;flex-wrap:wrap;gap:.75rem;align-items:end;margin:1rem 0}
label{display:flex;flex-direction:column;font-size:.85rem}
input{font:inherit;padding:.3rem .5rem;width:11rem}
button{font:inherit;padding:.35rem 1rem}
.answer{font-size:1.35rem}.problem{border-left:4px solid #b00020;padding-left:1rem}
.label{background:#fff3cd;padding:.1rem .4rem}
table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.25rem .75rem;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}
"""
_FIELDS = (
    ("cn_code", "CN code (8 digits)", "72081000"),
    ("country", "Country of origin", "KR"),
    ("installation_id", "Installation (if known)", ""),
    ("net_mass_kg", "Net mass, kg", "25000"),
    ("import_year", "Year of import", "2026"),
    ("clinker_t_per_t", "Cement: t clinker per t", ""),
    ("nitrogen_t_per_t", "Fertiliser: t nitrogen per t", ""),
    ("good", "Which good, if several", ""),
    ("import_quarter", "Quarter, for EUR", ""),
    ("carbon_price_paid_eur", "Carbon price paid, EUR", ""),
)
_TOTALS_FIELDS = (("cn_prefix", "CN code begins with", "7208"), ("year", "Year", "2026"))


def render(
    given: dict[str, str],
    assessed: AssessmentView | Problem | None,
    added: TotalsView | Problem | None,
    *,
    signs: bool,
) -> str:
    """The whole page; `given` is what the visitor entered, `signs` whether evidence can be had."""
    return "".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width'><title>Embedded emissions</title>",
            f"<style>{_STYLE}</style><h1>What does this consignment embed?</h1>",
            _form(_FIELDS, given, "Assess"),
            _assessment(assessed, given, signs=signs),
            "<h2>What did a year of imports embed?</h2>",
            _form(_TOTALS_FIELDS, given, "Add up"),
            _totals(added),
            "<p><a href=/openapi.json>API</a></html>",
        )
    )


def _form(fields: tuple[tuple[str, str, str], ...], given: dict[str, str], button: str) -> str:
    inputs = "".join(
        f"<label>{escape(text)}<input name={name} value='{escape(given.get(name, preset))}'></label>"
        for name, text, preset in fields
    )
    return f"<form method=get action=/>{inputs}<button>{button}</button></form>"


def _assessment(view: AssessmentView | Problem | None, given: dict[str, str], *, signs: bool) -> str:
    if view is None:
        return ""
    if isinstance(view, Problem):
        return _problem(view)
    outside = "" if "indirect" in view.counts else ", does not count"
    facts = (
        ("Why this number", view.why),
        ("Counted by the rules", f"{view.counts} emissions, {view.label}, {view.celex} ({view.rule_pack})"),
        ("Direct, t CO2e", _number(view.tonnes_direct, 3)),
        (f"Indirect, t CO2e{outside}", _number(view.tonnes_indirect, 3)),
        ("May really be, 90 %", _between(view.interval)),
        ("Per tonne, t CO2e", _number(view.see_counted_t_per_t, 6)),
        ("Share from default values", f"{_number(view.default_share * 100, 2)} %"),
        ("Default values", _release(view)),
        ("Answered by", view.member or f"no member; asked {', '.join(view.members_asked)}"),
        ("Under grant", f"{view.grant}, {view.data_age_s} s ago"),
    )
    rows = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in facts)
    return (
        f"<p class=answer>This consignment embeds <b>{_number(view.tonnes_counted, 3)} t CO2e</b>, "
        f"from {escape(_SOURCES[view.source])}{_may_be(view.interval)}.</p>{_remark(view)}"
        f"<table>{rows}</table>{_bill(view.bill)}{_evidence(view, given) if signs else ''}"
    )


def _may_be(interval: IntervalView | None) -> str:
    return "" if interval is None else f"; it may really be {_between(interval)} (90 %)"


def _remark(view: AssessmentView) -> str:
    """What an officer should not overlook: a number that is not the country's own."""
    if not view.is_fallback:
        return ""
    said = f"{escape(view.country)} has no default value of its own for this good: that of other countries counts"
    return f"<p><span class=label>{said}</span></p>"


def _evidence(view: AssessmentView, given: dict[str, str]) -> str:
    link = escape(f"/evidence?{urlencode(given)}", quote=True)
    return f"<p><a href='{link}'>Evidence for {escape(view.cn_code)}</a>: a signed file that anyone can recompute.</p>"


def _between(interval: IntervalView | None) -> str:
    return "not estimated" if interval is None else f"{interval.low_t:.4g} to {interval.high_t:.4g} t CO2e"


def _bill(bill: BillView | None) -> str:
    if bill is None:
        return "<p>This method knows no certificates.</p>"
    ways = "".join(
        f"<tr><td>{escape(_SOURCES[way.source])}<td class=n>{_number(way.tonnes_counted, 3)}"
        f"<td class=n>{_number(way.sefa_t_per_t, 5)}<td>{escape(way.allocation)}"
        f"<td class=n>{_number(way.certificates, 3)}"
        for way in (bill.used, *((bill.other,) if bill.other is not None else ()))
    )
    cost = "" if bill.cost_eur is None else f" It costs <b>{_number(bill.cost_eur, 2)} EUR</b>."
    lowers = "".join(f"<li>{escape(each)}" for each in bill.lowers)
    return (
        f"<h2>Certificates</h2><p class=answer>{escape(bill.verdict)}.{cost}</p>"
        "<table><tr><th>Declared by<th>t CO2e<th>Free, t per unit<th>Why<th>Certificates</tr>"
        f"{ways}</table>{f'<p>What would lower it:<ul>{lowers}</ul>' if lowers else ''}"
    )


_SOURCES = {
    "disclosure": "what the producer disclosed",
    "default": "a default value",
    "zero-rated": "the rule for goods of EU and EFTA origin",
}


def _release(view: AssessmentView) -> str:
    if view.release is None:
        return "not used"
    return f"{view.release}, mark-up {(view.markup_bp or 0) / 100:g} %. {view.release_note or ''}"


def _totals(view: TotalsView | Problem | None) -> str:
    if view is None:
        return ""
    if isinstance(view, Problem):
        return _problem(view)
    label = (
        f" <span class=label>{view.synthetic_rows} of {view.rows} rows are synthetic</span>" if view.synthetic else ""
    )
    lines = "".join(
        f"<tr><td>{escape(line.cn_code)}<td>{escape(line.country)}<td>{escape(line.why)}"
        f"<td class=n>{line.rows}<td class=n>{_number(line.mass_t, 1)}<td class=n>{_number(line.tonnes_counted, 1)}"
        for line in view.lines
    )
    left_out = "".join(
        f"<li>{_number(each.mass_t, 1)} t in {each.rows} rows: {escape(each.reason)}" for each in view.unassessed
    )
    share = "unknown" if view.default_share is None else f"{_number(view.default_share * 100, 1)} %"
    asked = ", ".join(f"{each.member} ({each.dataset}: {each.rows} rows, {each.age_s} s ago)" for each in view.sources)
    return (
        f"<p class=answer>{escape(view.cn_prefix)} in {view.year}: <b>{_number(view.tonnes_counted, 1)} t CO2e</b> "
        f"(90 %: {_between(view.interval)}) "
        f"in {_number(view.mass_t, 1)} t of goods, {share} from default values.{label}</p>"
        "<table><tr><th>Code<th>Origin<th>Why<th>Rows<th>Goods, t<th>t CO2e</tr>"
        f"{lines}</table>{f'<p>Left out, not counted as zero:<ul>{left_out}</ul>' if left_out else ''}"
        f"<p>Asked: {escape(asked)}</p>"
    )


def _problem(described: Problem) -> str:
    said = "".join(
        f"<li>{escape(each.field)}: {escape(each.detail)}; {escape(each.remedy)}" for each in described.errors
    )
    return f"<div class=problem><p><b>{escape(described.title)}</b></p>{said or escape(described.detail)}</div>"


def _number(value: Decimal | None, places: int) -> str:
    return "unknown" if value is None else plain(round(value, places))
