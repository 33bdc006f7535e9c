"""A grant that is revoked at the hub is refused by every member's gateway within 1 s, through the running demo.

`trust-revocation` begins where a policy reaches the member's API server; this begins where `revoked` is written, so the
hub's operator, the assignment, the member's agent and the gateway's watch are in it.
"""

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from loadtests.bars import Measurement
from loadtests.demo_grants import LIKE, agree
from loadtests.wire import GROUP, Kubectl, WireError, demo_cluster
from operators.hub.pilot_objects import TOKEN_AUDIENCE
from operators.hub.resources import APPS_NAMESPACE

NEEDS_DEMO = True
NAME = "bar-revocation"
PILOT, DATASET = "trade", "customs_rows"
RUNS = 5
LIMIT_S = 60
_LOOK_S = 0.005


@dataclass(frozen=True)
class Door:
    """A member's gateway, and the pilot's question to it."""

    client: httpx.Client
    question: dict[str, str]

    def status(self) -> int:
        """What it answers now; 0 where it does not."""
        try:
            return self.client.post("/v1/query", json=self.question).status_code
        except httpx.HTTPError:
            return 0

    def wait(self, status: int, since: float) -> float:
        """Ask until it answers so; in how many seconds after `since` it did first.

        Raises:
            WireError: it did not within the limit.
        """
        while (seen := self.status()) != status:
            if time.monotonic() - since > LIMIT_S:
                raise WireError(f"{self.client.base_url} answers {seen}, not {status}, after {LIMIT_S} s")
            time.sleep(_LOOK_S)
        return time.monotonic() - since


def measure() -> list[Measurement]:
    """The slowest of all gateways in each of some revocations, and of those the slowest."""
    hub = demo_cluster("ch")
    with _doors(hub) as doors, hub.proxy() as api, ThreadPoolExecutor(len(doors)) as pool:
        seconds = [_once(hub, doors, api, pool) for _ in range(RUNS)]
    note = f"least {min(seconds):.2f} s of {RUNS}"
    return [Measurement(name="trust-revocation-path", value=max(seconds), unit="s", bound=1, note=note)]


def _once(hub: Kubectl, doors: list[Door], api: httpx.Client, pool: ThreadPoolExecutor) -> float:
    agree(hub, NAME, PILOT)
    try:
        _slowest(doors, pool, 200, time.monotonic())
        said = time.monotonic()
        _revoke(api)
        return _slowest(doors, pool, 403, said)
    finally:
        hub("delete", f"datagrant/{NAME}", "--wait=true", "--timeout=60s")


def _slowest(doors: list[Door], pool: ThreadPoolExecutor, status: int, since: float) -> float:
    waiting = [pool.submit(door.wait, status, since) for door in doors]
    return max(each.result() for each in waiting)


def _revoke(api: httpx.Client) -> None:
    form = {"content-type": "application/merge-patch+json"}
    done = api.patch(f"{GROUP}/datagrants/{NAME}", content='{"spec":{"revoked":true}}', headers=form)
    if not done.is_success:
        raise WireError(f"datagrant {NAME}: HTTP {done.status_code} {done.text}")


@contextmanager
def _doors(hub: Kubectl) -> Iterator[list[Door]]:
    """The gateways of all sources of the dataset, asked with a token of the pilot where it runs."""
    grant = hub.json("get", "datagrant", LIKE)["spec"]
    trust = hub.json("get", "datatrust", grant["trust"])
    [dataset] = [each for each in trust["spec"]["datasets"] if each["name"] == DATASET]
    question = {"trust": grant["trust"], "dataset": DATASET, "purpose": grant["purpose"], "grant": NAME}
    question["sql"] = f"SELECT count(*) AS n FROM {DATASET}"  # noqa: S608
    runs_at = demo_cluster(hub.json("get", "pilotapp", PILOT)["status"]["placements"][0]["member"])
    token = runs_at("create", "token", PILOT, "-n", APPS_NAMESPACE, f"--audience={TOKEN_AUDIENCE}").strip()
    headers = {"authorization": f"Bearer {token}"}
    with ExitStack() as stack:
        doors = []
        for source in dataset["sources"]:
            site = hub.json("get", "member", source)["status"]["site"]
            trusted = ssl.create_default_context(cadata=site["gatewayCertificatePem"])
            client = httpx.Client(
                base_url=site["gatewayUrl"], verify=trusted, headers=headers, timeout=30, trust_env=False
            )
            doors.append(Door(stack.enter_context(client), question))
        yield doors
