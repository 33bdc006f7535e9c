"""Sums of which nobody sees a single term: masks that cancel, and shares that lift the masks of whoever dropped out.

The protocol of Bonawitz et al. (ACM CCS 2017, figure 4), for vectors of integers modulo 2**64 or 2**128. Each member
adds to its vector a mask of its own and one mask for each peer, which that peer subtracts. Both kinds of secret are
shared by Shamir's scheme, so that any `threshold` members can lift what would not cancel: the own mask of a member that
answered, the pair masks of one that did not. Whoever combines must never learn both secrets of one member, so a member
reveals one share of each peer, once.

Pure: private keys, seeds and the randomness of shares are arguments. Who carries which message when is not known here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32
ENTROPY_BYTES = 3 * SECRET_BYTES
WORD_BITS = (64, 128)  # 128 for decimal(38, s), whose unscaled values need 127
_PRIME = 2**521 - 1  # the field of the shares: above any secret of 256 bits, and easy to recognise
_SHARE_BYTES = 66


class SecureSumError(ValueError):
    """A sum that cannot be made, or not be trusted; the message says whose part is wrong."""


@dataclass(frozen=True, kw_only=True)
class PublicKeys:
    """What a member tells everyone: two X25519 keys, 32 bytes each, and the hash of the seed of its own mask."""

    mask: bytes
    seal: bytes
    seed_sha256: bytes

    def content(self) -> bytes:
        """The 96 bytes that are signed."""
        return self.mask + self.seal + self.seed_sha256


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What a member keeps for one round and never uses again; 32 bytes each."""

    mask: bytes
    seal: bytes
    seed: bytes

    @classmethod
    def of(cls, entropy: bytes) -> "Secrets":
        """Cut 96 random bytes into the three secrets."""
        if len(entropy) != ENTROPY_BYTES:
            raise SecureSumError(f"entropy: {len(entropy)} bytes, not {ENTROPY_BYTES}")
        return cls(mask=entropy[:32], seal=entropy[32:64], seed=entropy[64:])

    def public(self) -> PublicKeys:
        """The public half."""
        return PublicKeys(mask=_public(self.mask), seal=_public(self.seal), seed_sha256=sha256(self.seed).digest())


@dataclass(frozen=True, kw_only=True)
class Round:
    """What the members of a round must agree on, or nothing cancels.

    Attributes:
        context: what the round is about; no two rounds have the same.
        bits: of a word, 64 or 128.
        publics: the keys of all members that dealt shares; their masks are in the sum, or must be lifted from it.
    """

    context: bytes
    bits: int
    publics: Mapping[str, PublicKeys]


