"""What trustees and a beneficiary agree on, by whose yes, and how far they have come.

An agreement is one exact text, named by its SHA-256: grant, beneficiary, purpose, datasets with the terms on which the
deed shows them, narrowing and end. A beneficiary asks for one, trustees may offer narrower ones. Trustees approve a
hash and the beneficiary accepts a hash, so that a yes to one text is never one to another. The terms stay as they were
when the text was first shown, in the grant's status, for as long as the deed shows no more than they say.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from math import ceil
from types import MappingProxyType

from commonweal import licences
from commonweal.kinds.data_grant import Approval, DataGrant, GrantPhase, GrantReason, Offer
from commonweal.kinds.data_trust import Dataset, DataTrust
from commonweal.kinds.visibility import Narrowing
from commonweal.terms import breaking, read_terms, terms_of
from commonweal.transparency import canonical_json
from commonweal.visibility import mask_faults, rule_faults

MAX_CHANGES, MAX_CHANGE_CHARS = 32, 512
SEVERAL = 2  # a deed that wants more than one voice never lets one decide


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One text that can be approved and accepted."""

    sha256: str
    datasets: tuple[str, ...]
    narrowing: tuple[Narrowing, ...]
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Offered:
    """An offer, as an agreement that would come of it or with the reason why it does not count."""

    trustee: str
    agreement: Agreement | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the datasets of a grant show, by name, and what the deed changed since trustees last agreed to it."""

    by_dataset: Mapping[str, str]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GrantState:
    """The Ready condition of a DataGrant, how far it is negotiated, and when the clock changes it (None: never)."""

    ready: bool
    reason: GrantReason
    message: str
    phase: GrantPhase
    changes_at: datetime | None = None
    agreement: Agreement | None = None
    terms: Terms | None = None
    offers: tuple[Offered, ...] = ()

    @property
    def in_force(self) -> Agreement | None:
        """The agreement by which may be asked now; None where there is none."""
        return self.agreement if self.ready else None


Negotiated = tuple[tuple[DataGrant, GrantState], ...]


@dataclass(frozen=True)
class Deed:
    """A trust's deed, read once for all of its grants."""

    trust: DataTrust

    @cached_property
    def datasets(self) -> Mapping[str, Dataset]:
        """The declared datasets by name."""
        return {dataset.name: dataset for dataset in self.trust.spec.datasets}

    @cached_property
    def terms(self) -> Mapping[str, str]:
        """On which terms each dataset is shown now."""
        return {name: terms_of(dataset) for name, dataset in self.datasets.items()}


@dataclass(frozen=True, kw_only=True)
class Electorate:
    """Who may approve a grant, and how many of them must."""

    voters: frozenset[str]
    needed: int


def electorate(trustees: Iterable[str], quorum: int, recused: Iterable[str]) -> Electorate | None:
    """The trustees without those who are recused, and the same share of them as the deed wants of all, rounded up.

    None where too few are left: nobody, or a single voice although the deed wants several.
    """
    everyone = frozenset(trustees)
    voters = everyone - frozenset(recused)
    least = min(quorum, SEVERAL)
    if len(voters) < least:
        return None
    return Electorate(voters=voters, needed=max(ceil(Fraction(quorum * len(voters), len(everyone))), least))


def grant_state(grant: DataGrant, trust: DataTrust | None, now: datetime, sponsor: str | None = None) -> GrantState:
    """Decide whether one grant is live."""
    return negotiate(grant, None if trust is None else Deed(trust), now, sponsor)


def negotiate_all(
    trust: DataTrust, grants: Iterable[DataGrant], now: datetime, sponsors: Mapping[str, str] = MappingProxyType({})
) -> Negotiated:
    """Decide of each grant on a trust; `sponsors` are those that PilotApps name, by the name of the app."""
    deed = Deed(trust)
    return tuple(
        (grant, negotiate(grant, deed, now, sponsors.get(grant.spec.beneficiary.pilot_app))) for grant in grants
    )


