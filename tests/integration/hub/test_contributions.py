"""What a member claims is recorded, approved by others as themselves, and told where it stands."""

from datetime import timedelta

from operators.hub.resources import CONSORTIUMS, CONTRIBUTIONS
from operators.kube import Json
from tests.integration.hub.test_accounting import last_periods
from tests.integration.hub.world import Agent, Hub, manifest

SHORT = {"spec": {"accounting": {"auditSeconds": 60, "disputeSeconds": 60, "approvalQuorum": 1}}}


async def claim(agent: Agent, record: Json) -> None:
    assert agent.kube is not None
    body = manifest("Contribution", "november", {"record": record}, namespace=agent.namespace)
    await agent.kube.create(CONTRIBUTIONS, body, agent.namespace)


async def approve(agent: Agent, of: Agent) -> None:
    assert agent.kube is not None
    await agent.kube.patch(CONTRIBUTIONS, "november", {"spec": {"approvals": [{"member": agent.name}]}}, of.namespace)


async def test_a_claim_waits_for_others_and_a_wrong_one_is_told_what_is_wrong(hub: Hub) -> None:
    [start] = last_periods(1)
    work = {"person": "p-1", "task": "reviewed the charter", "end": f"{start:%FT%TZ}"}
    work["begin"] = f"{start - timedelta(minutes=10):%FT%TZ}"
    await hub.admin.patch(CONSORTIUMS, "charter", SHORT)
    async with hub.operator():
        ca, kr = await hub.joined("ca", "CA", gpus=1), await hub.joined("kr", "KR", gpus=1)
        await claim(ca, {"work": [work]})
        await hub.ready("contributions", "november", "AwaitingApproval", status="False", namespace=ca.namespace)
        await approve(kr, ca)
        held = await hub.ready("contributions", "november", "Approved", namespace=ca.namespace)
        assert "Approved by kr; the first statement that ends after" in held["message"]
        await claim(kr, {"work": [work | {"begin": work["end"]}]})
        held = await hub.ready("contributions", "november", "Refused", status="False", namespace=kr.namespace)
        assert "spec.record.work[0].end" in held["message"]
