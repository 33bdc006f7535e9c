"""Whether the key of a gateway's certificate signed something; the hub shows that certificate at the Member."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def signed_by(certificate_pem: str, content: bytes, signature: bytes) -> bool:
    """Whether the key of a gateway's certificate signed the content, with ECDSA P-256 and SHA-256."""
    try:
        key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
