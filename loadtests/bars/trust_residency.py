"""No byte of a row leaves a member while releases work: what the link carries is decrypted, searched, accounted for."""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric import ec

from loadtests import datasets
from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
MEMBER_ADDRESS, ASKER_ADDRESS, PORT = "10.213.7.1", "10.213.7.2", 8443
ROWS = 400
DIMENSIONS = ("partner", "flow", "period", "product_nc")
SUMS = [
    f"SELECT {dimension}, {aggregate} AS value FROM customs_rows GROUP BY {dimension}"  # noqa: S608 -- our own names
    for dimension in DIMENSIONS
    for aggregate in ("sum(quantity_in_kg)", "avg(value_in_euros)", "count(*)", "sum(value_in_euros)")
]
REFUSED = [
    "SELECT * FROM customs_rows",
    "SELECT consignment_id FROM customs_rows",
    "SELECT max(quantity_in_kg) FROM customs_rows",
    "SELECT quantity_in_kg FROM customs_rows LIMIT 1",
]
ONE_ROW = "SELECT min(quantity_in_kg) AS least, max(value_in_euros) AS most FROM customs_rows"


@dataclass(frozen=True)
class Account:
    """What came over the link."""

    answered: int
    row_bytes: int
    unexplained: int
    wire_bytes: int


def measure() -> list[Measurement]:
    """Releases first; then two leaks that the account must show: rows in an answer, and rows beside the gateway."""
    if os.geteuid() != 0:
        raise WireError("network namespaces need root; run the bar as root")
    with tempfile.TemporaryDirectory() as scratch, _link() as (member, asker):
        key = ec.generate_private_key(ec.SECP256R1())
        folder = Path(scratch)
        canaries = _fill(folder, key)
        with _gateway(folder, member):
            honest = _account(folder, asker, key, canaries, SUMS + REFUSED)
            beside = _account(folder, asker, key, canaries, SUMS[:1], leak=(member, canaries[0]))
            _open_wide(folder, key)
            inside = _account(folder, asker, key, canaries, [ONE_ROW])
    return [
        Measurement(
            name="trust-residency", value=honest.row_bytes, unit="bytes-of-rows", bound=0,
            note=f"{honest.wire_bytes} bytes on the link, {honest.answered} answers, {len(canaries)} values searched",
        ),
        Measurement(name="trust-residency-unexplained", value=honest.unexplained, unit="bytes", bound=0),
        Measurement(
            name="trust-residency-answered", value=honest.answered, unit="releases", bound=len(SUMS), at_most=False
        ),
        Measurement(
            name="trust-residency-control-inside", value=inside.row_bytes, unit="bytes-of-rows", bound=1, at_most=False,
            note="a policy that releases single rows, for comparison",
        ),
        Measurement(
            name="trust-residency-control-beside", value=min(beside.row_bytes, beside.unexplained), unit="bytes",
            bound=1, at_most=False, note="one value sent past the gateway, for comparison",
        ),
    ]  # fmt: skip


