"""A business partner of a PACT server: starts a real one on loopback, asks it over TLS, and takes its answers."""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from loadtests.wire import WireError

ROOT = Path(__file__).parents[1]
DISCLOSURES = ROOT / "apps" / "trade" / "facilities" / "cbam_examples.yaml"
LOOPBACK = "127.0.0.1"
READY_WITHIN_S = 120.0
# What the register says of two goods that the Commission's examples disclose.
GOODS = {"72081000": ("EC-EXAMPLE-2", "summary"), "76051900": ("EC-EXAMPLE-6", "full")}


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A client of the running server, the secret that it authenticates with, and the events that came back to it."""

    http: httpx.Client
    plain: str
    secret: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def token(self, client_id: str = "full", secret: str | None = None, url: str = "/auth/token") -> httpx.Response:
        """The answer of the token endpoint."""
        grant = {"grant_type": "client_credentials"}
        return self.http.post(url, data=grant, auth=httpx.BasicAuth(client_id, secret or self.secret))

    def headers(self, client_id: str = "full") -> dict[str, str]:
        """What an authenticated request carries."""
        return {"Authorization": f"Bearer {self.token(client_id).raise_for_status().json()['access_token']}"}

    def get(self, path: str, client_id: str = "full") -> httpx.Response:
        """An authenticated GET."""
        return self.http.get(path, headers=self.headers(client_id))

    def post_event(self, event: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
        """An authenticated event."""
        kind = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
        return self.http.post("/3/events", content=json.dumps(event), headers={**kind, **(headers or self.headers())})


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Partner]:
    """`python -m apps.trade pact` on a free port, over TLS, from the Commission's examples.

    Raises:
        WireError: it does not come up.

    """
    certificate, key = _self_signed(folder)
    trusting = ssl.create_default_context(cafile=certificate)
    secret = secrets.token_hex(24)
    events: list[dict[str, Any]] = []
    with _listening(certificate, key, events) as callback_port:
        register = folder / "pact.yaml"
        register.write_text(yaml.safe_dump(_register(secret, f"https://{LOOPBACK}:{callback_port}")))
        port = _free_port()
        command = [sys.executable, "-m", "apps.trade", "pact", "--port", str(port), "--host", LOOPBACK]
        files = ["--disclosures", DISCLOSURES, "--register", register, "--certificate", certificate]
        arguments = [*command, *map(str, files), "--certificate-key", str(key)]
        environment = {**os.environ, "SSL_CERT_FILE": str(certificate)}
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"https://{LOOPBACK}:{port}", verify=trusting, timeout=10) as http:
                partner = Partner(http=http, plain=f"http://{LOOPBACK}:{port}", secret=secret, events=events)
                _wait(partner, server, folder / "server.log")
                yield partner
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait(partner: Partner, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if partner.token().is_success:
                return
        time.sleep(0.1)
    raise WireError(f"the PACT server does not come up: {log.read_text(errors='replace')}")


def _register(secret: str, callback: str) -> dict[str, Any]:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    answers = {"url": callback, "tokenUrl": f"{callback}/auth/token", "clientId": "us", "clientSecret": "theirs"}
    clients = [
        {"clientId": "full", "secretSha256": digest, "tier": "full", "callback": answers},
        {"clientId": "summary", "secretSha256": digest, "tier": "summary"},
    ]
    products = [
        {
            "installationId": installation,
            "cnCode": code,
            "tier": tier,
            "created": "2027-02-01T00:00:00Z",
            "companyName": f"Maker of {code}",
            "companyIds": [f"urn:company:example:{code}"],
            "productIds": [f"urn:gtin:{code}"],
            "productNameCompany": code,
            "productDescription": "A good of the Commission's worked examples",
            "boundaryProcessesDescription": "The installation, its electricity and precursors, and what is registered",
            "beyondSee": "0.1",
            "fossilCarbonContent": "0.0018",
            "ipccCharacterizationFactors": ["AR5"],
            "crossSectoralStandards": ["ISO14067"],
            "exemptedEmissionsPercent": "0",
            "primaryDataShare": "75",
            "packagingEmissionsIncluded": False,
        }
        for code, (installation, tier) in GOODS.items()
    ]
    return {"tokenKey": secrets.token_hex(32), "clients": clients, "products": products}


@contextlib.contextmanager
def _listening(certificate: Path, key: Path, events: list[dict[str, Any]]) -> Iterator[int]:
    """Our own end for answers: a token endpoint and an events endpoint over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asks = self.path == "/auth/token"
            right = f"Basic {base64.b64encode(b'us:theirs').decode()}" if asks else "Bearer given"
            known = self.headers["authorization"] == right
            self.send_response(200 if known else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"access_token": "given"}' if asks else b"")
            if known and not asks:
                events.append(json.loads(body))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer((LOOPBACK, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))])
    authority = x509.BasicConstraints(ca=True, path_length=0)
    signed = dated.add_extension(address, critical=False).add_extension(authority, critical=True)
    certificate_file, key_file = folder / "certificate.pem", folder / "certificate.key"
    certificate_file.write_bytes(signed.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
