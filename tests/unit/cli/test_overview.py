"""One screen: every object, whether it is ready, and why not."""

from collections.abc import Mapping
from io import StringIO

from rich.console import Console

from commonweal.kinds.equity_statement import EquityStatement
from commonweal.kinds.member import Member
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster
from operators.cli.overview import Row, rows, screen
from operators.kube import Json


def condition(status: str, reason: str, message: str) -> Json:
    return {"type": "Ready", "status": status, "reason": reason, "message": message}


def member(name: str = "ke", **status: object) -> Json:
    spec = {"displayName": "Kenya", "country": "KE", "identityKey": "A" * 43 + "=", "scheduling": "Active"}
    return {"kind": "Member", "metadata": {"name": name}, "spec": spec, "status": status}


def shown(found: list[Row]) -> str:
    console = Console(file=StringIO(), width=120, force_terminal=False)
    console.print(screen(found))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_an_object_that_no_controller_has_seen_is_unknown_and_not_ready() -> None:
    (row,) = rows(Member, [member()])
    assert (row.ready, row.reason) == ("Unknown", "NotReconciled")


def test_an_object_is_named_by_its_member_or_by_a_namespace_that_is_no_members() -> None:
    spec = {"pledge": {"cpuMillis": 1, "memoryMib": 1}, "location": {"country": "KE", "gridZone": "KE"}}
    spaces = ("member-ke", "elsewhere")
    bodies = [{"kind": "PooledCluster", "metadata": {"name": "a", "namespace": each}, "spec": spec} for each in spaces]
    assert [each.name for each in rows(PooledCluster, bodies)] == ["elsewhere/a", "ke/a"]


def test_why_something_is_not_ready_is_a_whole_sentence_below_its_table() -> None:
    why = "Member ke is not accepted; an administrator accepts with `commonweal accept ke`"
    text = shown(rows(Member, [member(conditions=[condition("False", "AwaitingAcceptance", why)])]))
    assert f"ke: {why}" in text
    assert "AwaitingAcceptance" in text


def test_what_is_ready_needs_no_explanation() -> None:
    text = shown(rows(Member, [member(conditions=[condition("True", "Active", "Everything is fine")])]))
    assert "Everything is fine" not in text


def test_a_missing_value_is_a_dash_and_never_a_zero() -> None:
    (row,) = rows(Member, [member()])
    assert row.facts["engine"] == "-"
    pledge: Json = {
        "kind": "PooledCluster",
        "metadata": {"name": "site", "namespace": "member-ke"},
        "spec": {"pledge": {"gpus": 2}, "location": {"gridZone": "KE"}},
    }
    (row,) = rows(PooledCluster, [pledge])
    assert row.name == "ke/site"
    assert row.facts["delivered, GPU-s"] == "-"
    assert row.facts["energy, mJ"] == "-"


def test_an_app_says_where_it_runs() -> None:
    placements = [
        {"member": "ca", "replicas": 1, "readyReplicas": 1},
        {"member": "kr", "replicas": 1, "readyReplicas": 0},
    ]
    status: Mapping[str, object] = {"readyReplicas": 1, "placements": placements, "address": "http://127.0.0.1:18080"}
    body: Json = {"kind": "PilotApp", "metadata": {"name": "trade"}, "spec": {"replicas": 2}, "status": status}
    (row,) = rows(PilotApp, [body])
    assert dict(row.facts) == {
        "replicas": "1 of 2",
        "where": "ca 1/1, kr 0/1",
        "address": "http://127.0.0.1:18080",
    }


def test_of_statements_only_the_latest_is_shown() -> None:
    def statement(name: str, end: str, share_bp: int) -> Json:
        entries = [{"member": "ke", "equityBp": share_bp}]
        spec = {"periodEnd": end, "entries": entries, "log": {"treeSize": 7}}
        return {"kind": "EquityStatement", "metadata": {"name": name}, "spec": spec}

    bodies = [statement("a", "2026-11-24T13:00:00Z", 10_000), statement("b", "2026-11-24T12:00:00Z", 5_000)]
    (row,) = rows(EquityStatement, bodies)
    assert row.facts["shares"] == "ke 100.00 %"


def test_an_empty_consortium_says_what_to_do() -> None:
    assert "apply a Consortium" in shown([])
