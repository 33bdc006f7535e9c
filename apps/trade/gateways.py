"""The only place that knows data_trusts.client: turns grants.json into sources that can be asked."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from apps.trade.questions import Answer
from apps.trade.settings import GatewayAddress, Grant, Grants, Settings, SettingsError
from apps.trade.sources import RefusedError, Source, UnreachableError
from data_trusts.client import Gateway, Refused, TrustClient, Unreachable

DEADLINE_S = 20.0  # a cold engine needs seconds; a person should not wait longer


@dataclass(frozen=True, kw_only=True)
class Released:
    """One member's answer by names of columns; see questions.Answer."""

    member: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


class MemberAsker:
    """One member's gateway under one grant."""

    def __init__(self, gateway: GatewayAddress, grant: Grant, token: Callable[[], str]) -> None:
        address = Gateway(member=gateway.member, url=gateway.url, ca_pem=gateway.ca_pem)
        try:
            self._client = TrustClient([address], token, grant.name, grant.purpose, deadline_s=DEADLINE_S)
        except (ssl.SSLError, ValueError, httpx.InvalidURL) as error:
            raise SettingsError(
                f"gateway of {gateway.member}: url or ca_pem cannot be used ({error}); the hub writes them"
            ) from error

    async def aggregate(self, trust: str, dataset: str, sql: str) -> Sequence[Answer]:
        """Ask; see sources.Asker."""
        try:
            results = await self._client.aggregate(trust, dataset, sql)
        except Refused as refused:
            raise RefusedError(refused.member, refused.reason, refused.rule) from refused
        except Unreachable as absent:
            raise UnreachableError(absent.member, absent.reason) from absent
        return [
            Released(member=each.member, columns=tuple(column.name for column in each.columns), rows=each.rows)
            for each in results
        ]


class MountedDirectory:
    """Sources as the mounted grants.json says now; clients are kept while the file says the same."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp: tuple[int, int] | None = None
        self._grants: Grants | None = None
        self._sources: dict[str, tuple[Source, ...]] = {}

    def sources(self, dataset: str) -> Sequence[Source]:
        """The members that hold a dataset; see sources.Directory."""
        grants = self._current()
        if dataset not in self._sources:
            self._sources[dataset] = self._build(grants, dataset)
        return self._sources[dataset]

    def _current(self) -> Grants:
        try:
            status = self._settings.grants.stat()
        except OSError:
            self._grants = None
        else:
            stamp = (status.st_mtime_ns, status.st_ino)
            if self._grants is not None and stamp == self._stamp:
                return self._grants
            self._stamp = stamp
        self._sources = {}
        self._grants = self._settings.read_grants()
        return self._grants

    def _build(self, grants: Grants, dataset: str) -> tuple[Source, ...]:
        grant = grants.covering(dataset)
        if grant is None:
            raise SettingsError(f"{self._settings.grants}: no grant covers {dataset}; ask the trust's trustees for one")
        addresses = {gateway.member: gateway for gateway in grants.gateways}
        members = next(each.members for each in grant.datasets if each.name == dataset)
        missing = [member for member in members if member not in addresses]
        if missing or not members:
            raise SettingsError(
                f"{self._settings.grants}: no gateway of {', '.join(missing) or 'any member'} for {dataset}; "
                "the hub adds it once the member has joined"
            )
        return tuple(
            Source(
                member=member,
                trust=grant.trust,
                grant=grant.name,
                asker=MemberAsker(addresses[member], grant, self._settings.read_token),
            )
            for member in members
        )
