"""Grants in the Open Digital Rights Language (ODRL 2.2, JSON-LD), so that other dataspaces can read them, and back.

A closed reading: whatever stands in a document and is not understood, an operand, an action, an operator, a duty or a
prohibition, is refused by its name and place. Ignoring one would grant more than its author wrote.

Row rules and masks are refinements of the dataset; their terms are those of the profile: `urn:commonweal:column:`,
`urn:commonweal:mask:`, `urn:commonweal:claim:`, `urn:commonweal:licence` and `urn:commonweal:nothing`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from commonweal.agreements import Agreement
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import Purpose
from commonweal.kinds.visibility import ColumnMask, Comparison, Mask, Narrowing, Operator, RowRule

Json = Mapping[str, Any]
CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
PROFILE = "https://commonweal.dev/odrl/v1"
NOTHING = "urn:commonweal:nothing"
LICENCE = "urn:commonweal:licence"
_PREFIXES = ("odrl:", "http://www.w3.org/ns/odrl/2/")
_OPERATORS = {
    Operator.IN: "isAnyOf",
    Operator.NOT_IN: "isNoneOf",
    Operator.AT_LEAST: "gteq",
    Operator.BELOW: "lt",
    Operator.IS_NULL: "eq",
    Operator.IS_NOT_NULL: "neq",
}
_CONTEXTS: tuple[list[object], ...] = ([CONTEXT], [{"odrl": "http://www.w3.org/ns/odrl/2/"}])
_MASK = re.compile(r"([A-Za-z]+)(?:\(([0-9]+)\))?")


class PolicyType(StrEnum):
    """What a document is: the beneficiary's wish, a trustee's answer, or what both agreed on."""

    REQUEST = "Request"
    OFFER = "Offer"
    AGREEMENT = "Agreement"


class OdrlError(ValueError):
    """A document is no grant of ours; the message names the place and the remedy."""


@dataclass(frozen=True, kw_only=True)
class _Permission:
    """What each permission of a document says; all but the dataset must be the same in all of them."""

    trust: str
    beneficiary: Mapping[str, str]
    purpose: str
    expires_at: str
    dataset: str
    narrowing: Narrowing | None

    def common(self) -> tuple[object, ...]:
        return self.trust, dict(self.beneficiary), self.purpose, self.expires_at


def export(grant: DataGrant, agreement: Agreement, kind: PolicyType) -> dict[str, Any]:
    """The document of an agreement, as one that is asked for, offered or in force."""
    spec = grant.spec
    assignee: str | dict[str, Any] = f"urn:commonweal:pilotapp:{spec.beneficiary.pilot_app}"
    if spec.beneficiary.sponsor is not None:
        member = f"urn:commonweal:member:{spec.beneficiary.sponsor}"
        assignee = {"@type": "Party", "uid": assignee, "partOf": member}
    expires = {"@value": agreement.expires_at.astimezone(UTC).isoformat(), "@type": "xsd:dateTime"}
    constraint = [
        {"leftOperand": "purpose", "operator": "eq", "rightOperand": f"urn:commonweal:purpose:{spec.purpose}"},
        {"leftOperand": "dateTime", "operator": "lt", "rightOperand": expires},
    ]
    return {
        "@context": CONTEXT,
        "@type": kind.value,
        "uid": f"urn:commonweal:grant:{grant.metadata.name}:{agreement.sha256}",
        "profile": PROFILE,
        "permission": [
            {
                "assigner": f"urn:commonweal:trust:{spec.trust}",
                "assignee": assignee,
                "target": _target(f"urn:commonweal:dataset:{spec.trust}:{dataset}", dataset, agreement.narrowing),
                "action": "use",
                "constraint": constraint,
            }
            for dataset in agreement.datasets
        ],
    }


def _target(uid: str, dataset: str, narrowing: Iterable[Narrowing]) -> str | dict[str, Any]:
    ours = [each for each in narrowing if each.dataset == dataset]
    rules = [_rule(rule) for each in ours for rule in each.row_rules]
    masks = [_masked(mask) for each in ours for mask in each.masks]
    bound = [
        {"leftOperand": LICENCE, "operator": "isAnyOf", "rightOperand": list(each.licences)}
        for each in ours
        if each.licences
    ]
    refinement = rules + masks + bound
    return {"@type": "AssetCollection", "source": uid, "refinement": refinement} if refinement else uid


def _rule(rule: RowRule) -> dict[str, Any]:
    comparisons = [_comparison(comparison) for comparison in rule.any_of]
    return {"@type": "LogicalConstraint", "uid": f"urn:commonweal:rule:{rule.name}", "or": {"@list": comparisons}}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    named = {"leftOperand": f"urn:commonweal:column:{comparison.column}", "operator": _OPERATORS[comparison.operator]}
    if comparison.claim is not None:
        return {**named, "rightOperandReference": f"urn:commonweal:claim:{comparison.claim}"}
    if comparison.operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        return {**named, "rightOperand": {"@id": NOTHING}}
    ordered = comparison.operator in (Operator.AT_LEAST, Operator.BELOW)
    return {**named, "rightOperand": comparison.values[0] if ordered else list(comparison.values)}


def _masked(mask: ColumnMask) -> dict[str, Any]:
    words = mask.mask.kind if mask.mask.size is None else f"{mask.mask.kind}({mask.mask.size})"
    return {"leftOperand": f"urn:commonweal:mask:{mask.column}", "operator": "eq", "rightOperand": str(words)}


def read(document: Json, name: str | None = None) -> DataGrant:
    """The request that a document makes. Approvals are never read from one: each trustee gives its own.

    Args:
        document: a Request, Offer or Agreement, compact or with the prefix `odrl:`.
        name: what to call the grant; needed where the document's uid does not say.

    Raises:
        OdrlError: something in the document is not understood, or does not make a grant.
    """
    policy = _closed(document, "@context @type uid profile permission assigner assignee", "")
    kind = _bare(str(policy.get("@type")))
    if kind not in tuple(PolicyType):
        raise OdrlError(f"@type: {kind} is not read here; write a Request, an Offer or an Agreement")
    if policy.get("profile") != PROFILE:
        raise OdrlError(f"profile: {policy.get('profile')} is not known here; write {PROFILE}")
    if _many(policy.get("@context")) not in _CONTEXTS:
        raise OdrlError(f"@context: gives words a meaning that is not known here; write {CONTEXT}")
    shared: dict[str, Any] = {field: policy[field] for field in ("assigner", "assignee") if field in policy}
    permissions = [
        _permission({**shared, **each}, f"permission[{place}]")
        for place, each in enumerate(_many(policy.get("permission")))
    ]
    if not permissions:
        raise OdrlError("permission: there is none; a grant permits something")
    for place, each in enumerate(permissions):
        if each.common() != permissions[0].common():
            raise OdrlError(f"permission[{place}]: differs from the first in more than its target; write two policies")
    return _grant(permissions, name or _name_in(str(policy.get("uid", ""))))


def _grant(permissions: Sequence[_Permission], name: str) -> DataGrant:
    first = permissions[0]
    if len({each.dataset for each in permissions}) != len(permissions):
        raise OdrlError("permission: a dataset stands in two of them; write it once")
    spec = {
        "trust": first.trust,
        "beneficiary": first.beneficiary,
        "purpose": first.purpose,
        "datasets": [each.dataset for each in permissions],
        "narrowing": [each.narrowing for each in permissions if each.narrowing is not None],
        "expiresAt": first.expires_at,
    }
    try:
        return DataGrant.model_validate({"metadata": {"name": name}, "spec": spec})
    except ValidationError as error:
        raise OdrlError(_fault(error, "grant")) from None


def _name_in(uid: str) -> str:
    parts = uid.split(":")
    if parts[:3] != ["urn", "commonweal", "grant"] or len(parts) < 4:
        raise OdrlError(f"uid: {uid or 'nothing'} names no grant; give a name with --name")
    return parts[3]


def _permission(document: Json, where: str) -> _Permission:
    found = _closed(document, "@type assigner assignee target action constraint", where)
    if _bare(_id(found.get("action"), f"{where}.action")) != "use":
        raise OdrlError(f"{where}.action: {found.get('action')} is not understood here; write use")
    trust = _last(_id(found.get("assigner"), f"{where}.assigner"), "trust", f"{where}.assigner")
    dataset, refinement = _asset(found.get("target"), trust, f"{where}.target")
    purpose, expires_at = _constraints(_many(found.get("constraint")), f"{where}.constraint")
    return _Permission(
        trust=trust,
        beneficiary=_beneficiary(found.get("assignee"), f"{where}.assignee"),
        purpose=purpose,
        expires_at=expires_at,
        dataset=dataset,
        narrowing=_narrowing(dataset, refinement, f"{where}.target.refinement"),
    )


def _beneficiary(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {"pilotApp": _last(_id(value, where), "pilotapp", where)}
    party = _closed(value, "@type uid partOf", where)
    named = {"pilotApp": _last(_id(party.get("uid"), where), "pilotapp", where)}
    if "partOf" not in party:
        return named
    return {**named, "sponsor": _last(_id(party["partOf"], f"{where}.partOf"), "member", f"{where}.partOf")}


def _asset(value: object, trust: str, where: str) -> tuple[str, list[Json]]:
    refinement: list[Json] = []
    if isinstance(value, Mapping):
        asset = _closed(value, "@type uid source refinement", where)
        value, refinement = asset.get("source", asset.get("uid")), _many(asset.get("refinement"))
    prefix = f"urn:commonweal:dataset:{trust}:"
    named = _id(value, where)
    if not named.startswith(prefix):
        raise OdrlError(f"{where}: {named} is no dataset of {trust}; write {prefix}NAME")
    return named.removeprefix(prefix), refinement


def _constraints(constraints: Iterable[Json], where: str) -> tuple[str, str]:
    """Purpose and end; both must be there, once, and nothing else may."""
    wanted = {"purpose": "eq", "dateTime": "lt"}
    found: dict[str, str] = {}
    for place, each in enumerate(constraints):
        at = f"{where}[{place}]"
        constraint = _closed(each, "@type leftOperand operator rightOperand", at)
        left, operator = (_bare(_id(constraint.get(k), f"{at}.{k}")) for k in ("leftOperand", "operator"))
        if left not in wanted:
            raise OdrlError(
                f"{at}.leftOperand: {left} is not understood here; a grant is bound to purpose and dateTime"
            )
        if operator != wanted[left]:
            raise OdrlError(f"{at}.operator: {operator} is not understood for {left}; write {wanted[left]}")
        if left in found:
            raise OdrlError(f"{at}.leftOperand: {left} is there twice; write it once")
        found[left] = _literal(constraint.get("rightOperand"), f"{at}.rightOperand")
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise OdrlError(f"{where}: {missing[0]} is missing; every grant has a purpose and an end")
    purpose = found["purpose"].removeprefix("urn:commonweal:purpose:")
    if purpose not in tuple(Purpose):
        raise OdrlError(f"{where}: the purpose {purpose} is not known; it is one of {', '.join(Purpose)}")
    return purpose, _instant(found["dateTime"], where)


def _instant(text: str, where: str) -> str:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise OdrlError(f"{where}: {text} is no instant with a time zone; write 2030-01-01T00:00:00Z")
    return instant.astimezone(UTC).isoformat()


def _narrowing(dataset: str, refinement: Sequence[Json], where: str) -> Narrowing | None:
    rules: list[RowRule] = []
    masks: list[ColumnMask] = []
    licences: list[tuple[str, ...]] = []
    for place, each in enumerate(refinement):
        at = f"{where}[{place}]"
        try:
            fields = _closed(each, "@type uid or leftOperand operator rightOperand", at)
            if "or" in fields:
                rules.append(_read_rule(each, at))
            elif _id(fields.get("leftOperand"), f"{at}.leftOperand") == LICENCE:
                licences.append(_read_licences(each, at))
            else:
                masks.append(_read_mask(each, at))
        except ValidationError as error:
            raise OdrlError(_fault(error, at)) from None
    named = [rule.name for rule in rules] + [f"the mask of {mask.column}" for mask in masks] + [LICENCE] * len(licences)
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise OdrlError(f"{where}: {twice} stands twice; a request says each once")
    only = licences[0] if licences else ()
    return Narrowing(dataset=dataset, row_rules=tuple(rules), masks=tuple(masks), licences=only) if named else None


def _read_licences(document: Json, where: str) -> tuple[str, ...]:
    found = _closed(document, "@type leftOperand operator rightOperand", where)
    operator = _bare(_id(found.get("operator"), f"{where}.operator"))
    if operator != "isAnyOf":
        raise OdrlError(f"{where}.operator: {operator} is not understood for licences; write isAnyOf")
    return tuple(_literal(each, f"{where}.rightOperand") for each in _many(found.get("rightOperand")))


def _read_rule(document: Json, where: str) -> RowRule:
    found = _closed(document, "@type uid or", where)
    alternatives = found["or"]
    if isinstance(alternatives, Mapping):
        alternatives = _closed(alternatives, "@list", f"{where}.or")["@list"]
    return RowRule(
        name=_last(_id(found.get("uid"), f"{where}.uid"), "rule", f"{where}.uid"),
        any_of=tuple(_read_comparison(each, f"{where}.or[{place}]") for place, each in enumerate(_many(alternatives))),
    )


def _read_comparison(document: Json, where: str) -> Comparison:
    found = _closed(document, "@type leftOperand operator rightOperand rightOperandReference", where)
    column = _last(_id(found.get("leftOperand"), f"{where}.leftOperand"), "column", f"{where}.leftOperand")
    named = _bare(_id(found.get("operator"), f"{where}.operator"))
    operator = next((ours for ours, theirs in _OPERATORS.items() if theirs == named), None)
    if operator is None:
        known = ", ".join(_OPERATORS.values())
        raise OdrlError(f"{where}.operator: {named} is not understood here; write one of {known}")
    if "rightOperandReference" in found:
        place = f"{where}.rightOperandReference"
        claim = _last(_id(found["rightOperandReference"], place), "claim", place)
        return Comparison.model_validate({"column": column, "operator": operator, "claim": claim})
    values = tuple(_literal(each, f"{where}.rightOperand") for each in _many(found.get("rightOperand")))
    if operator in (Operator.IS_NULL, Operator.IS_NOT_NULL):
        if values != (NOTHING,):
            raise OdrlError(f"{where}.rightOperand: {named} compares with {NOTHING} only; else write isAnyOf, isNoneOf")
        values = ()
    return Comparison(column=column, operator=operator, values=values)


def _read_mask(document: Json, where: str) -> ColumnMask:
    found = _closed(document, "@type leftOperand operator rightOperand", where)
    column = _last(_id(found.get("leftOperand"), f"{where}.leftOperand"), "mask", f"{where}.leftOperand")
    operator, words = _bare(_id(found.get("operator"), f"{where}.operator")), _literal(found.get("rightOperand"), where)
    parts = _MASK.fullmatch(words)
    if operator != "eq" or parts is None:
        raise OdrlError(f"{where}: {operator} {words} is no mask; write eq and, as an example, Prefix(4)")
    mask = {"kind": parts[1], **({} if parts[2] is None else {"size": int(parts[2])})}
    return ColumnMask(column=column, mask=Mask.model_validate(mask))


def _closed(document: object, known: str, where: str) -> dict[str, Any]:
    """The fields without prefix; `@id` is `uid`. None may be unknown."""
    if not isinstance(document, Mapping):
        raise OdrlError(f"{where or 'document'}: is no object; write one with {known}")
    fields: dict[str, Any] = {}
    for key, value in document.items():
        bare = "uid" if key == "@id" else _bare(str(key))
        if bare not in known.split():
            raise OdrlError(f"{where}.{bare}: is not understood here; remove it".lstrip("."))
        fields[bare] = value
    return fields


def _bare(term: str) -> str:
    return next((term.removeprefix(prefix) for prefix in _PREFIXES if term.startswith(prefix)), term)


def _many(value: Any) -> list[Any]:  # noqa: ANN401 - JSON-LD writes one where it could write several
    return (
        [] if value is None else list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    )


def _id(value: object, where: str) -> str:
    """An IRI or term, written as text or as an object with its name."""
    if isinstance(value, Mapping):
        value = _closed(value, "uid @type", where).get("uid")
    if not isinstance(value, str) or not value:
        raise OdrlError(f"{where}: is missing or no name; write one")
    return value


def _literal(value: object, where: str) -> str:
    if isinstance(value, Mapping):
        fields = _closed(value, "uid @value @type", where)
        value = fields.get("@value", fields.get("uid"))
    if not isinstance(value, str):
        raise OdrlError(f"{where}: is no text; write the value as text")
    return value


def _last(uid: str, kind: str, where: str) -> str:
    prefix = f"urn:commonweal:{kind}:"
    if not uid.startswith(prefix):
        raise OdrlError(f"{where}: {uid} is not understood here; write {prefix}NAME")
    return uid.removeprefix(prefix)


def _fault(error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{where}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}; correct it"
