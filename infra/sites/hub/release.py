"""Whether the hub may be taken away: only once no member counts on it any more."""

from collections.abc import Iterable

from commonweal.kinds.member import Member, MemberCondition, MemberReason
from infra.sites.args import SiteError
from operators.kube import Kube, NotFound, custom

BREAKS = (
    "halts, revocations and assignments no longer reach the members, pilots go on where they run with nobody to stop "
    "them, no pilot is reached by its announced address, and readings are credited only once a hub stands on the kept "
    "books again"
)


def takes_part(member: Member) -> bool:
    """Whether a member may still use what it was granted: it is accepted, or its rights were not taken back yet."""
    conditions = member.status.conditions if member.status else ()
    seen_accepted = any(
        each.type == MemberCondition.LEFT and each.reason == MemberReason.ACCEPTED for each in conditions
    )
    return member.spec.hub_accepts or seen_accepted


def require_released(members: Iterable[Member], hub: str) -> None:
    """Refuse while any member takes part.

    Raises:
        SiteError: One does; the message names each, the way out and what going round it breaks.
    """
    staying = sorted(member.metadata.name for member in members if takes_part(member))
    if staying:
        raise SiteError(
            f"{hub}: {', '.join(staying)}: still counting on this hub; let each go by `commonweal drain NAME`, then "
            f"`commonweal revoke NAME`, until its condition Left holds; or destroy --without-release, which breaks "
            f"this: {BREAKS}"
        )


async def require_members_released(kube: Kube, hub: str) -> None:
    """Refuse while any member of the hub takes part; a hub without the kinds never had one.

    Raises:
        SiteError: As `require_released`.
        KubeError: The hub does not answer.
    """
    try:
        members = [Member.read(body) for body in (await kube.list(custom(Member))).items]
    except NotFound:
        return
    require_released(members, hub)
