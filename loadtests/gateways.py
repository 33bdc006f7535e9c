"""Gateways of a bar: real processes over folders of their own, asked over TLS with a pilot's token."""

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from commonweal.kinds.member import Site
from infra.local.trino import TrinoServer, free_port
from loadtests.datasets import MEMBER, ROOT
from loadtests.member_cluster import MemberCluster
from loadtests.wire import WireError

START_WITHIN_S = 180.0


@dataclass(frozen=True)
class Pilot:
    """An application with tokens of a member's issuer."""

    name: str
    issuer: str = "https://ca.example"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def site(self) -> Site:
        """The member's site as the hub would see it, with the issuer's keys."""
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        keys = json.dumps({"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]})
        words = {"issuer": self.issuer, "jwks": keys, "nodeAddress": "127.0.0.1", "allocatable": {}}
        return Site.model_validate({**words, "agentVersion": "0.1.0", "kubernetesVersion": "v1.37.2"})

    def token(self) -> str:
        """A token as the kubelet projects it, good for an hour."""
        now = datetime.now(UTC)
        claims = {
            "iss": self.issuer,
            "aud": ["commonweal-gateway"],
            "sub": f"system:serviceaccount:commonweal-apps:{self.name}",
            "exp": now + timedelta(hours=1),
        }
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": "k1"})


@dataclass(frozen=True)
class RunningGateway:
    """A gateway process over `folder`, which holds `policies/` and `data/`."""

    folder: Path
    client: httpx.Client

    def ask(self, token: str, question: Mapping[str, object]) -> httpx.Response:
        """Ask a question.

        Raises:
            WireError: no answer came.
        """
        try:
            return self.client.post("/v1/query", json=dict(question), headers={"authorization": f"Bearer {token}"})
        except httpx.HTTPError as error:
            raise WireError(f"gateway of {self.folder.name}: {error!r}") from error


def publish(folder: Path, text: str) -> None:
    """Write the one policy of a folder."""
    policies = folder / "policies"
    policies.mkdir(parents=True, exist_ok=True)
    draft = policies / "draft"
    draft.write_text(text)
    draft.rename(policies / "policy.json")


@contextmanager
def gateway(
    folder: Path, trino: TrinoServer | None = None, cluster: MemberCluster | None = None
) -> Iterator[RunningGateway]:
    """Run a gateway until the block is left: on Trino where a server is given, else on DuckDB.

    Args:
        folder: holds `data/`, and `policies/` where there is no cluster.
        trino: the server that it asks.
        cluster: the API server whose ConfigMaps are its policies.

    Raises:
        WireError: it does not become ready.
    """
    port = free_port()
    engine = {"COMMONWEAL_ENGINE": "duckdb"}
    if trino is not None:
        engine = {
            "COMMONWEAL_ENGINE": "trino",
            "COMMONWEAL_TRINO_PORT": str(trino.port),
            "COMMONWEAL_TRINO_POLICY_PORT": str(trino.policy_port),
        }
    settings = {
        "COMMONWEAL_MEMBER": MEMBER,
        "COMMONWEAL_DATA": str(folder / "data"),
        "COMMONWEAL_GATEWAY_PORT": str(port),
    }
    command = [sys.executable, "-m", "data_trusts.gateway"]
    if cluster is None:
        settings |= {"COMMONWEAL_POLICY_DIR": str(folder / "policies")}
    else:
        settings |= cluster.environment()
        command = cluster.as_pod(command)
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings, **engine}, cwd=ROOT, stdout=log, stderr=log)
    try:
        with closing(_ready_client(folder, port, process, cluster)) as client:
            yield RunningGateway(folder, client)
    finally:
        process.terminate()
        process.wait()


def _ready_client(
    folder: Path, port: int, process: subprocess.Popen[bytes], cluster: MemberCluster | None
) -> httpx.Client:
    certificate = folder / "data" / "tls" / "certificate.pem"
    ends_at = time.monotonic() + START_WITHIN_S
    while time.monotonic() < ends_at and process.poll() is None:
        if cluster is not None:
            pem = cluster.gateway_certificate()
        else:
            pem = certificate.read_text() if certificate.exists() else None
        if pem is not None:
            trusted = ssl.create_default_context(cadata=pem)
            client = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted, timeout=90, trust_env=False)
            if _is_ready(client):
                return client
            client.close()
        time.sleep(0.1)
    raise WireError(f"gateway of {folder.name} is not ready; see {folder / 'gateway.log'}")


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.HTTPError:
        return False


def document(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of an answer or a refusal."""
    parsed: dict[str, Any] = answer.json()
    return parsed
