"""A claim comes from this member's ready pods, a receipt from what its own applications hold anywhere."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.kinds.pilot_app import PilotApp
from commonweal.ledger import Unit
from commonweal.receipts import Side, Terms, Usage, verify
from commonweal.use import Job, Reserved
from operators.agent.probes import endpoints
from operators.agent.use import config_map, given, received

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRADE = Job(provider="kr", consumer="ca", name="trade")


def app(sponsor: str = "ca", **ready: int) -> PilotApp:
    placements = [
        {"member": member, "replicas": 2, "readyReplicas": replicas, "endpoints": [f"http://{member}:30080"]}
        for member, replicas in ready.items()
    ]
    spec: dict[str, Any] = {
        "description": "d",
        "sponsor": sponsor,
        "component": {"image": "localhost/commonweal:test", "port": 8080},
        "resources": {"cpuMillis": 250, "memoryMib": 128, "gpus": 1},
        "replicas": 2,
        "serviceClass": "public",
    }
    metadata = {"name": "trade", "generation": 1}
    body = {"kind": "PilotApp", "metadata": metadata, "spec": spec, "status": {"placements": placements}}
    return PilotApp.read(body)


def pod(name: str = "trade", *, ready: bool = True, gpus: str = "1") -> dict[str, Any]:
    return {
        "metadata": {"labels": {"commonweal.dev/pilot": name}},
        "spec": {"containers": [{"resources": {"requests": {"cpu": "250m", "nvidia.com/gpu": gpus}}}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def test_ready_pods_hold_their_requests_for_the_sponsor() -> None:
    pods = [pod(), pod(), pod(ready=False), pod("other"), {"metadata": {}, "spec": {"containers": []}}]
    assert given("kr", pods, [app()]) == (Reserved(job=TRADE, gpu_millis=2000, cpu_millis=500),)


def test_replicas_that_answer_hold_what_a_replica_needs() -> None:
    assert received("ca", [app(kr=2, ke=0)], lambda _: True) == (
        Reserved(job=TRADE, gpu_millis=2000, cpu_millis=500),
        Reserved(job=Job(provider="ke", consumer="ca", name="trade"), gpu_millis=0, cpu_millis=0),
    )


def test_replicas_that_do_not_answer_hold_nothing_whatever_their_provider_says() -> None:
    [held] = received("ca", [app(kr=2, ke=2)], lambda url: url == "http://ke:30080")
    assert (held.job.provider, held.gpu_millis) == ("ke", 2000)


def test_on_its_own_machines_a_member_asks_nobody() -> None:
    [held] = received("ca", [app(ca=1)], lambda _: False)
    assert (held.job.provider, held.gpu_millis) == ("ca", 1000)


def test_a_member_signs_no_receipt_for_anothers_application() -> None:
    assert received("kr", [app(kr=2)], lambda _: True) == ()


def test_only_ones_own_applications_are_asked_and_only_where_replicas_are_said_to_be_ready() -> None:
    assert endpoints("ca", [app(kr=2, ke=0, ca=1), app("kr", ca=1)]) == {"http://kr:30080"}


@pytest.mark.parametrize(("side", "name"), [(Side.CLAIM, "claim-ca-trade"), (Side.RECEIPT, "receipt-kr-trade")])
def test_what_is_sent_is_what_the_hub_verifies(side: Side, name: str) -> None:
    identities = {member: Ed25519PrivateKey.generate() for member in ("ca", "kr")}
    usage = Usage(
        provider="kr",
        consumer="ca",
        job="trade",
        unit=Unit.GPU_SECONDS,
        amount=60,
        period_start=NOON,
        period_end=NOON + timedelta(minutes=1),
    )
    signer = usage.signer(side)
    body = config_map(side, usage, identities[signer])
    assert body["metadata"]["name"] == f"{name}-gpu-seconds-{int(NOON.timestamp())}"
    assert body["metadata"]["namespace"] == f"member-{signer}"
    keys = {member: identity.public_key() for member, identity in identities.items()}
    payload = body["data"]["usage.json"].encode()
    signature = base64.b64decode(body["data"]["usage.json.sig"])
    now = NOON + timedelta(minutes=2)
    assert verify(side, payload, signature, keys, terms=Terms(period_s=60), now=now) == usage
    assert json.loads(payload)["amount"] == 60
