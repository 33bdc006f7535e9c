"""Overview: whether everything that was promised is in place, and if not, why not."""

from collections import Counter
from collections.abc import Iterable

from commonweal.kinds.meta import ConditionStatus, Resource
from commonweal.kinds.pooled_cluster import PooledCluster
from dashboards.figures import Chart, Check, Column, Figure, Label, Row, Standing, View, count, instant
from dashboards.hub import Snapshot
from dashboards.views.readiness import Readiness, listing, member_names, now_of, readiness, word

QUESTION = "Is the consortium in working order?"
WORDS = {
    "Consortium": ("charter", "charter"),
    "Member": ("member", "members"),
    "PooledCluster": ("pledge", "pledges"),
    "DataTrust": ("data trust", "data trusts"),
    "DataGrant": ("grant", "grants"),
    "PilotApp": ("pilot", "pilots"),
}


def view(snapshot: Snapshot) -> View:
    """Answer from the Ready conditions of everything on the hub."""
    states = [readiness(item) for item in _everything(snapshot)]
    return View(
        question=QUESTION,
        standing=_standing(states, snapshot),
        answer=_answer(states, snapshot),
        figures=(
            _by_kind(states, snapshot),
            _why_not(states, snapshot),
            _members(snapshot),
            _pledges(snapshot),
            _pilots(snapshot),
        ),
        check=Check(command="kubectl get commonweal -A", does="Lists the same objects with the same conditions."),
    )


def _everything(snapshot: Snapshot) -> Iterable[Resource]:
    yield from snapshot.consortiums
    yield from snapshot.members
    yield from snapshot.pledges
    yield from snapshot.trusts
    yield from snapshot.grants
    yield from snapshot.pilots


def _standing(states: list[Readiness], snapshot: Snapshot) -> Standing:
    found = {state.status for state in states}
    if ConditionStatus.FALSE in found or snapshot.unreadable:
        return Standing.BAD
    if ConditionStatus.UNKNOWN in found or not snapshot.members:
        return Standing.UNKNOWN
    return Standing.GOOD


def _answer(states: list[Readiness], snapshot: Snapshot) -> str:
    if not states and not snapshot.unreadable:
        return "Unknown: nothing is on the hub yet; apply the charter and let members join."
    if not snapshot.members and not snapshot.unreadable:
        return "Unknown: no member has joined yet."
    if snapshot.unreadable:
        number = len(snapshot.unreadable)
        return f"No: {_objects(number)} cannot be read by this version of the dashboard; {_ready(states)} ready."
    waiting = [state for state in states if state.status is ConditionStatus.FALSE]
    if waiting:
        first = waiting[0]
        others = f" So {'is' if len(waiting) == 2 else 'are'} {len(waiting) - 1} more." if len(waiting) > 1 else ""
        message = (first.message or "").rstrip(".") or "no reason is given"
        return f"No: {WORDS[first.kind][0]} {first.name} is not ready: {message}.{others} {_ready(states)} ready."
    unknown = [state for state in states if state.status is ConditionStatus.UNKNOWN]
    if unknown:
        return f"Unknown: {_objects(len(unknown))} not reported on yet; {_ready(states)} ready."
    return f"Yes: all {listing(_tally(states, ConditionStatus.TRUE))} are ready."


def _objects(number: int) -> str:
    return "1 object" if number == 1 else f"{number} objects"


def _ready(states: list[Readiness]) -> str:
    number = sum(state.status is ConditionStatus.TRUE for state in states)
    return f"{number} of {len(states)} objects are"


def _tally(states: list[Readiness], status: ConditionStatus) -> list[str]:
    """Return how many of each kind have a status, the charter left out: it is one."""
    found = Counter(state.kind for state in states if state.status is status)
    return [
        f"{found[kind]} {one if found[kind] == 1 else many}"
        for kind, (one, many) in WORDS.items()
        if found[kind] and kind != "Consortium"
    ]


def _by_kind(states: list[Readiness], snapshot: Snapshot) -> Figure:
    tally = Counter((state.kind, state.status) for state in states)
    rows: list[Row] = [
        {
            "kind": many,
            "ready": tally[kind, ConditionStatus.TRUE],
            "not_ready": tally[kind, ConditionStatus.FALSE],
            "unknown": tally[kind, ConditionStatus.UNKNOWN],
        }
        for kind, (_, many) in WORDS.items()
    ]
    return Figure(
        key="readiness",
        title="Ready, by kind of object",
        sentence="How many objects on the hub are ready, not ready, or not reported on. Unit: objects.",
        columns=(
            Column(key="kind", heading="Kind"),
            Column(key="ready", heading="✓ Ready", show=count, numeric=True),
            Column(key="not_ready", heading="✗ Not ready", show=count, numeric=True),
            Column(key="unknown", heading="? Unknown", show=count, numeric=True),
        ),
        rows=tuple(rows),
        position=now_of(snapshot),
        chart=Chart.READINESS,
    )


