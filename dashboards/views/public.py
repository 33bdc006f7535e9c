"""Data: who may ask what of whose data, what was asked in all, and how far the records are witnessed."""

from collections.abc import Callable

from commonweal.kinds.emergency_access import ReviewReason
from commonweal.public_reports import audit_origin
from dashboards.figures import (
    ROOT_PREFIX,
    UNKNOWN,
    Cell,
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
)
from dashboards.hub import Snapshot
from dashboards.public_document import PublicDocument, PublicLog
from dashboards.views.readiness import listing, member_names, now_of

QUESTION = "Who may ask what of whose data, and what was asked?"
NOT_LOGGED = "each member keeps an audit log of its own, below"
FEW = "fewer than told"


def view(snapshot: Snapshot, document: PublicDocument) -> View:
    """Answer from the public document."""
    names = member_names(snapshot)
    here = now_of(snapshot)
    told = Position(as_of=document.as_of, no_log=NOT_LOGGED)
    return View(
        question=QUESTION,
        standing=_standing(document),
        answer=_answer(document),
        figures=(
            _grants(document, here),
            _emergencies(document, here),
            _uses(document, told, names),
            _trusts(document, here, names),
            _datasets(document, here, names),
            _columns(document, here),
            _logs(document, told, names),
            _witnesses(document, told, names),
        ),
        check=_check(document),
    )


def _standing(document: PublicDocument) -> Standing:
    """Whether all is under grants, and every record that should be there is."""
    if any(each.open for each in document.emergencies) or _due(document) or document.unreadable:
        return Standing.BAD
    if not document.trusts or any(log.problem for log in document.logs):
        return Standing.UNKNOWN
    return Standing.GOOD


def _answer(document: PublicDocument) -> str:
    if not document.trusts:
        return "Unknown: no data trust can be seen yet."
    live = [grant for grant in document.grants if grant.live]
    said = (
        f"{_many(len(live), 'live grant')} to {listing(sorted({grant.beneficiary for grant in live}))}" if live else ""
    )
    opened = [each.name for each in document.emergencies if each.open]
    due = _due(document)
    silent = [log.member for log in document.logs if log.problem]
    parts = [
        f"{_many(len(document.trusts), 'data trust')} can be asked under {said or 'no grant now'}.",
        f"Open beyond the grants: {listing(opened)}." if opened else "",
        f"Waiting for a review by trustees: {listing(due)}." if due else "",
        f"Use is unknown at {listing(silent)}." if silent else "",
    ]
    return " ".join(part for part in parts if part)


def _due(document: PublicDocument) -> list[str]:
    """Emergency accesses that trustees have yet to review."""
    return [each.name for each in document.emergencies if each.review == ReviewReason.AWAITING_REVIEW]


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _check(document: PublicDocument) -> Check | None:
    log = next((log for log in document.logs if log.problem is None), None)
    if log is None:
        return None
    witness = "python -m data_trusts.witness --folder witness --name me.example/witness"
    address = f"{log.gateway_url}/v1/audit --certificate gateway.pem"
    return Check(
        command=f"{witness} add '{log.vkey}'\n{witness} look {audit_origin(log.member)} {address}",
        does=f"Makes you a witness of the log of {log.member}: from then on it cannot change what it has recorded "
        "without your seeing it. gateway.pem is gatewayCertificatePem of that log in /public.json, which holds all "
        "checkpoints and cosignatures, too: notes that any tool for C2SP checkpoints verifies.",
    )


def _text(key: str, heading: str) -> Column:
    return Column(key=key, heading=heading)


def _number(key: str, heading: str, show: Callable[[Cell], str] = count) -> Column:
    return Column(key=key, heading=heading, show=show, numeric=True)


def _joined(parts: tuple[str, ...], names: dict[str, str] | None = None) -> str:
    return ", ".join((names or {}).get(part, part) for part in parts) or "none"