def threshold(members: int, minimum: int) -> int:
    """How many of `members` must answer and reveal: the trust's minimum, and always a majority.

    With a majority, no one who tells members different tales of who dropped out gathers both secrets of a member.
    """
    return max(minimum, members // 2 + 1)


def to_words(values: Sequence[int], bits: int, members: int) -> tuple[int, ...]:
    """Write integers as words, negative ones as complements, with room for the sum over all members.

    Raises:
        SecureSumError: a value is so large that the sum of `members` such values could wrap round.
    """
    room = 2 ** (bits - 1) // members
    for place, value in enumerate(values):
        if not -room <= value < room:
            raise SecureSumError(
                f"value {place}: too large for a sum of {members} members modulo 2**{bits}; ask for smaller groups"
            )
    return tuple(value % 2**bits for value in values)


def from_words(words: Iterable[int], bits: int) -> tuple[int, ...]:
    """Read words as signed integers."""
    return tuple(word - 2**bits if word >= 2 ** (bits - 1) else word for word in words)


def pack(words: Iterable[int], bits: int) -> bytes:
    """Words as bytes, big-endian."""
    return b"".join(word.to_bytes(bits // 8) for word in words)


def unpack(content: bytes, bits: int) -> tuple[int, ...]:
    """Bytes as words.

    Raises:
        SecureSumError: not a whole number of words.
    """
    size = bits // 8
    if len(content) % size:
        raise SecureSumError(f"words: {len(content)} bytes are no whole number of words of {size} bytes")
    return tuple(int.from_bytes(content[at : at + size]) for at in range(0, len(content), size))


def mask(words: Sequence[int], member: str, secrets: Secrets, agreed: Round) -> tuple[int, ...]:
    """Hide a member's words, each below 2**bits, by its own mask and one for each peer."""
    masked = _add(words, _stream(secrets.seed, b"own", len(words), agreed), agreed.bits, 1)
    return _add_pairs(masked, member, secrets.mask, agreed.publics, agreed)


def unmask(
    masked: Mapping[str, Sequence[int]], seeds: Mapping[str, bytes], lost: Mapping[str, bytes], agreed: Round
) -> tuple[int, ...]:
    """Add the masked words of the members that answered, and lift what did not cancel.

    Args:
        masked: words by member, all of one length.
        seeds: the recovered seeds of exactly these members.
        lost: the recovered mask keys of all other members of the round.
        agreed: the round.

    Raises:
        SecureSumError: a secret is missing, too many, or not the one that its member announced.
    """
    publics = agreed.publics
    if masked.keys() != seeds.keys() or masked.keys() | lost.keys() != publics.keys() or masked.keys() & lost.keys():
        raise SecureSumError("secrets: there must be a seed of each member that answered and a key of each other one")
    lengths = {len(words) for words in masked.values()}
    if len(lengths) != 1:
        raise SecureSumError(f"words: members sent {sorted(lengths)} words; all must send as many")
    [length] = lengths
    total: tuple[int, ...] = (0,) * length
    for member, words in masked.items():
        _check(member, sha256(seeds[member]).digest() == publics[member].seed_sha256)
        total = _add(total, words, agreed.bits, 1)
        total = _add(total, _stream(seeds[member], b"own", length, agreed), agreed.bits, -1)
    answered = {member: publics[member] for member in masked}
    for member, key in lost.items():
        _check(member, _public(key) == publics[member].mask)
        total = _add_pairs(total, member, key, answered, agreed)
    return total


def deal(secret: bytes, needed: int, points: Sequence[int], entropy: bytes) -> dict[int, bytes]:
    """Share a secret so that any `needed` of the shares give it back and fewer say nothing (Shamir 1979).

    Args:
        secret: 32 bytes.
        needed: the threshold, at most as many as there are points.
        points: where the polynomial is evaluated, different and above 0; one for each member.
        entropy: 32 random bytes, used for this secret alone.

    Raises:
        SecureSumError: the threshold or a point makes no sense.
    """
    if not 0 < needed <= len(points) or len(set(points)) != len(points) or min(points) < 1:
        raise SecureSumError(f"shares: {needed} of {len(points)} points cannot be; points differ and are above 0")
    # 72 bytes are 55 bits above the prime, so that the remainders are as good as uniform.
    wide = _keystream(entropy, b"shares", 72 * (needed - 1))
    coefficients = [int.from_bytes(wide[at : at + 72]) % _PRIME for at in range(0, len(wide), 72)]
    polynomial = [*reversed(coefficients), int.from_bytes(secret)]
    shares: dict[int, bytes] = {}
    for point in points:
        value = 0
        for coefficient in polynomial:
            value = (value * point + coefficient) % _PRIME
        shares[point] = value.to_bytes(_SHARE_BYTES)
    return shares


def recover(shares: Mapping[int, bytes], needed: int) -> bytes:
    """Interpolate the secret, 32 bytes, from any `needed` shares.

    Raises:
        SecureSumError: too few shares, or shares that belong to no one secret.
    """
    if len(shares) < needed:
        raise SecureSumError(f"shares: {len(shares)} came, {needed} are needed; ask again when more members answer")
    chosen = dict(sorted(shares.items())[:needed])
    secret = 0
    for point, share in chosen.items():
        numerator = denominator = 1
        for other in chosen:
            if other != point:
                numerator = numerator * other % _PRIME
                denominator = denominator * (other - point) % _PRIME
        secret = (secret + int.from_bytes(share) * numerator * pow(denominator, -1, _PRIME)) % _PRIME
    if secret >= 2 ** (8 * SECRET_BYTES):
        raise SecureSumError("shares: they do not belong to one secret")
    return secret.to_bytes(SECRET_BYTES)


def seal(content: bytes, private: bytes, peer: bytes, label: bytes) -> bytes:
    """Encrypt for one peer so that whoever carries the message can neither read nor change it.

    `label` says the round, the sender, the receiver and the kind of message; no label is ever used twice, so neither is
    a key, and the nonce may be zero.
    """
    return ChaCha20Poly1305(_shared(private, peer, label)).encrypt(bytes(12), content, label)


def unseal(sealed: bytes, private: bytes, peer: bytes, label: bytes) -> bytes:
    """Decrypt what a peer sealed under the same label.

    Raises:
        SecureSumError: it was changed, is from another, or about something else.
    """
    try:
        return ChaCha20Poly1305(_shared(private, peer, label)).decrypt(bytes(12), sealed, label)
    except InvalidTag:
        raise SecureSumError("sealed message: not from its sender, or not of this round and kind") from None


def _add_pairs(
    words: Sequence[int], member: str, key: bytes, peers: Mapping[str, PublicKeys], agreed: Round
) -> tuple[int, ...]:
    """Add one mask for each peer; of two members, the one with the lesser name adds what the other subtracts."""
    total = tuple(words)
    for peer, public in peers.items():
        if peer != member:
            label = b"pair:" + ":".join(sorted((member, peer))).encode()
            stream = _stream(_shared(key, public.mask, agreed.context + label), label, len(words), agreed)
            total = _add(total, stream, agreed.bits, 1 if member < peer else -1)
    return total


def _add(words: Sequence[int], others: Sequence[int], bits: int, sign: int) -> tuple[int, ...]:
    modulus = 2**bits
    return tuple((word + sign * other) % modulus for word, other in zip(words, others, strict=True))


def _stream(seed: bytes, label: bytes, length: int, agreed: Round) -> tuple[int, ...]:
    return unpack(_keystream(seed, agreed.context + label, length * agreed.bits // 8), agreed.bits)


def _keystream(seed: bytes, label: bytes, size: int) -> bytes:
    """ChaCha20 under a key that serves for this label alone, hence the zero nonce."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"commonweal stream:" + label).derive(seed)
    return Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(size))


def _shared(private: bytes, peer: bytes, label: bytes) -> bytes:
    """A key for one label from X25519 and HKDF (RFC 7748, RFC 5869).

    Raises:
        SecureSumError: the peer's key is no point that hides anything.
    """
    try:
        secret = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise SecureSumError("public key: not a key of X25519") from None
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"commonweal sum:" + label).derive(secret)


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _check(member: str, announced: bool) -> None:
    if not announced:
        raise SecureSumError(f"shares of {member}: they do not give the secret that {member} announced")
