"""A grant that is revoked at the hub is refused by every member's gateway within 1 s, through the running demo.

`trust-revocation` begins where a policy reaches the member's API server; this begins where `revoked` is written, so the
hub's operator, the assignment, the member's agent and the gateway's watch are in it.
"""

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from loadtests.bars import Measurement
from loadtests.demo_grants import LIKE, agree
from loadtests.wire import GROUP, Kubectl, WireError, demo_cluster

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
    seconds = [_once(hub) for _ in range(RUNS)]
    note = f"least {min(seconds):.2f} s of {RUNS}"
    return [Measurement(name="trust-revocation-path", value=max(seconds), unit="s", bound=1, note=note)]


def _once(hub: Kubectl) -> float:
    agree(hub, NAME, PILOT)
    try:
        with _doors(hub) as doors, hub.proxy() as api, ThreadPoolExecutor(len(doors)) as pool:
            began = time.monotonic()
            list(pool.map(lambda door: door.wait(200, began), doors))
            said = time.monotonic()
            _revoke(api)
            return max(door.result() for door in [pool.submit(each.wait, 403, said) for each in doors])
    finally:
        hub("delete", f"datagrant/{NAME}", "--wait=true", "--timeout=60s")


def _revoke(api: httpx.Client) -> None:
    form = {"content-type": "application/merge-patch+json"}
    done = api.patch(f"{GROUP}/datagrants/{NAME}", content='{"spec":{"revoked":true}}', headers=form)
    if not done.is_success:
        raise WireError(f"datagrant {NAME}: HTTP {done.status_code} {done.text}")


@contextmanager
def _doors(hub: Kubectl) -> Iterator[list[Door]]:
    trust = hub.json("get", "datatrust", hub.json("get", "datagrant", LIKE)["spec"]["trust"])
    purpose = hub.json("get", "datagrant", LIKE)["spec"]["purpose"]
    [dataset] = [each for each in trust["spec"]["datasets"] if each["name"] == DATASET]
    question = {"trust": trust["metadata"]["name"], "dataset": DATASET, "purpose": purpose, "grant": NAME}
    question["sql"] = f"SELECT count(*) AS n FROM {DATASET}"  # noqa: S608
    runs_at = hub.json("get", "pilotapp", PILOT)["status"]["placements"][0]["member"]
    token = demo_cluster(runs_at)(
        "create", "token", PILOT, "-n", "commonweal-apps", "--audience=commonweal-gateway"
    ).strip()
    sites = [hub.json("get", "member", source)["status"]["site"] for source in dataset["sources"]]
    open_client = partial(httpx.Client, headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False)
    doors = [
        Door(
            open_client(
                base_url=site["gatewayUrl"],
                verify=ssl.create_default_context(cadata=site["gatewayCertificatePem"]),
            ),
            question,
        )
        for site in sites
    ]
    try:
        yield doors
    finally:
        for door in doors:
            door.client.close()
