"""Signed on one machine, settled on another: what counts goes on to the ledger, what nobody signed is refused."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from commonweal.ledger import POOL, used
from commonweal.membership import identity_key
from operators.cli.main import app
from tests.strategies import NOON

IDENTITIES = {name: Ed25519PrivateKey.from_private_bytes(name.encode() * 16) for name in ("ca", "kr")}


def commonweal(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def usage(amount: int = 1000) -> str:
    fields = {"provider": "kr", "consumer": "ca", "job": "trade", "unit": "gpu_seconds", "amount": amount}
    hour = timedelta(hours=1)
    return json.dumps(fields | {"period_start": f"{NOON:%FT%TZ}", "period_end": f"{NOON + hour:%FT%TZ}"})


def signed(folder: Path, side: str, amount: int, by: str) -> Path:
    pem = IDENTITIES[by].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{by}.pem").write_bytes(pem)
    (folder / side).write_text(usage(amount) + "\n")
    out = folder / f"{side}.signed"
    result = commonweal(
        "receipt", "sign", folder / side, "--side", side, "--identity", folder / f"{by}.pem", "--out", out
    )
    assert result.exit_code == 0, result.stderr
    return out


def settle(folder: Path, *files: Path, at: str = "2026-12-01T13:00:00Z") -> Result:
    members = [
        {
            "kind": "Member",
            "metadata": {"name": name},
            "spec": {"displayName": name, "country": "CA", "identityKey": identity_key(key), "hubAccepts": True},
        }
        for name, key in IDENTITIES.items()
    ]
    (folder / "members.json").write_text(json.dumps({"items": members}))
    return commonweal(
        "receipt", "settle", *files, "--members", folder / "members.json", "--at", at, "--out", folder / "journal"
    )


def test_what_both_sides_signed_is_posted_when_the_audit_window_ends(tmp_path: Path) -> None:
    files = signed(tmp_path, "claim", 1000, "kr"), signed(tmp_path, "receipt", 990, "ca")
    result = settle(tmp_path, *files)
    assert result.exit_code == 0, result.stderr
    assert "Agreed" in result.stdout
    balances = json.loads(commonweal("ledger", "balances", "--json", tmp_path / "journal").stdout)["balances"]
    assert balances == [
        [used("ca", "kr"), "gpu_seconds", 0, 0, 990, 0],
        [POOL, "gpu_seconds", 0, 0, 0, 990],
    ]


def test_a_dispute_keeps_the_lesser_pending(tmp_path: Path) -> None:
    files = signed(tmp_path, "claim", 1000, "kr"), signed(tmp_path, "receipt", 900, "ca")
    assert "Disputed" in settle(tmp_path, *files).stdout
    balances = json.loads(commonweal("ledger", "balances", "--json", tmp_path / "journal").stdout)["balances"]
    assert [row[2:] for row in balances] == [[900, 0, 0, 0], [0, 900, 0, 0]]


def test_a_receipt_that_the_provider_signed_is_refused_with_field_and_rule(tmp_path: Path) -> None:
    result = settle(tmp_path, signed(tmp_path, "receipt", 1000, "kr"))
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {tmp_path / 'receipt.signed'}: line 1: Unsigned: signature: not by ca; "
        "a receipt counts only when that member's identity signed it\n"
    )
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize(
    "change", [("1000", "2000"), ('"signature":"', '"signature":"!'), ('"side":"claim"', '"side":"receipt"')]
)
def test_a_signed_line_that_was_altered_is_refused(tmp_path: Path, change: tuple[str, str]) -> None:
    file = signed(tmp_path, "claim", 1000, "kr")
    file.write_text(file.read_text().replace(*change))
    assert "line 1: Unsigned: signature: not by" in settle(tmp_path, file).stderr


def test_what_is_no_signed_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[]\n")
    assert "other: line 1: no signed line" in settle(tmp_path, tmp_path / "other").stderr
    assert "SIGNED: " in settle(tmp_path, tmp_path / "none").stderr


def test_a_usage_or_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "usage").write_text(usage().replace("gpu_seconds", "joules") + "\n")
    (tmp_path / "pem").write_text("nothing")
    sign: list[str | Path] = [
        "receipt",
        "sign",
        tmp_path / "usage",
        "--side",
        "claim",
        "--out",
        tmp_path / "out",
        "--identity",
    ]
    assert "--identity: " in commonweal(*sign, tmp_path / "pem").stderr
    signed(tmp_path, "claim", 1, "kr")
    assert "usage: line 1: unit: " in commonweal(*sign, tmp_path / "kr.pem").stderr
    assert not (tmp_path / "out").exists()
