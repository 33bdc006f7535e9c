"""Equity replayed: a statement follows from the one before it, what was posted for it, and what was pledged.

The hub closes a period by `follow`; whoever checks it folds the same function over every statement with `advance`.
Where postings are kept, and who sums them, is not known here: flows may arrive singly or summed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from commonweal.equity import (
    Category,
    Charter,
    Contribution,
    FormulaError,
    Held,
    Statement,
    compute,
    contribution_of,
)
from commonweal.ledger import Balance, Flow, Unit, balances_of
from commonweal.transparency import Json, canonical_json

BEFORE_ALL = "0" * 64  # history_sha256 before the first statement


def follow(
    charter: Charter,
    balances: Mapping[tuple[str, Unit], Balance],
    pledged_gpu_seconds: Mapping[str, int],
    before: Mapping[str, Held],
) -> Statement:
    """Return the statement of a period from the ledger's balances for it; a member's pledge may be 0."""
    return compute(charter, contributions(balances, pledged_gpu_seconds), before)


def contributions(
    balances: Mapping[tuple[str, Unit], Balance], pledged_gpu_seconds: Mapping[str, int]
) -> list[Contribution]:
    """Return what each member brought to a period by the ledger's balances for it."""
    return [
        contribution_of(member, pledged_gpu_seconds=pledged, balances=balances)
        for member, pledged in pledged_gpu_seconds.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Closing:
    """One statement to be replayed: its name, its charter, its postings (and how many they were), what was pledged."""

    name: str
    charter: Charter
    flows: tuple[Flow, ...]
    postings: int
    pledged_gpu_seconds: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a replay stands: all that the next statement depends on, and a hash over all that came before."""

    statement: str = ""
    statements: int = 0
    postings: int = 0
    held: Mapping[str, Held]
    shares_bp: Mapping[str, int]
    history_sha256: str = BEFORE_ALL

    def record(self) -> bytes:
        """Return the canonical bytes: equal for equal histories, however they were folded."""
        return canonical_json(asdict(self))

    @classmethod
    def read(cls, record: bytes) -> "Position":
        """Read a position from its canonical bytes.

        Raises:
            FormulaError: not the bytes of a position.
        """
        try:
            fields = json.loads(record)
            position = cls(
                statement=str(fields["statement"]),
                statements=int(fields["statements"]),
                postings=int(fields["postings"]),
                held={member: _held(each) for member, each in fields["held"].items()},
                shares_bp={member: int(share) for member, share in fields["shares_bp"].items()},
                history_sha256=str(fields["history_sha256"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormulaError(f"position: cannot be read ({error!r}); give a file that a replay wrote") from None
        if position.record() != record:
            raise FormulaError("position: not the bytes that a replay wrote; replay from the first statement")
        return position


def _held(fields: dict[str, Any]) -> Held:
    share_ppb = fields["share_ppb"]
    return Held(
        stock={category: int(fields["stock"][category]) for category in Category},
        unvested={category: int(fields["unvested"][category]) for category in Category},
        share_ppb=None if share_ppb is None else int(share_ppb),
    )


START = Position(held={}, shares_bp={})


def advance(position: Position, closing: Closing) -> tuple[Position, Statement]:
    """Take one statement further.

    Raises:
        FormulaError: no member, or amounts that cannot have been.
    """
    balances = balances_of(closing.flows)
    statement = follow(closing.charter, balances, closing.pledged_gpu_seconds, position.held)
    link: Json = {
        "balances": [
            [account, unit, balances[account, unit].debits_posted, balances[account, unit].credits_posted]
            for account, unit in sorted(balances)
        ],
        "previous": position.history_sha256,
        "statement": closing.name,
        "record_sha256": sha256(statement.record()).hexdigest(),
    }
    reached = Position(
        statement=closing.name,
        statements=position.statements + 1,
        postings=position.postings + closing.postings,
        held=statement.held,
        shares_bp={standing.member: standing.share_bp for standing in statement.standings},
        history_sha256=sha256(canonical_json(link)).hexdigest(),
    )
    return reached, statement


def replay(closings: Iterable[Closing], position: Position = START) -> Position:
    """Return where a replay ends that starts at a position."""
    for closing in closings:
        position, _ = advance(position, closing)
    return position
