"""What an administrator of the hub decides about a member."""

from dataclasses import dataclass

from commonweal.kinds.member import Member, Scheduling
from operators.cli.invitations import FIELD_MANAGER, withdraw
from operators.cli.terminal import CommandError
from operators.kube import Json, Kube, NotFound, custom

MEMBERS = custom(Member)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A change of a Member's spec, and the sentences before and after it."""

    spec: Json
    would: str
    done: str
    shows_identity: bool = False
    withdraws_invitation: bool = False


def acceptance(name: str) -> Decision:
    """Let a member in."""
    return Decision(
        spec={"hubAccepts": True},
        would=f"would accept Member {name}: its certificate request is signed and its rights are bound",
        done=f"accepted {name}; `commonweal status` shows when it has joined",
        shows_identity=True,
    )


def revocation(name: str) -> Decision:
    """Take a member's rights away."""
    return Decision(
        spec={"hubAccepts": False},
        would=f"would withdraw the acceptance of Member {name}: its rights go at once, its invitation too",
        done=f"withdrew the acceptance of {name}; its rights on the hub are gone, what runs there stays its own",
        withdraws_invitation=True,
    )


def scheduling(name: str, state: Scheduling) -> Decision:
    """Change what may be placed at a member."""
    effect = {
        Scheduling.ACTIVE: "takes new replicas again",
        Scheduling.CORDONED: "keeps what it runs and takes nothing new",
        Scheduling.DRAINING: "gives up everything that fits elsewhere",
    }[state]
    return Decision(
        spec={"scheduling": state.value},
        would=f"would set Member {name} to {state}: it {effect}",
        done=f"{name} is {state}: it {effect}",
    )


async def read(kube: Kube, name: str) -> Member:
    """The Member.

    Raises:
        CommandError: there is none of this name.
    """
    try:
        return Member.read(await kube.get(MEMBERS, name))
    except NotFound:
        raise CommandError(
            f"Member {name} does not exist; its agent creates it, with an invitation by `commonweal invite {name}`"
        ) from None


async def carry_out(kube: Kube, name: str, decision: Decision, *, dry_run: bool) -> str:
    """Decide, unless it is only asked what would happen; returns the sentence to print.

    Raises:
        CommandError: there is no such member.
    """
    member = await read(kube, name)
    held = member.spec.wire()
    if all(held.get(key) == value for key, value in decision.spec.items()) and not decision.withdraws_invitation:
        return f"nothing to do: {name} is so already"
    identity = f"; its identity is {member.spec.identity_key}, as its agent logs it" if decision.shows_identity else ""
    if dry_run:
        return decision.would + identity
    await kube.patch(MEMBERS, name, {"spec": decision.spec}, field_manager=FIELD_MANAGER)
    if decision.withdraws_invitation:
        await withdraw(kube, name)
    return decision.done + identity
