"""Trade: what a tonne of steel embeds, and on whose word."""

from decimal import Decimal

from dashboards.figures import (
    Chart,
    Check,
    Column,
    Figure,
    Label,
    Position,
    Row,
    Standing,
    View,
    count,
    share,
    tonnes,
)
from dashboards.hub import Snapshot
from dashboards.pilots import HEADING, YEAR, Answers, Asked, Assessment, Bill, Totals
from dashboards.views.readiness import listing, member_names, readiness

QUESTION = "What does a tonne of steel embed?"
PILOT = "trade"
NOT_LOGGED = "answers of pilots are not in the hub's log; each member audits its own"
EXAMPLE_PREFIX = "EC-EXAMPLE-"
NUMBERS = (
    "see_direct_t_per_t",
    "see_indirect_t_per_t",
    "see_counted_t_per_t",
    "low_t_per_t",
    "high_t_per_t",
    "default_share",
)


def address(snapshot: Snapshot) -> str | None:
    """Return the one address of the trade pilot; None until the hub knows it."""
    pilot = next((one for one in snapshot.pilots if one.metadata.name == PILOT), None)
    return pilot.status.address if pilot and pilot.status else None


def why_unasked(snapshot: Snapshot) -> View:
    """Say why the pilot could not be asked."""
    pilot = next((one for one in snapshot.pilots if one.metadata.name == PILOT), None)
    if pilot is None:
        reason = f"no pilot named {PILOT} is applied yet"
    else:
        reason = f"the pilot {PILOT} has no address yet: {readiness(pilot).message}"
    return View(question=QUESTION, standing=Standing.UNKNOWN, answer=f"Unknown: {reason}")


def view(snapshot: Snapshot, answers: Answers) -> View:
    """Answer from what the pilot said."""
    first = answers.goods[0]
    url = f"{address(snapshot)}/v1/totals?cn_prefix={HEADING}&year={YEAR}"
    known = first.assessment is not None
    return View(
        question=QUESTION,
        standing=Standing.GOOD if known else Standing.UNKNOWN,
        answer=_answer(first, member_names(snapshot)),
        figures=(
            _goods(answers, member_names(snapshot)),
            _bills(answers),
            _totals(answers),
            _lines(answers),
            _sources(answers, member_names(snapshot)),
        ),
        check=Check(command=f"curl '{url}'", does="Asks the pilot for the same totals, through its one address."),
    )


def _answer(first: Asked, names: dict[str, str]) -> str:
    one = first.assessment
    if one is None:
        return f"Unknown: {first.problem}."
    word = f"disclosed at {names.get(one.member, one.member)}" if one.member else "by default value"
    return (
        f"One tonne of steel (CN {one.cn_code}, {first.good.label.lower()}, {one.country}) embeds "
        f"{tonnes(one.see_direct_t_per_t)} t CO₂e direct and {tonnes(one.see_indirect_t_per_t)} t CO₂e indirect, "
        f"{word}; the rules count {tonnes(one.see_counted_t_per_t)} t{_may_be(one)}."
    )


def _may_be(one: Assessment) -> str:
    if one.interval is None:
        return ""
    return f", and it may really be {tonnes(one.interval.low_t)} to {tonnes(one.interval.high_t)} t (90 %)"


def _labels(answers: Answers) -> tuple[Label, ...]:
    example = any((one.good.installation_id or "").startswith(EXAMPLE_PREFIX) for one in answers.goods)
    return (Label.EXAMPLE,) if example else ()


def _position(answers: Answers) -> Position:
    return Position(as_of=answers.asked_at, no_log=NOT_LOGGED)