def negotiate(grant: DataGrant, deed: Deed | None, now: datetime, sponsor: str | None = None) -> GrantState:
    """Decide whether a grant is live, and under which agreement.

    Revoked outranks everything: no later fact revives it. A grant that can never be live says so before it asks
    trustees for their time.

    Args:
        grant: with the status that the hub gave it, which holds the terms that were agreed.
        deed: of the grant's trust; None where there is no such trust.
        now: the instant.
        sponsor: the sponsor that the beneficiary's PilotApp names; None where there is no such app yet.
    """
    spec = grant.spec
    if spec.revoked:
        return _ended(GrantReason.REVOKED, "Revoked; ask for a new grant")
    if deed is None or deed.trust.metadata.name != spec.trust:
        return _blocked(GrantReason.UNKNOWN_TRUST, f"spec.trust: there is no DataTrust {spec.trust}")
    unfit = _unfit(grant, deed, sponsor)
    if unfit is not None:
        return _blocked(*unfit)
    if now >= spec.expires_at:
        return _ended(GrantReason.EXPIRED, _passed("spec.expiresAt", spec.expires_at))
    recused = {recusal.trustee for recusal in spec.recusals} | {
        each for each in (sponsor, spec.beneficiary.sponsor) if each
    }
    trust = deed.trust.spec
    voting = electorate(trust.trustees, trust.quorum, recused)
    if voting is None:
        return _too_few(grant, deed, recused)
    return _negotiated(grant, _texts(grant, deed, voting), voting, now)


def agreement_of(grant: DataGrant, deed: Deed) -> Agreement:
    """What a grant asks for, as trustees would approve it under the deed as it is now.

    Raises:
        KeyError: the trust has no such dataset.
    """
    return _agreement(grant, {name: deed.terms[name] for name in grant.spec.datasets})


def with_approvals(grant: DataGrant, deed: Deed, trustees: Iterable[str]) -> DataGrant:
    """The grant with these trustees' yes to what it asks for, as a manifest may carry it.

    Raises:
        KeyError: the trust has no such dataset.
    """
    agreed = agreement_of(grant, deed).sha256
    approvals = tuple(Approval(trustee=trustee, agreement=agreed) for trustee in trustees)
    return grant.model_copy(update={"spec": grant.spec.model_copy(update={"approvals": approvals})})


def _agreement(grant: DataGrant, terms: Mapping[str, str], offer: Offer | None = None) -> Agreement:
    """The text of a request, or of an offer in answer to it, and its name."""
    spec = grant.spec
    datasets = tuple(sorted(spec.datasets if offer is None else offer.datasets))
    asked = tuple(sorted(spec.narrowing, key=lambda each: each.dataset))
    also = () if offer is None else tuple(sorted(offer.narrowing, key=lambda each: each.dataset))
    narrowing = tuple(
        each for each in (*asked, *also) if each.dataset in datasets and (each.row_rules or each.masks or each.licences)
    )
    expires_at = spec.expires_at if offer is None else offer.expires_at
    text = canonical_json(
        {
            "version": "commonweal-agreement-v1",
            "grant": grant.metadata.name,
            "trust": spec.trust,
            "beneficiary": spec.beneficiary.wire(),
            "purpose": spec.purpose.value,
            "datasets": {name: sha256(terms[name].encode()).hexdigest() for name in datasets},
            "narrowing": [each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in narrowing],
            "expiresAt": expires_at.astimezone(UTC).isoformat(),
        }
    )
    return Agreement(sha256=sha256(text).hexdigest(), datasets=datasets, narrowing=narrowing, expires_at=expires_at)


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """What can be approved on the same terms: the request, and the offers in answer to it."""

    terms: Terms
    request: Agreement
    offers: tuple[Offered, ...]

    def offered(self) -> list[Agreement]:
        return [each.agreement for each in self.offers if each.agreement is not None]


def _texts(grant: DataGrant, deed: Deed, voting: Electorate) -> _Texts:
    """On the terms that trustees were shown, where the deed shows no more; on the deed's own where they approved those.

    The latter happens when a change is taken back: what was agreed before is in force again.
    """

    def on(terms: Terms) -> _Texts:
        offers = tuple(_offered(grant, offer, deed, terms, voting) for offer in grant.spec.offers)
        return _Texts(terms=terms, request=_agreement(grant, terms.by_dataset), offers=offers)

    def supporters(texts: _Texts) -> int:
        return max(len(_approved(grant, text, voting)) for text in (texts.request, *texts.offered()))

    shown, fresh = _terms(grant, deed)
    return on(fresh) if shown is None else max(on(shown), on(fresh), key=supporters)


