"""Who may ask what of whose data, and for which purpose: the policy that a gateway obeys.

The hub's operator calls `compile_policy` for the ConfigMap `policy-<trust>` of each member that holds rows, with the
grants that `commonweal.agreements` finds live; the member's gateway calls `decide` before it looks at any SQL. What is
not known is denied: a trust, a dataset, a purpose, a grant, or a field of the policy document itself.
"""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from commonweal import licences
from commonweal.agreements import Agreement, Negotiated
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import ColumnRole, DataTrust, IcebergType, Purpose
from commonweal.kinds.data_trust import Dataset as DeclaredDataset
from commonweal.kinds.federation import FederationRules
from commonweal.kinds.licence import Licence
from commonweal.kinds.member import Site
from commonweal.kinds.meta import Count, MemberName, Model, Name, Sha256, SqlName, Text, Url
from commonweal.kinds.retention import LegalHold, Retention
from commonweal.kinds.visibility import Mask, Narrowing, RowRule
from commonweal.retention import holds_on, retention_faults, row_rule
from commonweal.visibility import Asker, bound, mask_faults, rule_faults

POLICY_KEY = "policy.json"
POLICY_LABEL = "commonweal.dev/policy"
MAX_GRANTS = 10_000


class Aggregate(StrEnum):
    """The aggregates that a trust may release."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"


# The smallest and the largest value are each one row's own, so they leave only where single rows may.
GROUP_RELEASES = (Aggregate.COUNT, Aggregate.SUM, Aggregate.AVG)
ROW_RELEASES = tuple(Aggregate)


class PolicyColumn(Model):
    """A column as the gateway sees it; `releases` are the aggregates that may be asked of it, `masks` go one by one."""

    name: SqlName
    type: IcebergType
    role: ColumnRole
    unit: Annotated[str, StringConstraints(max_length=32)] = ""
    releases: tuple[Aggregate, ...] = ()
    masks: tuple[Mask, ...] = ()


class Federation(FederationRules):
    """How a federated answer is made, as every source's gateway sees it; the same words at each of them."""

    sources: Annotated[tuple[MemberName, ...], Field(min_length=1, max_length=64)]
    licences: dict[MemberName, tuple[Licence, ...]]


class PolicyDataset(Model):
    """A dataset whose rows lie at this member; no group of fewer than `minimum_group_size` rows is released.

    `licences` are those that rows may have here; where rows name their own, they do so in `licence_column`.
    """

    name: SqlName
    licences: Annotated[tuple[Licence, ...], Field(max_length=32)]
    licence_column: SqlName | None = None
    synthetic: bool
    minimum_group_size: Annotated[int, Field(ge=1, le=1_000_000)]
    columns: Annotated[tuple[PolicyColumn, ...], Field(min_length=1, max_length=128)]
    row_rules: Annotated[tuple[RowRule, ...], Field(max_length=32)] = ()
    federation: Federation | None = None
    retention: Retention | None = None
    holds: Annotated[tuple[LegalHold, ...], Field(max_length=16)] = ()

    @property
    def licence(self) -> str:
        """The SPDX expression of all licences that rows may have."""
        return licences.expression(self.licences)

    def column(self, name: str) -> PolicyColumn | None:
        """The column of that name, also where it is hidden."""
        return next((column for column in self.columns if column.name == name), None)

    def visible_columns(self) -> tuple[PolicyColumn, ...]:
        """What a question may use."""
        return tuple(column for column in self.columns if column.role is not ColumnRole.HIDDEN)


class EmergencyNote(Model):
    """Why and by whom an access beyond every grant was opened; each question under it is recorded with this."""

    reason: Text
    opened_by: Annotated[tuple[Annotated[str, StringConstraints(max_length=280)], ...], Field(max_length=64)]


class LiveGrant(Model):
    """An approved grant, or an open emergency; it stops by itself at `expires_at`, also without a newer policy.

    `hash` names what was agreed: the text that trustees approved and the beneficiary stands by, or that was opened.
    """

    name: Name
    beneficiary: Name
    purpose: Purpose
    datasets: Annotated[tuple[SqlName, ...], Field(min_length=1, max_length=32)]
    narrowing: Annotated[tuple[Narrowing, ...], Field(max_length=64)] = ()  # what was asked for, and what was offered
    expires_at: AwareDatetime
    hash: Sha256
    emergency: EmergencyNote | None = None