@contextmanager
def _link() -> Iterator[tuple[str, str]]:
    """Two network namespaces with one cable between them, and nothing else."""
    names = [f"residency-{side}-{os.getpid()}" for side in ("member", "asker")]
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        _run("ip", "-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, (MEMBER_ADDRESS, ASKER_ADDRESS), strict=True):
            _run("nsenter", f"--net=/run/netns/{name}", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            _run("ip", "-n", name, "address", "add", f"{address}/30", "dev", "cable")
            _run("ip", "-n", name, "link", "set", "lo", "up")
            _run("ip", "-n", name, "link", "set", "cable", "up")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise WireError(f"{command[0]} is missing; apt-get install iproute2 util-linux procps")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WireError(f"{' '.join(command)}: {done.stderr.strip()}")


def _fill(folder: Path, key: ec.EllipticCurvePrivateKey) -> list[str]:
    """Rows in which every measure and every hidden value occurs once in the world; returns those values."""
    datasets.member_folder(folder, jwks=_jwks(key))
    made = pq.read_table(datasets.generated(folder, "made.parquet")).slice(0, ROWS)
    draw = random.Random(7)
    values: dict[str, list[Any]] = {
        "quantity_in_kg": [draw.randrange(10**11, 10**12) for _ in range(made.num_rows)],
        "value_in_euros": [draw.randrange(10**11, 10**12) for _ in range(made.num_rows)],
        "consignment_id": [f"CANARY-{draw.getrandbits(96):024x}" for _ in range(made.num_rows)],
    }
    for name, column in values.items():
        place = made.schema.get_field_index(name)
        made = made.set_column(place, made.schema.field(place), pa.array(column, made.schema.field(place).type))
    pq.write_table(made, folder / "rows.parquet")
    datasets.ingest(folder, folder / "rows.parquet")
    return [str(value) for column in values.values() for value in column]


@contextmanager
def _gateway(folder: Path, member: str) -> Iterator[None]:
    environment = {
        **os.environ,
        "COMMONWEAL_MEMBER": datasets.MEMBER,
        "COMMONWEAL_DATA": str(folder / "data"),
        "COMMONWEAL_POLICY_DIR": str(folder / "policies"),
        "COMMONWEAL_GATEWAY_URL": f"https://{MEMBER_ADDRESS}:{PORT}",
        "COMMONWEAL_GATEWAY_PORT": str(PORT),
    }
    command = ["nsenter", f"--net=/run/netns/{member}", sys.executable, "-m", "data_trusts.gateway"]
    process = subprocess.Popen(command, cwd=datasets.ROOT, env=environment)
    try:
        probe = f"import socket; socket.create_connection(('{MEMBER_ADDRESS}', {PORT}), 1)"
        until = time.monotonic() + 60
        while subprocess.run([*command[:2], sys.executable, "-c", probe], capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > until:
                raise WireError("the gateway did not come; read its error above")
        yield
    finally:
        process.terminate()
        process.wait(30)


def _open_wide(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """A policy under which a group may be a single row."""
    file = folder / "policies" / "policy-trade.json"
    draft = file.with_suffix(".draft")
    draft.write_text(datasets.example_policy(datetime.now(UTC), jwks=_jwks(key), single_rows=True).render())
    draft.replace(file)
    time.sleep(1)  # the gateway reads its folder five times a second


def _account(
    folder: Path,
    asker: str,
    key: ec.EllipticCurvePrivateKey,
    canaries: list[str],
    questions: list[str],
    *,
    leak: tuple[str, str] | None = None,
) -> Account:
    settings = {
        "interface": "cable",
        "host": MEMBER_ADDRESS,
        "port": PORT,
        "certificate": (folder / "data" / "tls" / "certificate.pem").read_text(),
        "token": _token(key),
    }
    bodies = [
        {"trust": datasets.TRUST, "dataset": datasets.DATASET, "purpose": "trade-embedded-emissions",
         "grant": "trade-emissions", "sql": sql} for sql in questions
    ]  # fmt: skip
    command = ["nsenter", f"--net=/run/netns/{asker}", sys.executable, "-m", "loadtests.wiretap"]
    with subprocess.Popen(command, cwd=datasets.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tap:
        if tap.stdin is None or tap.stdout is None:
            raise WireError("the asker has no pipes")
        tap.stdin.write(f"{json.dumps(settings)}\n")
        tap.stdin.flush()
        if tap.stdout.readline() != "ready\n":
            raise WireError("the asker did not start; read its error above")
        if leak:
            send = f"socket.socket(type=socket.SOCK_DGRAM).sendto(b'{leak[1]}', ('{ASKER_ADDRESS}', 9))"
            _run("nsenter", f"--net=/run/netns/{leak[0]}", sys.executable, "-c", f"import socket; {send}")
        tap.stdin.writelines(f"{json.dumps(body)}\n" for body in bodies)
        tap.stdin.close()
        account = json.loads(tap.stdout.readline() or "{}")
    if account.get("dropped") != 0:
        raise WireError(f"the link was not heard whole ({account.get('dropped')} frames dropped); run the bar again")
    return _summed(account, canaries)


def _summed(account: dict[str, Any], canaries: list[str]) -> Account:
    answers = [base64.b64decode(each) for each in account["answers"]]
    others = [base64.b64decode(each) for each in account["other"]]
    heard = b"\n".join([*answers, *others])
    return Account(
        answered=sum(answer.startswith(b"HTTP/1.1 200") for answer in answers),
        row_bytes=sum(len(canary) * heard.count(canary.encode()) for canary in canaries),
        unexplained=abs(account["tcp"] - account["explained"]) + sum(map(len, others)),
        wire_bytes=account["tcp"],
    )


def _jwks(key: ec.EllipticCurvePrivateKey) -> str:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return json.dumps({"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]})


def _token(key: ec.EllipticCurvePrivateKey) -> str:
    now = datetime.now(UTC)
    claims = {
        "iss": "https://ca.example",
        "aud": ["commonweal-gateway"],
        "sub": "system:serviceaccount:commonweal-apps:trade",
        "nbf": now - timedelta(seconds=5),
        "exp": now + timedelta(minutes=10),
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})
