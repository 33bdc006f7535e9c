"""Asks all members one question together: carries the messages of a round between their gateways, and can read none.

    result = await federated(client, "trade", "customs_rows", "SELECT flow, sum(kg) AS kg FROM rows GROUP BY flow",
                             members=["ca", "ke", "kr"], groups={"flow": {"values": ["1", "2"]}})

A member that gives no answer has dropped out; the round goes on while enough are left. A member that refuses ends it.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_trusts.client import Column, TrustClient, TrustError, Unreachable, value_of


@dataclass(frozen=True, kw_only=True)
class FederatedResult:
    """What the members released together.

    Attributes:
        columns: the columns; the last is `group_rows`, with noise where the trust adds it.
        rows: values by column, one line for each group that may be shown.
        within: the width that holds 95 % of the noise, by column; None where a column has none or is a quotient.
        members: whose rows are in the sums.
        left_out: how many of the named groups are not shown.
        charged: what each member charged to the asker's budget, in `charged_unit`.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    within: tuple[float | None, ...]
    members: tuple[str, ...]
    left_out: int
    charged: int
    charged_unit: str
    licence: str
    synthetic: bool
    audit_position: int

    def records(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


async def federated(
    client: TrustClient,
    trust: str,
    dataset: str,
    sql: str,
    *,
    members: Sequence[str],
    groups: Mapping[str, Mapping[str, Sequence[object]]] | None = None,
    micro_epsilon: int | None = None,
) -> FederatedResult:
    """Ask the members one question together.

    Args:
        client: knows the gateways, the grant and the purpose.
        trust: the trust.
        dataset: its dataset.
        sql: an aggregate question in the trust's grammar, without ORDER BY and LIMIT.
        members: the sources that shall answer, the combiner among them.
        groups: by column of GROUP BY, the `values` or the `edges` that are wanted.
        micro_epsilon: the price, in millionths of epsilon; where the trust adds noise.

    Raises:
        Refused: a member's rule says no.
        Unreachable: too few members gave an answer.
    """
    carrier = _Carrier(client, secrets.token_hex(16))
    question = {**client.asks, "trust": trust, "dataset": dataset, "sql": sql, "groups": groups or {}}
    opened = await carrier.all(members, "open", {**question, "members": members, "micro_epsilon": micro_epsilon})
    combiner = carrier.agree(opened)
    keys = {"keys": {member: each["keys"] for member, each in opened.items()}}
    dealt = await carrier.all(opened, "deal", keys)
    shares = {
        holder: {"shares": {dealer: each["shares"][holder] for dealer, each in dealt.items()}} for holder in dealt
    }
    answered = await carrier.each("answer", shares)
    revealed = await carrier.all(answered, "reveal", {"answered": sorted(answered)})
    body = {
        "vectors": {member: each["vector"] for member, each in answered.items()},
        "reveals": {member: each["reveal"] for member, each in revealed.items()},
    }
    return _result(combiner, (await carrier.all([combiner], "release", body))[combiner])


class _Carrier:
    """Sends one step of a round to several members, and notices who drops out."""

    def __init__(self, client: TrustClient, round_id: str) -> None:
        self._client = client
        self._round = round_id
        self._needed = 1
        self._combiner = ""

    def agree(self, opened: Mapping[str, dict[str, Any]]) -> str:
        """The combiner; from now on, as many must answer as every member says."""
        said = {(str(each.get("combiner")), int(each.get("needed", 0))) for each in opened.values()}
        if len(said) != 1:
            raise Unreachable(", ".join(opened), "members obey different policies; ask again in a minute")
        [(self._combiner, self._needed)] = said
        self._forbid_few(opened)
        if self._combiner not in opened:
            raise Unreachable(self._combiner, "it combines the answers and did not open the round; ask again later")
        return self._combiner

    async def all(
        self, members: Sequence[str] | Mapping[str, object], step: str, body: Mapping[str, object]
    ) -> dict[str, dict[str, Any]]:
        """The same message to each."""
        return await self.each(step, dict.fromkeys(members, body))

    async def each(self, step: str, bodies: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Any]]:
        """To each its own message; answers of those that gave one."""
        path = f"/v1/federated/{step}"
        sent = [self._client.post(member, path, {**body, "round": self._round}) for member, body in bodies.items()]
        answers: dict[str, dict[str, Any]] = {}
        silent: list[Unreachable] = []
        for member, answer in zip(bodies, await asyncio.gather(*sent, return_exceptions=True), strict=True):
            if isinstance(answer, Unreachable):
                silent.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                answers[member] = answer
        for each in silent:
            if not answers or each.member == self._combiner:
                raise each
        if step not in ("open", "release"):
            self._forbid_few(answers, silent)
        return answers

    def _forbid_few(self, answers: Mapping[str, object], silent: Sequence[TrustError] = ()) -> None:
        if len(answers) < self._needed:
            why = "; ".join(str(each) for each in silent) or f"only {', '.join(answers)} answered"
            raise Unreachable("members", f"{len(answers)} of {self._needed} needed answered ({why}); ask again later")


def _result(combiner: str, document: Mapping[str, Any]) -> FederatedResult:
    try:
        columns = tuple(Column(**column) for column in document["columns"])
        return FederatedResult(
            columns=columns,
            rows=tuple(
                tuple(value_of(value, column) for value, column in zip(row, columns, strict=True))
                for row in document["rows"]
            ),
            within=tuple(document["within"]),
            members=tuple(document["members"]),
            left_out=int(document["left_out"]),
            charged=int(document["charged"]),
            charged_unit=str(document["charged_unit"]),
            licence=str(document["licence"]),
            synthetic=bool(document["synthetic"]),
            audit_position=int(document["audit_position"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise Unreachable(combiner, f"its answer cannot be read ({error!r}); compare versions") from error
