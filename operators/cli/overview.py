"""The consortium on one screen: each object with its few facts, whether it is ready, and why not."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from commonweal.kinds.consortium import Consortium
from commonweal.kinds.contribution import Contribution
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.equity_statement import EquityStatement
from commonweal.kinds.member import Member
from commonweal.kinds.meta import Resource
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster
from commonweal.membership import member_of
from operators.cli.terminal import CommandError
from operators.kube import Json, Kube, NotFound, custom


@dataclass(frozen=True, kw_only=True)
class Row:
    """One object. `facts` are in the order in which they are shown."""

    kind: str
    name: str
    facts: Mapping[str, str]
    ready: str
    reason: str
    message: str

    def plain(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "facts": dict(self.facts),
            "ready": self.ready,
            "reason": self.reason,
            "message": self.message,
        }


def _text(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text or "-"


def _status(body: Json) -> Json:
    status: Json = body.get("status", {})
    return status


def _consortium(body: Json) -> dict[str, object]:
    return {"title": body["spec"]["title"], "members": _status(body).get("members")}


def _member(body: Json) -> dict[str, object]:
    site = _status(body).get("site", {})
    return {
        "country": body["spec"]["country"],
        "accepted": "yes" if body["spec"].get("hubAccepts") else "no",
        "scheduling": body["spec"].get("scheduling"),
        "engine": site.get("engine"),
        "certificate until": _status(body).get("certificateNotAfter"),
    }


def _pledge(body: Json) -> dict[str, object]:
    pledge, last = body["spec"]["pledge"], _status(body).get("lastPeriod", {})
    delivered, pledged = last.get("deliveredGpuSeconds"), last.get("pledgedGpuSeconds")
    return {
        "GPUs": pledge.get("gpus", 0),
        "zone": body["spec"]["location"]["gridZone"],
        "delivered, GPU-s": f"{delivered} of {pledged}" if last else None,
        "energy, mJ": last.get("energyMj"),
        "simulated": ("yes" if last["simulated"] else "no") if last else None,
    }


def _trust(body: Json) -> dict[str, object]:
    return {"purposes": body["spec"]["purposes"], "serving": _status(body).get("serving")}


def _grant(body: Json) -> dict[str, object]:
    spec = body["spec"]
    return {
        "trust": spec["trust"],
        "beneficiary": spec["beneficiary"]["pilotApp"],
        "purpose": spec["purpose"],
        "state": _status(body).get("state"),
        "until": spec["expiresAt"],
    }


def _app(body: Json) -> dict[str, object]:
    status = _status(body)
    where = [f"{p['member']} {p['readyReplicas']}/{p['replicas']}" for p in status.get("placements", ())]
    ready = f"{status.get('readyReplicas', 0)} of {body['spec']['replicas']}"
    return {"replicas": ready, "where": where, "address": status.get("address")}


def _contribution(body: Json) -> dict[str, object]:
    spec = body["spec"]
    record = spec["record"]
    return {
        "claims": [f"{len(lines)} {what}" for what, lines in record.items() if lines],
        "approved by": [each["member"] for each in spec.get("approvals", ())],
        "disputed by": [each["member"] for each in spec.get("objections", ())],
    }


def _statement(body: Json) -> dict[str, object]:
    spec = body["spec"]
    shares = [f"{entry['member']} {entry['equityBp'] / 100:.2f} %" for entry in spec["entries"]]
    return {"until": spec["periodEnd"], "shares": shares, "log": spec["log"]["treeSize"]}


FACTS: Mapping[type[Resource], Callable[[Json], dict[str, object]]] = {
    Consortium: _consortium,
    Member: _member,
    PooledCluster: _pledge,
    DataTrust: _trust,
    DataGrant: _grant,
    PilotApp: _app,
    Contribution: _contribution,
    EquityStatement: _statement,
}
LATEST_ONLY = EquityStatement.definition.kind


def row(body: Json, facts: Callable[[Json], dict[str, object]]) -> Row:
    """Read one object as the API server returned it; one that no controller has seen yet is Unknown."""
    metadata = body["metadata"]
    namespace = metadata.get("namespace")
    name = f"{member_of(namespace) or namespace}/{metadata['name']}" if namespace else metadata["name"]
    conditions = {condition["type"]: condition for condition in _status(body).get("conditions", ())}
    ready = conditions.get("Ready", {"status": "Unknown", "reason": "NotReconciled", "message": "no controller yet"})
    shown = {key: _text(value) for key, value in facts(body).items()}
    return Row(
        kind=body["kind"],
        name=name,
        facts=shown,
        ready=ready["status"],
        reason=ready["reason"],
        message=ready["message"],
    )


def rows(kind: type[Resource], bodies: Iterable[Json]) -> list[Row]:
    """The rows of one kind by name; of statements only the latest."""
    ordered = sorted(bodies, key=lambda body: (body["metadata"].get("namespace", ""), body["metadata"]["name"]))
    if kind.definition.kind == LATEST_ONLY:
        ordered = sorted(ordered, key=lambda body: str(body["spec"]["periodEnd"]))[-1:]
    return [row(body, FACTS[kind]) for body in ordered]


async def gather(kube: Kube) -> list[Row]:
    """Everything there is; a kind that the server does not serve means that the hub is not set up.

    Raises:
        CommandError: no kind of ours is served.
    """

    async def one(kind: type[Resource]) -> list[Row]:
        return rows(kind, (await kube.list(custom(kind))).items)

    try:
        found = await asyncio.gather(*map(one, FACTS))
    except NotFound:
        raise CommandError("this cluster serves no commonweal kinds; `commonweal setup` makes it a hub") from None
    return [each for part in found for each in part]


_STYLE = {"True": "green", "False": "red", "Unknown": "yellow"}


def screen(found: Iterable[Row]) -> Group:
    """All rows as one table a kind; why something is not ready stands below its table, in whole sentences."""
    parts: list[Table | Text] = []
    by_kind: dict[str, list[Row]] = {}
    for each in found:
        by_kind.setdefault(each.kind, []).append(each)
    for kind, members in by_kind.items():
        table = Table(title=kind, title_justify="left", title_style="bold", box=None, pad_edge=False)
        for heading in ("name", "ready", *members[0].facts):
            table.add_column(heading, overflow="fold")
        for each in members:
            table.add_row(each.name, Text(each.reason, style=_STYLE[each.ready]), *each.facts.values())
        parts += [table, *(_why(each) for each in members if each.ready != "True"), Text("")]
    return Group(*parts) if parts else Group(Text("Nothing here yet; apply a Consortium and invite members"))


def _why(each: Row) -> Text:
    return Text(f"  {each.name}: {each.message}", style=_STYLE[each.ready])