def _goods(answers: Answers, names: dict[str, str]) -> Figure:
    return Figure(
        key="embedded-per-tonne",
        title="Embedded emissions of one tonne",
        sentence=f"{len(answers.goods)} kinds of steel as customs would assess them under {_rules(answers)}. "
        "A default value carries a mark-up and may give the total alone. Unit: tonnes CO₂e per tonne of good.",
        columns=(
            Column(key="good", heading="Good"),
            Column(key="cn_code", heading="CN code", shown=False),
            Column(key="installation_id", heading="Installation", shown=False),
            Column(key="see_direct_t_per_t", heading="Direct (t/t)", show=tonnes, numeric=True),
            Column(key="see_indirect_t_per_t", heading="Indirect (t/t)", show=tonnes, numeric=True),
            Column(key="see_counted_t_per_t", heading="Counted (t/t)", show=tonnes, numeric=True),
            Column(key="low_t_per_t", heading="May be, from (t/t)", show=tonnes, numeric=True),
            Column(key="high_t_per_t", heading="to, 90 % (t/t)", show=tonnes, numeric=True),
            Column(key="default_share", heading="Default share (%)", show=share, numeric=True),
            Column(key="member", heading="Rows lie with"),
            Column(key="rule_pack", heading="Rules", shown=False),
            Column(key="why", heading="Why this value"),
        ),
        rows=tuple(_good(one, names) for one in answers.goods),
        position=_position(answers),
        labels=_labels(answers),
        chart=Chart.EMBEDDED,
    )


def _rules(answers: Answers) -> str:
    packs = sorted({one.assessment.rule_pack for one in answers.goods if one.assessment})
    return f"rules {listing(packs)}" if packs else "rules that are unknown"


def _good(asked: Asked, names: dict[str, str]) -> Row:
    one, good = asked.assessment, asked.good
    row: dict[str, str | Decimal | None] = {
        "good": good.label,
        "cn_code": good.cn_code,
        "installation_id": good.installation_id,
    }
    if one is None:
        unknown = dict.fromkeys(NUMBERS)
        return {**row, **unknown, "member": None, "rule_pack": None, "why": asked.problem}
    return {
        **row,
        "see_direct_t_per_t": one.see_direct_t_per_t,
        "see_indirect_t_per_t": one.see_indirect_t_per_t,
        "see_counted_t_per_t": one.see_counted_t_per_t,
        "low_t_per_t": one.interval.low_t if one.interval else None,
        "high_t_per_t": one.interval.high_t if one.interval else None,
        "default_share": one.default_share,
        "member": names.get(one.member, one.member) if one.member else "none: default value",
        "rule_pack": one.rule_pack,
        "why": one.why,
    }


def _bills(answers: Answers) -> Figure:
    return Figure(
        key="does-actual-data-pay",
        title="Does actual data pay?",
        sentence="What one tonne costs in certificates, after free allocation, by what its maker disclosed and by the "
        "default value, and what would lower it. Unit: certificates, one for each tonne CO₂e.",
        columns=(
            Column(key="good", heading="Good"),
            Column(key="verdict", heading="Answer"),
            Column(key="by_disclosure", heading="By disclosure", show=tonnes, numeric=True),
            Column(key="by_default", heading="By default value", show=tonnes, numeric=True),
            Column(key="lowers", heading="What would lower it"),
        ),
        rows=tuple(_bill(one) for one in answers.goods),
        position=_position(answers),
        labels=_labels(answers),
    )


def _bill(asked: Asked) -> Row:
    bill = asked.assessment.bill if asked.assessment else None
    if bill is None:
        silent = {"verdict": asked.problem, "by_disclosure": None, "by_default": None, "lowers": None}
        return {"good": asked.good.label, **silent}
    return {
        "good": asked.good.label,
        "verdict": bill.verdict,
        "by_disclosure": _certificates(bill, "disclosure"),
        "by_default": _certificates(bill, "default"),
        "lowers": "; ".join(bill.lowers) or "nothing that the pilot knows of",
    }


def _certificates(bill: Bill, source: str) -> Decimal | None:
    ways = (bill.used, bill.other)
    return next((way.certificates for way in ways if way is not None and way.source == source), None)


def _totals(answers: Answers) -> Figure:
    totals = answers.totals
    return Figure(
        key="year-totals",
        title="All steel imports of the year",
        sentence=_totals_sentence(totals),
        columns=(
            Column(key="quantity", heading="Quantity"),
            Column(key="value", heading="Value", show=_amount, numeric=True),
            Column(key="unit", heading="Unit"),
        ),
        rows=_totals_rows(totals) if totals else (),
        position=_position(answers),
        labels=_total_labels(totals),
        empty=f"Unknown: {answers.totals_problem}.",
    )


