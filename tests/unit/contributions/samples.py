from datetime import UTC, datetime, timedelta
from typing import Any

from commonweal.contributions import Around, Claim, Rules
from commonweal.kinds.contribution import ContributionSpec

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = Rules(quorum=2, audit_s=60, dispute_s=120)
TRADE = ("trade", "customs_rows")
AROUND = Around(
    members=frozenset({"ca", "ke", "kr", "uy"}),
    zones={"ca": frozenset({"CA-QC"}), "kr": frozenset({"KR"})},
    holders={TRADE: frozenset({"ca", "ke"})},
    askers={TRADE: frozenset({"kr"})},
)


def certificate(id_: str = "gc-1", **changes: object) -> dict[str, Any]:
    fields = {"registry": "r", "id": id_, "zone": "CA-QC", "hour": NOON, "wh": 1000, "source": "hydro"}
    return fields | changes


def work(begin_s: int = 0, end_s: int = 600, **changes: object) -> dict[str, Any]:
    fields = {"person": "p-1", "task": "reviewed the charter", "begin": at(begin_s), "end": at(end_s)}
    return fields | changes


def kept(begin_s: int = 0, end_s: int = 600, **changes: object) -> dict[str, Any]:
    trust, dataset = TRADE
    return {"trust": trust, "dataset": dataset, "rows": 1000, "begin": at(begin_s), "end": at(end_s)} | changes


def at(seconds: int) -> datetime:
    """Within the hour before noon, so that it is over."""
    return NOON - timedelta(hours=1) + timedelta(seconds=seconds)


def claim(
    *,
    member: str = "ca",
    yes: tuple[str, ...] = ("ke", "kr"),
    no: tuple[str, ...] = (),
    uid: str = "uid-1",
    **record: list[dict[str, Any]],
) -> Claim:
    opinions = {
        "approvals": [{"member": each} for each in yes],
        "objections": [{"member": each, "reason": "never seen"} for each in no],
    }
    spec = ContributionSpec.model_validate({"record": record, **opinions})
    return Claim(member=member, name="one", uid=uid, spec=spec)
