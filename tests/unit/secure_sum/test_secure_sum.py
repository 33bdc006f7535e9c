from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from commonweal.secure_sum import (
    WORD_BITS,
    Secrets,
    SecureSumError,
    deal,
    from_words,
    mask,
    pack,
    recover,
    seal,
    threshold,
    to_words,
    unmask,
    unpack,
    unseal,
)
from tests.unit.secure_sum.rounds import finish, play, secrets_of

NAMES = ("ca", "ch", "fr", "jp", "ke", "kr", "uy")


def subsets(members: tuple[str, ...], least: int) -> Iterator[frozenset[str]]:
    for size in range(least, len(members) + 1):
        yield from map(frozenset, combinations(members, size))


@pytest.mark.parametrize("count", range(2, 8))
@pytest.mark.parametrize("bits", WORD_BITS)
def test_the_sum_is_exact_for_every_subset_that_answers_down_to_the_threshold(count: int, bits: int) -> None:
    members, needed = NAMES[:count], threshold(count, 2)
    values = {member: [(-3) ** (20 + place), 0, -1] for place, member in enumerate(members)}
    played = play(values, needed, bits)
    for answered in subsets(members, needed):
        expected = tuple(map(sum, zip(*(values[member] for member in answered), strict=True)))
        assert finish(played, answered, answered, needed) == expected, answered


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_any_values_that_fit_are_summed_exactly_whoever_reveals(data: st.DataObject) -> None:
    count, bits = data.draw(st.integers(2, 7)), data.draw(st.sampled_from(WORD_BITS))
    members = NAMES[:count]
    needed = data.draw(st.integers(threshold(count, 2), count))
    room = 2 ** (bits - 1) // count
    words = st.lists(st.integers(-room, room - 1), min_size=2, max_size=2)
    values = {member: data.draw(words) for member in members}
    answered = data.draw(st.sets(st.sampled_from(members), min_size=needed))
    revealing = data.draw(st.sets(st.sampled_from(members), min_size=needed))
    played = play(values, needed, bits, data.draw(st.integers(0, 2**32)))
    expected = tuple(map(sum, zip(*(values[member] for member in answered), strict=True)))
    assert finish(played, answered, revealing, needed) == expected


def test_one_share_fewer_than_the_threshold_gives_nothing() -> None:
    played = play({member: [1] for member in NAMES}, 5)
    with pytest.raises(SecureSumError, match="4 came, 5 are needed"):
        finish(played, set(NAMES), set(NAMES[:4]), 5)


def test_what_a_member_sends_looks_the_same_whatever_it_holds() -> None:
    """The masked words of zeros and of ones differ by exactly the ones: all else is the mask."""
    zeros, ones = (play({m: [v] * 3 for m in NAMES[:3]}, 2) for v in (0, 1))
    difference = [b - a for a, b in zip(zeros.masked["ca"], ones.masked["ca"], strict=True)]
    assert difference == [1, 1, 1]
    assert len(set(zeros.masked["ca"])) == 3


def test_all_other_members_together_do_not_lift_a_members_own_mask() -> None:
    played = play({member: [7] for member in NAMES[:3]}, 2)
    lost = {member: played.secrets[member].mask for member in ("ch", "fr")}
    wrong = {"ca": bytes(32)}
    with pytest.raises(SecureSumError, match="shares of ca"):
        unmask({"ca": played.masked["ca"]}, wrong, lost, played.agreed)


@pytest.mark.parametrize("kind", ["seed_shares", "key_shares"])
def test_a_wrong_share_is_found_and_its_owner_named(kind: str) -> None:
    played = play({member: [7] for member in NAMES[:3]}, 2)
    shares = getattr(played, kind)
    shares["ke" if "ke" in shares else "fr"][1] = bytes(65) + b"\x05"
    with pytest.raises(SecureSumError, match=r"shares(:| of fr)"):
        finish(played, {"ca", "ch"} if kind == "key_shares" else set(NAMES[:3]), {"ca", "ch"}, 2)


