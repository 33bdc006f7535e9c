"""Who vouches for a bundle: an in-toto Statement v1 in a DSSE v1 envelope, signed with Ed25519.

Ed25519 signatures are deterministic (RFC 8032), so an equal statement under an equal key is an equal envelope.
Sources: in-toto attestation framework, spec v1; DSSE protocol v1.0.2, section "Signature definition" (PAE).
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from apps.trade.audit.errors import TamperedError
from commonweal.transparency import Json, canonical_json

PART = "envelope.dsse.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_REMEDY = "ask the signer for the bundle again"


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the 32 raw bytes of a public key, in hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def statement(subject: Mapping[str, bytes], predicate_type: str, predicate: Json) -> bytes:
    """A Statement about these artifacts, canonical."""
    subjects: Sequence[Json] = [
        {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
        for name, content in sorted(subject.items())
    ]
    return canonical_json(
        {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": predicate_type, "predicate": predicate}
    )


def seal(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The signed envelope of a payload, canonical."""
    return _written(payload, key_id(key.public_key()), key.sign(_signed_bytes(payload)))


def unseal(content: bytes, key: Ed25519PublicKey, part: str = PART) -> bytes:
    """The payload, once the signature is found to be the key's; `part` names the envelope in errors.

    Raises:
        TamperedError: the envelope is not exactly what `seal` writes, or another key signed it.

    """
    try:
        envelope = json.loads(content)
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        signed_by, raw = signature["keyid"], base64.b64decode(signature["sig"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise TamperedError(part, f"not a DSSE envelope with one signature ({error})", _REMEDY) from error
    if signed_by != key_id(key):
        raise TamperedError(part, f"signed by key {signed_by}, not by {key_id(key)}", "give the signer's key")
    try:
        key.verify(raw, _signed_bytes(payload))
    except InvalidSignature as error:
        raise TamperedError(part, "the signature does not fit the statement", _REMEDY) from error
    if content != _written(payload, signed_by, raw):
        raise TamperedError(part, "not in the canonical form that is signed", _REMEDY)
    return payload


def _written(payload: bytes, signed_by: str, signature: bytes) -> bytes:
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": signed_by, "sig": base64.b64encode(signature).decode()}],
        }
    )


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
