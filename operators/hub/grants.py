"""Data grants: how far each is negotiated, under which agreement, and why it is not live yet or any more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from commonweal.agreements import GrantState, grant_state
from commonweal.kinds.data_grant import (
    AgreedTerms,
    AgreementStatus,
    DataGrant,
    DataGrantStatus,
    OfferStatus,
)
from commonweal.kinds.data_trust import DataTrust
from operators.frame import Finding, Key, Plan, Store, Tools, Watch
from operators.hub.resources import DATA_GRANTS, DATA_TRUSTS, PILOT_APPS
from operators.kube import Json

MIN_LOOK_S = 0.2
MAX_LOOK_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A grant, its trust, and the sponsor that the beneficiary's PilotApp names."""

    grant: DataGrant
    trust: DataTrust | None
    sponsor: str | None


@dataclass(frozen=True)
class GrantController:
    """Says of every DataGrant how far it is negotiated, and whether it is live."""

    store: Store
    name: str = "datagrant"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The grant, its trust and its beneficiary."""
        return (
            Watch(resource=DATA_GRANTS),
            Watch(resource=DATA_TRUSTS, keys=self._on_trust, spec_only=True),
            Watch(resource=PILOT_APPS, keys=self._of_app, spec_only=True),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the grant and what it speaks of."""
        body = tools.store.get(DATA_GRANTS, key.name)
        if body is None:
            return None
        grant = DataGrant.read(body)
        trust = tools.store.get(DATA_TRUSTS, grant.spec.trust)
        app = tools.store.get(PILOT_APPS, grant.spec.beneficiary.pilot_app)
        return Observed(
            grant=grant,
            trust=DataTrust.read(trust) if trust else None,
            sponsor=app["spec"]["sponsor"] if app else None,
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """As commonweal.agreements decides."""
        state = grant_state(observed.grant, observed.trust, now, observed.sponsor)
        finding = Finding(type="Ready", holds=state.ready, reason=state.reason, message=state.message)
        status = _status(state, observed.grant.status) | {"mayRevoke": sorted(may_revoke(observed))}
        return Plan(findings=(finding,), status=status, requeue_in_s=next_look_s([state.changes_at], now))

    def _on_trust(self, trust: Json) -> tuple[Key, ...]:
        name = trust["metadata"]["name"]
        return tuple(_key(body) for body in self.store.list(DATA_GRANTS) if body["spec"]["trust"] == name)

    def _of_app(self, app: Json) -> tuple[Key, ...]:
        name = app["metadata"]["name"]
        return tuple(_key(body) for body in self.store.list(DATA_GRANTS) if beneficiary_of(body) == name)


def may_revoke(observed: Observed) -> set[str]:
    """The members that may end a right: whoever gives it, and whoever has it. Admission reads them in the status."""
    trustees = observed.trust.spec.trustees if observed.trust else ()
    behind = (observed.sponsor, observed.grant.spec.beneficiary.sponsor)
    return {*trustees, *(member for member in behind if member is not None)}


def _status(state: GrantState, held: DataGrantStatus | None) -> Json:
    """The status fields. A grant that is blocked or over keeps what was agreed: it may come back, or be looked at."""
    status: Json = {"state": state.phase.value}
    if state.agreement is not None and state.terms is not None:
        terms = sorted(state.terms.by_dataset.items())
        status["agreement"] = AgreementStatus(
            sha256=state.agreement.sha256,
            terms=tuple(AgreedTerms(dataset=name, terms=text) for name, text in terms),
            changes=state.terms.changes,
        ).wire()
    elif held is not None and held.agreement is not None:
        status["agreement"] = held.agreement.wire()
    if state.offers:
        status["offers"] = [
            OfferStatus(
                trustee=each.trustee,
                sha256=each.agreement.sha256 if each.agreement else None,
                problem=each.problem,
            ).wire()
            for each in state.offers
        ]
    return status


def grants_of(store: Store, trust: str) -> tuple[DataGrant, ...]:
    """The grants on a trust, by name."""
    bodies = [body for body in store.list(DATA_GRANTS) if body["spec"]["trust"] == trust]
    return tuple(DataGrant.read(body) for body in sorted(bodies, key=_key))


def beneficiary_of(grant: Json) -> str:
    """The PilotApp that a grant is for."""
    return str(grant["spec"]["beneficiary"]["pilotApp"])


def sponsors(store: Store) -> Mapping[str, str]:
    """Which member stands behind each PilotApp."""
    return {body["metadata"]["name"]: body["spec"]["sponsor"] for body in store.list(PILOT_APPS)}


def next_look_s(instants: Iterable[datetime | None], now: datetime) -> float | None:
    """In how many seconds the first of these instants comes, at which the clock changes something; None never comes."""
    changes = [instant for instant in instants if instant is not None]
    if not changes:
        return None
    return min(max((min(changes) - now).total_seconds(), MIN_LOOK_S), MAX_LOOK_S)


def _key(body: Json) -> Key:
    return Key("", body["metadata"]["name"])
