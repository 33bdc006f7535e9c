"""Roots and proofs against the vectors that Certificate Transparency implementations share (RFC 6962, 9162)."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.transparency import (
    EMPTY_ROOT,
    Frontier,
    Json,
    canonical_json,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
G = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
H = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
log = st.lists(st.binary(max_size=8), min_size=1, max_size=40).map(lambda leaves: [leaf_hash(x) for x in leaves])


@pytest.mark.parametrize(("size", "expected"), ROOTS.items())
def test_roots_equal_the_published_ones(size: int, expected: str) -> None:
    assert root(HASHES[:size]).hex() == expected


@pytest.mark.parametrize(
    ("index", "size", "expected"),
    [(0, 1, []), (0, 8, [A, B, C]), (5, 8, [D, E, F]), (2, 3, [G]), (1, 5, [ROOTS[1], B, D])],
)
def test_inclusion_proofs_equal_the_published_ones(index: int, size: int, expected: list[str]) -> None:
    proof = inclusion_proof(HASHES[:size], index)
    assert [node.hex() for node in proof] == expected
    assert verify_inclusion(HASHES[index], index, size, proof, root(HASHES[:size]))


@pytest.mark.parametrize(("old", "new", "expected"), [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [H, E, F]), (2, 5, [B, D])])
def test_consistency_proofs_equal_the_published_ones(old: int, new: int, expected: list[str]) -> None:
    proof = consistency_proof(HASHES[:new], old)
    assert [node.hex() for node in proof] == expected
    assert verify_consistency(old, new, root(HASHES[:old]), root(HASHES[:new]), proof)


@given(hashes=log, data=st.data())
def test_every_record_is_provable_and_no_other_bytes_are(hashes: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(hashes) - 1))
    proof = inclusion_proof(hashes, index)
    assert verify_inclusion(hashes[index], index, len(hashes), proof, root(hashes))
    assert not verify_inclusion(leaf_hash(b"never recorded"), index, len(hashes), proof, root(hashes))
    assert not verify_inclusion(hashes[index], index, len(hashes), (*proof, b"\0" * 32), root(hashes))
    assert not verify_inclusion(hashes[index], index + len(hashes), len(hashes), proof, root(hashes))


@given(hashes=log, data=st.data())
def test_a_longer_log_proves_its_past_and_a_rewritten_one_cannot(hashes: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(hashes)))
    proof = consistency_proof(hashes, old)
    assert verify_consistency(old, len(hashes), root(hashes[:old]), root(hashes), proof)
    forged = [leaf_hash(b"another history"), *hashes[1:]]
    assert not verify_consistency(old, len(hashes), root(hashes[:old]), root(forged), consistency_proof(forged, old))


@given(hashes=log, data=st.data())
def test_appending_one_by_one_equals_building_at_once(hashes: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(hashes)))
    grown = Frontier().extended(hashes[:cut])
    for hash_ in hashes[cut:]:
        grown = grown.appended(hash_)
    assert grown == Frontier().extended(hashes)
    assert grown.root() == root(hashes)


def test_an_empty_log_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT


def test_proofs_about_what_is_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="index: 8 is not in a log of 8 records"):
        inclusion_proof(HASHES, 8)
    with pytest.raises(ValueError, match="old_size: 9 is not between 1 and 8"):
        consistency_proof(HASHES, 9)
    assert not verify_consistency(0, 8, EMPTY_ROOT, root(HASHES), ())
    assert not verify_consistency(3, 8, root(HASHES[:3]), root(HASHES), ())


def test_canonical_json_orders_keys_and_refuses_floats_by_path() -> None:
    assert canonical_json({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'.encode()
    with pytest.raises(TypeError, match=r"\$\.energy\[0\]: 1\.5 is a float"):
        canonical_json(cast("Json", {"energy": [1.5]}))
