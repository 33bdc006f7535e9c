"""Three members' real gateways and the pilot, as processes on loopback, from the objects of examples/."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from commonweal.agreements import negotiate_all
from commonweal.grants import compile_policy
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.member import Site
from commonweal.kinds.meta import Resources

ROOT = Path(__file__).parents[3]
MEMBERS = ("ca", "kr", "ke")
ISSUER = "https://kr.invalid"
READY_WITHIN_S = 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / name).read_text("utf-8"))
    return document


class Consortium:
    """Folders, keys and processes of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in (*MEMBERS, "pilot")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.signer = Ed25519PrivateKey.generate()
        self.signer_file, self.register_file = folder / "signer.pem", folder / "pact.yaml"
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def address(self) -> str:
        """The pilot's."""
        return f"http://127.0.0.1:{self.ports['pilot']}"

    def write_policies(self, *, revoked: bool = False) -> None:
        """What the hub would write for every member."""
        now = datetime.now(UTC)
        trust = DataTrust.model_validate(manifest("30-trust.yaml"))
        grants = [] if revoked else [DataGrant.model_validate(manifest("40-grant.yaml"))]
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        site = Site(
            issuer=ISSUER,
            jwks=json.dumps({"keys": [{**jwk, "kid": "1", "use": "sig", "alg": "ES256"}]}),
            node_address="127.0.0.1",
            allocatable=Resources(cpu_millis=1000, memory_mib=1024),
            agent_version="0",
            kubernetes_version="0",
        )
        for member in MEMBERS:
            policy = compile_policy(trust, negotiate_all(trust, grants, now), {"kr": site}, member)
            path = self.folder / member / "policies" / "trade.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / member / "data").mkdir(exist_ok=True)
            path.with_suffix(".new").write_text(policy.render())
            path.with_suffix(".new").replace(path)

    def fill(self, member: str, dataset: str, *producer: str) -> None:
        """Make a member's rows and take them into its table, as an operator there would."""
        file = self.folder / f"{member}.parquet"
        _run(sys.executable, "-m", *producer, "--out", str(file))
        taken = ("--trust", "trade", "--dataset", dataset, "--file", str(file), "--member", member)
        where = ("--data", str(self.folder / member / "data"), "--policy-dir", str(self.folder / member / "policies"))
        _run(sys.executable, "-m", "data_trusts.ingest", *taken, *where)

    def start_gateway(self, member: str) -> None:
        """Start one member's gateway with the embedded engine, and wait until it answers."""
        environment = {
            "COMMONWEAL_MEMBER": member,
            "COMMONWEAL_ENGINE": "duckdb",
            "COMMONWEAL_DATA": str(self.folder / member / "data"),
            "COMMONWEAL_POLICY_DIR": str(self.folder / member / "policies"),
            "COMMONWEAL_GATEWAY_PORT": str(self.ports[member]),
        }
        self._start(member, environment, "-m", "data_trusts.gateway")
        certificate = self.folder / member / "data" / "tls" / "certificate.pem"
        self._wait(member, f"https://127.0.0.1:{self.ports[member]}/readyz", certificate)

    def start_pilot(self) -> None:
        """Mount what the hub would mount, start the pilot, and wait until it is ready."""
        grant = manifest("40-grant.yaml")
        datasets = manifest("30-trust.yaml")["spec"]["datasets"]
        mounted = {
            "grants": [
                {
                    "name": grant["metadata"]["name"],
                    "trust": grant["spec"]["trust"],
                    "purpose": grant["spec"]["purpose"],
                    "datasets": [{"name": each["name"], "members": each["sources"]} for each in datasets],
                }
            ],
            "gateways": [
                {
                    "member": member,
                    "url": f"https://127.0.0.1:{self.ports[member]}",
                    "ca_pem": (self.folder / member / "data" / "tls" / "certificate.pem").read_text(),
                }
                for member in MEMBERS
            ],
        }
        (self.folder / "grants.json").write_text(json.dumps(mounted))
        (self.folder / "token").write_text(self._token())
        self.signer_file.write_bytes(self.signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.register_file.write_text(yaml.safe_dump(_register()))
        environment = {
            "COMMONWEAL_SIGNING_KEY": str(self.signer_file),
            "COMMONWEAL_PACT": str(self.register_file),
            "COMMONWEAL_GRANTS": str(self.folder / "grants.json"),
            "COMMONWEAL_TOKEN": str(self.folder / "token"),
            "COMMONWEAL_HOST": "127.0.0.1",
            "COMMONWEAL_PORT": str(self.ports["pilot"]),
        }
        self._start("pilot", environment, "-m", "apps.trade")
        self._wait("pilot", f"{self.address}/readyz", None)

    def stop(self, name: str) -> None:
        """Kill one process at once, as a lost node would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait(timeout=10)

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _token(self) -> str:
        claims = {
            "iss": ISSUER,
            "aud": ["commonweal-gateway"],
            "sub": "system:serviceaccount:commonweal-apps:trade",
            "exp": datetime.now(UTC) + timedelta(hours=1),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": "1"})

    def _start(self, name: str, environment: dict[str, str], *command: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log
            )

    def _wait(self, name: str, url: str, certificate: Path | None) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until and self.processes[name].poll() is None:
            try:
                trusted = ssl.create_default_context(cafile=certificate)
                if httpx.get(url, verify=trusted, timeout=5).is_success:
                    return
            except (httpx.HTTPError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"{name} is not ready: {self.log(name)}")


@contextmanager
def running(folder: Path) -> Iterator[Consortium]:
    """A filled consortium whose pilot is ready; nothing of it is left afterwards."""
    consortium = Consortium(folder)
    consortium.write_policies()
    consortium.fill("kr", "facility_disclosures", "apps.trade.disclosures")
    for seed, member in enumerate(("ca", "ke"), start=1):
        rows = ("--member", member, "--rows", "1000", "--seed", str(seed))
        consortium.fill(member, "customs_rows", "apps.trade.customs", *rows)
    try:
        for member in MEMBERS:
            consortium.start_gateway(member)
        consortium.start_pilot()
        yield consortium
    finally:
        for name in list(consortium.processes):
            consortium.stop(name)


def _register() -> dict[str, Any]:
    """One partner who may see one product."""
    product = {
        "installationId": "EC-EXAMPLE-2",
        "cnCode": "72081000",
        "tier": "summary",
        "created": "2027-02-01T00:00:00Z",
        "companyName": "Mill",
        "companyIds": ["urn:company:example:mill"],
        "productIds": ["urn:gtin:1234567890123"],
        "productNameCompany": "Coil",
        "productDescription": "Hot-rolled coil",
        "boundaryProcessesDescription": "As disclosed",
        "beyondSee": "0",
        "fossilCarbonContent": "0.0018",
        "ipccCharacterizationFactors": ["AR5"],
        "crossSectoralStandards": ["ISO14067"],
        "exemptedEmissionsPercent": "0",
        "primaryDataShare": "75",
        "packagingEmissionsIncluded": False,
    }
    client = {"clientId": "buyer", "secretSha256": hashlib.sha256(b"drawn").hexdigest(), "tier": "summary"}
    return {"tokenKey": "k" * 64, "clients": [client], "products": [product]}


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
