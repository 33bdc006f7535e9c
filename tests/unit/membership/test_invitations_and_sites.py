"""The invitation file, and the document a member signs about its own site."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from commonweal import membership as m
from commonweal.kinds.member import Engine, Site
from commonweal.kinds.meta import Resources

IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = m.identity_key(IDENTITY)
INVITATION = m.Invitation(
    member="ke",
    hub=m.HubAddress(server="https://10.0.0.1:6443", certificate_authority="-----BEGIN CERTIFICATE-----\n"),
    token="header.payload.signature",
    nonce="n" * 43,
    expires_at=datetime(2026, 11, 24, 13, tzinfo=UTC),
    certificate_seconds=86_400,
)
SITE = Site(
    gateway_url="https://10.0.0.9:30443",
    gateway_certificate_pem="-----BEGIN CERTIFICATE-----\n",
    issuer="https://10.0.0.9:6443",
    jwks='{"keys":[]}',
    engine=Engine.TRINO,
    node_address="10.0.0.9",
    allocatable=Resources(cpu_millis=4000, memory_mib=8192, gpus=2),
    agent_version="0.1.0",
    kubernetes_version="v1.37.2",
)
TEXT, SIGNATURE = m.sign_site(IDENTITY, member="ke", site=SITE)


def test_an_invitation_reads_back_what_was_written() -> None:
    assert m.Invitation.parse(INVITATION.render()) == INVITATION


@pytest.mark.parametrize(
    ("field", "value"),
    [("nonce", "short"), ("member", "Not A Name"), ("expiresAt", "2026-11-24T13:00:00"), ("version", "v0"), ("x", 1)],
)
def test_a_wrong_field_of_an_invitation_is_named(field: str, value: object) -> None:
    spoiled = json.dumps({**json.loads(INVITATION.render()), field: value})
    with pytest.raises(m.MembershipError, match=f"invitation {field}: "):
        m.Invitation.parse(spoiled)


def test_a_plain_http_hub_is_refused() -> None:
    text = INVITATION.render().replace("https://", "http://")
    with pytest.raises(m.MembershipError, match=r"hub\.server"):
        m.Invitation.parse(text)


@given(text=st.text(max_size=200))
def test_any_other_text_is_no_invitation(text: str) -> None:
    with pytest.raises(m.MembershipError, match="ask the hub"):
        m.Invitation.parse(text)


def test_a_site_document_reads_back_what_was_signed() -> None:
    assert m.verify_site(TEXT, SIGNATURE, member="ke", identity_key=KEY) == SITE


def test_the_same_site_always_gives_the_same_bytes() -> None:
    assert m.sign_site(IDENTITY, member="ke", site=SITE) == (TEXT, SIGNATURE)


def test_a_document_signed_for_another_member_is_refused() -> None:
    text, signature = m.sign_site(IDENTITY, member="kr", site=SITE)
    with pytest.raises(m.MembershipError, match="kr stands where ke must"):
        m.verify_site(text, signature, member="ke", identity_key=KEY)


@settings(max_examples=80)
@given(position=st.integers(0, len(TEXT) - 1), letter=st.characters(max_codepoint=127))
def test_one_changed_character_of_a_site_document_is_refused(position: int, letter: str) -> None:
    spoiled = TEXT[:position] + letter + TEXT[position + 1 :]
    if spoiled == TEXT:
        return
    with pytest.raises(m.MembershipError, match="not signed"):
        m.verify_site(spoiled, SIGNATURE, member="ke", identity_key=KEY)


def test_a_signature_over_the_bare_text_does_not_pass_for_a_site_signature() -> None:
    bare = base64.b64encode(IDENTITY.sign(TEXT.encode())).decode()
    with pytest.raises(m.MembershipError, match="not signed"):
        m.verify_site(TEXT, bare, member="ke", identity_key=KEY)
