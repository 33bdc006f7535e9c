"""How a policy travels in a ConfigMap: as text while it is short, compressed where it is long, and never in parts.

The hub packs, the gateway and `data_trusts.ingest` unpack. One object holds a whole policy, so none of it can arrive
late or be missing; what cannot be unpacked allows nothing.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

from commonweal.grants import POLICY_KEY, Policy, PolicyTooLargeError

PACKED_KEY = f"{POLICY_KEY}.gz"
TEXT_BYTES = 262_144  # up to here it is left readable for whoever looks at the ConfigMap
# A ConfigMap holds 1 MiB. In base64, as an Assignment carries it, a million bytes stay below etcd's request of 1.5 MiB.
PACKED_BYTES = 1_000_000
UNPACKED_BYTES = 16_777_216
_GZIP = 31  # zlib's name for gzip with the largest window


def pack(policy: Policy) -> dict[str, dict[str, str]]:
    """The `data` or the `binaryData` of the policy's ConfigMap; equal policies give equal ones.

    Raises:
        PolicyTooLargeError: it does not fit, even compressed.
    """
    text = policy.render().encode()
    if len(text) <= TEXT_BYTES:
        return {"data": {POLICY_KEY: text.decode()}}
    packer = zlib.compressobj(wbits=_GZIP)
    packed = packer.compress(text) + packer.flush()
    if len(packed) > PACKED_BYTES or len(text) > UNPACKED_BYTES:
        raise PolicyTooLargeError(
            f"{len(policy.grants)} live grants make a policy of {len(text)} bytes, compressed {len(packed)}, of which "
            f"{UNPACKED_BYTES} and {PACKED_BYTES} fit; revoke grants, or divide the datasets among several trusts"
        )
    return {"binaryData": {PACKED_KEY: base64.b64encode(packed).decode()}}


def unpack(config_map: Mapping[str, Any]) -> str | None:
    """The policy's text, or None where the ConfigMap holds none, two, or one that is damaged or too long."""
    text, packed = (
        (config_map.get(values) or {}).get(key) for values, key in (("data", POLICY_KEY), ("binaryData", PACKED_KEY))
    )
    if packed is None:
        return text if isinstance(text, str) else None
    if text is not None:
        return None
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        content = unpacker.decompress(base64.b64decode(packed, validate=True), UNPACKED_BYTES + 1)
        return content.decode() if unpacker.eof else None
    except (zlib.error, binascii.Error, TypeError, ValueError):
        return None