def _totals_sentence(totals: Totals | None) -> str:
    if totals is None:
        return "What all consignments of the heading embed; rows stay with their members."
    left_out = sum(one.rows for one in totals.unassessed)
    return (
        f"What {totals.rows:,} customs rows of heading {totals.cn_prefix} in {totals.year} embed under "
        f"{totals.rule_pack or 'no rule pack'}; {left_out:,} rows could not be assessed and are left out of the tonnes."
    )


def _totals_rows(totals: Totals) -> tuple[Row, ...]:
    return (
        {"quantity": "Counted by the rules", "value": totals.tonnes_counted, "unit": "t CO₂e"},
        {"quantity": "Direct", "value": totals.tonnes_direct, "unit": "t CO₂e"},
        {"quantity": "Indirect, disclosed", "value": totals.tonnes_indirect, "unit": "t CO₂e"},
        {"quantity": "Total only, not split", "value": totals.tonnes_not_split, "unit": "t CO₂e"},
        {"quantity": "Share that rests on default values", "value": totals.default_share, "unit": "1"},
        {"quantity": "Goods", "value": totals.mass_t, "unit": "t"},
        {"quantity": "Goods left out", "value": _left_out_t(totals), "unit": "t"},
        {"quantity": "Customs rows", "value": totals.rows, "unit": "rows"},
        {"quantity": "Synthetic customs rows", "value": totals.synthetic_rows, "unit": "rows"},
    )


def _left_out_t(totals: Totals) -> Decimal:
    return sum((one.mass_t for one in totals.unassessed), Decimal(0))


def _amount(value: object) -> str:
    if isinstance(value, Decimal):
        return tonnes(value) if 0 < value < 1 else f"{value:,.1f}"
    return count(value) if isinstance(value, int) else "unknown"


def _total_labels(totals: Totals | None) -> tuple[Label, ...]:
    return (Label.SYNTHETIC,) if totals and totals.synthetic else ()


def _lines(answers: Answers) -> Figure:
    totals = answers.totals
    rows: list[Row] = [
        {
            "cn_code": line.cn_code,
            "country": line.country,
            "source": line.source,
            "rows": line.rows,
            "mass_t": line.mass_t,
            "tonnes_counted": line.tonnes_counted,
            "why": line.why,
        }
        for line in (totals.lines if totals else ())
    ]
    return Figure(
        key="by-good-and-origin",
        title="By good and origin",
        sentence="The same totals by CN code, country of origin and kind of value. Unit: tonnes of goods, tonnes CO₂e.",
        columns=(
            Column(key="cn_code", heading="CN code"),
            Column(key="country", heading="Origin"),
            Column(key="source", heading="Value from"),
            Column(key="rows", heading="Rows", show=count, numeric=True),
            Column(key="mass_t", heading="Goods (t)", show=_amount, numeric=True),
            Column(key="tonnes_counted", heading="Counted (t CO₂e)", show=_amount, numeric=True),
            Column(key="why", heading="Why this value"),
        ),
        rows=tuple(rows),
        position=_position(answers),
        labels=_total_labels(totals),
        empty=f"Unknown: {answers.totals_problem}." if totals is None else "No customs row matched.",
    )


def _sources(answers: Answers, names: dict[str, str]) -> Figure:
    totals = answers.totals
    rows: list[Row] = [
        {
            "member": names.get(one.member, one.member),
            "dataset": one.dataset,
            "grant": one.grant,
            "rows": one.rows,
            "age_s": one.age_s,
        }
        for one in (totals.sources if totals else ())
    ]
    return Figure(
        key="who-answered",
        title="Who answered",
        sentence="Which member answered from which dataset, by which grant. The rows stayed there; sums came back. "
        "Unit: rows, and seconds since the answer.",
        columns=(
            Column(key="member", heading="Member"),
            Column(key="dataset", heading="Dataset"),
            Column(key="grant", heading="Grant"),
            Column(key="rows", heading="Rows", show=count, numeric=True),
            Column(key="age_s", heading="Age (s)", show=count, numeric=True),
        ),
        rows=tuple(rows),
        position=_position(answers),
        labels=_total_labels(totals),
        empty=f"Unknown: {answers.totals_problem}.",
    )
