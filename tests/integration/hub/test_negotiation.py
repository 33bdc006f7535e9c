"""A grant from a member's request to the policy of the sources, each step by the identity that it belongs to."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from operators.cli.main import app
from operators.hub.resources import DATA_GRANTS, DATA_TRUSTS
from operators.kube import Forbidden, Invalid, Json, Kube
from tests.integration.hub.world import EXAMPLES, Agent, Hub, eventually, manifest

GRANT: Json = yaml.safe_load((EXAMPLES / "40-grant.yaml").read_text())
TRUST: Json = yaml.safe_load((EXAMPLES / "30-trust.yaml").read_text())
PILOT: Json = yaml.safe_load((EXAMPLES / "50-trade-pilot.yaml").read_text())
LESS = {"datasets": ["customs_rows"], "expiresAt": "2028-01-01T00:00:00Z"}


def request(name: str = "asked", **changes: object) -> Json:
    spec = {key: value for key, value in GRANT["spec"].items() if key != "approvals"}
    return manifest("DataGrant", name, spec | changes)


def connection(agent: Agent) -> Kube:
    assert agent.kube is not None
    return agent.kube


async def members(hub: Hub) -> dict[str, Kube]:
    agents = {name: await hub.joined(name, name.upper()) for name in ("ca", "kr", "ke")}
    await hub.apply(TRUST)
    return {name: connection(agent) for name, agent in agents.items()}


async def reached(hub: Hub, phase: str, name: str = "asked") -> Json:
    """Wait for a state; the whole status."""

    async def check() -> Json | None:
        status: Json = (await hub.admin.get(DATA_GRANTS, name)).get("status", {})
        return status if status.get("state") == phase else None

    async def explain() -> str:
        return str((await hub.admin.get(DATA_GRANTS, name)).get("status"))

    return await eventually(check, explain)


async def told(hub: Hub, name: str, words: str) -> None:
    """Wait until the condition says so; its reason may have been the same before."""

    async def check() -> bool:
        return str((await hub.condition("datagrants", name)).get("message", "")).startswith(words)

    async def explain() -> str:
        return str(await hub.condition("datagrants", name))

    await eventually(check, explain)


async def live_at(hub: Hub, member: str) -> list[Json]:
    assigned = await hub.assigned("policy-trade", member)
    if assigned is None:
        return []
    grants: list[Json] = json.loads(assigned["spec"]["objects"][0]["data"]["policy.json"])["grants"]
    return grants


async def test_a_member_asks_for_itself_and_brings_no_approvals(hub: Hub) -> None:
    async with hub.operator():
        kubes = await members(hub)
    with pytest.raises(Forbidden, match="whoever asks stands behind the request"):
        await kubes["ca"].create(DATA_GRANTS, request())
    with pytest.raises(Forbidden, match="whoever asks stands behind the request"):
        await kubes["kr"].create(DATA_GRANTS, request(beneficiary={"pilotApp": "trade"}))
    with pytest.raises(Forbidden, match="only the trustee itself"):
        await kubes["kr"].create(DATA_GRANTS, request(approvals=GRANT["spec"]["approvals"]))
    await kubes["kr"].create(DATA_GRANTS, request())


async def test_an_offer_is_made_approved_and_accepted_each_by_its_own_identity(hub: Hub) -> None:
    async with hub.operator():
        kubes = await members(hub)
        await kubes["kr"].create(DATA_GRANTS, request())
        asked = await reached(hub, "Requested")

        async def patch(member: str, **spec: object) -> None:
            await kubes[member].patch(DATA_GRANTS, "asked", {"spec": spec})

        with pytest.raises(Forbidden, match="make, change or withdraw its offer"):
            await patch("kr", offers=[{"trustee": "ca", **LESS}])
        with pytest.raises(Invalid, match="offer less, not more"):
            await patch("ca", offers=[{"trustee": "ca", **LESS, "datasets": ["payroll"]}])
        with pytest.raises(Invalid, match="offer less, not more"):
            await patch("ca", offers=[{"trustee": "ca", **LESS, "expiresAt": "2031-01-01T00:00:00Z"}])
        await patch("ca", offers=[{"trustee": "ca", **LESS}])
        [offer] = (await reached(hub, "Offered"))["offers"]
        less = offer["sha256"]
        assert less != asked["agreement"]["sha256"]
        with pytest.raises(Forbidden, match="make, change or withdraw its offer"):
            await patch("ke", offers=[])
        await patch("ca", approvals=[{"trustee": "ca", "agreement": less}])
        await patch("ke", approvals=[{"trustee": trustee, "agreement": less} for trustee in ("ca", "ke")])
        await reached(hub, "Agreed")
        assert await live_at(hub, "ca") == []
        with pytest.raises(Forbidden, match="only the beneficiary's sponsor accepts"):
            await patch("ca", accepted=less)
        with pytest.raises(Forbidden, match="is no offer on the table"):
            await patch("kr", accepted=asked["agreement"]["sha256"])
        await patch("kr", accepted=less)
        assert (await reached(hub, "Finalized"))["agreement"]["sha256"] == less

        async def in_force() -> list[Json]:
            return await live_at(hub, "ca")

        [live] = await eventually(in_force)
        assert (live["hash"], live["datasets"]) == (less, ["customs_rows"])
        assert live["expiresAt"].startswith("2028-01-01")
        assert await live_at(hub, "kr") == []


async def test_a_sponsor_has_no_vote_and_who_steps_aside_says_so_itself(hub: Hub) -> None:
    async with hub.operator():
        kubes = await members(hub)
        await hub.apply(PILOT, request(beneficiary={"pilotApp": "trade"}))
        agreed = (await reached(hub, "Requested"))["agreement"]["sha256"]
        both = [{"trustee": trustee, "agreement": agreed} for trustee in ("ca", "kr")]
        await hub.admin.patch(DATA_GRANTS, "asked", {"spec": {"approvals": both}})
        await told(hub, "asked", f"1 of 2 trustees approved agreement {agreed}; ke may still approve")
        aside = [{"trustee": "ke", "reason": "sells the same steel"}]
        with pytest.raises(Forbidden, match="only the trustee itself may step aside"):
            await kubes["ca"].patch(DATA_GRANTS, "asked", {"spec": {"recusals": aside}})
        await kubes["ke"].patch(DATA_GRANTS, "asked", {"spec": {"recusals": aside}})
        held = await hub.ready("datagrants", "asked", "TooFewTrustees", status="False")
        assert held["message"].startswith("ke, kr may not decide")
        wrong = request("wrong", beneficiary={"pilotApp": "trade", "sponsor": "ca"})
        await kubes["ca"].create(DATA_GRANTS, wrong)
        await hub.ready("datagrants", "wrong", "SponsorMismatch", status="False")


async def commonweal(hub: Hub, *arguments: str | Path) -> Result:
    """A command, as the hub's administrator."""
    words = ["--kubeconfig", str(hub.cluster.kubeconfig), *map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, app, words)


