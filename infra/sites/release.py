"""Whether the hub has let a member go: asked with the member's own certificate before its site is taken away.

The hub keeps no rights for a member that it let go, so a refusal (403) of a certificate that is still valid is the
answer `Left`; a certificate that it does not know (401), or silence, says nothing.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from commonweal.kinds.member import Member, MemberCondition
from infra.sites.args import SiteError
from operators.agent.credentials import CredentialsError
from operators.agent.vault import Vault
from operators.kube import Forbidden, Kube, KubeError, NotFound, Retry, Unauthorized, custom

PATIENCE = Retry(attempts=2)
# The hub signs a certificate first and binds its rights moments later: only a refusal that lasts is an answer.
REFUSAL_LASTS_S = 5.0
BREAKS = (
    "pilots that run here end at once without a replacement elsewhere, questions to this member's data fail, readings "
    "that were not delivered are lost, and the hub sees a member that it cannot reach"
)


class Standing(StrEnum):
    """How a member stands with the hub, as far as the member itself can see."""

    NEVER_JOINED = "NeverJoined"
    LEFT = "Left"
    COUNTED_ON = "CountedOn"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, kw_only=True)
class HubView:
    """A member's standing, and the sentence that explains it."""

    standing: Standing
    message: str

    @property
    def released(self) -> bool:
        """Whether nobody counts on the site any more."""
        return self.standing in {Standing.NEVER_JOINED, Standing.LEFT}


def standing_of(body: dict[str, Any]) -> HubView:
    """What a Member that could still be read says: it has left once the hub accepts it no more."""
    name = body["metadata"]["name"]
    if not Member.read(body).spec.hub_accepts:
        return HubView(standing=Standing.LEFT, message=f"the hub let {name} go")
    conditions = {item["type"]: item["status"] for item in body.get("status", {}).get("conditions", ())}
    drained = conditions.get(MemberCondition.DRAINED) == "True"
    asks = [] if drained else [f"`commonweal drain {name}`"]
    remedy = ", then ".join([*asks, f"`commonweal revoke {name}`"])
    runs = "it is drained, but still accepted" if drained else "its pilots may still run here"
    return HubView(standing=Standing.COUNTED_ON, message=f"the hub counts on {name}: {runs}; ask it for {remedy}")


async def hub_view(member_kube: Kube, member: str) -> HubView:
    """Ask the hub, with the certificate that the member's agent holds.

    Raises:
        KubeError: the member's own cluster does not answer or refuses.
    """
    try:
        credentials = await Vault(kube=member_kube).credentials()
        if credentials is None:
            return HubView(standing=Standing.NEVER_JOINED, message=f"{member} holds no certificate of a hub")
        credentials.check(member, datetime.now(UTC))
    except CredentialsError as error:
        message = f"the hub cannot be asked ({error}); let its administrators say whether {member} has left"
        return HubView(standing=Standing.UNKNOWN, message=message)
    async with await Kube.from_kubeconfig_dict(credentials.kubeconfig()) as hub:
        hub.retry = PATIENCE
        view = await _asked(hub, member)
        if view.standing is Standing.LEFT:
            await asyncio.sleep(REFUSAL_LASTS_S)
            view = await _asked(hub, member)
        return view


async def _asked(hub: Kube, member: str) -> HubView:
    try:
        return standing_of(await hub.get(custom(Member), member))
    except Unauthorized:
        message = f"the hub does not know the certificate of {member}; ask its administrators whether {member} has left"
        return HubView(standing=Standing.UNKNOWN, message=message)
    except (Forbidden, NotFound):
        return HubView(standing=Standing.LEFT, message=f"the hub keeps no rights for {member} any more")
    except KubeError as error:
        message = f"the hub does not answer ({error.message}); try again where it can be reached"
        return HubView(standing=Standing.UNKNOWN, message=message)


def require_release(view: HubView) -> None:
    """Refuse while somebody may still count on the site.

    Raises:
        SiteError: The hub counts on the member, or cannot say; the message names the way out and what it breaks.
    """
    if not view.released:
        raise SiteError(f"{view.message}; or destroy --without-release, which breaks this: {BREAKS}")


async def require_member_released(member_kube: Kube, member: str) -> None:
    """Ask the hub, and refuse while somebody may still count on the site.

    Raises:
        SiteError: As `require_release`.
        KubeError: As `hub_view`.
    """
    require_release(await hub_view(member_kube, member))
