"""What the member tells the hub about its site: gathered here, signed, and written only when it changed."""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from commonweal import __version__
from commonweal.kinds.member import Site, SiteDeclaration, SiteDrift
from commonweal.kinds.meta import Resources
from commonweal.membership import SYSTEM_NAMESPACE, member_namespace, sign_site
from commonweal.quantity import quantity
from operators.agent.mirror import Mirror
from operators.agent.rollout import APPS_NAMESPACE, FIELD_MANAGER, MANAGED_BY
from operators.agent.settings import Settings
from operators.kube import CONFIG_MAPS, NODES, ApiResource, Json, Kube, KubeError, NotFound

log = logging.getLogger(__name__)

GATEWAY_CONFIG_MAP = "gateway-site"
GATEWAY_CERTIFICATE = "certificate.pem"
DRIFT_CONFIG_MAP = "site-drift"
DRIFT_KEY = "drift.json"
DECLARATION_CONFIG_MAP = "site-declaration"
DECLARATION_KEY = "declaration.json"
Said = TypeVar("Said", SiteDrift, SiteDeclaration)
QUOTA = "pledge"
QUOTAS = ApiResource("v1", "ResourceQuota", "resourcequotas")
GPU = "nvidia.com/gpu"
LOOK_EVERY_S = 15.0
RETRY_S = 1.0  # the hub binds rights moments after it signs a certificate, and nobody is Ready before this report


def resources(amounts: Json) -> Resources:
    """A resource list, as nodes and quotas write it, in our units; what it does not name is 0."""

    def amount(name: str, per_unit: int = 1) -> int:
        return quantity(str(amounts.get(name, amounts.get(f"requests.{name}", "0"))), per_unit=per_unit)

    return Resources(cpu_millis=amount("cpu", 1000), memory_mib=amount("memory") // 2**20, gpus=amount(GPU))


def allocatable(nodes: Iterable[Json], quota: Json | None) -> Resources:
    """What the pool may use: all of the nodes that take pods, and never more than the quota of the pool's namespace."""
    open_nodes = [
        resources(node["status"].get("allocatable", {}))
        for node in nodes
        if not node.get("spec", {}).get("unschedulable") and _is_ready(node)
    ]
    hard = (quota or {}).get("spec", {}).get("hard", {})
    limit = resources(hard)

    def bounded(name: str, names: tuple[str, ...]) -> int:
        total: int = sum(getattr(node, name) for node in open_nodes)
        bound: int = getattr(limit, name)
        return min(total, bound) if any(key in hard for key in names) else total

    return Resources(
        cpu_millis=bounded("cpu_millis", ("cpu", "requests.cpu")),
        memory_mib=bounded("memory_mib", ("memory", "requests.memory")),
        gpus=bounded("gpus", (GPU, f"requests.{GPU}")),
    )


def _is_ready(node: Json) -> bool:
    conditions = node["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def read_drift(report: Json) -> SiteDrift | None:
    """What `python -m infra.sites drift` left here; an unreadable report is no report, and is logged."""
    return _read(SiteDrift, report, DRIFT_KEY, "compare again")


def read_declaration(written: Json) -> SiteDeclaration | None:
    """What the site's program wrote of itself; an unreadable declaration is none, and is logged."""
    return _read(SiteDeclaration, written, DECLARATION_KEY, "run `up` again")


def _read(kind: type[Said], config_map: Json, key: str, remedy: str) -> Said | None:
    try:
        return kind.model_validate_json(config_map.get("data", {}).get(key, ""))
    except ValidationError as error:
        log.warning("%s of its ConfigMap is unreadable (%s); %s", key, error.errors()[0]["msg"], remedy)
        return None


@dataclass(frozen=True, kw_only=True)
class SiteReporter:
    """Writes ConfigMap `site` into the member's namespace on the hub."""

    settings: Settings
    identity: Ed25519PrivateKey
    mirror: Mirror
    hub: Kube

    async def run(self) -> None:
        """Report at once, and again whenever something changed; errors are logged and tried again."""
        reported: Json = {}
        while True:
            wait_s = LOOK_EVERY_S
            try:
                body = self._body(await self._gather())
                if body != reported:
                    await self.hub.apply(CONFIG_MAPS, body, field_manager=FIELD_MANAGER)
                    reported = body
                    log.info("reported the site")
            except KubeError as error:
                log.warning("cannot report the site: %s", error.message)
                wait_s = LOOK_EVERY_S if reported else RETRY_S
            await asyncio.sleep(wait_s)

    async def _gather(self) -> Site:
        kube = self.mirror.kube
        issuer = (await kube.request("GET", "/.well-known/openid-configuration"))["issuer"]
        jwks = await kube.request("GET", "/openid/v1/jwks")
        nodes = await kube.list(NODES)
        gateway = (self.mirror.config_map(GATEWAY_CONFIG_MAP) or {}).get("data", {})
        values: dict[str, Any] = {
            "gateway_url": self.settings.gateway_url,
            "gateway_certificate_pem": gateway.get(GATEWAY_CERTIFICATE),
            "issuer": issuer,
            "jwks": json.dumps(jwks, sort_keys=True, separators=(",", ":")),
            "engine": self.settings.engine,
            "node_address": self.settings.node_address,
            "allocatable": allocatable(nodes.items, await self._quota()),
            "agent_version": __version__,
            "kubernetes_version": (await kube.request("GET", "/version"))["gitVersion"],
            "drift": read_drift(found) if (found := await self._own(DRIFT_CONFIG_MAP)) else None,
            "declaration": read_declaration(found) if (found := await self._own(DECLARATION_CONFIG_MAP)) else None,
        }
        return Site(**values)

    async def _quota(self) -> Json | None:
        try:
            return await self.mirror.kube.get(QUOTAS, QUOTA, APPS_NAMESPACE)
        except NotFound:
            return None

    async def _own(self, name: str) -> Json | None:
        try:
            return await self.mirror.kube.get(CONFIG_MAPS, name, SYSTEM_NAMESPACE)
        except NotFound:
            return None

    def _body(self, site: Site) -> Json:
        member = self.settings.member
        text, signature = sign_site(self.identity, member=member, site=site)
        return {
            "apiVersion": CONFIG_MAPS.api_version,
            "kind": CONFIG_MAPS.kind,
            "metadata": {
                "name": "site",
                "namespace": member_namespace(member),
                "labels": {MANAGED_BY: "commonweal"},
            },
            "data": {"site.json": text, "site.json.sig": signature},
        }
