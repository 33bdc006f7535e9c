"""An emergency on a real API server: two people open it, everyone sees it, it ends by itself and is reviewed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from commonweal.grants import POLICY_KEY, Allowed, Ask, Policy, decide
from operators.hub.resources import DATA_TRUSTS, EMERGENCIES
from operators.kube import ApiResource, Forbidden, Invalid, Json, Kube, NotFound
from tests.integration.hub.world import EXAMPLES, Agent, Hub, eventually, manifest

EVENTS = ApiResource("v1", "Event", "events")
TRUST: Json = yaml.safe_load((EXAMPLES / "30-trust.yaml").read_text())
DATASET = TRUST["spec"]["datasets"][0]
NAME = "emergency-flood"
ADMINISTRATOR_CANNOT = "only a person of the trustee may open for it"


def access(name: str = NAME, **changes: object) -> Json:
    spec = {
        "trust": "trade",
        "beneficiary": {"pilotApp": "relief"},
        "purpose": TRUST["spec"]["purposes"][0],
        "datasets": [DATASET["name"]],
        "reason": "The port is under water.",
        "hours": 6,
        **changes,
    }
    return manifest("EmergencyAccess", name, spec)


def opening(member: str) -> Json:
    return {"trustee": member, "person": f"commonweal:member:{member}:agent"}


def review(member: str) -> Json:
    return {"trustee": member, "finding": "Justified", "words": "The questions were about the port."}


def connection(agent: Agent) -> Kube:
    assert agent.kube is not None
    return agent.kube


@pytest.fixture
async def agents(hub: Hub) -> dict[str, Agent]:
    """The trustees, and a trust that allows a day."""
    async with hub.operator():
        made = {name: await hub.joined(name, name.upper()) for name in ("ca", "ke", "kr")}
    await hub.apply(TRUST | {"spec": TRUST["spec"] | {"emergencyHours": 24}})
    return made


async def change(agent: Agent, **spec: object) -> Json:
    return await connection(agent).patch(EMERGENCIES, NAME, {"spec": spec})


async def state(hub: Hub, kind: str = "Ready") -> str | None:
    return (await hub.condition("emergencyaccesses", NAME, kind)).get("reason")


async def until(hub: Hub, reason: str, kind: str = "Ready") -> None:
    async def check() -> bool:
        return await state(hub, kind) == reason

    async def explain() -> str:
        return f"{kind} is {await state(hub, kind)}, not {reason}"

    await eventually(check, explain)


async def policy(hub: Hub, member: str) -> Policy | None:
    held = await hub.assigned("policy-trade", member)
    return None if held is None else Policy.parse(held["spec"]["objects"][0]["data"][POLICY_KEY])


async def carried(hub: Hub, member: str, *, wanted: bool) -> Policy:
    """The member's policy, once it carries the emergency, or no longer does."""

    async def check() -> Policy | None:
        found = await policy(hub, member)
        return found if found is not None and (found.grant(NAME) is not None) == wanted else None

    return await eventually(check)


def asked(changes: Mapping[str, str] | None = None) -> Ask:
    named: dict[str, Any] = {"trust": "trade", "dataset": DATASET["name"], "purpose": TRUST["spec"]["purposes"][0]}
    return Ask(**{**named, "grant": NAME, "beneficiary": "relief", "member": "ke", **(changes or {})})


async def test_an_emergency_from_its_first_word_to_its_review(hub: Hub, agents: dict[str, Agent]) -> None:
    source = DATASET["sources"][0]
    async with hub.operator():
        made = await connection(agents["ca"]).create(EMERGENCIES, access(openings=[opening("ca")]))
        uid = made["metadata"]["uid"]
        await until(hub, "AwaitingTrustees")
        assert (await carried(hub, source, wanted=False)).grants == ()
        await change(agents["kr"], openings=[opening("ca"), opening("kr")])
        await until(hub, "Open")
        await until(hub, "StillOpen", "ReviewDue")

        current = await carried(hub, source, wanted=True)
        allowed = decide(current, asked(), datetime.now(UTC))
        assert isinstance(allowed, Allowed)
        assert allowed.grant.emergency is not None
        assert allowed.grant.emergency.opened_by == (
            "ca: commonweal:member:ca:agent",
            "kr: commonweal:member:kr:agent",
        )
        assert allowed.grant.expires_at - datetime.now(UTC) <= timedelta(hours=6)
        await trust_says(hub, "EmergencyOpen", "True", "The port is under water.")

        with pytest.raises(Forbidden, match="review it when condition ReviewDue says so"):
            await change(agents["ke"], reviews=[review("ke")])
        with pytest.raises(Forbidden, match="an access that is open or not yet reviewed stays"):
            await hub.admin.delete(EMERGENCIES, NAME)

        await change(agents["ke"], closed=True)
        await until(hub, "Closed")
        await until(hub, "AwaitingReview", "ReviewDue")
        assert (await carried(hub, source, wanted=False)).grants == ()
        await trust_says(hub, "EmergencyOpen", "False", "Nothing is open")
        await trust_says(hub, "ReviewDue", "True", NAME)

        with pytest.raises(Forbidden, match="an access that is open or not yet reviewed stays"):
            await hub.admin.delete(EMERGENCIES, NAME)
        await change(agents["ke"], reviews=[review("ke")])
        await change(agents["kr"], reviews=[review("ke"), review("kr")])
        await until(hub, "Reviewed", "ReviewDue")
        await trust_says(hub, "ReviewDue", "False", "No emergency access waits")
    told = [
        each for each in (await hub.admin.list(EVENTS, "default")).items if each["involvedObject"].get("uid") == uid
    ]
    assert {each["reason"]: each["type"] for each in told} == {
        "AwaitingTrustees": "Normal",
        "Open": "Warning",
        "Closed": "Normal",
    }