def _terms(grant: DataGrant, deed: Deed) -> tuple[Terms | None, Terms]:
    """The terms that trustees were shown, None where they do not hold any more, and the deed's own."""
    own = {name: deed.terms[name] for name in grant.spec.datasets}
    shown = grant.status.agreement if grant.status else None
    if shown is None:
        return None, Terms(by_dataset=own)
    held = {each.dataset: each.terms for each in shown.terms}
    found = [change for name in sorted(own) for change in _changes(name, held.get(name), own[name])]
    told = dict.fromkeys((*shown.changes, *(change[:MAX_CHANGE_CHARS] for change in found)))
    fresh = Terms(by_dataset=own, changes=tuple(told)[:MAX_CHANGES])
    if found or held == own:
        return None, fresh
    return Terms(by_dataset={name: held[name] for name in own}, changes=shown.changes), fresh


def _changes(name: str, held: str | None, now: str) -> list[str]:
    if held == now:
        return []
    before, after = read_terms(held or ""), read_terms(now)
    if before is None or after is None:
        return [f"{name}: the terms that were agreed are not known any more"]
    return [f"{name}.{change}" for change in breaking(before, after)]


def _offered(grant: DataGrant, offer: Offer, deed: Deed, terms: Terms, voting: Electorate) -> Offered:
    problem = next(_offer_problems(grant, offer, deed, voting), None)
    if problem is not None:
        return Offered(trustee=offer.trustee, problem=problem[:MAX_CHANGE_CHARS])
    return Offered(trustee=offer.trustee, agreement=_agreement(grant, terms.by_dataset, offer))


def _offer_problems(grant: DataGrant, offer: Offer, deed: Deed, voting: Electorate) -> Iterator[str]:
    """Why an offer does not count: it comes from nobody who decides, or is not narrower than the request."""
    if offer.trustee not in voting.voters:
        yield f"{offer.trustee} does not decide on this grant"
    beyond = sorted(set(offer.datasets) - set(grant.spec.datasets))
    if beyond:
        yield f"datasets: {', '.join(beyond)} was not asked for; offer less, not more"
    if offer.expires_at > grant.spec.expires_at:
        yield "expiresAt: is later than the request asks; offer less, not more"
    yield from (f"narrowing[{fault}" for fault in _narrowing_faults(offer.narrowing, offer.datasets, deed))


def _approved(grant: DataGrant, text: Agreement, voting: Electorate) -> set[str]:
    return {each.trustee for each in grant.spec.approvals if each.agreement == text.sha256} & voting.voters


def _negotiated(grant: DataGrant, texts: _Texts, voting: Electorate, now: datetime) -> GrantState:
    """Both sides must have said yes to one text; a request is the beneficiary's own yes to itself."""
    offered = texts.offered()
    accepted = next((each for each in offered if each.sha256 == grant.spec.accepted), None)
    text = accepted or texts.request
    if now >= text.expires_at:
        return _ended(GrantReason.EXPIRED, _passed("the accepted offer", text.expires_at))
    approved = _approved(grant, text, voting)
    agreed = [each.sha256 for each in offered if len(_approved(grant, each, voting)) >= voting.needed]
    reason, message = GrantReason.AWAITING_APPROVAL, _awaited(grant, texts, text, approved, voting)
    if len(approved) >= voting.needed:
        phase, reason, message = GrantPhase.FINALIZED, GrantReason.APPROVED, f"Approved by {_names(approved)}"
    elif accepted is not None:
        phase = GrantPhase.ACCEPTED
    elif agreed:
        phase, reason = GrantPhase.AGREED, GrantReason.AWAITING_ACCEPTANCE
        message = f"Trustees agreed to an offer; the beneficiary may set spec.accepted to {' or '.join(agreed)}"
    else:
        phase = GrantPhase.OFFERED if offered else GrantPhase.REQUESTED
    ready = phase is GrantPhase.FINALIZED
    if texts.terms.changes and reason is GrantReason.AWAITING_APPROVAL:
        reason, message = GrantReason.DEED_CHANGED, f"The deed changed: {'; '.join(texts.terms.changes)}; {message}"
    return GrantState(
        ready=ready,
        reason=reason,
        message=message,
        phase=phase,
        changes_at=text.expires_at,
        agreement=text,
        terms=Terms(by_dataset=texts.terms.by_dataset) if ready else texts.terms,
        offers=texts.offers,
    )


