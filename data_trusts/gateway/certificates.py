"""The gateway's own key and certificate, made here and signed by itself: who trusts it was told so by the hub."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TLS_SECRET = "gateway-tls"  # noqa: S105 -- a name, not a secret
LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=90)  # it is looked at when the gateway starts, so leave room until it does


@dataclass(frozen=True, kw_only=True)
class Identity:
    """PEM texts; the key is secret."""

    key_pem: str
    certificate_pem: str


def make_identity(member: str, hosts: Sequence[str], now: datetime) -> Identity:
    """A new P-256 key and a certificate for the hosts, DNS names or addresses, from five minutes before `now`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"commonweal gateway of {member}")])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        certificate_pem=certificate.public_bytes(Encoding.PEM).decode(),
    )


def sign(content: bytes, identity: Identity) -> bytes:
    """A signature by the gateway's key, ECDSA P-256 with SHA-256.

    Raises:
        ValueError: the kept key is of another kind.
    """
    key = load_pem_private_key(identity.key_pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the gateway's key is no P-256 key; delete it, and the gateway makes a new one")  # noqa: TRY004
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def serves(identity: Identity, hosts: Sequence[str], now: datetime) -> bool:
    """Whether a kept identity can go on: its certificate names every host and lasts."""
    try:
        certificate = x509.load_pem_x509_certificate(identity.certificate_pem.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return certificate.not_valid_after_utc - now > RENEW_BEFORE and {_general_name(host) for host in hosts} <= set(
        names
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,  # clients take it as their only authority
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