async def trust_says(hub: Hub, kind: str, status: str, words: str) -> None:
    async def check() -> bool:
        held = await hub.condition("datatrusts", "trade", kind)
        return held.get("status") == status and words in held["message"]

    async def explain() -> str:
        return str(await hub.condition("datatrusts", "trade", kind))

    await eventually(check, explain)


async def test_it_ends_by_itself(hub: Hub, agents: dict[str, Agent]) -> None:
    """The clock of the object is the API server's own; here the operator's runs seven hours ahead of it."""
    async with hub.operator():
        await connection(agents["ca"]).create(EMERGENCIES, access(openings=[opening("ca")]))
        await until(hub, "AwaitingTrustees")
        await change(agents["kr"], openings=[opening("ca"), opening("kr")])
        await until(hub, "Open")
    async with hub.operator(ahead=timedelta(hours=7)):
        await until(hub, "Ended")
        await until(hub, "AwaitingReview", "ReviewDue")
        assert (await carried(hub, DATASET["sources"][0], wanted=False)).grants == ()
    await change(agents["ca"], reviews=[review("ca")])
    await change(agents["kr"], reviews=[review("ca"), review("kr")])
    async with hub.operator(ahead=timedelta(hours=7)):
        await until(hub, "Reviewed", "ReviewDue")


async def test_a_crash_before_the_status_was_written_tells_nothing_twice(hub: Hub, agents: dict[str, Agent]) -> None:
    await connection(agents["ca"]).create(EMERGENCIES, access(openings=[opening("ca")]))
    await change(agents["kr"], openings=[opening("ca"), opening("kr")])
    async with hub.operator():
        await until(hub, "Open")
    uid = (await hub.admin.get(EMERGENCIES, NAME))["metadata"]["uid"]
    await hub.admin.patch(EMERGENCIES, NAME, {"status": {"conditions": []}}, subresource="status")
    async with hub.operator():
        await until(hub, "Open")
        await change(agents["ca"], closed=True, reviews=[])
        await until(hub, "AwaitingReview", "ReviewDue")
    told = [
        each for each in (await hub.admin.list(EVENTS, "default")).items if each["involvedObject"].get("uid") == uid
    ]
    assert sorted(each["reason"] for each in told) == ["Closed", "Open"]
    await change(agents["ca"], reviews=[review("ca")])
    await change(agents["kr"], reviews=[review("ca"), review("kr")])
    async with hub.operator():
        await until(hub, "Reviewed", "ReviewDue")


async def test_nobody_opens_for_another_not_even_an_administrator(hub: Hub, agents: dict[str, Agent]) -> None:
    with pytest.raises(Forbidden, match=ADMINISTRATOR_CANNOT):
        await hub.admin.create(EMERGENCIES, access(openings=[opening("ca"), opening("kr")]))
    await hub.admin.create(EMERGENCIES, access())
    with pytest.raises(Forbidden, match=ADMINISTRATOR_CANNOT):
        await change(agents["ca"], openings=[opening("kr")])
    with pytest.raises(Forbidden, match=ADMINISTRATOR_CANNOT):
        await change(agents["ca"], openings=[opening("ca") | {"person": "somebody else"}])
    await change(agents["ca"], openings=[opening("ca")])
    with pytest.raises(Forbidden, match="one that was given stays"):
        await change(agents["kr"], openings=[])
    with pytest.raises(Forbidden, match="only the trustee itself may give its review"):
        await change(agents["ca"], reviews=[review("kr")])
    with pytest.raises(Invalid, match="reason cannot be changed"):
        await change(agents["ca"], reason="Another.")
    with pytest.raises(Invalid, match="hours cannot be changed"):
        await change(agents["ca"], hours=100)
    await change(agents["ca"], closed=True)
    with pytest.raises(Invalid, match="a closed access stays closed"):
        await change(agents["ca"], closed=False)


async def test_a_trust_that_allows_none_has_none(hub: Hub, agents: dict[str, Agent]) -> None:
    await hub.admin.patch(DATA_TRUSTS, "trade", {"spec": {"emergencyHours": None}})
    await connection(agents["ca"]).create(EMERGENCIES, access(openings=[opening("ca")]))
    await change(agents["kr"], openings=[opening("ca"), opening("kr")])
    async with hub.operator():
        await until(hub, "NotAllowed")
        await until(hub, "NeverOpened", "ReviewDue")
    await hub.admin.delete(EMERGENCIES, NAME)
    with pytest.raises(NotFound):
        await hub.admin.get(EMERGENCIES, NAME)


@pytest.mark.parametrize("name", ["flood", "emergency-", "emergency-a.b", "emergency-" + "x" * 54])
async def test_a_name_that_a_grant_could_have_is_refused(hub: Hub, name: str) -> None:
    with pytest.raises(Invalid, match="metadata"):
        await hub.admin.create(EMERGENCIES, access(name))


async def test_a_grant_cannot_take_the_name_of_an_emergency(hub: Hub) -> None:
    grant = yaml.safe_load((EXAMPLES / "40-grant.yaml").read_text())
    grant["metadata"]["name"] = NAME
    with pytest.raises(Invalid, match="emergency- is for EmergencyAccess"):
        await hub.apply(grant)
