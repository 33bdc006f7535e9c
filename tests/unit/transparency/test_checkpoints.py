"""Signed notes against published ones, and what a witness says to each kind of log."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from commonweal.checkpoints import (
    Checkpoint,
    NoteError,
    Verdict,
    cosign,
    cosigned_at,
    cosigner_verifier,
    judge,
    log_verifier,
    proves_fork,
    read_checkpoint,
    read_vkey,
    sign,
    verified_text,
)
from commonweal.transparency import consistency_proof, leaf_hash, root

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x01")
HASHES = [leaf_hash(bytes((number,))) for number in range(40)]
FORKED = [leaf_hash(b"another"), *HASHES[1:]]

# The Go checksum database: its key is in every Go toolchain, its tree head is the example of C2SP tlog-checkpoint.
GO_VKEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_NOTE = """go.sum database tree
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""
# The example in the documentation of golang.org/x/mod/sumdb/note.
NOTE_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""


def checkpoint(hashes: list[bytes], size: int) -> Checkpoint:
    return Checkpoint(origin="ca.example/audit", size=size, root=root(hashes[:size]))


def test_a_published_key_reads_as_published() -> None:
    assert read_vkey(GO_VKEY).vkey() == GO_VKEY


@pytest.mark.parametrize(("vkey", "note"), [(GO_VKEY, GO_NOTE), (NOTE_VKEY, NOTE)])
def test_a_published_note_verifies_with_its_published_key_and_no_other_text_does(vkey: str, note: str) -> None:
    assert verified_text(note, read_vkey(vkey)) == note.partition("\n\n")[0] + "\n"
    with pytest.raises(NoteError, match="does not hold"):
        verified_text(f"x{note}", read_vkey(vkey))


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(NoteError, match=r"is of go\.sum database tree, not of sum\.golang\.org"):
        read_checkpoint(GO_NOTE, read_vkey(GO_VKEY))


def test_a_checkpoint_reads_back_as_signed() -> None:
    note = sign(checkpoint(HASHES, 7), KEY)
    assert read_checkpoint(note, log_verifier("ca.example/audit", KEY)) == checkpoint(HASHES, 7)


@given(st.integers(0, 150), st.integers(1, 127))
def test_no_changed_note_is_believed(place: int, change: int) -> None:
    note = sign(checkpoint(HASHES, 7), KEY)
    place %= len(note)
    changed = note[:place] + chr(ord(note[place]) ^ change) + note[place + 1 :]
    try:
        read = read_checkpoint(changed, log_verifier("ca.example/audit", KEY))
    except NoteError:
        return
    assert read == checkpoint(HASHES, 7), "only what is not signed may differ"


def test_another_key_signs_for_nobody_else() -> None:
    note = sign(checkpoint(HASHES, 7), OTHER_KEY)
    with pytest.raises(NoteError, match="has not signed it with the key that is known"):
        read_checkpoint(note, log_verifier("ca.example/audit", KEY))


def test_a_cosignature_says_when_and_holds_for_this_note_only() -> None:
    seven, eight = checkpoint(HASHES, 7), checkpoint(HASHES, 8)
    line = cosign(seven, "ke.example/witness", OTHER_KEY, 1_790_000_000)
    witness = cosigner_verifier("ke.example/witness", OTHER_KEY)
    assert cosigned_at(sign(seven, KEY) + line, witness) == 1_790_000_000
    assert read_checkpoint(sign(seven, KEY) + line, log_verifier("ca.example/audit", KEY)) == seven
    with pytest.raises(NoteError, match="does not hold"):
        cosigned_at(sign(eight, KEY) + line, witness)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no empty line"),
        ("a\n1\n\n— a b\n", "is not an origin"),
        ("ca.example/audit\n01\nAAAA\n\n— a b\n", "is no decimal"),
        ("ca.example/audit\n1\n*\n\n— a b\n", "not base64"),
        ("ca.example/audit\n1\nAAAA\n\n— a b\n", "has 3 bytes, not 32"),
        (f"ca.example/audit\n{'9' * 5000}\nAAAA\n\n— a b\n", "is no decimal"),
        ("x" * 70_000, "more than 65536"),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(text: str, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        read_checkpoint(text, log_verifier("ca.example/audit", KEY))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sum.golang.org", r"NAME\+ID\+KEY"),
        (GO_VKEY.replace("033de0ae", "033de0af"), "its id does not belong"),
        ("a b+00000000+AQ==", "no Ed25519 key"),
        ("a+00000000+*", "not base64"),
    ],
)
def test_what_is_no_key_is_said_to_be_none(text: str, message: str) -> None:
    with pytest.raises(NoteError, match=message):
        read_vkey(text)


@pytest.mark.parametrize(
    ("seen", "offered", "old_size", "proof", "verdict"),
    [
        (None, checkpoint(HASHES, 7), 0, (), Verdict.CONSISTENT),
        (None, checkpoint(HASHES, 7), 0, (b"x" * 32,), Verdict.UNPROVEN),
        (None, checkpoint(HASHES, 7), 3, (), Verdict.STALE),
        (checkpoint(HASHES, 5), checkpoint(HASHES, 7), 5, consistency_proof(HASHES[:7], 5), Verdict.CONSISTENT),
        (checkpoint(HASHES, 5), checkpoint(HASHES, 7), 4, consistency_proof(HASHES[:7], 4), Verdict.STALE),
        (checkpoint(HASHES, 5), checkpoint(FORKED, 7), 5, consistency_proof(FORKED[:7], 5), Verdict.UNPROVEN),
        (checkpoint(HASHES, 5), checkpoint(HASHES, 4), 5, (), Verdict.ROLLED_BACK),
        (checkpoint(HASHES, 5), checkpoint(HASHES, 5), 5, (), Verdict.CONSISTENT),
        (checkpoint(HASHES, 5), checkpoint(FORKED, 5), 5, (), Verdict.FORKED),
    ],
)
def test_a_witness_cosigns_only_what_continues_what_it_saw(
    seen: Checkpoint | None, offered: Checkpoint, old_size: int, proof: tuple[bytes, ...], verdict: Verdict
) -> None:
    assert judge(seen, offered, old_size, proof) is verdict


@given(old=st.integers(1, 40), new=st.integers(1, 40))
def test_a_fork_is_proven_by_the_forked_logs_own_prefix_and_an_honest_log_is_never_convicted(
    old: int, new: int
) -> None:
    old, new = min(old, new), max(old, new)
    for hashes, convicted in ((FORKED, True), (HASHES, False)):
        prefix, proof = root(hashes[:old]), consistency_proof(hashes[:new], old)
        assert proves_fork(checkpoint(HASHES, old), checkpoint(hashes, new), prefix, proof) is convicted
    invented = root(FORKED[:old])
    honest = consistency_proof(HASHES[:new], old)
    assert not proves_fork(checkpoint(HASHES, old), checkpoint(HASHES, new), invented, honest)
