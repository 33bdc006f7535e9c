"""Equity: who holds which share after a period, from what, and how anyone can compute it again."""

from collections.abc import Sequence

from commonweal.kinds.contribution import Contribution, ContributionReason
from commonweal.kinds.equity_statement import EquityEntry, EquityStatement
from commonweal.kinds.meta import ConditionStatus
from commonweal.membership import member_of
from dashboards.figures import (
    PERCENT_SIGN,
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
    instant,
    kilojoules,
    percent,
)
from dashboards.hub import Snapshot
from dashboards.views.readiness import listing, member_names, readiness

QUESTION = "Who owns which share of the consortium?"
HISTORY_PERIODS = 120  # two hours of the demo's minutes, five days of hours: a chart that can still be read
LATEST = "latest"
CLAIMS_SHOWN = 50  # a screen or two; `kubectl get contributions` has all


def view(snapshot: Snapshot, period: str = LATEST) -> View:
    """Answer from one EquityStatement: the latest, or the one named."""
    statement = chosen(snapshot.statements, period)
    if statement is None:
        return View(question=QUESTION, standing=Standing.UNKNOWN, answer=_why_none(snapshot, period))
    return View(
        question=QUESTION,
        standing=_standing(statement),
        answer=_answer(statement, member_names(snapshot)),
        figures=(
            _shares(statement, snapshot),
            _contributions(statement, snapshot),
            _history(statement, snapshot),
            *_claims(snapshot),
        ),
        check=Check(
            command=f"commonweal equity explain {ranked(statement)[0].member}",
            does="Computes this share again from the readings in the log, step by step; name any member.",
        ),
    )


def chosen(statements: Sequence[EquityStatement], period: str) -> EquityStatement | None:
    """Return the statement named, or the last one."""
    if period == LATEST:
        return statements[-1] if statements else None
    return next((one for one in statements if one.metadata.name == period), None)


def ranked(statement: EquityStatement) -> list[EquityEntry]:
    """Return the entries by share, largest first; equal shares by name."""
    return sorted(statement.spec.entries, key=lambda entry: (-entry.equity_bp, entry.member))


def _why_none(snapshot: Snapshot, period: str) -> str:
    if period != LATEST:
        return f"Unknown: there is no statement named {period}; choose another period."
    unreadable = snapshot.unreadable_of(EquityStatement)
    if unreadable:
        return f"Unknown: {len(unreadable)} statements cannot be read by this version of the dashboard; upgrade it."
    return "Unknown: no accounting period is closed yet."


def _standing(statement: EquityStatement) -> Standing:
    status = readiness(statement).status
    return {ConditionStatus.TRUE: Standing.GOOD, ConditionStatus.FALSE: Standing.BAD}.get(status, Standing.UNKNOWN)


def _answer(statement: EquityStatement, names: dict[str, str]) -> str:
    holds = listing(
        f"{names.get(entry.member, entry.member)} holds {percent(entry.equity_bp)}{PERCENT_SIGN}"
        for entry in ranked(statement)
    )
    simulated = " These shares come from simulated meters." if statement.spec.simulated else ""
    recomputed = {
        Standing.GOOD: "",
        Standing.BAD: " Do not rely on them: the hub computed them again and came to other numbers.",
        Standing.UNKNOWN: " The hub has not computed them a second time yet.",
    }[_standing(statement)]
    return f"After the period that ended at {instant(statement.spec.period_end)}, {holds}.{simulated}{recomputed}"


def _position(statement: EquityStatement) -> Position:
    return Position(as_of=statement.spec.period_end, log=statement.spec.log)


def _labels(statements: Sequence[EquityStatement]) -> tuple[Label, ...]:
    return (Label.SIMULATED,) if any(one.spec.simulated for one in statements) else ()


def _shares(statement: EquityStatement, snapshot: Snapshot) -> Figure:
    names = member_names(snapshot)
    rows: list[Row] = [
        {"member": names.get(entry.member, entry.member), "equity_bp": entry.equity_bp} for entry in ranked(statement)
    ]
    return Figure(
        key="equity-shares",
        title="Share of equity, by member",
        sentence="Each member's share of the whole at the end of the period. Unit: per cent; the parts sum to 100.",
        columns=(
            Column(key="member", heading="Member"),
            Column(key="equity_bp", heading="Share (%)", show=percent, numeric=True),
        ),
        rows=tuple(rows),
        position=_position(statement),
        labels=_labels([statement]),
        chart=Chart.SHARES,
    )


