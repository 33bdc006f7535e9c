"""What the hub signs, and every way of asking that it refuses."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from commonweal import membership as m

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY_S = 86_400
NONCE = "n" * 43
IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TLS_KEY = ec.derive_private_key(7, ec.SECP256R1())
BASE64_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def csr(
    organisations: tuple[str, ...] = ("commonweal:member:ke",),
    common_name: str = "commonweal:member:ke:agent",
    key: ec.EllipticCurvePrivateKey = TLS_KEY,
    *,
    alternative_name: str | None = None,
    unit: str | None = None,
) -> bytes:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organisations]
    names.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    if unit:
        names.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if alternative_name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative_name)]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


CSR = csr()


def join(pem: bytes = CSR, identity: Ed25519PrivateKey = IDENTITY, *, nonce: str = NONCE) -> m.JoinRequest:
    return m.JoinRequest(
        username="system:serviceaccount:commonweal-system:invite-ke",
        groups=("system:serviceaccounts", "system:serviceaccounts:commonweal-system", "system:authenticated"),
        csr_pem=pem,
        usages=("digital signature", "client auth"),
        signer="kubernetes.io/kube-apiserver-client",
        expiration_s=DAY_S,
        annotations=m.sign_join(identity, member="ke", nonce=nonce, csr_pem=pem),
    )


def renewal(pem: bytes = CSR) -> m.JoinRequest:
    return replace(
        join(pem),
        username="commonweal:member:ke:agent",
        groups=("commonweal:member:ke", "system:authenticated"),
        annotations={},
    )


KE = m.Applicant(name="ke", hub_accepts=True, identity_key=m.identity_key(IDENTITY))
INVITED = m.IssuedInvitation(member="ke", nonce=NONCE, expires_at=NOON + timedelta(hours=1))


def judge(
    request: m.JoinRequest,
    member: m.Applicant | None = KE,
    invitation: m.IssuedInvitation | None = INVITED,
    now: datetime = NOON,
) -> m.Judgement:
    return m.judge(request, member, invitation, now, max_certificate_s=DAY_S)


def test_an_invited_and_accepted_member_is_approved() -> None:
    assert isinstance(judge(join()), m.Approve)


def test_a_member_that_is_not_accepted_waits() -> None:
    verdict = judge(join(), replace(KE, hub_accepts=False))
    assert isinstance(verdict, m.Wait)
    assert "commonweal accept ke" in verdict.message


def test_a_request_that_arrives_before_its_member_waits() -> None:
    assert isinstance(judge(join(), None), m.Wait)


def test_an_agent_renews_with_its_own_certificate_and_without_an_invitation() -> None:
    verdict = judge(renewal(), KE, None)
    assert isinstance(verdict, m.Approve)
    assert verdict.reason is m.Reason.RENEWED


def test_a_member_whose_acceptance_was_withdrawn_does_not_renew() -> None:
    assert isinstance(judge(renewal(), replace(KE, hub_accepts=False)), m.Wait)


def test_the_request_that_spent_the_nonce_is_finished_after_a_crash_even_past_expiry() -> None:
    spent = replace(INVITED, used_by=m.csr_digest(CSR))
    assert isinstance(judge(join(), KE, spent, NOON + timedelta(hours=2)), m.Approve)


OTHER_CSR = csr(key=ec.derive_private_key(8, ec.SECP256R1()))

DENIED: dict[str, tuple[m.JoinRequest, m.Reason]] = {
    "another signer": (replace(join(), signer="kubernetes.io/kubelet-serving"), m.Reason.WRONG_SIGNER),
    "one usage more": (replace(join(), usages=(*m.USAGES, "server auth")), m.Reason.WRONG_USAGES),
    "a usage twice": (replace(join(), usages=("client auth", "client auth")), m.Reason.WRONG_USAGES),
    "a usage fewer": (replace(join(), usages=("client auth",)), m.Reason.WRONG_USAGES),
    "no lifetime": (replace(join(), expiration_s=None), m.Reason.WRONG_LIFETIME),
    "too long a life": (replace(join(), expiration_s=DAY_S + 1), m.Reason.WRONG_LIFETIME),
    "too short a life": (replace(join(), expiration_s=599), m.Reason.WRONG_LIFETIME),
    "two organisations": (
        join(csr(organisations=("commonweal:member:ke", "system:masters"))),
        m.Reason.WRONG_SUBJECT,
    ),
    "the hub's masters": (join(csr(organisations=("system:masters",))), m.Reason.WRONG_SUBJECT),
    "no organisation": (join(csr(organisations=())), m.Reason.WRONG_SUBJECT),
    "another member's name": (
        join(csr(organisations=("commonweal:member:kr",), common_name="commonweal:member:kr:agent")),
        m.Reason.WRONG_SUBJECT,
    ),
    "another common name": (join(csr(common_name="commonweal:member:ke:admin")), m.Reason.WRONG_SUBJECT),
    "one more attribute": (join(csr(unit="anything")), m.Reason.WRONG_SUBJECT),
    "an alternative name": (join(csr(alternative_name="hub.example")), m.Reason.WRONG_REQUEST),
    "two requests in one": (replace(join(), csr_pem=CSR + OTHER_CSR), m.Reason.WRONG_REQUEST),
    "text before the request": (replace(join(), csr_pem=b"x\n" + CSR), m.Reason.WRONG_REQUEST),
    "no request": (replace(join(), csr_pem=b""), m.Reason.WRONG_REQUEST),
    "the invitation of another member": (
        replace(join(), username="system:serviceaccount:commonweal-system:invite-kr"),
        m.Reason.WRONG_SUBJECT,
    ),
    "a name that hides a colon": (
        replace(join(), username="system:serviceaccount:commonweal-system:invite-ke:agent"),
        m.Reason.WRONG_SUBJECT,
    ),
    "an invitation from another namespace": (
        replace(join(), username="system:serviceaccount:default:invite-ke"),
        m.Reason.FOREIGN_USER,
    ),
    "an administrator": (replace(join(), username="kubernetes-admin"), m.Reason.FOREIGN_USER),
    "an invitation outside its group": (replace(join(), groups=("system:authenticated",)), m.Reason.FOREIGN_USER),
    "an agent outside its group": (replace(renewal(), groups=("system:authenticated",)), m.Reason.FOREIGN_USER),
    "a renewal for another member": (
        replace(renewal(), username="commonweal:member:kr:agent", groups=("commonweal:member:kr",)),
        m.Reason.WRONG_SUBJECT,
    ),
    "a renewal with a nonce": (replace(renewal(), annotations=join().annotations), m.Reason.UNEXPECTED_NONCE),
    "no nonce": (replace(join(), annotations={}), m.Reason.NONCE_WRONG),
    "an old nonce": (join(nonce="o" * 43), m.Reason.NONCE_WRONG),
    "a stranger's signature": (join(identity=STRANGER), m.Reason.SIGNATURE_WRONG),
    "the signature of another request": (
        replace(join(), annotations=join(OTHER_CSR).annotations),
        m.Reason.SIGNATURE_WRONG,
    ),
    "the signature for another member": (
        replace(join(), annotations=m.sign_join(IDENTITY, member="kr", nonce=NONCE, csr_pem=CSR)),
        m.Reason.SIGNATURE_WRONG,
    ),
}


@pytest.mark.parametrize("case", DENIED)
def test_a_request_that_can_never_be_right_is_denied(case: str) -> None:
    request, reason = DENIED[case]
    verdict = judge(request)
    assert isinstance(verdict, m.Deny)
    assert verdict.reason is reason
    assert verdict.message


@pytest.mark.parametrize(
    ("invitation", "reason"),
    [
        (None, m.Reason.INVITATION_MISSING),
        (replace(INVITED, member="kr"), m.Reason.INVITATION_MISSING),
        (replace(INVITED, expires_at=NOON), m.Reason.INVITATION_EXPIRED),
        (replace(INVITED, used_by="0" * 64), m.Reason.NONCE_USED),
    ],
)
def test_an_invitation_serves_one_member_once_and_in_time(
    invitation: m.IssuedInvitation | None, reason: m.Reason
) -> None:
    verdict = judge(join(), KE, invitation)
    assert isinstance(verdict, m.Deny)
    assert verdict.reason is reason


@settings(max_examples=60)
@given(position=st.integers(0, len(CSR.rstrip()) - 1), flip=st.integers(1, 255))
def test_one_flipped_byte_of_the_request_is_refused(position: int, flip: int) -> None:
    spoiled = bytearray(CSR)
    spoiled[position] ^= flip
    assert not isinstance(judge(replace(join(), csr_pem=bytes(spoiled))), m.Approve)


@settings(max_examples=60)
@given(position=st.integers(0, 87), letter=st.sampled_from([*BASE64_LETTERS, "=", "\n", "é"]))
def test_one_changed_character_of_the_signature_is_refused(position: int, letter: str) -> None:
    signature = join().annotations[m.SIGNATURE_ANNOTATION]
    spoiled = signature[:position] + letter + signature[position + 1 :]
    request = replace(join(), annotations={m.NONCE_ANNOTATION: NONCE, m.SIGNATURE_ANNOTATION: spoiled})
    assert isinstance(judge(request), m.Approve) == (spoiled == signature)


@settings(max_examples=60)
@given(nonce=st.text(max_size=60))
def test_no_nonce_but_the_invitation_s_own_is_taken(nonce: str) -> None:
    request = replace(join(), annotations={**join().annotations, m.NONCE_ANNOTATION: nonce})
    assert isinstance(judge(request), m.Approve) == (nonce == NONCE)


@settings(max_examples=60)
@given(flip=st.integers(1, 255), position=st.integers(0, 31))
def test_one_flipped_byte_of_the_identity_is_refused(flip: int, position: int) -> None:
    key = bytearray(base64.b64decode(KE.identity_key))
    key[position] ^= flip
    other = replace(KE, identity_key=base64.b64encode(bytes(key)).decode())
    assert not isinstance(judge(join(), other), m.Approve)


@settings(max_examples=100)
@given(username=st.text(max_size=80))
def test_an_arbitrary_user_never_speaks_for_a_member(username: str) -> None:
    assert not isinstance(judge(replace(join(), username=username)), m.Approve)


@pytest.mark.parametrize(
    ("username", "name"),
    [
        ("system:serviceaccount:commonweal-system:invite-ke", "ke"),
        ("commonweal:member:ke:agent", "ke"),
        ("commonweal:member:ke:kr:agent", None),
        ("commonweal:member::agent", None),
        ("commonweal:member:ke", None),
        ("system:serviceaccount:commonweal-system:default", None),
        ("", None),
    ],
)
def test_a_user_name_tells_for_whom_it_may_ask(username: str, name: str | None) -> None:
    assert m.applicant_name(username) == name
