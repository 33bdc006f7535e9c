"""Claims and receipts as files: signed by one side, settled against the other, and the events they lead to."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError
from rich.table import Table

from commonweal.kinds.member import Member
from commonweal.receipts import ReceiptError, Settlement, Side, Terms, Usage, settle, signed_bytes, verify
from commonweal.transparency import canonical_json
from operators.cli.terminal import CommandError
from operators.frame.controller import first_error
from operators.kube import Json, Kube, custom


async def members(kube: Kube) -> list[Json]:
    """The bodies of all members, as the hub has them now."""
    return list((await kube.list(custom(Member))).items)


def keys_of(bodies: Iterable[Json]) -> dict[str, Ed25519PublicKey]:
    """The identities of accepted members."""
    read = [Member.read(body) for body in bodies]
    return {
        member.metadata.name: Ed25519PublicKey.from_public_bytes(base64.b64decode(member.spec.identity_key))
        for member in read
        if member.spec.hub_accepts
    }


def sign(side: Side, usages: Path, identity: Path) -> list[bytes]:
    """Sign each usage of a file (one JSON object a line); return the lines of a signed file.

    Raises:
        CommandError: a file that is missing, is no key, or has a line that is no usage.
    """
    key = _identity(identity)
    lines = []
    for place, line in _lines(usages, "USAGE"):
        try:
            payload = Usage.model_validate_json(line).payload()
        except ValidationError as error:
            raise CommandError(f"{place}: {first_error(error)}; write what docs/equity.md shows") from None
        signature = base64.b64encode(key.sign(signed_bytes(side, payload))).decode()
        lines.append(canonical_json({"payload": payload.decode(), "side": side, "signature": signature}))
    return lines


def _identity(path: Path) -> Ed25519PrivateKey:
    if not path.is_file():
        raise CommandError(f"--identity: {path} does not exist; name the member's Ed25519 key in PEM")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, ValueError) as error:
        raise CommandError(f"--identity: {path}: {error}; name the member's Ed25519 key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CommandError(f"--identity: {path} is another kind of key; name the member's Ed25519 key in PEM")
    return key


def settled(
    files: Iterable[Path], keys: Mapping[str, Ed25519PublicKey], terms: Terms, now: datetime
) -> tuple[Settlement, ...]:
    """Verify every signed line and compare the two sides.

    Raises:
        CommandError: a line that counts for nothing; names the file, the line, the field and the rule.
    """
    told: dict[Side, list[Usage]] = {side: [] for side in Side}
    for file in files:
        for place, line in _lines(file, "SIGNED"):
            try:
                side, payload, signature = _signed(line)
                told[side].append(verify(side, payload, signature, keys, terms=terms, now=now))
            except ReceiptError as error:
                raise CommandError(f"{place}: {error.reason}: {error}") from None
            except (KeyError, TypeError, ValueError) as error:
                raise CommandError(f"{place}: no signed line ({error}); write it with `receipt sign`") from None
    return settle(told[Side.CLAIM], told[Side.RECEIPT], terms=terms, now=now)


def _signed(line: bytes) -> tuple[Side, bytes, bytes]:
    fields = json.loads(line)
    try:
        signature = base64.b64decode(fields["signature"], validate=True)
    except binascii.Error:
        signature = b""  # verifies nothing, and is refused as such
    return Side(fields["side"]), fields["payload"].encode(), signature


def _lines(path: Path, argument: str) -> Iterable[tuple[str, bytes]]:
    if not path.is_file():
        raise CommandError(f"{argument}: {path} does not exist")
    return [(f"{path}: line {number}", line) for number, line in enumerate(path.read_bytes().splitlines(), start=1)]


def table(settlements: Iterable[Settlement]) -> Table:
    """What counts, for a person."""
    shown = Table(title_justify="left")
    for heading in ("consumer", "provider", "job", "from", "counted", "state", "why"):
        shown.add_column(heading, overflow="fold")
    for each in settlements:
        usage = each.usage
        start, counted = f"{usage.period_start:%Y-%m-%d %H:%M:%S}", f"{each.counted} {usage.unit}"
        shown.add_row(usage.consumer, usage.provider, usage.job, start, counted, each.state, each.message())
    return shown
