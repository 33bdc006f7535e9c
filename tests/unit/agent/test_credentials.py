"""The agent's own keys and certificates: what it makes is what the hub signs, and what it keeps it can use."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from commonweal import membership as m
from operators.agent.credentials import (
    CredentialsError,
    HubCredentials,
    Request,
    identity_from_pem,
    identity_to_pem,
    new_identity,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CA_KEY = ec.derive_private_key(9, ec.SECP256R1())
HUB = m.HubAddress(server="https://10.0.0.1:6443", certificate_authority="ca")
REQUEST = Request.make("ke")


def issued(request: Request = REQUEST, life: timedelta = timedelta(hours=24)) -> HubCredentials:
    csr = x509.load_pem_x509_csr(request.csr_pem.encode())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(csr.subject)
        .issuer_name(x509.Name([]))
        .public_key(csr.public_key())
        .serial_number(1)
        .not_valid_before(NOON)
        .not_valid_after(NOON + life)
        .sign(CA_KEY, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return HubCredentials(hub=HUB, key_pem=request.key_pem, certificate_pem=pem, certificate_s=86_400)


def test_the_hub_approves_what_the_agent_asks() -> None:
    identity, nonce = new_identity(), "n" * 43
    request = m.JoinRequest(
        username="system:serviceaccount:commonweal-system:invite-ke",
        groups=("system:serviceaccounts:commonweal-system",),
        csr_pem=REQUEST.csr_pem.encode(),
        usages=m.USAGES,
        signer=m.SIGNER,
        expiration_s=86_400,
        annotations=m.sign_join(identity, member="ke", nonce=nonce, csr_pem=REQUEST.csr_pem.encode()),
    )
    member = m.Applicant(name="ke", hub_accepts=True, identity_key=m.identity_key(identity))
    invitation = m.IssuedInvitation(member="ke", nonce=nonce, expires_at=NOON + timedelta(hours=1))
    assert isinstance(m.judge(request, member, invitation, NOON, max_certificate_s=86_400), m.Approve)


def test_an_identity_survives_its_secret() -> None:
    identity = new_identity()
    assert m.identity_key(identity_from_pem(identity_to_pem(identity))) == m.identity_key(identity)


@pytest.mark.parametrize("text", ["", "nonsense", REQUEST.key_pem])
def test_a_broken_identity_is_never_replaced_in_silence(text: str) -> None:
    with pytest.raises(CredentialsError, match=r"Secret member-identity.*restore it from a backup"):
        identity_from_pem(text)


def test_a_good_certificate_passes() -> None:
    issued().check("ke", NOON)


def test_an_expired_certificate_says_when_and_what_to_do() -> None:
    with pytest.raises(CredentialsError, match=r"expired at 2026-11-25T12:00:00\+00:00; ask the hub for a new inv"):
        issued().check("ke", NOON + timedelta(hours=24))


def test_a_foreign_certificate_is_refused() -> None:
    with pytest.raises(CredentialsError, match="certificate is for CN=commonweal:member:ke:agent"):
        issued().check("kr", NOON)


def test_a_certificate_for_another_key_is_refused() -> None:
    with pytest.raises(CredentialsError, match="another key"):
        replace(issued(), key_pem=Request.make("ke").key_pem).check("ke", NOON)


@pytest.mark.parametrize("member", ["ca", "ke", "kr", "a-rather-long-name"])
def test_renewal_starts_at_three_quarters_of_life_and_in_time(member: str) -> None:
    credentials = issued()
    at = credentials.renew_at(member)
    assert NOON + timedelta(hours=18) <= at <= NOON + timedelta(hours=19.2)
    assert at == credentials.renew_at(member)


def test_members_do_not_all_renew_at_once() -> None:
    assert len({issued().renew_at(member) for member in ("ca", "ke", "kr")}) == 3


def test_the_same_request_has_the_same_name_and_another_invitation_another() -> None:
    assert REQUEST.name("join", "ke", "a") == REQUEST.name("join", "ke", "a")
    assert len({REQUEST.name("join", "ke", "a"), REQUEST.name("join", "ke", "b"), REQUEST.name("renew", "ke")}) == 3
