"""What two members signed of a job becomes the use in a statement; what they disagree on is a dispute that both see."""

import base64
from datetime import datetime, timedelta

from commonweal.ledger import Unit
from commonweal.receipts import Side, Usage, signed_bytes
from operators.hub.books import Books, posted
from operators.hub.resources import CONSORTIUMS
from operators.kube import CONFIG_MAPS
from tests.integration.hub.test_accounting import PERIOD_S, chain, last_periods, send, statements
from tests.integration.hub.world import Agent, Hub, eventually, manifest

LONG = {"spec": {"accounting": {"auditSeconds": 60, "disputeSeconds": 3600}}}


async def tell(side: Side, agent: Agent, usage: Usage) -> None:
    """As the member's agent sends it, with the agent's own rights."""
    assert agent.kube is not None
    name = f"{side}-{usage.job}-{usage.amount}"
    body = manifest("ConfigMap", name, None, namespace=agent.namespace, api_version="v1")
    signature = base64.b64encode(agent.identity.sign(signed_bytes(side, usage.payload()))).decode()
    body["data"] = {"usage.json": usage.payload().decode(), "usage.json.sig": signature}
    await agent.kube.create(CONFIG_MAPS, body, agent.namespace)


async def taken(hub: Hub, *agents: Agent) -> None:
    async def check() -> bool:
        left = [body for each in agents for body in (await hub.admin.list(CONFIG_MAPS, each.namespace)).items]
        return not [body for body in left if body["metadata"]["name"].startswith(("claim-", "receipt-"))]

    await eventually(check)


async def test_use_that_both_sides_signed_is_in_the_statement_after_its_audit(hub: Hub) -> None:
    starts = last_periods(2)
    await hub.admin.patch(CONSORTIUMS, "charter", LONG)
    async with hub.operator():
        ca, kr = await hub.joined("ca", "CA", gpus=1), await hub.joined("kr", "KR", gpus=1)
        for unit, claimed, received in ((Unit.GPU_SECONDS, 60, 59), (Unit.CORE_SECONDS, 30, 30)):
            for side, agent, amount in ((Side.CLAIM, kr, claimed), (Side.RECEIPT, ca, received)):
                await tell(side, agent, use(starts[0], amount, unit))
        await taken(hub, ca, kr)
        for agent in (ca, kr):
            await send(agent, *chain(agent, starts))
        _, second, *_ = await statements(hub, 2)
        entries = {entry["member"]: entry for entry in second["spec"]["entries"]}
        assert [(entries["ca"][name], entries["kr"][name]) for name in ("usedGpuSeconds", "usedCoreSeconds")] == [
            (59, 0),
            (30, 0),
        ]
    flows = [transfer for _, transfer in posted(hub.folder / "state" / "books.sqlite3") if "/used/" in transfer.debit]
    assert sorted((flow.debit, flow.unit, flow.amount) for flow in flows) == [
        ("member/ca/used/kr", Unit.CORE_SECONDS, 30),
        ("member/ca/used/kr", Unit.GPU_SECONDS, 59),
    ]


async def test_a_disagreement_stands_on_the_pledges_of_both_until_the_lower_side_signs_more(hub: Hub) -> None:
    [start] = last_periods(1)
    await hub.admin.patch(CONSORTIUMS, "charter", LONG)
    async with hub.operator():
        ca, kr = await hub.joined("ca", "CA", gpus=1), await hub.joined("kr", "KR", gpus=1)
        await tell(Side.CLAIM, kr, use(start, 60))
        await tell(Side.RECEIPT, ca, use(start, 30))
        await taken(hub, ca, kr)
        for agent in (ca, kr):
            held = await agreed(hub, agent, "Disputed")
            assert held["status"] == "False"
            assert "kr claims 60, ca received 30 gpu_seconds; the lower side signs more" in held["message"]
        await tell(Side.RECEIPT, ca, use(start, 60))
        await taken(hub, ca, kr)
        await agreed(hub, kr, "Agreed")


async def test_a_claim_that_the_provider_did_not_sign_is_refused_and_logged(hub: Hub) -> None:
    [start] = last_periods(1)
    async with hub.operator():
        ca, kr = await hub.joined("ca", "CA", gpus=1), await hub.joined("kr", "KR", gpus=1)
        await tell(Side.CLAIM, ca, use(start, 60))
        await taken(hub, ca, kr)
        held = await agreed(hub, ca, "Refused")
        assert "signature: not by kr" in held["message"]
    books = Books.open(hub.folder / "state")
    leaves = [leaf for (leaf,) in books.connection.execute("SELECT leaf FROM log")]
    books.close()
    assert any(b'"type":"refusal"' in leaf and b"not by kr" in leaf for leaf in leaves)


def use(start: datetime, amount: int, unit: Unit = Unit.GPU_SECONDS) -> Usage:
    values = {"provider": "kr", "consumer": "ca", "job": "trade", "unit": unit, "amount": amount}
    return Usage.model_validate(values | {"period_start": start, "period_end": start + timedelta(seconds=PERIOD_S)})


async def agreed(hub: Hub, agent: Agent, reason: str) -> dict[str, str]:
    """The condition of the member's pledge, once it has this reason."""

    async def check() -> dict[str, str] | None:
        held = await hub.condition("pooledclusters", "site", "UseAgreed", agent.namespace)
        return held if held.get("reason") == reason else None

    return await eventually(check)
