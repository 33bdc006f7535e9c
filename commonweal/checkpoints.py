"""Signed statements of how long a log is and what is in it, and what a witness may say about them.

Formats: C2SP signed-note, tlog-checkpoint and tlog-cosignature, all with Ed25519, so that foreign tools verify them.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from commonweal.transparency import EMPTY_ROOT, verify_consistency

MAX_NOTE_BYTES = 65_536
_LOG, _COSIGNER = 1, 4  # signature types of C2SP signed-note
_HASH_BYTES, _KEY_ID_BYTES, _TIME_BYTES, _SIZE_DIGITS = 32, 4, 8, 19


class NoteError(ValueError):
    """A note, a checkpoint or a key is not what it should be; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How many records a log has, and their root hash; `origin` names the log."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """A public key and its name; as text it is a `vkey`."""

    name: str
    key: bytes
    kind: int

    @property
    def key_id(self) -> bytes:
        """The four bytes that say which key a signature line claims."""
        return sha256(f"{self.name}\n".encode() + bytes((self.kind,)) + self.key).digest()[:_KEY_ID_BYTES]

    @property
    def cosigns(self) -> bool:
        """Whether it is the key of a witness and not of a log."""
        return self.kind == _COSIGNER

    def vkey(self) -> str:
        """Return the text form: name, key id, type and key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes((self.kind,)) + self.key).decode()}"


def log_verifier(origin: str, key: Ed25519PrivateKey) -> Verifier:
    """Return what verifies the checkpoints that a log signs with this key."""
    return Verifier(name=_name(origin), key=key.public_key().public_bytes_raw(), kind=_LOG)


def cosigner_verifier(name: str, key: Ed25519PrivateKey) -> Verifier:
    """Return what verifies the cosignatures of a witness with this key."""
    return Verifier(name=_name(name), key=key.public_key().public_bytes_raw(), kind=_COSIGNER)


def read_vkey(text: str) -> Verifier:
    """Read a public key as text.

    Raises:
        NoteError: it is none, or its parts contradict each other.
    """
    name, plus, rest = text.strip().partition("+")
    key_id, plus_too, encoded = rest.partition("+")
    if not plus or not plus_too:
        raise NoteError("vkey: is not NAME+ID+KEY; copy it as the log printed it")
    raw = _decoded(encoded, "vkey")
    if len(raw) != 1 + _HASH_BYTES or raw[0] not in (_LOG, _COSIGNER):
        raise NoteError("vkey: is no Ed25519 key of a log or a witness; copy it as it was printed")
    verifier = Verifier(name=_name(name), key=raw[1:], kind=raw[0])
    if verifier.key_id.hex() != key_id:
        raise NoteError("vkey: its id does not belong to its name and key; copy it as it was printed")
    return verifier


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Return the checkpoint as a note signed by its log."""
    verifier = log_verifier(checkpoint.origin, key)
    body = checkpoint.body()
    return f"{body}\n{_line(verifier, key.sign(body.encode()))}"


def cosign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey, at: int) -> str:
    """Return the signature line of a witness, `at` in seconds since 1970."""
    signature = key.sign(_cosigned(checkpoint.body(), at))
    return _line(cosigner_verifier(name, key), at.to_bytes(_TIME_BYTES) + signature)


def read_checkpoint(note: str, log: Verifier) -> Checkpoint:
    """Return what a log signed.

    Raises:
        NoteError: it is no checkpoint of this log, or the signature is not the log's.
    """
    checkpoint = _checkpoint(_parted(note)[0])
    if checkpoint.origin != log.name:
        raise NoteError(f"checkpoint: is of {checkpoint.origin}, not of {log.name}; give the key of that log")
    verified_text(note, log)
    return checkpoint


def verified_text(note: str, verifier: Verifier) -> str:
    """Return the text that a key signed.

    Raises:
        NoteError: it is no note, or the key did not sign it.
    """
    text, lines = _parted(note)
    _verify(verifier, _signature(lines, verifier), text.encode())
    return text


def cosigned_at(note: str, witness: Verifier) -> int:
    """Return when a witness cosigned a checkpoint, in seconds since 1970.

    Raises:
        NoteError: it did not.
    """
    body, lines = _parted(note)
    signature = _signature(lines, witness)
    at = int.from_bytes(signature[:_TIME_BYTES])
    _verify(witness, signature[_TIME_BYTES:], _cosigned(body, at))
    return at


class Verdict(StrEnum):
    """What a witness says to a checkpoint. One word for the log's operator to search for."""

    CONSISTENT = "Consistent"
    STALE = "Stale"  # the submitter does not know what the witness saw last
    ROLLED_BACK = "RolledBack"
    FORKED = "Forked"
    UNPROVEN = "Unproven"