class Issuer(Model):
    """Whose signatures count: on a pilot's token, those of a member's issuer with this JSON Web Key Set, as JSON text;
    on the keys of a federated round, that of the gateway with this certificate.
    """

    issuer: Url
    jwks: Annotated[str, StringConstraints(max_length=32_768)]
    gateway_certificate_pem: Annotated[str, StringConstraints(max_length=8192)] | None = None


class Policy(Model):
    """What one member's gateway may answer for one trust: the content of `policy.json`."""

    version: Literal["commonweal-policy-v1"] = "commonweal-policy-v1"
    trust: Name
    member: MemberName
    generation: Count
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1, max_length=16)]
    datasets: Annotated[tuple[PolicyDataset, ...], Field(max_length=32)]
    grants: Annotated[tuple[LiveGrant, ...], Field(max_length=MAX_GRANTS)]
    members: dict[MemberName, Issuer]
    hash: Sha256

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a policy document.

        Raises:
            PolicyUnreadableError: not such a document, or its hash does not match its content.
        """
        try:
            policy = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise PolicyUnreadableError(f"{POLICY_KEY} {where}: {first['msg']}; let the hub write it again") from None
        if policy.hash != _hash(policy):
            raise PolicyUnreadableError(f"{POLICY_KEY} hash: does not match the content; let the hub write it again")
        return policy

    def render(self) -> str:
        """The canonical JSON text: the same policy always gives the same bytes."""
        return _canonical(self.wire())

    def dataset(self, name: str) -> PolicyDataset | None:
        """The dataset of that name, where this member holds it."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def grant(self, name: str) -> LiveGrant | None:
        """The live grant of that name. They come in the order of their names; one out of order is not found."""
        place = bisect_left(self.grants, name, key=lambda each: each.name)
        return self.grants[place] if place < len(self.grants) and self.grants[place].name == name else None

    def hash_of_grant(self, name: str) -> str | None:
        """The agreement of the live grant of that name, for the audit log."""
        grant = self.grant(name)
        return None if grant is None else grant.hash


class PolicyTooLargeError(ValueError):
    """The policy cannot reach a gateway; the message says by how much and what to do."""


class PolicyUnreadableError(ValueError):
    """The policy cannot be obeyed, so nothing is allowed; the message says why and what to do."""


