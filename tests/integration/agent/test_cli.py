"""The command line against a real hub: from an empty cluster to an accepted, cordoned, drained and revoked member."""

import asyncio
import json
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from operators.kube import SECRETS, NotFound
from tests.integration.agent.conftest import MEMBERS, World


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


async def commonweal(kubeconfig: Path, *arguments: str | Path) -> Said:
    command = [sys.executable, "-m", "operators.cli", "--kubeconfig", str(kubeconfig), *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


async def test_a_hub_is_run_from_the_command_line(world: World, tmp_path: Path) -> None:
    hub, member = world.hub.kubeconfig, world.member.kubeconfig
    world.start_hub()
    await world.forget()
    assert (await commonweal(hub, "setup")).code == 0

    file = tmp_path / "invitation.json"
    dry = await commonweal(hub, "invite", "cli", "--out", file, "--dry-run")
    assert (dry.code, file.exists()) == (0, False)
    minted = await commonweal(hub, "invite", "cli", "--out", file)
    assert minted.code == 0, minted.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    told = await commonweal(hub, "accept", "cli")
    assert (told.code, told.err) == (
        1,
        "error: Member cli does not exist; its agent creates it, with an invitation by `commonweal invite cli`\n",
    )
    assert (await commonweal(member, "join", file, "--apply")).code == 0

    world.start_agent(member="cli")
    await world.eventually(lambda: world.hub_admin.get(MEMBERS, "cli"))
    assert (await commonweal(hub, "accept", "cli", "--dry-run")).out.startswith("would accept Member cli")
    assert not (await world.hub_admin.get(MEMBERS, "cli"))["spec"].get("hubAccepts")
    assert (await commonweal(hub, "accept", "cli")).out.startswith("accepted cli")
    await world.eventually(world.agent_leads)

    assert "nothing to do" in (await commonweal(hub, "accept", "cli")).out
    for verb, state in (("cordon", "Cordoned"), ("drain", "Draining"), ("uncordon", "Active")):
        assert (await commonweal(hub, verb, "cli")).out.startswith(f"cli is {state}")
        assert (await world.hub_admin.get(MEMBERS, "cli"))["spec"]["scheduling"] == state

    found = json.loads((await commonweal(hub, "status", "--json")).out)
    assert {"Consortium", "Member"} <= {row["kind"] for row in found}
    assert "cli" in (await commonweal(hub, "status")).out

    assert (await commonweal(hub, "revoke", "cli")).out.startswith("withdrew the acceptance of cli")

    async def invitation_gone() -> bool:
        try:
            await world.hub_admin.get(SECRETS, "invitation-cli", "commonweal-system")
        except NotFound:
            return True
        return False

    await world.eventually(invitation_gone)
    await world.eventually(lambda: world.agent_said("withdrew its acceptance of this member"))


async def test_a_cluster_that_is_no_hub_and_a_right_that_is_missing_are_told(world: World) -> None:
    none = await commonweal(world.member.kubeconfig, "status")
    assert (none.code, none.err) == (
        1,
        "error: this cluster serves no commonweal kinds; `commonweal setup` makes it a hub\n",
    )
    denied = await commonweal(world.hub.reader_kubeconfig, "accept", "cli")
    assert denied.code == 1
    assert "ask an administrator of the hub" in denied.err
    assert "Traceback" not in denied.err
