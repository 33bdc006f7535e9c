"""Objects as a hub returns them, for tests of the dashboard: three members, one pilot, an hour of periods."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from commonweal.apportion import WHOLE_BP, largest_remainder
from commonweal.kinds.consortium import Consortium
from commonweal.kinds.contribution import Contribution
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.equity_statement import EquityStatement
from commonweal.kinds.member import Member
from commonweal.kinds.meta import API_VERSION, Resource
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[3] / "examples"
KEY = "A" * 43 + "="
GPUS = {"ca": 4, "kr": 4, "ke": 2}
MEMBERS = {"ca": ("Canada", "CA"), "kr": ("Korea", "KR"), "ke": ("Kenya", "KE")}

Body = dict[str, Any]


def condition(*, status: str, reason: str, message: str) -> Body:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": NOON.isoformat(),
        "observedGeneration": 1,
    }


def ready(reason: str = "Active") -> Body:
    return condition(status="True", reason=reason, message="All is well.")


def body(kind: type[Resource], name: str, spec: Body, status: Body | None, namespace: str | None = None) -> Body:
    metadata = {"name": name, "generation": 1, "uid": f"uid-{kind.definition.kind}-{name}", "resourceVersion": "1"}
    if namespace:
        metadata["namespace"] = namespace
    whole = {"apiVersion": API_VERSION, "kind": kind.definition.kind, "metadata": metadata, "spec": spec}
    return whole if status is None else {**whole, "status": status}


def charter() -> Body:
    """Return the charter of examples/, in force."""
    applied = yaml.safe_load((EXAMPLES / "10-charter.yaml").read_text())
    return body(Consortium, "charter", applied["spec"], {"conditions": [ready("InForce")], "members": 3})


def member(name: str, said: Body | None = None) -> Body:
    display, country = MEMBERS[name]
    spec = {"displayName": display, "country": country, "identityKey": KEY, "hubAccepts": True}
    site = {
        "issuer": f"https://{name}.example",
        "jwks": "{}",
        "engine": "trino",
        "nodeAddress": "192.0.2.1",
        "allocatable": {"cpuMillis": 2000, "memoryMib": 4096, "gpus": GPUS[name]},
        "agentVersion": "0.1.0",
        "kubernetesVersion": "v1.37.2",
    }
    status = {"conditions": [said or ready()], "site": site, "lastHeartbeatAt": NOON.isoformat()}
    return body(Member, name, spec, status)


def pledge(name: str, owner: str) -> Body:
    gpu_seconds = GPUS[owner] * 60
    period = {
        "start": (NOON - timedelta(minutes=1)).isoformat(),
        "end": NOON.isoformat(),
        "pledgedGpuSeconds": gpu_seconds,
        "deliveredGpuSeconds": gpu_seconds - 3,
        "shortfallGpuSeconds": 3,
        "beyondPledgeGpuSeconds": 0,
        "energyMj": gpu_seconds * 300_000,
        "simulated": True,
    }
    spec = {
        "pledge": {"cpuMillis": 1000, "memoryMib": 2048, "gpus": GPUS[owner]},
        "location": {"country": MEMBERS[owner][1], "gridZone": MEMBERS[owner][1]},
    }
    status = {"conditions": [ready("Delivered")], "lastPeriod": period}
    return body(PooledCluster, name, spec, status, namespace=f"member-{owner}")


def trust() -> Body:
    spec = {
        "title": "Embedded emissions of traded goods",
        "trustees": ["ca", "kr", "ke"],
        "quorum": 2,
        "purposes": ["trade-embedded-emissions"],
        "datasets": [
            {
                "name": "customs_rows",
                "description": "Import declarations.",
                "licence": "CC0-1.0",
                "synthetic": True,
                "minimumGroupSize": 3,
                "sources": ["ca", "ke"],
                "columns": [{"name": "partner", "type": "string", "role": "dimension"}],
            }
        ],
    }
    return body(DataTrust, "trade", spec, {"conditions": [ready("Serving")], "serving": ["ca", "ke"]})


def grant() -> Body:
    spec = {
        "trust": "trade",
        "beneficiary": {"pilotApp": "trade"},
        "purpose": "trade-embedded-emissions",
        "datasets": ["customs_rows"],
        "expiresAt": "2030-01-01T00:00:00Z",
        "approvals": [{"trustee": "ca"}, {"trustee": "kr"}],
    }
    return body(DataGrant, "trade-emissions", spec, {"conditions": [ready("Approved")]})


def pilot(address: str | None = "http://127.0.0.1:18080", said: Body | None = None) -> Body:
    spec = {
        "description": "Embedded emissions of traded goods",
        "sponsor": "kr",
        "component": {"image": "localhost/commonweal/site:0.1.0", "port": 8080},
        "resources": {"cpuMillis": 200, "memoryMib": 256},
        "replicas": 2,
        "placement": {"minMembers": 2},
        "grants": ["trade-emissions"],
        "serviceClass": "public",
    }
    placements = [{"member": name, "replicas": 1, "readyReplicas": 1} for name in ("ca", "kr")]
    status: Body = {"conditions": [said or ready("Serving")], "readyReplicas": 2, "placements": placements}
    return body(PilotApp, "trade", spec, {**status, "address": address} if address else status)


def statement(number: int, weights: dict[str, int] | None = None, *, said: Body | None = None) -> Body:
    """Period `number`, counted from one hour before NOON, with shares in proportion to the weights."""
    start = NOON - timedelta(hours=1) + timedelta(minutes=number)
    shares = largest_remainder(WHOLE_BP, weights or {"ca": 400 + number, "kr": 400 - number, "ke": 210})
    entries = [
        {
            "member": name,
            "pledgedGpuSeconds": GPUS[name] * 60,
            "deliveredGpuSeconds": GPUS[name] * 60 - number % 5,
            "usedGpuSeconds": 30,
            "selfUsedGpuSeconds": 10,
            "usedCoreSeconds": 12,
            "energyMj": GPUS[name] * 60 * 300_000,
            "greenEnergyMj": GPUS[name] * 60 * 200_000,
            "talentSeconds": 0,
            "credit": {"compute": 20, "energy": 0, "talent": 0},
            "stock": {"compute": 20 * (number + 1), "energy": 0, "talent": 0},
            "equityBp": share,
        }
        for name, share in shares.items()
    ]
    spec = {
        "periodStart": start.isoformat(),
        "periodEnd": (start + timedelta(minutes=1)).isoformat(),
        "charterSha256": "c" * 64,
        "simulated": True,
        "entries": entries,
        "log": {"treeSize": 3 * (number + 1), "rootSha256": sha256(str(number).encode()).hexdigest()},
    }
    return body(EquityStatement, f"period-{number:04d}", spec, {"conditions": [said or ready("Recomputed")]})


def contribution(name: str, owner: str, said: Body | None = None, *, simulated: bool = False) -> Body:
    work = {"person": "p-7", "task": "Reviewed the charter", "begin": "2026-11-23T09:00:00Z"}
    certificate = {"registry": "r", "id": name, "zone": "KE", "hour": NOON.isoformat(), "wh": 1, "source": "wind"}
    record: Body = {"work": [work | {"end": "2026-11-23T10:00:00Z"}]}
    if simulated:
        record["certificates"] = [certificate | {"simulated": True}]
    spec = {"record": record, "approvals": [{"member": "ca"}, {"member": "kr"}]}
    return body(Contribution, name, spec, {"conditions": [said or ready("Approved")]}, f"member-{owner}")


def consortium(periods: int = 60, address: str | None = "http://127.0.0.1:18080") -> dict[str, list[Body]]:
    """Return a whole healthy consortium, by plural name of the kind."""
    return {
        "consortiums": [charter()],
        "members": [member(name) for name in MEMBERS],
        "pooledclusters": [pledge("montreal", "ca"), pledge("daejeon", "kr"), pledge("nairobi", "ke")],
        "datatrusts": [trust()],
        "datagrants": [grant()],
        "emergencyaccesses": [],
        "pilotapps": [pilot(address)],
        "equitystatements": [statement(number) for number in range(periods)],
        "contributions": [contribution("review", "ke")],
    }
