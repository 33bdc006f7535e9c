"""Recomputes a bundle from itself alone and names the first thing that differs. Needs no network and no clock.

The order is that of trust: who signed, which engine, then inputs and rules against their names, then value, trace and
graph recomputed, and last the container, so that not one byte of the file is without meaning.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, ValidationError

from apps.trade.audit import bills, container, engine, envelope, keys
from apps.trade.audit.bundle import PREDICATE_TYPE, RESULT, SIGNER, TRACE, Content, content_of, sha256
from apps.trade.audit.errors import TamperedError
from apps.trade.audit.evidence import Evidence, read_evidence
from apps.trade.goods import Strict
from apps.trade.rule_packs import pack_files

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_AGAIN = "ask the signer for the bundle again"
Form = TypeVar("Form", bound=Strict)


class _Method(Strict):
    rule_pack: Annotated[str, Field(alias="rulePack")]
    celex: str


class _Tree(Strict):
    hash: str
    leaves: int
    root: Sha256


class _Followed(Strict):
    method: _Method
    rules: dict[str, Sha256]
    engine: Sha256
    trace: _Tree


class _Predicate(_Followed):
    inputs: dict[str, Sha256]
    provenance: Sha256


class _BillPredicate(_Followed):
    assessment: Sha256
    prices: dict[str, Sha256]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What holds: the recomputed result as JSON, the root and length of the trace, who signed, and the bill, if any.

    `trusted` says whether the key was compared with one that the verifier brought; `rules_in_force` whether rule
    packs and prices are those that the verifier has in force, byte for byte.
    """

    result: bytes
    root: str
    steps: int
    key_id: str
    trusted: bool
    rules_in_force: bool
    bill: bytes | None


def verify(content: bytes, key: Ed25519PublicKey | None = None) -> Verified:
    """Check a bundle; without `key` the signer is whom the bundle itself names.

    Raises:
        TamperedError: something differs; `part` is the first thing that does.

    """
    parts = container.read(content)
    signer = _signer(parts, key)
    statements = _statements(parts, signer)
    predicate = _predicate(statements[envelope.PART], PREDICATE_TYPE, _Predicate)
    prices = _prices(statements)
    _same_engine(_part(parts, engine.PART), predicate)
    inputs = {role: _named(parts, "inputs", role, digest) for role, digest in predicate.inputs.items()}
    named = {**predicate.rules, **prices}
    files = {name: _named(parts, "rules", name, digest) for name, digest in named.items()}
    evidence, again = _recomputed(inputs, files, billed=bills.BILL_ENVELOPE in statements)
    _same_parts(parts, again)
    for name, statement in again.statements.items():
        if statements.get(name) != statement:
            said = f"what was signed in {name} does not follow from inputs, rules and engine"
            raise TamperedError("statement", said, _AGAIN)
    if not container.is_canonical(content, parts):
        raise TamperedError("container", "bytes beside those of the parts were changed", _AGAIN)
    return Verified(
        result=again.parts[RESULT],
        root=predicate.trace.root,
        steps=predicate.trace.leaves,
        key_id=envelope.key_id(signer),
        trusted=key is not None,
        rules_in_force=dict(evidence.files) == dict(pack_files()),
        bill=again.parts.get(bills.BILL),
    )


def _statements(parts: Mapping[str, bytes], signer: Ed25519PublicKey) -> dict[str, bytes]:
    """What was signed, by the name of its envelope; a bill is there or not, and later has to follow."""
    sealed = {envelope.PART: _part(parts, envelope.PART)}
    if bills.BILL_ENVELOPE in parts:
        sealed[bills.BILL_ENVELOPE] = parts[bills.BILL_ENVELOPE]
    return {name: envelope.unseal(content, signer, name) for name, content in sealed.items()}


def _prices(statements: Mapping[str, bytes]) -> dict[str, str]:
    """The price files that the bill's statement names."""
    if bills.BILL_ENVELOPE not in statements:
        return {}
    return _predicate(statements[bills.BILL_ENVELOPE], bills.PREDICATE_TYPE, _BillPredicate).prices