def _canonical(wire: Mapping[str, object]) -> str:
    return json.dumps(wire, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _hash(policy: Policy) -> str:
    return hashlib.sha256(_canonical({**policy.wire(), "hash": ""}).encode()).hexdigest()


def dataset_faults(dataset: DeclaredDataset) -> list[str]:
    """Why a dataset's own rules cannot be applied, one sentence a fault; such a dataset is in no policy."""
    masks = ((column.name, column.mask) for column in dataset.columns if column.mask is not None)
    rules = rule_faults(dataset.row_rules, dataset.columns) + mask_faults(masks, dataset.columns)
    return [*rules, *retention_faults(dataset.retention, dataset.columns), *licences.faults(dataset)]


def compile_policy(
    trust: DataTrust,
    negotiated: Negotiated,
    sites: Mapping[str, Site],
    member: str,
    *,
    emergencies: Iterable[LiveGrant] = (),
) -> Policy:
    """Say what `member` may answer for `trust`: its own datasets, what is live on them, and every issuer.

    Raises:
        PolicyTooLargeError: there are more live grants than a policy holds.
    """
    datasets = tuple(
        _compile_dataset(dataset, member, trust.spec.legal_holds)
        for dataset in sorted(trust.spec.datasets, key=lambda each: each.name)
        if member in dataset.sources and not dataset_faults(dataset)
    )
    held = {dataset.name: dataset for dataset in datasets}
    live = tuple(
        compiled
        for grant, state in negotiated
        if state.in_force and (compiled := _compile_grant(grant, state.in_force, held))
    )
    opened = tuple(
        each.model_copy(update={"datasets": tuple(sorted(held.keys() & set(each.datasets)))})
        for each in emergencies
        if not held.keys().isdisjoint(each.datasets)
    )
    if len(live) + len(opened) > MAX_GRANTS:
        raise PolicyTooLargeError(
            f"{len(live) + len(opened)} live grants are more than the {MAX_GRANTS} of a policy; revoke grants, or "
            "divide the datasets among several trusts"
        )
    policy = Policy(
        trust=trust.metadata.name,
        member=member,
        generation=trust.metadata.generation,
        purposes=tuple(sorted(trust.spec.purposes)),
        datasets=datasets,
        grants=tuple(sorted((*live, *opened), key=lambda each: each.name)),
        members={
            name: Issuer(issuer=site.issuer, jwks=site.jwks, gateway_certificate_pem=site.gateway_certificate_pem)
            for name, site in sorted(sites.items())
        },
        hash="0" * 64,
    )
    return policy.model_copy(update={"hash": _hash(policy)})


def _compile_grant(grant: DataGrant, agreed: Agreement, held: Mapping[str, PolicyDataset]) -> LiveGrant | None:
    """The grant as far as this member's datasets go; None where it shows none of their rows."""
    narrowing = [each for each in agreed.narrowing if each.dataset in held]
    nothing = {each.dataset for each in narrowing if not licences.covers(each, held[each.dataset].licences)}
    datasets = tuple(sorted(held.keys() & set(agreed.datasets) - nothing))
    if not datasets:
        return None
    return LiveGrant(
        name=grant.metadata.name,
        beneficiary=grant.spec.beneficiary.pilot_app,
        purpose=grant.spec.purpose,
        datasets=datasets,
        narrowing=tuple(licences.as_rule(each, held[each.dataset].licence_column) for each in narrowing),
        expires_at=agreed.expires_at,
        hash=agreed.sha256,
    )


def _compile_dataset(dataset: DeclaredDataset, member: str, holds: Iterable[LegalHold]) -> PolicyDataset:
    releases = ROW_RELEASES if dataset.minimum_group_size == 1 else GROUP_RELEASES
    return PolicyDataset(
        name=dataset.name,
        licences=licences.by_source(dataset)[member],
        licence_column=dataset.row_licences.column if dataset.row_licences else None,
        synthetic=dataset.synthetic,
        minimum_group_size=dataset.minimum_group_size,
        columns=tuple(
            PolicyColumn(
                name=column.name,
                type=column.type.replace(" ", ""),
                role=column.role,
                unit=column.unit or "",
                releases=releases if column.role is ColumnRole.MEASURE else (),
                masks=() if column.mask is None else (column.mask,),
            )
            for column in dataset.columns
        ),
        row_rules=dataset.row_rules,
        federation=None
        if dataset.federation is None
        else Federation(
            **dict(dataset.federation),
            sources=tuple(sorted(dataset.sources)),
            licences=dict(licences.by_source(dataset)),
        ),
        retention=dataset.retention,
        holds=holds_on(dataset.name, holds),
    )


class Rule(StrEnum):
    """The rule that refused a question. One word that an analyst can search for."""

    NO_POLICY = "NoPolicy"
    UNKNOWN_DATASET = "UnknownDataset"
    UNKNOWN_GRANT = "UnknownGrant"
    NOT_BENEFICIARY = "NotBeneficiary"
    UNDECLARED_PURPOSE = "UndeclaredPurpose"
    DATASET_NOT_GRANTED = "DatasetNotGranted"
    EXPIRED = "Expired"
    GRAMMAR = "Grammar"
    SOURCE = "Source"
    COLUMN = "Column"
    HIDDEN_COLUMN = "HiddenColumn"
    FILTER = "Filter"
    AGGREGATE = "Aggregate"
    RELEASE = "Release"
    GROUP_SIZE = "GroupSize"
    TOO_MANY_ROWS = "TooManyRows"
    ROW_RULE = "RowRule"
    POLICY_CHANGED = "PolicyChanged"
    NOT_FEDERATED = "NotFederated"
    MEMBERS = "Members"
    GROUPS = "Groups"
    PRIVACY_BUDGET = "PrivacyBudget"
    DIFFERENCING = "Differencing"
    ROUND = "Round"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a question is not answered, and what the asker can do about it."""

    rule: Rule
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Who asks what, before any SQL is read; a verified token gives `beneficiary` and `member`, the asker the rest."""

    trust: str
    dataset: str
    purpose: str
    grant: str
    beneficiary: str
    member: str


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """The grant that allows the question, and the dataset with the rows and values that this asker may see."""

    grant: LiveGrant
    dataset: PolicyDataset


def decide(policy: Policy | None, ask: Ask, now: datetime) -> Allowed | Refusal:
    """Allow a question only where policy, dataset, grant, beneficiary, purpose and time all say so."""
    if policy is None or policy.trust != ask.trust:
        return Refusal(
            rule=Rule.NO_POLICY,
            reason=f"this member has no policy for the trust {ask.trust}",
            remedy="Ask a member that is a source of the trust, or wait until the hub has written its policy",
        )
    dataset = policy.dataset(ask.dataset)
    if dataset is None:
        held = ", ".join(each.name for each in policy.datasets) or "no dataset"
        return Refusal(
            rule=Rule.UNKNOWN_DATASET,
            reason=f"{policy.member} holds no dataset {ask.dataset} of {ask.trust}",
            remedy=f"It holds {held}",
        )
    grant = policy.grant(ask.grant)
    if grant is None:
        return Refusal(
            rule=Rule.UNKNOWN_GRANT,
            reason=f"there is no live grant {ask.grant} on datasets of {policy.member}",
            remedy=f"kubectl get datagrant {ask.grant} says whether it is approved, revoked or expired",
        )
    return _decide_grant(grant, dataset, policy, ask, now)


def _decide_grant(
    grant: LiveGrant, dataset: PolicyDataset, policy: Policy, ask: Ask, now: datetime
) -> Allowed | Refusal:
    if grant.beneficiary != ask.beneficiary:
        return Refusal(
            rule=Rule.NOT_BENEFICIARY,
            reason=f"the grant {grant.name} is {grant.beneficiary}'s, not {ask.beneficiary}'s",
            remedy="Ask under a grant of your own",
        )
    if grant.purpose != ask.purpose or grant.purpose not in policy.purposes:
        return Refusal(
            rule=Rule.UNDECLARED_PURPOSE,
            reason=f"the grant {grant.name} is for {grant.purpose}, not for {ask.purpose!r}",
            remedy="Declare the purpose of the grant, or ask for a grant for yours",
        )
    if dataset.name not in grant.datasets:
        return Refusal(
            rule=Rule.DATASET_NOT_GRANTED,
            reason=f"the grant {grant.name} does not cover {dataset.name}",
            remedy=f"It covers {', '.join(grant.datasets)}; ask for a grant that covers {dataset.name}",
        )
    if now >= grant.expires_at:
        return Refusal(
            rule=Rule.EXPIRED,
            reason=f"the grant {grant.name} expired at {grant.expires_at.isoformat()}",
            remedy="Ask for a new grant",
        )
    asker = Asker(member=ask.member, beneficiary=ask.beneficiary, purpose=ask.purpose)
    return Allowed(grant=grant, dataset=_narrowed(_unended(dataset, now), grant, asker))


def _unended(dataset: PolicyDataset, now: datetime) -> PolicyDataset:
    """The dataset without the rows whose retention has passed, which may still be on disk."""
    if dataset.retention is None:
        return dataset
    column = dataset.column(dataset.retention.column)
    # Without its column the rule is unusable, so no row is shown.
    rule = row_rule(dataset.retention, column.type if column else "date", now)
    return dataset.model_copy(update={"row_rules": (rule, *dataset.row_rules)})


def _narrowed(dataset: PolicyDataset, grant: LiveGrant, asker: Asker) -> PolicyDataset:
    """The dataset under the trust's rules and the grant's together; masks of the grant come after the trust's."""
    narrowing = [each for each in grant.narrowing if each.dataset == dataset.name]
    rules = [
        rule.model_copy(update={"name": f"{grant.name}/{rule.name}"}) for each in narrowing for rule in each.row_rules
    ]
    masks = [each for one in narrowing for each in one.masks]
    columns = tuple(
        column.model_copy(
            update={"masks": (*column.masks, *(each.mask for each in masks if each.column == column.name))}
        )
        for column in dataset.columns
    )
    rows = bound((*dataset.row_rules, *rules), asker)
    left = licences.shown(dataset.licences, dataset.licence_column, rows)
    return dataset.model_copy(update={"row_rules": rows, "columns": columns, "licences": left})
