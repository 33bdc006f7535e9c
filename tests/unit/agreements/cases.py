"""Grants in every stage of a negotiation, as the tests of agreements use them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from commonweal.agreements import GrantState, grant_state
from commonweal.kinds.data_grant import AgreedTerms, AgreementStatus, DataGrant, DataGrantStatus
from commonweal.kinds.data_trust import DataTrust
from tests.unit.grants.samples import NOON, grant, trust

LESS = {"trustee": "ke", "datasets": ["customs_rows"], "expiresAt": "2026-12-01T00:00:00Z"}


def request(**spec: object) -> DataGrant:
    """A request without any approval."""
    return grant(spec, approved_by=())


def changed(asked: DataGrant, **spec: object) -> DataGrant:
    """The same object with other fields of its spec, as another reconcile sees it."""
    body = asked.model_dump(mode="json", by_alias=True, exclude_none=True)
    return DataGrant.model_validate({**body, "spec": {**body["spec"], **spec}})


def approvals(**agreements: str) -> list[dict[str, str]]:
    return [{"trustee": trustee, "agreement": agreement} for trustee, agreement in agreements.items()]


def reported(asked: DataGrant, state: GrantState) -> DataGrant:
    """The grant with the status that the hub writes of a state."""
    if state.agreement is None or state.terms is None:
        return asked
    terms = [AgreedTerms(dataset=name, terms=text) for name, text in state.terms.by_dataset.items()]
    agreement = AgreementStatus(sha256=state.agreement.sha256, terms=tuple(terms), changes=state.terms.changes)
    return asked.model_copy(update={"status": DataGrantStatus(state=state.phase, agreement=agreement)})


def seen(asked: DataGrant, *deeds: DataTrust, now: datetime = NOON) -> tuple[DataGrant, GrantState]:
    """What the hub makes of a grant, reconcile by reconcile, as the deed changes; at last the state."""
    state = grant_state(asked, deeds[0], now)
    for deed in deeds:
        state = grant_state(asked, deed, now)
        asked = reported(asked, state)
    return asked, state


def named(state: GrantState) -> str:
    assert state.agreement is not None
    return state.agreement.sha256


def deed(of: Mapping[str, object], others: Sequence[Mapping[str, object]] = ()) -> DataTrust:
    return trust({"datasets": [of, *others]})