def _contributions(statement: EquityStatement, snapshot: Snapshot) -> Figure:
    names = member_names(snapshot)
    rows: list[Row] = [
        {
            "member": names.get(entry.member, entry.member),
            "pledged_gpu_seconds": entry.pledged_gpu_seconds,
            "delivered_gpu_seconds": entry.delivered_gpu_seconds,
            "used_gpu_seconds": entry.used_gpu_seconds,
            "used_core_seconds": entry.used_core_seconds,
            "energy_mj": entry.energy_mj,
            "green_energy_mj": entry.green_energy_mj,
            "talent_seconds": entry.talent_seconds,
            "kept_row_seconds": entry.kept_row_seconds,
        }
        for entry in ranked(statement)
    ]
    return Figure(
        key="equity-contributions",
        title="Pledged, delivered and used, by member",
        sentence=f"What each member pledged, delivered and used from {instant(statement.spec.period_start)} "
        f"to {instant(statement.spec.period_end)}. "
        "Carbon-free is what certificates came to cover in this period, also of earlier hours. "
        "Unit: seconds of one GPU, of one CPU core, of one person, rows times seconds; kilojoules of energy, in "
        "downloads millijoules.",
        columns=(
            Column(key="member", heading="Member"),
            Column(key="pledged_gpu_seconds", heading="Pledged (GPU-s)", show=count, numeric=True),
            Column(key="delivered_gpu_seconds", heading="Delivered (GPU-s)", show=count, numeric=True),
            Column(key="used_gpu_seconds", heading="Used (GPU-s)", show=count, numeric=True),
            Column(key="used_core_seconds", heading="Used (core-s)", show=count, numeric=True),
            Column(key="energy_mj", heading="Energy (kJ)", show=kilojoules, numeric=True),
            Column(key="green_energy_mj", heading="Carbon-free (kJ)", show=kilojoules, numeric=True),
            Column(key="talent_seconds", heading="Talent (s)", show=count, numeric=True),
            Column(key="kept_row_seconds", heading="Data kept (row-s)", show=count, numeric=True),
        ),
        rows=tuple(rows),
        position=_position(statement),
        labels=_labels([statement]),
    )


def history(snapshot: Snapshot, statement: EquityStatement) -> list[EquityStatement]:
    """Return the statements up to the chosen one, the last HISTORY_PERIODS of them, oldest first."""
    until = [one for one in snapshot.statements if one.spec.period_end <= statement.spec.period_end]
    return until[-HISTORY_PERIODS:]


def _history(statement: EquityStatement, snapshot: Snapshot) -> Figure:
    names = member_names(snapshot)
    periods = history(snapshot, statement)
    rows: list[Row] = [
        {
            "period_end": one.spec.period_end,
            "member": names.get(entry.member, entry.member),
            "equity_bp": entry.equity_bp,
        }
        for one in periods
        for entry in sorted(one.spec.entries, key=lambda entry: entry.member)
    ]
    return Figure(
        key="equity-history",
        title="How shares moved",
        sentence=f"Each member's share after each of the last {len(periods)} closed periods. Unit: per cent.",
        columns=(
            Column(key="period_end", heading="Period ended", show=instant),
            Column(key="member", heading="Member"),
            Column(key="equity_bp", heading="Share (%)", show=percent, numeric=True),
        ),
        rows=tuple(rows),
        position=_position(statement),
        labels=_labels(periods),
        chart=Chart.HISTORY,
    )


def _claims(snapshot: Snapshot) -> tuple[Figure, ...]:
    """What members claim that no meter reads, open claims first; no figure where nobody claims anything."""
    names = member_names(snapshot)
    claims = sorted(snapshot.contributions, key=_open_first)
    if not claims:
        return ()
    rows = tuple(_claim(one, names) for one in claims[:CLAIMS_SHOWN])
    simulated = any(line.simulated for one in claims for line in one.spec.record.certificates)
    figure = Figure(
        key="equity-claims",
        title="Claimed beside the meters, and where each claim stands",
        sentence=f"Certificates, spans of work and of kept data: {len(rows)} of {len(claims)} claims, open ones first. "
        "Each counts when others approved it and its clock has run out. Unit: number of lines.",
        columns=(
            Column(key="member", heading="Member"),
            Column(key="claim", heading="Claim"),
            Column(key="certificates", heading="Certificates", show=count, numeric=True),
            Column(key="work", heading="Work", show=count, numeric=True),
            Column(key="data", heading="Data", show=count, numeric=True),
            Column(key="standing", heading="Stands at"),
            Column(key="why", heading="Why, and until when"),
        ),
        rows=rows,
        position=Position(as_of=snapshot.taken_at, no_log="claims that are still open are in no statement"),
        labels=(Label.SIMULATED,) if simulated else (),
    )
    return (figure,)


def _claim(claim: Contribution, names: dict[str, str]) -> Row:
    record, standing = claim.spec.record, readiness(claim)
    namespace = claim.metadata.namespace or ""
    owner = member_of(namespace) or namespace
    return {
        "member": names.get(owner, owner),
        "claim": claim.metadata.name,
        "certificates": len(record.certificates),
        "work": len(record.work),
        "data": len(record.data),
        "standing": standing.reason,
        "why": standing.message,
    }


def _open_first(claim: Contribution) -> tuple[bool, str, str]:
    decided = readiness(claim).reason in {ContributionReason.COUNTED, ContributionReason.LAPSED}
    return decided, claim.metadata.namespace or "", claim.metadata.name
