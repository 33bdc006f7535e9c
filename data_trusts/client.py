"""Asks every member's gateway at once and gives back what each released. Apps import this and nothing else of ours.

    client = TrustClient(gateways, token, grant="steel", purpose="trade-embedded-emissions")
    results = await client.aggregate("trade", "customs_rows", "SELECT flow, sum(value_in_euros) FROM ... GROUP BY flow")

Errors: `TrustError`, and below it `Refused` (a rule says no; asking again changes nothing), `Unreachable` (no answer;
asking again may help). Both name the member.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import httpx

DEADLINE_S = 30.0
_GRACE_S = 5.0  # the gateway stops the engine at the deadline; its answer still has to travel


class TrustError(Exception):
    """A member did not answer the question."""

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(f"{member}: {reason}")
        self.member = member
        self.reason = reason


class Refused(TrustError):  # noqa: N818 -- what happened is not an error of the gateway
    """A rule of the trust, or of the gateway, says no."""

    def __init__(self, member: str, rule: str, reason: str, remedy: str = "") -> None:
        super().__init__(member, f"{rule}: {reason}; {remedy}" if remedy else f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason
        self.remedy = remedy


class Unreachable(TrustError):  # noqa: N818 -- named for what the caller sees
    """No answer: no connection, a wrong certificate, the deadline, or a gateway that cannot work now."""


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A member's gateway and the certificate, PEM, that it must show."""

    member: str
    url: str
    ca_pem: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of an answer: its Iceberg type and its unit, empty where it has none."""

    name: str
    type: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class MemberResult:
    """What one member released.

    Attributes:
        columns: The columns; the last is `group_rows`, the number of rows that the line stands on.
        rows: Values by column; decimals are Decimal, dates and instants ISO 8601 text.
        audit_position: The line of the member's audit log that remembers the release.
    """

    member: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    audit_position: int
    policy_hash: str
    licence: str
    synthetic: bool

    def records(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class TrustClient:
    """Asks under one grant, for one purpose. Use it as an async context manager, or call `close`."""

    def __init__(
        self,
        gateways: Sequence[Gateway],
        token: Callable[[], str],
        grant: str,
        purpose: str,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Prepare connections; `token` is called before each question, since projected tokens are replaced."""
        self._token = token
        self._grant = grant
        self._purpose = purpose
        self._deadline_s = deadline_s
        self._clients = {
            gateway.member: httpx.AsyncClient(
                base_url=gateway.url,
                verify=ssl.create_default_context(cadata=gateway.ca_pem),
                timeout=httpx.Timeout(deadline_s + _GRACE_S, connect=5.0),
                trust_env=False,
            )
            for gateway in gateways
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))

    @property
    def asks(self) -> dict[str, str | float]:
        """The grant, the purpose and the deadline that every question carries."""
        return {"grant": self._grant, "purpose": self._purpose, "deadline_s": self._deadline_s}

    async def aggregate(
        self, trust: str, dataset: str, sql: str, members: Sequence[str] | None = None
    ) -> list[MemberResult]:
        """Ask one question of the named members, or of all, in parallel; results in the order of the members.

        Raises:
            Refused: a member's rule says no.
            Unreachable: a member gave no answer within the deadline, or there is no gateway of that name.
        """
        asked = list(self._clients) if members is None else list(members)
        body = {**self.asks, "trust": trust, "dataset": dataset, "sql": sql}
        answers = await asyncio.gather(*(self._ask(member, body) for member in asked), return_exceptions=True)
        results: list[MemberResult] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            results.append(answer)
        return results

    async def _ask(self, member: str, body: Mapping[str, object]) -> MemberResult:
        return _result(member, await self.post(member, "/v1/query", body))

    async def post(self, member: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Send one message to a member's gateway; returns the JSON object that it answers with.

        Raises:
            Refused: a rule says no.
            Unreachable: no answer within the deadline, or there is no gateway of that name.
        """
        client = self._clients.get(member)
        if client is None:
            raise Unreachable(member, f"no gateway is known; known are {', '.join(self._clients) or 'none'}")
        headers = {"authorization": f"Bearer {self._token()}"}
        try:
            answer = await asyncio.wait_for(client.post(path, json=body, headers=headers), self._deadline_s + _GRACE_S)
            document = answer.json()
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            raise Unreachable(member, f"{type(error).__name__} {error}".strip()) from error
        if answer.is_success and isinstance(document, dict):
            return document
        raise _error(member, answer.status_code, document)


def _error(member: str, status: int, document: object) -> TrustError:
    if not isinstance(document, dict) or "rule" not in document:
        return Unreachable(member, f"HTTP {status} without a problem document; is this a gateway?")
    reason, remedy = str(document.get("reason", "")), str(document.get("remedy", ""))
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return Unreachable(member, f"{document['rule']}: {reason}; {remedy}")
    return Refused(member, str(document["rule"]), reason, remedy)


def _result(member: str, document: Any) -> MemberResult:  # noqa: ANN401 -- JSON from the wire, checked here
    try:
        columns = tuple(Column(**column) for column in document["columns"])
        return MemberResult(
            member=member,
            columns=columns,
            rows=tuple(
                tuple(value_of(value, column) for value, column in zip(row, columns, strict=True))
                for row in document["rows"]
            ),
            audit_position=int(document["audit_position"]),
            policy_hash=str(document["policy_hash"]),
            licence=str(document["licence"]),
            synthetic=bool(document["synthetic"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise Unreachable(member, f"its answer cannot be read ({error!r}); compare versions") from error


def value_of(value: object, column: Column) -> object:
    """A value of an answer as it came over the wire: decimals become Decimal again."""
    return Decimal(value) if isinstance(value, str) and column.type.startswith("decimal") else value