def _awaited(grant: DataGrant, texts: _Texts, text: Agreement, approved: set[str], voting: Electorate) -> str:
    waiting = voting.voters - approved
    words = [
        f"{len(approved)} of {voting.needed} trustees approved agreement {text.sha256}",
        f"{_names(waiting)} may still approve",
    ]
    elsewhere = {each.trustee for each in grant.spec.approvals} & waiting
    if elsewhere:
        words.append(f"{_names(elsewhere)} approved another text or none, which does not count")
    words += [
        f"{each.trustee} offers {each.agreement.sha256}"
        for each in texts.offers
        if each.agreement is not None and each.agreement is not text
    ]
    return "; ".join(words)


def _too_few(grant: DataGrant, deed: Deed, recused: set[str]) -> GrantState:
    trustees = deed.trust.spec.trustees
    message = (
        f"{_names(recused.intersection(trustees))} may not decide, which leaves too few of {len(trustees)} trustees; "
        f"name more trustees in the DataTrust {grant.spec.trust}"
    )
    return GrantState(ready=False, reason=GrantReason.TOO_FEW_TRUSTEES, message=message, phase=GrantPhase.REQUESTED)


def _names(members: Iterable[str]) -> str:
    return ", ".join(sorted(members))


def _unfit(grant: DataGrant, deed: Deed, sponsor: str | None) -> tuple[GrantReason, str] | None:
    """Why a grant asks for what its trust does not have, or None where it fits."""
    spec, trust = grant.spec, deed.trust.spec
    if spec.purpose not in trust.purposes:
        return GrantReason.UNDECLARED_PURPOSE, f"spec.purpose: {spec.trust} serves {', '.join(trust.purposes)} only"
    unknown = sorted(set(spec.datasets) - deed.datasets.keys())
    if unknown:
        return GrantReason.UNKNOWN_DATASET, f"spec.datasets: {spec.trust} has no dataset {', '.join(unknown)}"
    stated = spec.beneficiary.sponsor
    if sponsor is not None and stated is not None and sponsor != stated:
        told = f"spec.beneficiary.sponsor: the sponsor of {spec.beneficiary.pilot_app} is {sponsor}, not {stated}"
        return GrantReason.SPONSOR_MISMATCH, told
    fault = next(_narrowing_faults(spec.narrowing, spec.datasets, deed), None)
    return None if fault is None else (GrantReason.RULE_UNUSABLE, f"spec.narrowing[{fault}")


def _narrowing_faults(narrowings: Iterable[Narrowing], covered: Iterable[str], deed: Deed) -> Iterator[str]:
    names = set(covered)
    for narrowing in narrowings:
        dataset = deed.datasets.get(narrowing.dataset)
        if dataset is None or narrowing.dataset not in names:
            yield f"{narrowing.dataset}]: is not among spec.datasets; narrow what the grant covers"
            continue
        masks = ((each.column, each.mask) for each in narrowing.masks)
        found = rule_faults(narrowing.row_rules, dataset.columns) + mask_faults(masks, dataset.columns)
        found += licences.narrowing_faults(narrowing, dataset)
        yield from (f"{narrowing.dataset}].{fault}" for fault in found)


def _blocked(reason: GrantReason, message: str) -> GrantState:
    return GrantState(ready=False, reason=reason, message=f"{message}; ask for a new grant", phase=GrantPhase.REQUESTED)


def _ended(reason: GrantReason, message: str) -> GrantState:
    return GrantState(ready=False, reason=reason, message=message, phase=GrantPhase.TERMINATED)


def _passed(what: str, at: datetime) -> str:
    return f"{what}: passed at {at.isoformat()}; ask for a new grant"
