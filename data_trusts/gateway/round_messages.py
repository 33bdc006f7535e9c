"""What a gateway keeps of a federated round, and how its messages are made and read.

Every message but the keys is sealed for one member and bound to the round, its sender, its receiver and its kind.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from commonweal.federation import RoundRefusedError, announcement, enough, label, points
from commonweal.grants import Federation, Policy, PolicyDataset
from commonweal.privacy import Charge
from commonweal.secure_sum import (
    PublicKeys,
    Round,
    Secrets,
    SecureSumError,
    from_words,
    recover,
    seal,
    unmask,
    unpack,
    unseal,
)
from commonweal.signatures import signed_by
from commonweal.transparency import Json
from data_trusts.federated_questions import FederatedQuestion
from data_trusts.gateway.round_bodies import Answering, Dealing, Opening, Releasing
from data_trusts.gateway.tokens import Caller


class Stage(IntEnum):
    """The last step that was taken; a round that was given up counts as released, since it takes no more."""

    OPENED = 1
    DEALT = 2
    ANSWERED = 3
    REVEALED = 4
    RELEASED = 5


@dataclass(kw_only=True)
class OpenRound:
    """A round that is under way here, at `member`."""

    member: str
    opening: Opening
    caller: Caller
    question: FederatedQuestion
    dataset: PolicyDataset
    federation: Federation
    policy_hash: str
    context: bytes
    needed: int
    charge: Charge | None
    secrets: Secrets
    asked: Mapping[str, Json]
    opened_at: datetime
    stage: Stage = Stage.OPENED
    keys: dict[str, PublicKeys] = field(default_factory=dict)
    held: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)  # by dealer: shares of its seed, of its mask key
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def agreed(self) -> Round:
        """What the members that dealt must agree on."""
        publics = {dealer: self.keys[dealer] for dealer in sorted(self.held)}
        return Round(context=self.context, bits=self.question.layout.bits, publics=publics)


def checked_keys(state: OpenRound, body: Dealing, policy: Policy | None) -> dict[str, PublicKeys]:
    """The keys of those that opened, each under the signature of its member's gateway.

    Raises:
        RoundRefusedError: too few, the combiner's missing, or a signature that is not for this round.
    """
    present = enough(body.keys, state.opening.members, state.needed, "opened")
    if state.member not in present or state.federation.combiner not in present:
        raise RoundRefusedError("the combiner's keys, or this member's own, are missing; open a new round later")
    for member in present:
        issuer = None if policy is None else policy.members.get(member)
        pem = None if issuer is None else issuer.gateway_certificate_pem
        signed = body.keys[member]
        if pem is None or not signed_by(pem, announcement(state.context, member, signed.content), signed.signature):
            raise RoundRefusedError(
                f"the keys of {member} are not signed by its gateway for this question under this policy;"
                " ask again when all members have the hub's newest policy"
            )
    return {member: public_keys(body.keys[member].content) for member in present}


def held_shares(state: OpenRound, body: Answering) -> dict[str, tuple[bytes, bytes]]:
    """The shares that others dealt to this member, by dealer: of the seed, and of the mask key.

    Raises:
        RoundRefusedError: too few dealt.
        SecureSumError: a share is not from its dealer.
    """
    dealers = enough(body.shares, state.keys, state.needed, "dealt")
    if state.member not in dealers or state.federation.combiner not in dealers:
        raise RoundRefusedError("shares of the combiner, or of this member itself, are missing; open a new round")
    held = {}
    for dealer in dealers:
        where = label(state.context, "share", dealer, state.member)
        both = unseal(body.shares[dealer], state.secrets.seal, state.keys[dealer].seal, where)
        held[dealer] = (both[: len(both) // 2], both[len(both) // 2 :])
    return held


def total_of(state: OpenRound, body: Releasing, answered: tuple[str, ...]) -> list[int]:
    """The members' words added up, and nothing else: the combiner never holds what would unmask one of them.

    Raises:
        RoundRefusedError: too few revealed.
        SecureSumError: a message is not from its sender, or the masks do not cancel.
    """
    dealers, bits, context = sorted(state.held), state.question.layout.bits, state.context
    revealed: dict[str, dict[int, bytes]] = {dealer: {} for dealer in dealers}
    where = points(state.opening.members)
    for member in enough(body.reveals, dealers, state.needed, "revealed"):
        about = label(context, "reveal", member, state.member, [*answered, "of", *dealers])
        content = unseal(body.reveals[member], state.secrets.seal, state.keys[member].seal, about)
        for dealer, piece in json.loads(content).items():
            revealed[dealer][where[member]] = bytes.fromhex(piece)
    masked = {}
    for member in answered:
        about = label(context, "vector", member, state.member, dealers)
        content = unseal(body.vectors[member], state.secrets.seal, state.keys[member].seal, about)
        masked[member] = unpack(content, bits)
    secrets = {dealer: recover(shares, state.needed) for dealer, shares in revealed.items()}
    total = unmask(
        masked,
        {member: secrets[member] for member in answered},
        {dealer: secrets[dealer] for dealer in dealers if dealer not in answered},
        state.agreed,
    )
    if total[0] != len(answered):
        raise SecureSumError("the masks do not cancel; open a new round")
    return list(from_words(total, bits))


def sealed(state: OpenRound, kind: str, receiver: str, content: bytes, about: Sequence[str] = ()) -> bytes:
    """A message from this member to another of the round."""
    where = label(state.context, kind, state.member, receiver, about)
    return seal(content, state.secrets.seal, state.keys[receiver].seal, where)


def public_keys(content: bytes) -> PublicKeys:
    """Read a member's keys.

    Raises:
        RoundRefusedError: not 96 bytes.
    """
    if len(content) != 96:
        raise RoundRefusedError("keys: not 96 bytes; compare the versions of the gateways")
    return PublicKeys(mask=content[:32], seal=content[32:64], seed_sha256=content[64:])