def test_a_seed_and_a_key_of_one_member_are_refused_together() -> None:
    played = play({member: [7] for member in NAMES[:3]}, 2)
    seeds = {member: played.secrets[member].seed for member in NAMES[:3]}
    with pytest.raises(SecureSumError, match="a seed of each member that answered"):
        unmask(played.masked, seeds, {"ca": played.secrets["ca"].mask}, played.agreed)


def test_members_that_speak_of_different_rounds_do_not_cancel() -> None:
    played = play({member: [1] for member in NAMES[:3]}, 2)
    other = mask([1], "ca", played.secrets["ca"], replace(played.agreed, context=b"another round"))
    total = finish(
        replace(played, masked={**played.masked, "ca": other}),
        set(NAMES[:3]),
        set(NAMES[:3]),
        2,
    )
    assert total != (3,)


def test_a_value_that_could_wrap_round_is_refused_by_place() -> None:
    room = 2**63 // 7
    assert from_words(to_words([room - 1, -room], 64, 7), 64) == (room - 1, -room)
    with pytest.raises(SecureSumError, match=r"value 1: too large for a sum of 7 members modulo 2\*\*64"):
        to_words([0, room], 64, 7)


@pytest.mark.parametrize(("members", "minimum", "needed"), [(3, 3, 3), (4, 3, 3), (5, 3, 3), (6, 3, 4), (7, 3, 4)])
def test_the_threshold_is_the_trusts_minimum_and_always_a_majority(members: int, minimum: int, needed: int) -> None:
    assert threshold(members, minimum) == needed


@given(secret=st.binary(min_size=32, max_size=32), data=st.data())
def test_any_enough_shares_give_the_secret_back(secret: bytes, data: st.DataObject) -> None:
    points = data.draw(st.lists(st.integers(1, 1000), min_size=1, max_size=7, unique=True))
    needed = data.draw(st.integers(1, len(points)))
    shares = deal(secret, needed, points, data.draw(st.binary(min_size=32, max_size=32)))
    chosen = data.draw(st.sets(st.sampled_from(points), min_size=needed))
    assert recover({point: shares[point] for point in chosen}, needed) == secret


def test_shares_below_the_threshold_fit_every_secret() -> None:
    """Given t - 1 shares, for any other secret there is a t-th share that would give it."""
    shares = deal(bytes(31) + b"\x01", 2, [1, 2], bytes(32))
    for wanted in (0, 5, 2**255):
        forged = {1: shares[1], 2: ((2 * int.from_bytes(shares[1]) - wanted) % (2**521 - 1)).to_bytes(66)}
        assert int.from_bytes(recover(forged, 2)) == wanted


@pytest.mark.parametrize(("needed", "points"), [(0, [1]), (3, [1, 2]), (1, [0, 1]), (1, [1, 1])])
def test_shares_that_cannot_be_are_refused(needed: int, points: list[int]) -> None:
    with pytest.raises(SecureSumError, match="points"):
        deal(bytes(32), needed, points, bytes(32))


def test_a_sealed_message_opens_for_its_receiver_and_label_only() -> None:
    one, two, three = map(secrets_of, range(3))
    sealed = seal(b"share", one.seal, two.public().seal, b"1:ca:ke")
    assert unseal(sealed, two.seal, one.public().seal, b"1:ca:ke") == b"share"
    for private, peer, label in (
        (three.seal, one.public().seal, b"1:ca:ke"),
        (two.seal, three.public().seal, b"1:ca:ke"),
        (two.seal, one.public().seal, b"2:ca:ke"),
    ):
        with pytest.raises(SecureSumError, match="not from its sender"):
            unseal(sealed, private, peer, label)


def test_a_public_key_that_hides_nothing_is_refused() -> None:
    with pytest.raises(SecureSumError, match="public key"):
        seal(b"share", X25519PrivateKey.generate().private_bytes_raw(), bytes(32), b"label")


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_words_survive_the_wire(words: list[int]) -> None:
    assert unpack(pack(words, 64), 64) == tuple(words)
    assert from_words(to_words(from_words(words, 64), 64, 1), 64) == from_words(words, 64)


def test_half_a_word_is_refused() -> None:
    with pytest.raises(SecureSumError, match="7 bytes are no whole number"):
        unpack(bytes(7), 64)
    with pytest.raises(SecureSumError, match="95 bytes"):
        Secrets.of(bytes(95))
