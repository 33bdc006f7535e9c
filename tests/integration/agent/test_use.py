"""What ready pods hold in the member and ready replicas on the hub becomes a claim and a receipt, over a restart."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from commonweal.kinds.pilot_app import PilotApp
from commonweal.ledger import Unit
from commonweal.membership import member_namespace
from commonweal.receipts import Side, Usage
from operators.agent.mirror import Mirror
from operators.agent.use import HUB_WATCHED, UseReporter
from operators.agent.vault import Vault
from operators.hub.books import read
from operators.hub.pilot_objects import assignment
from operators.hub.resources import APPS_NAMESPACE, CONSORTIUMS, PILOT_APPS
from operators.kube import CONFIG_MAPS, LEASES, PODS, SERVICE_ACCOUNTS, Json, Kube
from tests.integration.agent.conftest import MEMBER, World, certificate

PERIOD_S = 60
NAMESPACE = member_namespace(MEMBER)
LONG = {"spec": {"accounting": {"disputeSeconds": 3600}}}
SPEC: Json = {
    "description": "A job of this member, on its own machines.",
    "sponsor": MEMBER,
    "component": {"image": "localhost/commonweal:test", "port": 8080},
    "resources": {"cpuMillis": 500, "memoryMib": 64, "gpus": 1},
    "replicas": 1,
    "serviceClass": "public",
}


async def application(world: World) -> None:
    """The pilot on the hub, and its pod in the member, both ready."""
    metadata = {"name": "trade"}
    body = {"apiVersion": "commonweal.dev/v1alpha1", "kind": "PilotApp", "metadata": metadata, "spec": SPEC}
    made = await world.hub_admin.apply(PILOT_APPS, body, field_manager="test")
    placement = {"member": MEMBER, "replicas": 1, "readyReplicas": 1, "endpoints": ["http://127.0.0.1:30080"]}
    await world.hub_admin.patch(PILOT_APPS, "trade", {"status": {"placements": [placement]}}, subresource="status")
    objects = assignment(made, PilotApp.read(made), MEMBER, 1, "{}")["spec"]["objects"]
    [deployment] = [each for each in objects if each["kind"] == "Deployment"]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trade", "namespace": APPS_NAMESPACE}}
    await world.member_admin.apply(SERVICE_ACCOUNTS, account, field_manager="test")
    template = deployment["spec"]["template"]
    pod: Json = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
    pod["metadata"] = {"name": "trade-0", "namespace": APPS_NAMESPACE, "labels": template["metadata"]["labels"]}
    await world.member_admin.apply(PODS, pod, field_manager="test")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await world.member_admin.patch(PODS, "trade-0", {"status": status}, APPS_NAMESPACE, subresource="status")


async def started(vault: Vault, hub: Kube, clock: Callable[[], datetime]) -> UseReporter:
    """A reporter as after a start of the agent: it knows only what the vault holds."""
    mirrors = Mirror(vault.kube), Mirror(hub, HUB_WATCHED)
    for mirror in mirrors:
        await mirror.start()
    return UseReporter(
        member=MEMBER,
        identity=await vault.identity(),
        vault=vault,
        mirror=mirrors[0],
        hub_mirror=mirrors[1],
        hub=hub,
        leads=lambda: True,
        answers=lambda _: True,
        clock=clock,
    )


async def readable(hub: Kube) -> bool:
    """Whether the hub has bound all of the member's rights; it does so a moment after it signed the certificate."""
    await hub.list(PILOT_APPS)
    await hub.list(CONSORTIUMS)
    await hub.list(LEASES, NAMESPACE)  # one role of the namespace grants this and the writing of claims
    return True


async def recorded(world: World) -> dict[Side, list[Usage]]:
    """What the hub's books hold of both sides, once no report is left over."""
    names = [item["metadata"]["name"] for item in (await world.hub_admin.list(CONFIG_MAPS, NAMESPACE)).items]
    if left := [name for name in names if name.startswith(("claim-", "receipt-"))]:
        raise LookupError(f"{left} are not taken yet")
    query = "SELECT payload FROM uses WHERE side = ? ORDER BY position"
    books = world.folder / "state" / "books.sqlite3"
    return {side: [Usage.model_validate_json(payload) for (payload,) in read(books, query, (side,))] for side in Side}


async def test_what_was_used_is_signed_once_by_both_sides_over_a_restart(world: World) -> None:
    world.start_hub()
    async with world.acceptor():
        await world.ensure_joined()
    async with world.joiner() as joiner:
        credentials = certificate(await joiner.attempt())
        async with await joiner.connect(credentials.kubeconfig()) as hub:
            await world.eventually(lambda: readable(hub))
            world.stop_all()  # the hub's operator would say that nobody runs what only this test runs
            await world.hub_admin.patch(CONSORTIUMS, "charter", LONG)
            await application(world)
            begin = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3)
            begin -= timedelta(seconds=int(begin.timestamp()) % PERIOD_S)
            for span in (range(0, 40, 5), range(40, 76, 5)):
                looks = iter([begin + timedelta(seconds=second) for second in span])
                reporter = await started(joiner.vault, hub, partial(next, looks))
                for _ in span:
                    await reporter.look()
    world.start_hub()
    use = await world.eventually(lambda: recorded(world))
    for side in Side:
        told = [(one.job, one.unit, one.amount, one.period_start) for one in use[side]]
        assert told == [("trade", Unit.CORE_SECONDS, 30, begin), ("trade", Unit.GPU_SECONDS, 60, begin)]
