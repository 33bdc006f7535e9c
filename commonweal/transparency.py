"""The append-only Merkle log of RFC 9162: what was recorded, in which order, provable to anyone.

Hashes are SHA-256; leaves are bytes that the caller keeps verbatim. Where they are kept is not known here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()

Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]
Span = tuple[int, int]  # the leaves of a subtree: the first, and the one after the last


def canonical_json(value: Json) -> bytes:
    """Return the one encoding that is hashed and signed: UTF-8, keys sorted, no spaces, no floats.

    For these types it equals RFC 8785 as long as keys are ASCII.

    Raises:
        TypeError: a float is in the value; two machines may print it differently.
    """
    _refuse_floats(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse_floats(value: object, path: str) -> None:
    if isinstance(value, float):
        raise TypeError(f"{path}: {value} is a float; record an integer in a smaller unit")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{path}[{index}]")


def leaf_hash(leaf: bytes) -> bytes:
    """Hash one record (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes; the empty log has the hash of nothing."""
    return Frontier().extended(hashes).root()


@dataclass(frozen=True)
class Frontier:
    """All that appending needs: the roots of the perfect subtrees, largest first; their sizes are the bits of size."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def appended(self, hash_: bytes) -> "Frontier":
        """Return the log one leaf hash later."""
        return self.extended((hash_,))

    def extended(self, hashes: Sequence[bytes]) -> "Frontier":
        """Return the log after these leaf hashes."""
        size, peaks = self.size, list(self.peaks)
        for hash_ in hashes:
            merged = hash_
            for _ in range(_trailing_ones(size)):
                merged = node_hash(peaks.pop(), merged)
            peaks.append(merged)
            size += 1
        return Frontier(size=size, peaks=tuple(peaks))

    def root(self) -> bytes:
        """Return the root of everything appended so far."""
        if not self.peaks:
            return EMPTY_ROOT
        *rest, folded = self.peaks
        for peak in reversed(rest):
            folded = node_hash(peak, folded)
        return folded


def inclusion_path(index: int, size: int) -> tuple[Span, ...]:
    """Return the subtrees whose roots prove leaf `index` in a log of `size` records (RFC 9162, 2.1.3.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"index: {index} is not in a log of {size} records")
    path: list[Span] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return tuple(reversed(path))


def inclusion_proof(hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path that proves leaf `index` under the root of these leaf hashes.

    Raises:
        ValueError: there is no such leaf.
    """
    return tuple(root(hashes[start:end]) for start, end in inclusion_path(index, len(hashes)))


def verify_inclusion(hash_: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> bool:
    """Tell whether the proof puts this leaf hash at `index` of the log of `size` records (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, folded = index, size - 1, hash_
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            folded = node_hash(sibling, folded)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            folded = node_hash(folded, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and folded == root_hash


def consistency_path(old_size: int, size: int) -> tuple[Span, ...]:
    """Return the subtrees whose roots prove that a log of `old_size` records is a prefix (RFC 9162, 2.1.4.1).

    Raises:
        ValueError: the old size is below 1 or above the present size.
    """
    if not 0 < old_size <= size:
        raise ValueError(f"old_size: {old_size} is not between 1 and {size}")
    path: list[Span] = []
    start, end = 0, size
    while old_size < end:
        middle = start + split(end - start)
        if old_size <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    # The old root itself, known to who asks, is left out where it is one of the subtrees.
    return tuple(reversed(path if start == 0 else [*path, (start, end)]))


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Return what proves that the log of `old_size` records is a prefix of this one.

    Raises:
        ValueError: the old size is below 1 or above the present size.
    """
    return tuple(root(hashes[start:end]) for start, end in consistency_path(old_size, len(hashes)))


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the new log only appended to the old one (RFC 9162, 2.1.4.2)."""
    if not 0 < old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_folded = new_folded = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_folded, new_folded = node_hash(sibling, old_folded), node_hash(sibling, new_folded)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_folded = node_hash(new_folded, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_folded == old_root and new_folded == new_root


def split(size: int) -> int:
    """Return where a tree of at least 2 leaves parts: the largest power of two below its size."""
    return 1 << ((size - 1).bit_length() - 1)


def _trailing_ones(size: int) -> int:
    return ((size + 1) & -(size + 1)).bit_length() - 1
