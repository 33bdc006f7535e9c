"""What a site's command line does in the cluster itself, beside Pulumi; all of it safe to repeat."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from commonweal.kinds.member import DRIFT_NAMED, SiteDrift
from infra.sites.args import SiteError
from infra.sites.objects import FIELD_MANAGER, MANAGED_BY, OWNED_BY, Manifest
from infra.sites.rbac import AGENT, DATA, SYSTEM
from operators.agent.site import DRIFT_CONFIG_MAP, DRIFT_KEY
from operators.agent.vault import Vault
from operators.kube import CONFIG_MAPS, PODS, SECRETS, Json, Kube, KubeError, NotFound

T = TypeVar("T")
OURS = ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())


def speak(kubeconfig: Path, work: Callable[[Kube], Awaitable[T]]) -> T:
    """Do `work` with a connection to the site's cluster.

    Raises:
        SiteError: The kubeconfig cannot be used, or the cluster refused or did not answer.
    """

    async def connected() -> T:
        async with await Kube.from_kubeconfig(kubeconfig) as kube:
            return await work(kube)

    try:
        return asyncio.run(connected())
    except (KubeError, ValueError, OSError) as error:
        raise SiteError(f"{kubeconfig}: {error}; look at the cluster and run again") from error


async def report_drift(kube: Kube, steps: Sequence[str], now: datetime) -> None:
    """Leave what a comparison found where the agent finds it, which tells the hub.

    Raises:
        NotFound: the namespace of the agent is gone.
    """
    drift = SiteDrift(checked_at=now, objects=len(steps), differing=tuple(steps[:DRIFT_NAMED]))
    body: Json = {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {"name": DRIFT_CONFIG_MAP, "namespace": SYSTEM, "labels": MANAGED_BY},
        "data": {DRIFT_KEY: drift.model_dump_json(by_alias=True)},
    }
    await kube.apply(CONFIG_MAPS, body, field_manager=FIELD_MANAGER)


async def take_over(kube: Kube, manifests: Sequence[Manifest]) -> list[str]:
    """Make every object of the site that somebody installed by hand the site's, with the site's values.

    Pulumi's own apply never forces, so that it undoes nothing that another controller was given on purpose.
    """
    taken = []
    for body in manifests:
        resource = await kube.resource_of(body["apiVersion"], body["kind"])
        metadata = body["metadata"]
        try:
            await kube.get(resource, metadata["name"], metadata.get("namespace"))
        except NotFound:
            continue
        await kube.apply(resource, body, field_manager=metadata["annotations"][OWNED_BY])
        taken.append(f"{body['kind']} {metadata.get('namespace', '')}/{metadata['name']}")
    return taken


async def clear_beside_data(kube: Kube) -> list[str]:
    """Remove what the site's pods wrote into the namespace of kept data: policies, addresses and keys, never data."""
    removed = []
    for resource in (SECRETS, CONFIG_MAPS):
        for item in (await kube.list(resource, DATA, labels=OURS)).items:
            name = item["metadata"]["name"]
            await kube.delete(resource, name, DATA)
            removed.append(f"{resource.kind} {DATA}/{name}")
    return removed


async def replace_identity(kube: Kube) -> None:
    """Give the member a new identity and restart its agent, which asks to join with it.

    Raises:
        SiteError: The agent has made no identity yet.
    """
    try:
        await Vault(kube=kube).replace_identity()
    except NotFound:
        raise SiteError("the member has no identity yet; its agent makes one when it first runs") from None
    for pod in (await kube.list(PODS, SYSTEM, labels=f"app.kubernetes.io/name={AGENT.name}")).items:
        await kube.delete(PODS, pod["metadata"]["name"], SYSTEM)
