"""The five messages of a federated round, as they come over the wire.

open, deal, answer and reveal go to every member, release to the combiner. Bytes travel as base64, and whoever
carries the messages can read only what is public.
"""

from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints

from commonweal.kinds.meta import MemberName, SqlName
from data_trusts.federated_groups import Cells
from data_trusts.gateway.service import Question

RoundId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
ByMember = Annotated[dict[MemberName, Base64Bytes], Field(max_length=64)]


class Opening(Question):
    """The question, the members that are asked together, and what it may cost."""

    round: RoundId
    members: Annotated[tuple[MemberName, ...], Field(min_length=1, max_length=64)]
    groups: Annotated[dict[SqlName, Cells], Field(default={}, max_length=16)]
    micro_epsilon: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


class Step(BaseModel):
    """What every later message has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    round: RoundId


class SignedKeys(BaseModel):
    """A member's keys of the round under its gateway's signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: Base64Bytes
    signature: Base64Bytes


class Dealing(Step):
    """The keys of all members that opened."""

    keys: Annotated[dict[MemberName, SignedKeys], Field(max_length=64)]


class Answering(Step):
    """The sealed shares that the other members dealt to this one."""

    shares: ByMember


class Revealing(Step):
    """The members whose masked words arrived."""

    answered: Annotated[tuple[MemberName, ...], Field(max_length=64)]


class Releasing(Step):
    """The masked words and the revealed shares, each sealed for the combiner."""

    vectors: ByMember
    reveals: ByMember
