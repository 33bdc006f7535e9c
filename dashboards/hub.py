"""Reads the hub: every commonweal object that pages show, listed over the Kubernetes API, never written.

A failed refresh keeps what was seen last, marked as old with the reason; it never shows an empty consortium.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from commonweal.kinds.consortium import Consortium
from commonweal.kinds.contribution import Contribution
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.emergency_access import EmergencyAccess
from commonweal.kinds.equity_statement import EquityStatement
from commonweal.kinds.member import Member
from commonweal.kinds.meta import GROUP, VERSION, Resource
from commonweal.kinds.pilot_app import PilotApp
from commonweal.kinds.pooled_cluster import PooledCluster
from dashboards.kubeconfig import Access

PAGE_OBJECTS = 500  # what the API server's own clients ask for at a time
TIMEOUT_SECONDS = 5.0
GONE = 410

R = TypeVar("R", bound=Resource)


class HubError(Exception):
    """The hub could not be read; the message says what it answered and what to do."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the hub held at one time; `unreadable` names objects that do not follow this version of the schema."""

    taken_at: datetime
    consortiums: tuple[Consortium, ...] = ()
    members: tuple[Member, ...] = ()
    pledges: tuple[PooledCluster, ...] = ()
    trusts: tuple[DataTrust, ...] = ()
    grants: tuple[DataGrant, ...] = ()
    emergencies: tuple[EmergencyAccess, ...] = ()
    pilots: tuple[PilotApp, ...] = ()
    statements: tuple[EquityStatement, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def charter(self) -> Consortium | None:
        """The charter; None until it is applied."""
        return next(iter(self.consortiums), None)

    def unreadable_of(self, kind: type[Resource]) -> tuple[str, ...]:
        """Return what could not be read of one kind."""
        return tuple(one for one in self.unreadable if one.startswith(f"{kind.definition.kind}/"))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of the hub: the last snapshot, and why it could not be renewed if it could not."""

    snapshot: Snapshot | None = None
    problem: str | None = None

    def renewed(self, snapshot: Snapshot) -> "Seen":
        """Return what is known after a refresh that worked."""
        return replace(self, snapshot=snapshot, problem=None)

    def failed(self, problem: str) -> "Seen":
        """Return what is known after a refresh that failed: the old snapshot stays."""
        return replace(self, problem=problem)


@dataclass
class Lister:
    """One pass over the hub with one client; collects what it could not read."""

    client: httpx.Client
    unreadable: list[str] = field(default_factory=list)

    def every(self, kind: type[R]) -> tuple[R, ...]:
        """List all objects of a kind.

        Raises:
            HubError: the hub does not answer, or refuses.
        """
        return tuple(read for item in self._items(kind) if (read := self._read(kind, item)) is not None)

    def _items(self, kind: type[Resource]) -> list[dict[str, Any]]:
        try:
            return list(self._pages(kind.definition.plural))
        except _ExpiredError:
            # The continue token outlived its snapshot: once more, in one piece.
            return list(self._pages(kind.definition.plural, limit=0))

    def _pages(self, plural: str, limit: int = PAGE_OBJECTS) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._get(plural, {"limit": str(limit), "continue": token} if limit else {})
            yield from page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return

    def _get(self, plural: str, params: dict[str, str]) -> dict[str, Any]:
        path = f"/apis/{GROUP}/{VERSION}/{plural}"
        try:
            response = self.client.get(path, params={key: value for key, value in params.items() if value})
        except httpx.HTTPError as error:
            raise HubError(f"{plural}: {error or type(error).__name__}; check that the hub runs") from error
        if response.status_code == GONE and params:
            raise _ExpiredError
        if response.status_code != httpx.codes.OK:
            raise HubError(f"{plural}: the hub answered {response.status_code}; {_remedy(response.status_code)}")
        try:
            body = response.json()
            if isinstance(body["items"], list) and isinstance(body["metadata"], dict):
                return {"items": body["items"], "metadata": body["metadata"]}
        except (ValueError, KeyError, TypeError) as error:
            raise HubError(f"{plural}: the hub's answer is not a list; check the address of the hub") from error
        raise HubError(f"{plural}: the hub's answer is not a list; check the address of the hub")

    def _read(self, kind: type[R], item: dict[str, Any]) -> R | None:
        try:
            return kind.read(item)
        except ValidationError as error:
            metadata = item.get("metadata", {})
            first = error.errors(include_url=False)[0]
            field_path = ".".join(str(part) for part in first["loc"])
            self.unreadable.append(f"{kind.definition.kind}/{metadata.get('name', '?')}: {field_path}: {first['msg']}")
            return None


class _ExpiredError(Exception):
    """A continue token is no longer valid."""


def _remedy(status: int) -> str:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return "give the reader's certificate get, list and watch on the commonweal kinds"
    if status == httpx.codes.NOT_FOUND:
        return "apply the custom resource definitions"
    return "look into the API server's log"


def take_snapshot(client: httpx.Client, now: datetime) -> Snapshot:
    """List everything that pages show.

    Raises:
        HubError: any kind could not be listed; half a consortium is not shown as a whole one.
    """
    lister = Lister(client)
    return Snapshot(
        taken_at=now,
        consortiums=lister.every(Consortium),
        members=lister.every(Member),
        pledges=lister.every(PooledCluster),
        trusts=lister.every(DataTrust),
        grants=lister.every(DataGrant),
        emergencies=lister.every(EmergencyAccess),
        pilots=lister.every(PilotApp),
        statements=tuple(sorted(lister.every(EquityStatement), key=lambda one: one.spec.period_start)),
        contributions=lister.every(Contribution),
        unreadable=tuple(lister.unreadable),
    )


def connect(access: Access) -> httpx.Client:
    """Return a client of the hub; the caller closes it.

    Raises:
        KubeconfigError: the certificates cannot be read.
    """
    headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
    return httpx.Client(
        base_url=access.server,
        verify=access.ssl_context(),
        headers=headers,
        timeout=TIMEOUT_SECONDS,
        trust_env=False,  # a proxy variable must not send the reader's token elsewhere
    )
