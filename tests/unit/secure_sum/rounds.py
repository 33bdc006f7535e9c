"""One whole round of a secure sum without any wire, as the unit tests and the bar play it."""

import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from commonweal.secure_sum import (
    ENTROPY_BYTES,
    Round,
    Secrets,
    deal,
    from_words,
    mask,
    recover,
    to_words,
    unmask,
)

CONTEXT = b"a round"


@dataclass(frozen=True)
class Played:
    """What travelled: masked words, and shares by whose secret they are and who holds them."""

    agreed: Round
    masked: Mapping[str, Sequence[int]]
    secrets: Mapping[str, Secrets]
    seed_shares: Mapping[str, Mapping[int, bytes]]
    key_shares: Mapping[str, Mapping[int, bytes]]


def secrets_of(seed: int) -> Secrets:
    """A member's secrets, the same for the same seed."""
    return Secrets.of(random.Random(seed).randbytes(ENTROPY_BYTES))  # noqa: S311 -- nothing here is secret


def play(values: Mapping[str, Sequence[int]], needed: int, bits: int = 64, seed: int = 0) -> Played:
    """Every member makes keys, deals shares and masks its values."""
    luck = random.Random(seed)  # noqa: S311 -- nothing here is secret
    members = sorted(values)
    points = range(1, len(members) + 1)
    secrets = {member: secrets_of(luck.getrandbits(64)) for member in members}
    agreed = Round(context=CONTEXT, bits=bits, publics={member: each.public() for member, each in secrets.items()})
    return Played(
        agreed=agreed,
        masked={
            member: mask(to_words(values[member], bits, len(members)), member, secrets[member], agreed)
            for member in members
        },
        secrets=secrets,
        seed_shares={m: deal(secrets[m].seed, needed, points, luck.randbytes(32)) for m in members},
        key_shares={m: deal(secrets[m].mask, needed, points, luck.randbytes(32)) for m in members},
    )


def finish(played: Played, answered: Set[str], revealing: Set[str], needed: int) -> tuple[int, ...]:
    """Combine the words of those that answered, with the shares of those that reveal."""
    members = sorted(played.secrets)
    points = {members.index(member) + 1 for member in revealing}
    return from_words(
        unmask(
            {member: played.masked[member] for member in answered},
            {m: recover({p: played.seed_shares[m][p] for p in points}, needed) for m in answered},
            {m: recover({p: played.key_shares[m][p] for p in points}, needed) for m in set(members) - answered},
            played.agreed,
        ),
        played.agreed.bits,
    )
