"""A member's data folder, a pilot's tokens, and the engines, as the tests of this folder use them."""

import io
import json
import os
import signal
import ssl
import subprocess
import sys
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
from pyiceberg.table import Table

from commonweal.checkpoints import read_vkey
from data_trusts import trino_access
from data_trusts.catalog import Warehouse
from data_trusts.client import Gateway
from data_trusts.engines import TrinoEngine
from data_trusts.table_files import files_of, root_of
from data_trusts.tlog import reader
from data_trusts.trino_access import Statements
from data_trusts.witness import check_entries
from infra.local.trino import TrinoServer, free_port, serving


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


def paths_of(table: Table) -> list[Path]:
    """The files of a table that lies in a folder."""
    return [Path(each.path) for each in files_of(root_of(table))]


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


@pytest.fixture(scope="session")
def trino_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrinoServer]:
    """One real Trino over one data folder, for all tests that only read and add."""
    folder = tmp_path_factory.mktemp("trino")
    data = folder / "data"
    data.mkdir()
    with serving(folder, data) as server:
        yield server


class RememberedStatements(Statements):
    """The running statements; and under which names statements ran, which only tests may know afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.users: list[str] = []

    @contextmanager
    def running(self, sql: str) -> Iterator[str]:
        with super().running(sql) as user:
            self.users.append(user)
            yield user


@dataclass(frozen=True)
class ControlledTrino:
    """A Trino with a member's access control, and the engine that may use it."""

    server: TrinoServer
    engine: TrinoEngine
    statements: RememberedStatements


@pytest.fixture(scope="module")
def controlled(trino_server: TrinoServer) -> Iterator[ControlledTrino]:
    statements = RememberedStatements()
    engine = TrinoEngine(port=trino_server.port, statements=statements)
    with trino_access.serving(statements, trino_server.policy_port):
        wait_for("Trino", engine.ready, trino_server.process)
        yield ControlledTrino(trino_server, engine, statements)
