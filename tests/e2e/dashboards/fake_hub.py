"""A small hub: real HTTPS on loopback that asks for the reader's certificate and lists objects page by page.

It stands in for an API server where the dashboard alone is under test; the demo's run uses a real one.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from commonweal.kinds.meta import GROUP, VERSION

PREFIX = f"/apis/{GROUP}/{VERSION}/"
PAGE_OBJECTS = 7  # small, so that every list takes several pages


@dataclass
class Hub:
    """What the hub holds; tests change it while the dashboard reads."""

    objects: dict[str, list[dict[str, Any]]]
    kubeconfig: Path
    down: bool = False
    requests: list[str] = field(default_factory=list)

    def page(self, plural: str, token: str) -> dict[str, Any]:
        start = int(token or 0)
        items = self.objects[plural]
        more = str(start + PAGE_OBJECTS) if start + PAGE_OBJECTS < len(items) else ""
        return {"items": items[start : start + PAGE_OBJECTS], "metadata": {"resourceVersion": "1", "continue": more}}


@contextmanager
def serve_hub(objects: dict[str, list[dict[str, Any]]], folder: Path) -> Iterator[Hub]:
    """Serve these objects until the block ends; `folder` receives certificates and the reader's kubeconfig."""
    authority = Authority.make()
    hub = Hub(objects=objects, kubeconfig=folder / "reader.kubeconfig")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.certificate_pem.decode())
    context.load_cert_chain(*authority.files(folder, "hub"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    hub.kubeconfig.write_text(_kubeconfig(authority, f"https://127.0.0.1:{server.server_port}", folder))
    with served(server):
        yield hub


@contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[None]:
    """Run a server in a thread for the length of the block."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            plural = url.path.removeprefix(PREFIX)
            hub.requests.append(self.path)
            if hub.down:
                reply(self, 503, {"kind": "Status", "code": 503})
            elif not url.path.startswith(PREFIX) or plural not in hub.objects:
                reply(self, 404, {"kind": "Status", "code": 404})
            else:
                reply(self, 200, hub.page(plural, parse_qs(url.query).get("continue", [""])[0]))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            """Say nothing."""

    return Handler


def reply(handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any], kind: str = "application/json") -> None:
    """Answer with JSON."""
    encoded = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(encoded)))
    handler.end_headers()
    handler.wfile.write(encoded)


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("test-hub-ca")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = _builder(name, name, key.public_key()).add_extension(constraints, critical=True)
        return cls(key, certificate.sign(key, hashes.SHA256()))

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def files(self, folder: Path, common_name: str) -> tuple[Path, Path]:
        """Write certificate and key of one party, valid for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = _builder(_name(common_name), self.certificate.subject, key.public_key())
        signed = builder.add_extension(address, critical=False).sign(self.key, hashes.SHA256())
        file_name = common_name.replace(":", "-")
        paths = folder / f"{file_name}.crt", folder / f"{file_name}.key"
        paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=2))
    )


def _kubeconfig(authority: Authority, server: str, folder: Path) -> str:
    certificate, key = authority.files(folder, "commonweal:reader")
    data = {
        "client-certificate-data": base64.b64encode(certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(key.read_bytes()).decode(),
    }
    trusted = base64.b64encode(authority.certificate_pem).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "hub",
            "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "reader"}}],
            "clusters": [{"name": "hub", "cluster": {"server": server, "certificate-authority-data": trusted}}],
            "users": [{"name": "reader", "user": data}],
        }
    )
