"""Revoking a grant refuses new questions within 1 s and kills running ones within 2 s; tokens are dead within 60 s.

With 10, 1,000 and 10,000 live grants, on both engines. The policy is a ConfigMap of a real API server, which the
gateway watches with the rights of its account; the clock starts before the new one is sent there. Running questions are
several at once over six million rows, since no question of the grammar is slow by itself; a killed one is a refusal
that came while its statement was running. What lies before, from the trustee's word to the agent, is not in it.
"""

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from commonweal.grants import Policy
from infra.local import trino
from loadtests import datasets, lineitem
from loadtests.bars import Measurement
from loadtests.gateways import Pilot, RunningGateway, document, gateway, publish
from loadtests.member_cluster import MemberCluster, member_cluster
from loadtests.wire import WireError

NEEDS_DEMO = False
LIVE = (10, 1_000, 10_000)
AT_ONCE = 6
UNDER_WAY_S = 1.0
LIMIT_S = 60.0
IN_A_ROW = 10
LIGHT = "SELECT count(*) FROM lineitem WHERE l_shipdate < '1992-01-20'"


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Seconds from a policy's sending to its effect."""

    refused_s: float
    killed_s: float
    token_dead_s: float


@dataclass(frozen=True)
class Site:
    """A gateway, the cluster that it follows, and who asks it."""

    door: RunningGateway
    cluster: MemberCluster
    pilot: Pilot


def measure() -> list[Measurement]:
    """The slowest of each kind over both engines and all numbers of grants; the note has each."""
    pilot = Pilot("analyst")
    cases: dict[str, Delays] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        publish(folder, lineitem.policy(pilot, ["grant-0"]).render())
        lineitem.write(folder / "lineitem.parquet")
        datasets.ingest(folder, folder / "lineitem.parquet", lineitem.TABLE)
        with member_cluster() as cluster:
            cluster.publish(lineitem.policy(pilot, ["grant-0"]))
            with gateway(folder, cluster=cluster) as door:
                cases |= {f"duckdb/{live}": _case(Site(door, cluster, pilot), live) for live in LIVE}
            with trino.serving(folder, folder / "data") as server, gateway(folder, server, cluster) as door:
                cases |= {f"trino/{live}": _case(Site(door, cluster, pilot), live) for live in LIVE}
    return [
        _slowest("trust-revocation-refused", {case: delays.refused_s for case, delays in cases.items()}, 1),
        _slowest("trust-revocation-killed", {case: delays.killed_s for case, delays in cases.items()}, 2),
        _slowest("trust-revocation-token-dead", {case: delays.token_dead_s for case, delays in cases.items()}, 60),
    ]


def _case(site: Site, live: int) -> Delays:
    """Revoke the last of `live` grants twice, idle and busy, and then take the issuer's keys away."""
    names = [f"grant-{number}" for number in range(live)]
    with_all, without = (lineitem.policy(site.pilot, some) for some in (names, names[:-1]))
    other_keys = lineitem.policy(Pilot(site.pilot.name), names)
    grant = names[-1]
    _until(site, with_all, grant, httpx.codes.OK)
    refused_s = _until(site, without, grant, httpx.codes.FORBIDDEN)
    _until(site, with_all, grant, httpx.codes.OK)
    killed_s = _kill(site, without, grant)
    _until(site, with_all, grant, httpx.codes.OK)
    token_dead_s = _until(site, other_keys, grant, httpx.codes.UNAUTHORIZED)
    return Delays(refused_s=refused_s, killed_s=killed_s, token_dead_s=token_dead_s)


def _until(site: Site, policy: Policy, grant: str, status: int) -> float:
    """Seconds from a policy's sending to the first reply with this status, of some with it in a row."""
    begun = time.monotonic()
    site.cluster.publish(policy)
    first_s, in_a_row = 0.0, 0
    while in_a_row < IN_A_ROW:
        came = _ask(site, grant, LIGHT).status_code == status
        since_s = time.monotonic() - begun
        if came and not in_a_row:
            first_s = since_s
        in_a_row = in_a_row + 1 if came else 0
        if since_s > LIMIT_S:
            raise WireError(f"no reply {status} within {LIMIT_S:.0f} s of a new policy")
    return first_s


def _kill(site: Site, policy: Policy, grant: str) -> float:
    """Seconds from a policy's sending until the last of several running questions was refused."""
    ended: list[float] = []
    replies: list[httpx.Response] = []
    lock = threading.Lock()

    def ask_and_note(sql: str) -> None:
        reply = _ask(site, grant, sql)
        with lock:
            ended.append(time.monotonic())
            replies.append(reply)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(AT_ONCE):
            pool.submit(ask_and_note, _heavy(number))
        time.sleep(UNDER_WAY_S)
        if replies:
            raise WireError("a question ended before it could be revoked; ask heavier ones")
        begun = time.monotonic()
        site.cluster.publish(policy)
    answered = [reply for reply in replies if reply.status_code != httpx.codes.FORBIDDEN]
    if answered:
        raise WireError(f"{len(answered)} of {AT_ONCE} got HTTP {answered[0].status_code} {answered[0].text[:200]}")
    rules = {str(document(reply)["rule"]) for reply in replies}
    if rules != {"UnknownGrant"}:
        raise WireError(f"refused by {', '.join(sorted(rules))}, not by UnknownGrant")
    return max(ended) - begun


def _heavy(number: int) -> str:
    """A question that decides on a hundred comparisons for every row; each has a number of its own."""
    tests = [f"l_discount <> 0.{place} AND l_shipmode <> 'SHIP {number} {place}'" for place in range(11, 60)]
    return (
        "SELECT l_shipdate, sum(l_quantity) AS q, avg(l_tax) AS t, count(*) AS n FROM lineitem "  # noqa: S608
        f"WHERE {' AND '.join(tests)} GROUP BY l_shipdate"
    )


def _ask(site: Site, grant: str, sql: str) -> httpx.Response:
    names = {"trust": datasets.TRUST, "dataset": lineitem.TABLE, "purpose": lineitem.PURPOSE, "grant": grant}
    return site.door.ask(site.pilot.token(), {**names, "sql": sql, "deadline_s": 60})


def _slowest(name: str, times_s: dict[str, float], bound: float) -> Measurement:
    note = ", ".join(f"{case} {seconds:.2f}" for case, seconds in times_s.items())
    return Measurement(name=name, value=max(times_s.values()), unit="s", bound=bound, note=note)
