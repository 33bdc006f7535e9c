"""`python -m data_trusts.erase`: makes a value gone from a member's table, and gives a signed receipt.

`run` rewrites the table without the rows, drops every earlier version, removes the files and searches what is left; the
receipt names each file that is left with its hash, and the value only as a hash with a secret number, which is printed
once. `verify` checks a receipt with the gateway's certificate, which the hub publishes.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import secrets
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic.alias_generators import to_camel

from commonweal.transparency import canonical_json
from data_trusts.catalog import CatalogError, Warehouse
from data_trusts.erasure import ErasureError
from data_trusts.gateway.certificates import TLS_SECRET, Identity
from data_trusts.gateway.cluster import Cluster, ClusterError

ALGORITHM = ec.ECDSA(hashes.SHA256())


def commitment(value: str, nonce: str) -> str:
    """What a receipt holds in place of the value: who knows both can check it, who guesses values cannot."""
    return hashlib.sha256(f"{nonce}:{value}".encode()).hexdigest()


def signed(receipt: dict[str, Any], identity: Identity) -> dict[str, Any]:
    """The receipt under the gateway's key, ECDSA P-256 over its canonical JSON."""
    key = load_pem_private_key(identity.key_pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ErasureError("the gateway's key is no P-256 key; delete it, and the gateway makes a new one")
    signature = base64.b64encode(key.sign(canonical_json(receipt), ALGORITHM)).decode()
    return {"receipt": receipt, "signature": signature}


def verify(document: dict[str, Any], certificate_pem: str, value: str | None, nonce: str | None) -> dict[str, Any]:
    """The receipt, if the certificate's key signed it and, where value and number are given, it is about that value.

    Raises:
        ErasureError: it is not as it was signed, or is about something else.
    """
    try:
        key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
        receipt: dict[str, Any] = document["receipt"]
        signature = base64.b64decode(document["signature"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise ErasureError(f"this is no receipt with a certificate beside it ({error}); give both as issued") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ErasureError("--certificate: it is not a gateway's; the hub shows it at the Member")
    try:
        key.verify(signature, canonical_json(receipt), ALGORITHM)
    except InvalidSignature:
        raise ErasureError(
            "the receipt was changed, or another gateway signed it; ask the member for it again"
        ) from None
    if value is not None and nonce is not None and receipt["valueSha256"] != commitment(value, nonce):
        raise ErasureError("--value, --nonce: the receipt is about another value")
    return receipt


async def _identity(data: Path) -> Identity:
    key, certificate = data / "tls" / "key.pem", data / "tls" / "certificate.pem"
    if key.exists() and certificate.exists():
        return Identity(key_pem=key.read_text(), certificate_pem=certificate.read_text())
    cluster = Cluster.from_pod()
    try:
        kept = await cluster.read_secret(TLS_SECRET)
    finally:
        await cluster.close()
    if not kept:
        raise ErasureError("the gateway has made no key yet that could sign a receipt; start it once")
    return Identity(key_pem=kept["tls.key"], certificate_pem=kept["tls.crt"])


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    value = sys.stdin.read().rstrip("\n") if arguments.value == "-" else arguments.value
    identity = asyncio.run(_identity(arguments.data))  # first: nothing is erased that no receipt could be given for
    warehouse = Warehouse(arguments.data)
    try:
        if arguments.dry_run:
            found = warehouse.holders(arguments.trust, arguments.dataset, arguments.column, value)
            return {"dryRun": True, "files": [str(path) for path in found]}
        erased = warehouse.erase(arguments.trust, arguments.dataset, arguments.column, value)
    finally:
        warehouse.close()
    nonce = secrets.token_hex(16)
    receipt = {
        "kind": "ErasureReceipt",
        "member": arguments.member,
        "trust": arguments.trust,
        "dataset": arguments.dataset,
        "column": arguments.column,
        "valueSha256": commitment(value, nonce),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{to_camel(name): held for name, held in asdict(erased).items()},
        "files": [{to_camel(name): held for name, held in asdict(each).items()} for each in erased.files],
    }
    document = signed(receipt, identity)
    _keep(
        document, arguments.data / "erasures" / f"{receipt['at'].replace(':', '')}-{receipt['valueSha256'][:12]}.json"
    )
    return {**document, "nonce": nonce}


def _keep(document: dict[str, Any], path: Path) -> None:
    """The member's own copy, without the secret number."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document))
    fresh.replace(path)


def _verify(arguments: argparse.Namespace) -> dict[str, Any]:
    try:
        document = json.loads(arguments.receipt.read_text())
    except ValueError as error:
        raise ErasureError(f"{arguments.receipt}: is not JSON ({error})") from error
    receipt = verify(document, arguments.certificate.read_text(), arguments.value, arguments.nonce)
    return {"verified": True, "at": receipt["at"], "erasedRows": receipt["erasedRows"]}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    env = os.environ
    parser = argparse.ArgumentParser(prog="python -m data_trusts.erase", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="erase, and print the signed receipt as JSON")
    for name in ("trust", "dataset", "column"):
        run.add_argument(f"--{name}", required=True)
    run.add_argument("--value", required=True, help="rows whose column equals it go; - reads standard input")
    run.add_argument("--member", default=env.get("COMMONWEAL_MEMBER", ""), help="default: COMMONWEAL_MEMBER")
    run.add_argument("--data", type=Path, default=Path(env.get("COMMONWEAL_DATA", "/var/lib/commonweal-data")))
    run.add_argument("--dry-run", action="store_true", help="only name the files in which the value can be read")
    check = verbs.add_parser("verify", help="check a receipt")
    check.add_argument("receipt", type=Path)
    check.add_argument("--certificate", type=Path, required=True, help="the gateway's, PEM, as the hub shows it")
    check.add_argument("--value", help="with --nonce: check that the receipt is about this value")
    check.add_argument("--nonce")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; an error is one sentence and status 1."""
    arguments = _arguments(argv)
    try:
        result = _run(arguments) if arguments.verb == "run" else _verify(arguments)
    except (ErasureError, CatalogError, ClusterError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(result, indent=2)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
