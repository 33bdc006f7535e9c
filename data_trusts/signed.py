"""Documents under the gateway's key, whose certificate the hub shows at the Member: who holds one needs not ask us.

The signature is ECDSA P-256 with SHA-256 over the document's canonical JSON.
"""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from commonweal.signatures import signed_by
from commonweal.transparency import canonical_json
from data_trusts.gateway.certificates import TLS_SECRET, Identity, sign
from data_trusts.gateway.cluster import Cluster
from data_trusts.tlog import write_durably

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class SignedError(Exception):
    """A document is not as it was signed, or cannot be signed; the message says why and what to do."""


def signed(receipt: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """The document with its signature.

    Raises:
        SignedError: the gateway's key is of another kind.
    """
    try:
        signature = sign(canonical_json(receipt), identity)
    except ValueError as error:
        raise SignedError(str(error)) from error
    return {"receipt": receipt, "signature": base64.b64encode(signature).decode()}


def opened(document: dict[str, Any], certificate_pem: str, *kinds: str) -> dict[str, Any]:
    """The content of a signed document, if the certificate's key signed it and it is of one of the kinds.

    Raises:
        SignedError: it is not as it was signed.
    """
    try:
        receipt: dict[str, Any] = document["receipt"]
        signature = base64.b64decode(document["signature"], validate=True)
        content, kind = canonical_json(receipt), receipt["kind"]
    except (KeyError, TypeError, ValueError) as error:
        raise SignedError(f"this is no signed document ({error!r}); give it as issued") from error
    if kind not in kinds:
        raise SignedError(f"kind: is {kind}, and {' or '.join(kinds)} is asked for; give that")
    if not signed_by(certificate_pem, content, signature):
        raise SignedError(
            f"the {kind} was changed, or another gateway signed it; ask the member for it again, and the hub for the "
            "certificate"
        )
    return receipt


def opened_file(path: Path, certificate: Path, *kinds: str) -> dict[str, Any]:
    """As `opened`, of a document in a file.

    Raises:
        SignedError: the file is not JSON, or not as it was signed.
        OSError: a file cannot be read.
    """
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise SignedError(f"{path}: is not JSON ({error})") from error
    return opened(document, certificate.read_text(), *kinds)


async def own_identity(data: Path) -> Identity:
    """The gateway's key, from its data folder or the Secret of its cluster.

    Raises:
        SignedError: the gateway was never started, so it has none.
        ClusterError: the cluster does not answer.
    """
    key, certificate = data / "tls" / "key.pem", data / "tls" / "certificate.pem"
    if key.exists() and certificate.exists():
        return Identity(key_pem=key.read_text(), certificate_pem=certificate.read_text())
    cluster = Cluster.from_pod()
    try:
        kept = await cluster.read_secret(TLS_SECRET)
    finally:
        await cluster.close()
    if not kept:
        raise SignedError("the gateway has made no key yet that could sign; start it once")
    return Identity(key_pem=kept["tls.key"], certificate_pem=kept["tls.crt"])


def wire(result: "DataclassInstance") -> dict[str, Any]:
    """A result as a document holds it: camelCase names, all the way down."""
    return {
        to_camel(name): [{to_camel(key): each for key, each in part.items()} for part in value]
        if isinstance(value, tuple)
        else value
        for name, value in asdict(result).items()
    }


def keep_copy(document: dict[str, Any], path: Path) -> None:
    """The member's own copy of what it signed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, json.dumps(document).encode())
