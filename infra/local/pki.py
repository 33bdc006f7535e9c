"""Keys, certificates and kubeconfig files of a cluster. One authority a cluster: members trust no common root.

Files are written once and read back on later calls, so that a second `up` changes no identity. Private keys are
readable by their owner only.
"""

import base64
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
BACKDATED = timedelta(minutes=5)  # clocks of members differ a little


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """The certificate authority of one cluster; every file of its lies in `folder`."""

    folder: Path

    @property
    def pair(self) -> Pair:
        """Its own certificate and key."""
        return _pair(self.folder, "ca")

    def ensure(self, name: str, now: datetime) -> None:
        """Make the authority's own key and certificate unless they exist."""
        if not self.pair.certificate.exists():
            key = new_key()
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            builder = _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
            _write_pair(self.pair, builder.sign(key, hashes.SHA256()), key)

    def serving(self, name: str, hosts: Sequence[str], now: datetime) -> Pair:
        """The pair that a server shows at `hosts`, which are DNS names or addresses."""
        alternatives = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return self._leaf(f"{name}-serving", _subject(name), usage, now, alternatives=alternatives)

    def client(self, user: str, groups: Sequence[str], now: datetime) -> Pair:
        """The pair by which `user` of `groups` is known to the API server."""
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._leaf(user.replace(":", "_"), _subject(user, groups), usage, now, alternatives=None)

    def _leaf(
        self,
        file: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        now: datetime,
        *,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> Pair:
        pair = _pair(self.folder, file)
        if pair.certificate.exists() and _is_fresh(pair.certificate, alternatives, now):
            return pair
        issuer = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        issuer_key = serialization.load_pem_private_key(self.pair.key.read_bytes(), password=None)
        if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.pair.key} is not an elliptic-curve key")
        key = new_key()
        builder = _builder(subject, issuer.subject, key.public_key(), now, LEAF_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        _write_pair(pair, builder.sign(issuer_key, hashes.SHA256()), key)
        return pair


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key on the curve P-256, which every client of Kubernetes speaks."""
    return ec.generate_private_key(ec.SECP256R1())


def ensure_token_keys(folder: Path) -> tuple[Path, Path]:
    """The key pair that signs and checks service-account tokens: (private, public) PEM files."""
    private, public = folder / "service-accounts.key", folder / "service-accounts.pub"
    if not public.exists():
        key = new_key()
        _write_secret(private, _key_bytes(key))
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    return private, public


def write_kubeconfig(path: Path, *, cluster: str, server: str, ca: Path, user: str, pair: Pair) -> Path:
    """Write a kubeconfig that needs no other file, readable by its owner only, and return its path."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(pair.certificate),
                    "client-key-data": _base64(pair.key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    _write_secret(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


def _pair(folder: Path, name: str) -> Pair:
    return Pair(certificate=folder / f"{name}.crt", key=folder / f"{name}.key")


def _subject(name: str, organisations: Sequence[str] = ()) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organisations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _is_fresh(certificate: Path, alternatives: x509.SubjectAlternativeName | None, now: datetime) -> bool:
    """Whether a written certificate names the same hosts and has half of its life left."""
    written = x509.load_pem_x509_certificate(certificate.read_bytes())
    if written.not_valid_after_utc - now < LEAF_LIFE / 2:
        return False
    return alternatives is None or (
        written.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == alternatives
    )


def _write_pair(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """The key first: a certificate on disk means that its key is there too."""
    _write_secret(pair.key, _key_bytes(key))
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_secret(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(content)
    draft.rename(path)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
