"""The charter: checks that it can be followed, and says how many members it binds."""

from dataclasses import dataclass
from datetime import datetime

from commonweal.kinds.consortium import Consortium, ConsortiumReason
from operators.frame import Finding, Key, Plan, Tools, Watch
from operators.hub.resources import CHARTER, CONSORTIUMS, MEMBERS, holds


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The charter and the accepted members."""

    consortium: Consortium
    members: int


@dataclass(frozen=True)
class ConsortiumController:
    """Reports the charter as in force; one that cannot be parsed is refused by the frame with the field's path."""

    name: str = "consortium"
    watches: tuple[Watch, ...] = (Watch(resource=CONSORTIUMS), Watch(resource=MEMBERS, keys=lambda _: (CHARTER,)))

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the charter and count."""
        body = tools.store.get(CONSORTIUMS, key.name)
        if body is None:
            return None
        accepted = sum(holds(member, "Accepted") for member in tools.store.list(MEMBERS))
        return Observed(consortium=Consortium.read(body), members=accepted)

    def plan(self, observed: Observed, now: datetime) -> Plan:  # noqa: ARG002 - the charter does not depend on time
        """In force as soon as it is there: everything wrong with it was refused at admission."""
        message = f"In force for {observed.members} members"
        ready = Finding(type="Ready", holds=True, reason=ConsortiumReason.IN_FORCE, message=message)
        return Plan(findings=(ready,), status={"members": observed.members})