def _signer(parts: Mapping[str, bytes], key: Ed25519PublicKey | None) -> Ed25519PublicKey:
    pem = _part(parts, SIGNER)
    try:
        named = keys.parse_public(pem)
    except ValueError as error:
        raise TamperedError(SIGNER, f"not a public key ({error})", _AGAIN) from error
    if pem != keys.to_pem(named):
        raise TamperedError(SIGNER, "not in the form that is packed", _AGAIN)
    if key is not None and key.public_bytes_raw() != named.public_bytes_raw():
        said = f"the bundle names key {envelope.key_id(named)}, the key given is {envelope.key_id(key)}"
        raise TamperedError(SIGNER, said, "give the signer's key, or refuse the bundle")
    return named


def _part(parts: Mapping[str, bytes], name: str) -> bytes:
    if name not in parts:
        raise TamperedError(name, "missing from the bundle", _AGAIN)
    return parts[name]


def _predicate(statement: bytes, kind: str, form: type[Form]) -> Form:
    try:
        found = json.loads(statement)
        if found["predicateType"] != kind:
            raise TamperedError("statement", f"predicate type is {found['predicateType']!r}", f"give {kind}")
        return form.model_validate(found["predicate"])
    except (KeyError, TypeError, json.JSONDecodeError, ValidationError) as error:
        raise TamperedError("statement", f"not a statement about an assessment ({error})", _AGAIN) from error


def _same_engine(stated: bytes, predicate: _Predicate) -> None:
    if sha256(stated) != predicate.engine:
        raise TamperedError(engine.PART, f"sha256 is {sha256(stated)}, signed was {predicate.engine}", _AGAIN)
    if stated == engine.identity():
        return
    own = json.loads(engine.identity())["modules"]
    try:
        found = json.loads(stated)
        version, modules = found["version"], found["modules"]
        differs = [name for name in engine.MODULES if modules.get(name) != own[name]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TamperedError(engine.PART, f"not the identity of an engine ({error})", _AGAIN) from error
    said = f"made by version {version}, which differs from this one in {', '.join(differs) or 'its version'}"
    raise TamperedError(engine.PART, said, "verify with the version that made it")


def _named(parts: Mapping[str, bytes], folder: str, role: str, digest: str) -> bytes:
    name = f"{folder}/{digest}"
    content = parts.get(name)
    if content is None:
        raise TamperedError(name, f"{role} is missing from the bundle", _AGAIN)
    if sha256(content) != digest:
        raise TamperedError(name, f"{role} has sha256 {sha256(content)}, not the one that it is named by", _AGAIN)
    return content


def _recomputed(inputs: Mapping[str, bytes], files: Mapping[str, bytes], *, billed: bool) -> tuple[Evidence, Content]:
    try:
        evidence = read_evidence(inputs, files)
        _require_bill(evidence, billed=billed)
        return evidence, content_of(evidence)
    except TamperedError:
        raise
    except (ValueError, ArithmeticError, LookupError, TypeError, yaml.YAMLError) as error:
        # Whoever signs may pack anything; what the rules cannot compute is refused, never a crash of the verifier.
        raise TamperedError("inputs", f"no value follows from inputs and rules ({error})", _AGAIN) from error


def _require_bill(evidence: Evidence, *, billed: bool) -> None:
    """A method that knows certificates has its bill attested too, so that none is left out in silence."""
    if evidence.assessment.pack.free_allocation is not None and not billed:
        raise TamperedError(bills.BILL_ENVELOPE, "missing from the bundle", _AGAIN)


def _same_parts(parts: Mapping[str, bytes], again: Content) -> None:
    for name in (TRACE, bills.BILL_TRACE):
        if name in again.parts:
            _same_trace(_part(parts, name), again.parts[name], name)
    for name in sorted(again.parts):
        if _part(parts, name) != again.parts[name]:
            raise TamperedError(name, "differs from what inputs and rules give", _AGAIN)
    unknown = sorted(parts.keys() - again.parts.keys() - again.statements.keys() - {SIGNER})
    if unknown:
        raise TamperedError(unknown[0], "no statement speaks of this part", "remove it or ask for the bundle again")


def _same_trace(stated: bytes, again: bytes, name: str) -> None:
    lines, wanted = stated.split(b"\n"), again.split(b"\n")
    for number, (line, right) in enumerate(zip(lines, wanted, strict=False)):
        if line != right:
            said = f"step {number} is not what inputs and rules give" if right else f"step {number} is one too many"
            raise TamperedError(name, f"{said}, which is {right.decode()[:200] or 'the end'}", _AGAIN)
    if len(lines) != len(wanted):
        raise TamperedError(name, f"{len(lines) - 1} steps, where inputs and rules give {len(wanted) - 1}", _AGAIN)