def judge(seen: Checkpoint | None, offered: Checkpoint, old_size: int, proof: Sequence[bytes]) -> Verdict:
    """Say whether a witness may cosign what is offered, after what it has seen (C2SP tlog-witness).

    Args:
        seen: the last checkpoint that the witness cosigned for this log.
        offered: its signature is already verified.
        old_size: what the submitter believes to be the size of `seen`.
        proof: a consistency proof from `old_size` to the offered size.
    """
    size, root = (seen.size, seen.root) if seen else (0, EMPTY_ROOT)
    if offered.size < size:
        return Verdict.ROLLED_BACK
    if old_size != size:
        return Verdict.STALE
    if offered.size == size:
        return Verdict.CONSISTENT if offered.root == root and not proof else Verdict.FORKED
    if size == 0:
        return Verdict.UNPROVEN if proof else Verdict.CONSISTENT
    proven = verify_consistency(size, offered.size, root, offered.root, proof)
    return Verdict.CONSISTENT if proven else Verdict.UNPROVEN


def proves_fork(seen: Checkpoint, offered: Checkpoint, prefix_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether two signed checkpoints are two histories, to anyone, without the log.

    The proof shows that `prefix_root` is what the offered log held at the size of `seen`; `seen` says otherwise.
    """
    return prefix_root != seen.root and verify_consistency(seen.size, offered.size, prefix_root, offered.root, proof)


def _checkpoint(body: str) -> Checkpoint:
    lines = body.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or lines[-1]:
        raise NoteError("checkpoint: is not an origin, a size and a root, a line each; fetch it again")
    origin, size, encoded = lines[:3]
    if not (size.isascii() and size.isdecimal() and len(size) <= _SIZE_DIGITS) or str(int(size)) != size:
        raise NoteError(f"checkpoint: its size {size[:20]} is no decimal number; fetch it again")
    root = _decoded(encoded, "checkpoint")
    if len(root) != _HASH_BYTES:
        raise NoteError(f"checkpoint: its root has {len(root)} bytes, not {_HASH_BYTES}; fetch it again")
    return Checkpoint(origin=origin, size=int(size), root=root)


def _parted(note: str) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_BYTES:
        raise NoteError(f"note: has more than {MAX_NOTE_BYTES} characters; fetch it again")
    body, gap, signatures = note.rpartition("\n\n")
    if not gap:
        raise NoteError("note: has no empty line before its signatures; fetch it again")
    return f"{body}\n", signatures.split("\n")


def _signature(lines: Sequence[str], verifier: Verifier) -> bytes:
    """The signature that a key claims; lines of unknown keys are skipped, as the format demands."""
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != "\N{EM DASH}" or name != verifier.name:
            continue
        raw = _decoded(encoded, "note")
        if raw[:_KEY_ID_BYTES] == verifier.key_id:
            return raw[_KEY_ID_BYTES:]
    raise NoteError(f"note: {verifier.name} has not signed it with the key that is known; ask for its vkey")


def _verify(verifier: Verifier, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(verifier.key).verify(signature, message)
    except InvalidSignature:
        raise NoteError(f"note: the signature of {verifier.name} does not hold; it was changed or forged") from None


def _line(verifier: Verifier, signature: bytes) -> str:
    return f"\N{EM DASH} {verifier.name} {base64.b64encode(verifier.key_id + signature).decode()}\n"


def _cosigned(body: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError(f"{what}: holds what is not base64; fetch it again") from None


def _name(name: str) -> str:
    if not name or "+" in name or any(letter.isspace() or not letter.isprintable() for letter in name):
        raise NoteError(f"name: {name!r} is empty or has a space or a plus; name it as in example.org/log")
    return name
