"""Reads Ed25519 keys from PEM files; `openssl genpkey -algorithm ed25519` makes one. There is no default key."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)


class KeyFileError(ValueError):
    """A key file that cannot be used; the message names the file and the remedy."""


def read_private(path: Path) -> Ed25519PrivateKey:
    """The signing key in a PEM file (PKCS#8, not encrypted).

    Raises:
        KeyFileError: the file cannot be read or holds no such key.

    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path}: {error}; make one with openssl genpkey -algorithm ed25519") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key; make one with openssl genpkey -algorithm ed25519")
    return key


def read_public(path: Path) -> Ed25519PublicKey:
    """The signer's public key in a PEM file.

    Raises:
        KeyFileError: the file cannot be read or holds no such key.

    """
    try:
        return parse_public(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {error}; ask the signer for the output of openssl pkey -pubout") from error


def parse_public(pem: bytes) -> Ed25519PublicKey:
    """A public key from PEM.

    Raises:
        ValueError: it is none, or of another kind.

    """
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")  # noqa: TRY004 - a wrong value of a file, not of an argument
    return key


def to_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