def _why_not(states: list[Readiness], snapshot: Snapshot) -> Figure:
    rows: list[Row] = [
        {
            "object": f"{state.kind} {state.name}",
            "ready": word(state.status),
            "reason": state.reason,
            "message": state.message,
            "since": state.since,
        }
        for state in states
        if state.status is not ConditionStatus.TRUE
    ]
    for sentence in snapshot.unreadable:
        name, _, message = sentence.partition(": ")
        rows.append({"object": name, "ready": "✗ not ready", "reason": "Unreadable", "message": message, "since": None})
    return Figure(
        key="why-not-ready",
        title="Why not ready",
        sentence="Every object that is not ready or not reported on, in the words of its Ready condition.",
        columns=(
            Column(key="object", heading="Object"),
            Column(key="ready", heading="Ready"),
            Column(key="reason", heading="Reason"),
            Column(key="message", heading="What is wrong, and what to do"),
            Column(key="since", heading="Since", show=instant),
        ),
        rows=tuple(rows),
        position=now_of(snapshot),
        empty="Nothing waits: every object on the hub is ready.",
    )


def _members(snapshot: Snapshot) -> Figure:
    rows: list[Row] = [
        {
            "member": member_names(snapshot)[member.metadata.name],
            "country": member.spec.country,
            "ready": word(readiness(member).status),
            "scheduling": member.spec.scheduling.value,
            "engine": member.status.site.engine if member.status and member.status.site else None,
            "heartbeat": member.status.last_heartbeat_at if member.status else None,
        }
        for member in snapshot.members
    ]
    return Figure(
        key="members",
        title="Members",
        sentence="Who takes part, whether new work may be placed there, and when the member's agent was last heard.",
        columns=(
            Column(key="member", heading="Member"),
            Column(key="country", heading="Country"),
            Column(key="ready", heading="Ready"),
            Column(key="scheduling", heading="Scheduling"),
            Column(key="engine", heading="Query engine"),
            Column(key="heartbeat", heading="Last heartbeat", show=instant),
        ),
        rows=tuple(rows),
        position=now_of(snapshot),
        empty="No member has joined yet.",
    )


def _pledges(snapshot: Snapshot) -> Figure:
    simulated = any(_is_simulated(pledge) for pledge in snapshot.pledges)
    return Figure(
        key="pledges",
        title="Pledges",
        sentence="What members pledged for every accounting period, and what the last closed period delivered. "
        "Unit: GPUs, and GPU-seconds of the period.",
        columns=(
            Column(key="pledge", heading="Pledge"),
            Column(key="gpus", heading="GPUs pledged", show=count, numeric=True),
            Column(key="pledged_gpu_seconds", heading="Pledged (GPU-s)", show=count, numeric=True),
            Column(key="delivered_gpu_seconds", heading="Delivered (GPU-s)", show=count, numeric=True),
            Column(key="shortfall_gpu_seconds", heading="Short (GPU-s)", show=count, numeric=True),
            Column(key="period_end", heading="Period ended", show=instant),
        ),
        rows=tuple(_pledge(pledge) for pledge in snapshot.pledges),
        position=now_of(snapshot),
        labels=(Label.SIMULATED,) if simulated else (),
        empty="No member has pledged anything yet.",
    )


def _is_simulated(pledge: PooledCluster) -> bool:
    period = pledge.status.last_period if pledge.status else None
    return any(meter.simulated for meter in pledge.spec.meters) or (period is not None and period.simulated)


def _pledge(pledge: PooledCluster) -> Row:
    period = pledge.status.last_period if pledge.status else None
    return {
        "pledge": f"{pledge.metadata.namespace}/{pledge.metadata.name}",
        "gpus": pledge.spec.pledge.gpus,
        "pledged_gpu_seconds": period.pledged_gpu_seconds if period else None,
        "delivered_gpu_seconds": period.delivered_gpu_seconds if period else None,
        "shortfall_gpu_seconds": period.shortfall_gpu_seconds if period else None,
        "period_end": period.end if period else None,
    }


def _pilots(snapshot: Snapshot) -> Figure:
    names = member_names(snapshot)
    rows: list[Row] = [
        {
            "pilot": pilot.metadata.name,
            "ready": word(readiness(pilot).status),
            "wanted_replicas": pilot.spec.replicas,
            "ready_replicas": pilot.status.ready_replicas if pilot.status else None,
            "members": listing(names.get(one.member, one.member) for one in pilot.status.placements)
            if pilot.status and pilot.status.placements
            else None,
            "address": pilot.status.address if pilot.status else None,
        }
        for pilot in snapshot.pilots
    ]
    return Figure(
        key="pilots",
        title="Pilots",
        sentence="The applications that run in the pool, where they run, and the one address that serves each. "
        "Unit: replicas.",
        columns=(
            Column(key="pilot", heading="Pilot"),
            Column(key="ready", heading="Ready"),
            Column(key="ready_replicas", heading="Running", show=count, numeric=True),
            Column(key="wanted_replicas", heading="Wanted", show=count, numeric=True),
            Column(key="members", heading="At"),
            Column(key="address", heading="Address", link=True),
        ),
        rows=tuple(rows),
        position=now_of(snapshot),
        empty="No pilot is applied yet.",
    )
