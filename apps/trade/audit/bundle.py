"""Makes a bundle: from one assessment's evidence to a signed file from which anyone can recompute it.

Equal evidence, engine and key give equal bytes. The parts:

    consignment, release, released-rows or disclosure   inputs/<sha256>
    rule packs and tables of default values             rules/<sha256>
    engine.json       version and hashes of the code
    result.json       the assessment, exact numbers as text
    trace.jsonl       one step a line; the lines are the leaves of a Merkle tree (RFC 9162)
    prov.json         the same as a PROV graph
    signer.pem        the public key
    envelope.dsse.json   the in-toto Statement that binds them all
    bill.json, bill-trace.jsonl, bill.dsse.json   the certificates likewise, where the method knows any (bills.py);
                      prices are among rules/ and named by the bill's statement alone
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.trade.audit import bills, container, engine, envelope, keys, provenance
from apps.trade.audit.evidence import Evidence
from apps.trade.audit.steps import trace_root
from apps.trade.audit.trace import trace_of
from apps.trade.views import assessment_view
from commonweal.transparency import Json, canonical_json

PREDICATE_TYPE = "https://commonweal.dev/attestations/trade-assessment/v1"
RESULT = bills.RESULT
SIGNER = "signer.pem"
TRACE = "trace.jsonl"


@dataclass(frozen=True, kw_only=True)
class Content:
    """Every part that follows from the evidence, and the statements that bind them by the name of their envelope.

    Only the signatures are missing.
    """

    parts: Mapping[str, bytes]
    statements: Mapping[str, bytes]


def make(evidence: Evidence, key: Ed25519PrivateKey) -> bytes:
    """The bundle of one assessment, as the bytes of a file.

    Raises:
        UnassessableError: no value can be given.
        ValueError: the evidence contradicts itself.

    """
    content = content_of(evidence)
    return container.write(
        {
            **content.parts,
            SIGNER: keys.to_pem(key.public_key()),
            **{name: envelope.seal(statement, key) for name, statement in content.statements.items()},
        }
    )


def content_of(evidence: Evidence) -> Content:
    """Everything that is signed. Raises as `make`."""
    lines = trace_of(evidence).lines()
    made = {RESULT: _result(evidence), TRACE: written(lines)}
    given = evidence.inputs()
    inputs, rules, digests = (_digests(each) for each in (given, evidence.rules, made))
    graph = provenance.graph(evidence, {**inputs, **rules}, digests, sha256(engine.identity()))
    predicate = {**_followed(evidence, lines, rules), "inputs": inputs, "provenance": sha256(graph)}
    bill = _bill_content(evidence, digests[RESULT], rules)
    return Content(
        parts={
            **{f"inputs/{inputs[role]}": content for role, content in given.items()},
            **{f"rules/{rules[name]}": content for name, content in evidence.rules.items()},
            **made,
            **bill.parts,
            engine.PART: engine.identity(),
            provenance.PART: graph,
        },
        statements={
            envelope.PART: envelope.statement({RESULT: made[RESULT]}, PREDICATE_TYPE, predicate),
            **bill.statements,
        },
    )


def _bill_content(evidence: Evidence, result_sha256: str, rules: Mapping[str, str]) -> Content:
    """The bill, its trace, its prices and its statement; nothing where the method knows no certificates."""
    if evidence.bill is None:
        return Content(parts={}, statements={})
    lines, content = bills.bill_trace(evidence, evidence.bill).lines(), bills.bill_json(evidence.bill)
    prices = _digests(evidence.price_files)
    predicate = {**_followed(evidence, lines, rules), "assessment": result_sha256, "prices": prices}
    return Content(
        parts={
            bills.BILL: content,
            bills.BILL_TRACE: written(lines),
            **{f"rules/{prices[name]}": held for name, held in evidence.price_files.items()},
        },
        statements={bills.BILL_ENVELOPE: envelope.statement({bills.BILL: content}, bills.PREDICATE_TYPE, predicate)},
    )


def written(lines: Sequence[bytes]) -> bytes:
    """The lines of a trace as a part."""
    return b"".join(line + b"\n" for line in lines)


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal: the name of a part."""
    return hashlib.sha256(content).hexdigest()


def _result(evidence: Evidence) -> bytes:
    view = assessment_view(evidence.assessment, members=(), grant="", age_s=0)
    # What depends on when and under which grant was asked is an input (release), or passes: the age of the data.
    # Nor is the bill attested, which changes with prices, nor the interval: floats differ between machines.
    passing = {"bill", "data_age_s", "grant", "interval", "members_asked"}
    return canonical_json(view.model_dump(mode="json", exclude=passing))


def _digests(parts: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in parts.items()}


def _followed(evidence: Evidence, lines: Sequence[bytes], rules: Mapping[str, str]) -> dict[str, Json]:
    """What every statement names: by which method, rules, engine and steps its result came about."""
    pack = evidence.assessment.pack
    return {
        "method": {"rulePack": pack.id, "celex": pack.celex},
        "rules": rules,
        "engine": sha256(engine.identity()),
        "trace": {"hash": "RFC 9162 SHA-256", "leaves": len(lines), "root": trace_root(lines)},
    }