def _grants(document: PublicDocument, position: Position) -> Figure:
    rows: list[Row] = [
        {
            "grant": grant.name,
            "trust": grant.trust,
            "beneficiary": grant.beneficiary,
            "purpose": grant.purpose,
            "datasets": _joined(grant.datasets),
            "state": grant.state,
            "expires": grant.expires_at,
            "approved_by": _joined(grant.approved_by),
        }
        for grant in document.grants
    ]
    return Figure(
        key="grants",
        title="Grants",
        sentence="Every right to ask, also what is not yet approved, was revoked or has expired.",
        columns=(
            _text("grant", "Grant"),
            _text("trust", "Trust"),
            _text("beneficiary", "Who may ask"),
            _text("purpose", "For which purpose"),
            _text("datasets", "Of which data"),
            _text("state", "State"),
            Column(key="expires", heading="Until", show=instant),
            _text("approved_by", "Approved by"),
        ),
        rows=tuple(rows),
        position=position,
        empty="Nobody has asked for a grant yet.",
    )


def _emergencies(document: PublicDocument, position: Position) -> Figure:
    rows: list[Row] = [
        {
            "access": each.name,
            "trust": each.trust,
            "beneficiary": each.beneficiary,
            "purpose": each.purpose,
            "datasets": _joined(each.datasets),
            "reason": each.reason,
            "state": each.state,
            "until": each.ends_at,
            "opened_by": _joined(each.opened_by),
            "review": each.review,
            "reviews": "; ".join(each.reviews) or "none yet",
        }
        for each in document.emergencies
    ]
    return Figure(
        key="emergencies",
        title="Emergency accesses",
        sentence="What two trustees opened beyond the grants, for hours, and what trustees said of it afterwards.",
        columns=(
            _text("access", "Access"),
            _text("trust", "Trust"),
            _text("beneficiary", "Who may ask"),
            _text("purpose", "For which purpose"),
            _text("datasets", "Of which data"),
            _text("reason", "Why"),
            _text("state", "State"),
            Column(key="until", heading="Until", show=instant),
            _text("opened_by", "Opened by"),
            _text("review", "Review"),
            _text("reviews", "Found"),
        ),
        rows=tuple(rows),
        position=position,
        empty="There is none, and there was none that is kept.",
    )


def _few(value: Cell) -> str:
    return FEW if value is None else f"{value:,}"


def _uses(document: PublicDocument, position: Position, names: dict[str, str]) -> Figure:
    rows: list[Row] = [
        {
            "hour": use.hour,
            "member": names.get(use.member, use.member),
            "trust": use.trust or "what no trust declares",
            "purpose": use.purpose or "what no trust declares",
            "answered": use.answered,
            "refused": use.refused,
            "minimum_count": use.minimum_count,
        }
        for use in sorted(document.uses, key=lambda use: (use.hour, use.member), reverse=True)
    ]
    least = max((use.minimum_count for use in document.uses), default=0)
    bound = f" Counts above 0 and below {least} are not told." if least else ""
    return Figure(
        key="use",
        title="Questions, by hour",
        sentence=f"How many questions ended in each hour of the last seven days, by trust and purpose.{bound} "
        "Unit: questions.",
        columns=(
            Column(key="hour", heading="Hour from", show=instant),
            _text("member", "Answered at"),
            _text("trust", "Trust"),
            _text("purpose", "For which purpose"),
            _number("answered", "Answered", _few),
            _number("refused", "Refused", _few),
            Column(key="minimum_count", heading="Least that is told", shown=False),
        ),
        rows=tuple(rows),
        position=position,
        empty="No question ended in an hour that is over, at any member that answers here.",
    )


def _trusts(document: PublicDocument, position: Position, names: dict[str, str]) -> Figure:
    rows: list[Row] = [
        {
            "trust": trust.name,
            "title": trust.title,
            "trustees": _joined(trust.trustees, names),
            "quorum": trust.quorum,
            "purposes": _joined(trust.purposes),
            "emergency_hours": trust.emergency_hours,
            "state": trust.state,
        }
        for trust in document.trusts
    ]
    return Figure(
        key="trusts",
        title="Data trusts",
        sentence="Who decides on grants, how many must agree, and for which purposes. Unit: trustees, hours.",
        columns=(
            _text("trust", "Trust"),
            _text("title", "Title"),
            _text("trustees", "Trustees"),
            _number("quorum", "Must agree"),
            _text("purposes", "Purposes"),
            _number("emergency_hours", "Emergency (h)"),
            _text("state", "State"),
        ),
        rows=tuple(rows),
        position=position,
        empty="No data trust is declared yet.",
    )


