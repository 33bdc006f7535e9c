"""Who takes part in a federated round, and what its members must agree on before they answer together.

Members agree by a hash: each computes it from the question as it received it and from the policy that it obeys. Where
two of them were told different things, their signatures do not match and the round ends before any row is read.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256

from commonweal.grants import Federation, PolicyDataset, Refusal, Rule
from commonweal.secure_sum import threshold
from commonweal.transparency import Json, canonical_json
from commonweal.visibility import mask_words, rule_words


class RoundRefusedError(ValueError):
    """A message of a round that is not answered; the text names what is wrong and, after the semicolon, the remedy."""


def refuse_members(members: Sequence[str], member: str, federation: Federation) -> Refusal | None:
    """Say why these members cannot be asked together by way of `member`, or None."""
    problem = None
    strangers = sorted(set(members) - set(federation.sources))
    if len(set(members)) != len(members):
        problem = "a member stands twice"
    elif strangers:
        problem = f"{', '.join(strangers)} is no source; sources are {', '.join(federation.sources)}"
    elif len(members) < federation.minimum_members:
        problem = f"{len(members)} is fewer than the {federation.minimum_members} that a release stands on"
    elif federation.combiner not in members or member not in members:
        absent = federation.combiner if federation.combiner not in members else member
        problem = f"{absent} is missing, and the round needs it"
    if problem is None:
        return None
    return Refusal(rule=Rule.MEMBERS, reason=f"members: {problem}", remedy="Name the sources that shall answer")


def needed_of(members: int, federation: Federation) -> int:
    """How many of the members that are asked must answer."""
    return threshold(members, federation.minimum_members)


def context_of(dataset: PolicyDataset, federation: Federation, question: Mapping[str, Json], beneficiary: str) -> bytes:
    """The 32 bytes that all members of a round must agree on: the question, who asks, and the rules it is under."""
    return sha256(
        canonical_json(
            {
                "version": "commonweal-round-v1",
                "beneficiary": beneficiary,
                "dataset": dataset.name,
                "minimum_group_size": dataset.minimum_group_size,
                "filters": [rule_words(rule) for rule in dataset.row_rules],
                "masks": [mask_words(column.name, column.masks) for column in dataset.columns if column.masks],
                "federation": federation.wire(),
                "question": question,
            }
        )
    ).digest()


def announcement(context: bytes, member: str, keys: bytes) -> bytes:
    """What a gateway signs of its keys."""
    return b"commonweal round keys v1\n" + context + member.encode() + b"\n" + keys


def label(context: bytes, kind: str, sender: str, receiver: str, about: Iterable[str] = ()) -> bytes:
    """What a sealed message of a round is bound to; no two messages of all rounds have the same."""
    return b"|".join((context, *(part.encode() for part in (kind, sender, receiver, ",".join(about)))))


def points(members: Iterable[str]) -> dict[str, int]:
    """Where each member's share lies on the polynomial."""
    return {member: place for place, member in enumerate(sorted(members), start=1)}


def enough(named: Collection[str], of: Collection[str], needed: int, did: str) -> tuple[str, ...]:
    """The named members in order, where they are enough and took part so far.

    Raises:
        RoundRefusedError: too few, or one that did not take part.
    """
    strangers = sorted(set(named) - set(of))
    if strangers:
        raise RoundRefusedError(f"{strangers[0]} took no part in this round; open a new round")
    if len(set(named)) < needed:
        raise RoundRefusedError(f"only {len(set(named))} of {needed} needed members {did}; open a new round later")
    return tuple(sorted(set(named)))
