"""A policy arrives whole or not at all, however many grants it has."""

import base64
import gzip
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.grants import MAX_GRANTS, POLICY_KEY, Policy, PolicyTooLargeError
from commonweal.policy_parcels import PACKED_BYTES, PACKED_KEY, TEXT_BYTES, UNPACKED_BYTES, pack, unpack
from tests.unit.grants.samples import grants, policy


def with_grants(count: int, name_chars: int = 40) -> Policy:
    """Names that compress as badly as names can."""
    return policy("ca", *grants(*(f"{at:05}{secrets.token_hex(name_chars)[: name_chars - 5]}" for at in range(count))))


LONG = with_grants(3_000)
PACKED = base64.b64decode(pack(LONG)["binaryData"][PACKED_KEY])


def packed(content: bytes) -> dict[str, object]:
    return {"binaryData": {PACKED_KEY: base64.b64encode(content).decode()}}


def test_a_short_policy_stays_readable_in_the_config_map() -> None:
    assert pack(policy()) == {"data": {POLICY_KEY: policy().render()}}
    assert unpack(pack(policy())) == policy().render()


def test_a_long_policy_travels_compressed_and_arrives_as_it_was() -> None:
    assert len(LONG.render()) > TEXT_BYTES
    assert unpack(pack(LONG)) == LONG.render()
    assert pack(LONG) == pack(LONG)


def test_ten_thousand_grants_with_the_longest_of_names_fit() -> None:
    most = with_grants(MAX_GRANTS, name_chars=63)
    assert len(PACKED) < len(base64.b64decode(pack(most)["binaryData"][PACKED_KEY])) <= PACKED_BYTES
    assert unpack(pack(most)) == most.render()


@given(cut=st.integers(0, len(PACKED) - 1))
def test_a_policy_that_was_cut_is_none(cut: int) -> None:
    assert unpack(packed(PACKED[:cut])) is None


@given(place=st.integers(0, len(PACKED) - 1), bit=st.integers(0, 7))
def test_a_policy_with_a_changed_bit_is_none_or_what_it_was(place: int, bit: int) -> None:
    changed = bytearray(PACKED)
    changed[place] ^= 1 << bit
    assert unpack(packed(bytes(changed))) in (None, LONG.render())  # a bit of gzip's own header says nothing


@pytest.mark.parametrize(
    "config_map",
    [
        {},
        {"data": None},
        {"data": {POLICY_KEY: 7}},
        {"binaryData": {PACKED_KEY: "no base64"}},
        {"binaryData": {PACKED_KEY: "é"}},
        {"binaryData": {PACKED_KEY: 7}},
        packed(b""),
        packed(gzip.compress(b"\xff")),
        packed(gzip.compress(b" " * (UNPACKED_BYTES + 2))),
        {**packed(PACKED), "data": {POLICY_KEY: LONG.render()}},
    ],
    ids=["none", "null", "number", "text", "letters", "packed number", "empty", "bytes", "too long", "two"],
)
def test_what_is_no_policy_is_none(config_map: dict[str, object]) -> None:
    assert unpack(config_map) is None


def test_the_longest_text_that_is_sent_is_taken() -> None:
    assert unpack(packed(gzip.compress(b" " * UNPACKED_BYTES))) == " " * UNPACKED_BYTES


def test_a_policy_that_does_not_fit_is_refused_with_its_size() -> None:
    one = policy().grants[0]
    bulky = tuple(
        one.model_copy(update={"datasets": tuple(secrets.token_hex(31) for _ in range(5))}) for _ in range(MAX_GRANTS)
    )
    with pytest.raises(PolicyTooLargeError, match=r"10000 live grants make a policy of \d+ bytes, compressed \d+, "):
        pack(policy().model_copy(update={"grants": bulky}))


def test_more_live_grants_than_a_policy_holds_are_refused() -> None:
    with pytest.raises(PolicyTooLargeError, match="10001 live grants are more than the 10000 of a policy"):
        policy("ca", *grants(*(f"g{number}" for number in range(MAX_GRANTS + 1))))