def _datasets(document: PublicDocument, position: Position, names: dict[str, str]) -> Figure:
    rows: list[Row] = [
        {
            "dataset": f"{trust.name}.{each.name}",
            "description": each.description,
            "licence": each.licence,
            "sources": _joined(each.sources, names),
            "minimum_group_size": each.minimum_group_size,
            "together": "yes" if each.federated else "no",
            "synthetic": "yes" if each.synthetic else "no",
        }
        for trust in document.trusts
        for each in trust.datasets
    ]
    synthetic = any(row["synthetic"] == "yes" for row in rows)
    return Figure(
        key="datasets",
        title="Datasets",
        sentence="What can be asked about, where its rows lie and stay, and the least rows of a released group. "
        "Unit: rows.",
        columns=(
            _text("dataset", "Dataset"),
            _text("description", "What its rows are"),
            _text("licence", "Licence"),
            _text("sources", "Rows lie at"),
            _number("minimum_group_size", "Rows a group"),
            _text("together", "Members answer together"),
            _text("synthetic", "Synthetic"),
        ),
        rows=tuple(rows),
        position=position,
        labels=(Label.SYNTHETIC,) if synthetic else (),
        empty="No dataset is declared yet.",
    )


def _columns(document: PublicDocument, position: Position) -> Figure:
    rows: list[Row] = [
        {
            "dataset": f"{trust.name}.{dataset.name}",
            "column": column.name,
            "type": column.type,
            "role": column.role,
            "unit": column.unit or "none",
            "description": column.description or "none",
        }
        for trust in document.trusts
        for dataset in trust.datasets
        for column in dataset.columns
    ]
    return Figure(
        key="columns",
        title="Columns that questions may use",
        sentence="A dimension may be grouped and filtered by, a measure may be summed; hidden columns are not listed.",
        columns=(
            _text("dataset", "Dataset"),
            _text("column", "Column"),
            _text("type", "Type"),
            _text("role", "Role"),
            _text("unit", "Unit"),
            _text("description", "What it means"),
        ),
        rows=tuple(rows),
        position=position,
        empty="No column may be used.",
    )


def _logs(document: PublicDocument, position: Position, names: dict[str, str]) -> Figure:
    rows: list[Row] = [
        {
            "member": names.get(log.member, log.member),
            "entries": log.size,
            "root_sha256": log.root_sha256,
            "witnesses": _witness_count(log),
            "vkey": log.vkey,
            "problem": log.problem or "none",
        }
        for log in document.logs
    ]
    return Figure(
        key="audit-logs",
        title="Audit logs of members",
        sentence="How many entries each member's log has, as it signed it; every question and its outcome is in one. "
        "Unit: entries.",
        columns=(
            _text("member", "Member"),
            _number("entries", "Entries"),
            Column(key="root_sha256", heading="Root (SHA-256)", show=_beginning),
            _number("witnesses", "Witnesses"),
            Column(key="vkey", heading="Public key", shown=False),
            _text("problem", "Problem"),
        ),
        rows=tuple(rows),
        position=position,
        empty="No member with a gateway takes part yet.",
    )


def _beginning(root: Cell) -> str:
    return UNKNOWN if root is None else f"{str(root)[:ROOT_PREFIX]}…"


def _witness_count(log: PublicLog) -> int | None:
    return None if log.problem else sum(each.size is not None for each in log.witnesses)


def _witnesses(document: PublicDocument, position: Position, names: dict[str, str]) -> Figure:
    rows: list[Row] = [
        {
            "member": names.get(log.member, log.member),
            "witness": each.name,
            "entries": each.size,
            "behind": None if each.size is None or log.size is None else max(log.size - each.size, 0),
            "cosigned_at": each.cosigned_at,
            "vkey": each.vkey,
        }
        for log in document.logs
        for each in log.witnesses
    ]
    return Figure(
        key="witnesses",
        title="What witnesses cosigned",
        sentence="A witness cosigns a log only if all that it saw before is still in it. Compare its public key, which "
        "is in the downloads, with the one that the witness itself gives. Unit: entries.",
        columns=(
            _text("member", "Log of"),
            _text("witness", "Witness"),
            _number("entries", "Entries cosigned"),
            _number("behind", "Not yet cosigned"),
            Column(key="cosigned_at", heading="Cosigned", show=instant),
            Column(key="vkey", heading="Public key of the witness", shown=False),
        ),
        rows=tuple(rows),
        position=position,
        empty="No member's log has a witness yet; give its gateway COMMONWEAL_WITNESSES.",
    )