async def test_trustees_approve_from_a_terminal_and_anyone_exports(hub: Hub, tmp_path: Path) -> None:
    async with hub.operator():
        await members(hub)
        await hub.apply(request())
        agreed = (await reached(hub, "Requested"))["agreement"]["sha256"]
        dry = await commonweal(hub, "grant", "approve", "asked", "--as", "ca", "--dry-run")
        assert dry.stdout.startswith(f"would approve {agreed} as ca: trade may ask facility_disclosures, customs_rows")
        assert not (await hub.admin.get(DATA_GRANTS, "asked"))["spec"].get("approvals")
        none = await commonweal(hub, "grant", "approve", "asked", "--as", "ca", "--offer", "ke")
        assert (none.exit_code, "the offer of ke cannot be approved" in none.stderr) == (1, True)
        before = json.loads((await commonweal(hub, "grant", "export", "asked")).stdout)
        for member in ("ca", "ke"):
            assert (await commonweal(hub, "grant", "approve", "asked", "--as", member)).exit_code == 0
        await reached(hub, "Finalized")
        after = json.loads((await commonweal(hub, "grant", "export", "asked")).stdout)
        assert (before["@type"], after["@type"]) == ("Request", "Agreement")
        assert after["uid"] == f"urn:commonweal:grant:asked:{agreed}"
        written = await commonweal(hub, "contract", "export", "trade", "--out", tmp_path)
        assert (written.exit_code, written.stdout.count(".odcs.yaml")) == (0, 2)


async def test_what_the_sponsor_of_the_app_offers_is_exported_no_more_than_the_hub_counts_it(hub: Hub) -> None:
    async with hub.operator():
        await members(hub)
        beneficiary = {"pilotApp": PILOT["metadata"]["name"]}
        await hub.apply(request(beneficiary=beneficiary, offers=[{"trustee": "kr", **LESS}]))
        before = await commonweal(hub, "grant", "export", "asked", "--offer", "kr")
        assert json.loads(before.stdout)["@type"] == "Offer"
        await hub.apply(PILOT)
        after = await commonweal(hub, "grant", "export", "asked", "--offer", "kr")
    assert (after.exit_code, after.stdout) == (1, "")
    assert "kr does not decide on this grant" in after.stderr


async def test_a_deed_that_shows_more_ends_a_right_and_one_that_is_taken_back_restores_it(hub: Hub) -> None:
    async with hub.operator():
        await members(hub)
        await hub.apply(GRANT)
        agreed = (await reached(hub, "Finalized", "trade-emissions"))["agreement"]["sha256"]

        async def group_size(of: int) -> None:
            facilities, customs = TRUST["spec"]["datasets"]
            datasets = [facilities, customs | {"minimumGroupSize": of}]
            await hub.admin.patch(DATA_TRUSTS, "trade", {"spec": {"datasets": datasets}})

        async def gone() -> bool:
            return await live_at(hub, "ca") == []

        async def back() -> list[Json]:
            return await live_at(hub, "ca")

        await eventually(back)
        await group_size(2)
        held = await hub.ready("datagrants", "trade-emissions", "DeedChanged", status="False")
        assert held["message"].startswith("The deed changed: customs_rows.minimumGroupSize: 3 became 2; ")
        await eventually(gone)
        await group_size(3)
        await hub.ready("datagrants", "trade-emissions", "Approved")
        assert [live["hash"] for live in await eventually(back)] == [agreed]
        await group_size(5)
        await eventually(back)
        await hub.ready("datagrants", "trade-emissions", "Approved")
