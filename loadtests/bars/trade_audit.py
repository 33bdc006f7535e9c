"""One changed byte of an audit bundle is found: in inputs, rules, engine, trace, envelope, or the file around them."""

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
DISCLOSURES = ROOT / "apps" / "trade" / "facilities" / "cbam_examples.yaml"
SEED = 20261125
FLIPS = 1500  # a part that is shorter is flipped at every byte
BATCH = 250  # bundles a verifier is given at once
# Of the parts of a bundle, which are what; the file itself is flipped without mending its checksums.
PARTS = {
    "inputs": ("inputs/",),
    "rules": ("rules/",),
    "engine": ("engine.json",),
    "trace": ("trace.jsonl",),
    "result": ("result.json",),
    "envelope": ("envelope.dsse.json", "signer.pem"),
    "bill": ("bill.json", "bill-trace.jsonl", "bill.dsse.json"),
}


def measure() -> list[Measurement]:
    """Bundles with one flipped byte that the verifier accepted, or refused by another part's name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = _make(folder)
        if not _verify(folder, [("whole", whole)])[0]["holds"]:
            raise AssertionError("the untouched bundle does not verify; see python -m apps.trade verify")
        figures = [_flipped(folder, kind, list(_in_part(whole, prefixes))) for kind, prefixes in PARTS.items()]
        return [*figures, _flipped(folder, "file", list(_anywhere(whole)))]


def _make(folder: Path) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pub").write_bytes(public)
    asked = {
        "cn": "73041100",
        "country": "KR",
        "installation": "EC-EXAMPLE-3",
        "mass-kg": "25000",
        "year": "2026",
        "member": "kr",
        "disclosures": str(DISCLOSURES),
        "key": str(folder / "key.pem"),
        "out": str(folder / "whole.zip"),
    }
    options = [part for name, value in asked.items() for part in (f"--{name}", value)]
    command = [sys.executable, "-m", "apps.trade", "bundle", *options]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return (folder / "whole.zip").read_bytes()


def _in_part(whole: bytes, prefixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The part's name and the bundle with one byte of it flipped, packed again so that the archive is sound."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        parts = {name: archive.read(name) for name in infos}
    for name in (each for each in parts if each.startswith(prefixes)):
        for changed in _flips(parts[name]):
            yield name, _packed(infos, {**parts, name: changed})


def _packed(infos: Mapping[str, zipfile.ZipInfo], parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, info in infos.items():
            archive.writestr(info, parts[name])
    return buffer.getvalue()


def _anywhere(whole: bytes) -> Iterator[tuple[str, bytes]]:
    return (("", changed) for changed in _flips(whole))


def _flips(content: bytes) -> Iterator[bytes]:
    numbers = Random(SEED)
    for position in sorted(numbers.sample(range(len(content)), min(FLIPS, len(content)))):
        yield content[:position] + bytes([content[position] ^ numbers.randint(1, 255)]) + content[position + 1 :]


def _flipped(folder: Path, kind: str, cases: list[tuple[str, bytes]]) -> Measurement:
    answers = [answer for at in range(0, len(cases), BATCH) for answer in _verify(folder, cases[at : at + BATCH])]
    accepted = sum(answer["holds"] for answer in answers)
    misnamed = sum(
        bool(name) and not answer["holds"] and answer["part"] != name
        for (name, _), answer in zip(cases, answers, strict=True)
    )
    return Measurement(
        name=f"trade-audit-{kind}",
        value=accepted + misnamed,
        unit="bundles",
        bound=0,
        note=f"{len(cases)} flips: {accepted} accepted, {misnamed} refused by another name",
    )


def _verify(folder: Path, cases: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    for number, (_, content) in enumerate(cases):
        (folder / f"{number}.zip").write_bytes(content)
    files = [str(folder / f"{number}.zip") for number in range(len(cases))]
    command = [sys.executable, "-m", "apps.trade", "verify", "--json", "--key", str(folder / "key.pub"), *files]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
