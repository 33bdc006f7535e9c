"""What an exporter types to make a bundle, and an auditor to check it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from apps.trade.audit import keys
from apps.trade.cli import app
from apps.trade.disclosures import EXAMPLES

from .conftest import KEY, STRANGER, flipped

STEEL = {"cn": "72081000", "country": "KR", "mass-kg": "25000", "year": "2026"}
DISCLOSED = {"installation": "EC-EXAMPLE-2", "disclosures": str(EXAMPLES), "member": "kr"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The signer's keys, and a stranger's."""
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.pub").write_bytes(keys.to_pem(KEY.public_key()))
    (tmp_path / "stranger.pub").write_bytes(keys.to_pem(STRANGER.public_key()))
    return tmp_path


def bundle(folder: Path, **options: str | None) -> Result:
    given = {**STEEL, "key": str(folder / "key.pem"), "out": str(folder / "b.zip"), **options}
    pairs = [part for name, value in given.items() if value is not None for part in (f"--{name}", value)]
    return CliRunner().invoke(app, ["bundle", *pairs], env={"COMMONWEAL_TRADE": ""})


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_what_the_producer_bundles_the_auditor_verifies_offline(folder: Path) -> None:
    assert bundle(folder, **DISCLOSED).exit_code == 0
    result = verify(folder / "b.zip", "--key", folder / "key.pub")
    assert result.exit_code == 0, result.output
    assert "holds: 38.474401613946643225 t CO2e (disclosure) in 25000 kg of 72081000; 25 steps" in result.stdout
    assert "not compared" not in result.stdout


def test_without_a_key_the_signer_is_said_to_be_unchecked(folder: Path) -> None:
    bundle(folder)
    assert "(not compared: give --key)" in verify(folder / "b.zip").stdout


def test_a_bundle_of_another_signer_fails_by_name(folder: Path) -> None:
    bundle(folder)
    result = verify(folder / "b.zip", "--key", folder / "stranger.pub")
    assert result.exit_code == 1
    assert "signer.pem: the bundle names key" in result.stderr


def test_each_of_several_files_is_answered_as_one_json_object(folder: Path) -> None:
    bundle(folder)
    whole = (folder / "b.zip").read_bytes()
    (folder / "c.zip").write_bytes(flipped(whole, whole.index(b"net_mass_kg")))
    result = verify("--json", folder / "b.zip", folder / "c.zip")
    good, bad = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1
    assert (good["holds"], good["result"]["tonnes_counted"]) == (True, "58.245")
    assert (bad["holds"], bad["part"][:7]) == (False, "inputs/")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": None}, "--address, --key: neither is given"),
        ({"cn": "7208"}, "cn_code: '7208' does not fit"),
        ({"cn": "73041100"}, "give an installation that disclosed this good"),
        ({"installation": "EC-EXAMPLE-2"}, "--installation: only its disclosure can speak for it here"),
        ({**DISCLOSED, "installation": "NOBODY"}, "holds nothing of NOBODY for 2026"),
        ({**DISCLOSED, "year": "2027"}, "holds nothing of EC-EXAMPLE-2 for 2027"),
        ({**DISCLOSED, "disclosures": "nowhere.yaml"}, "nowhere.yaml"),
        ({"out": "/nowhere/b.zip"}, "--out: "),
        ({"key": "nowhere.pem"}, "--key: nowhere.pem"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(
    folder: Path, options: dict[str, str | None], said: str
) -> None:
    result = bundle(folder, **options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not list(folder.glob("b.zip*"))


def test_a_file_that_is_not_there_is_said(folder: Path) -> None:
    result = verify(folder / "absent.zip")
    assert result.exit_code == 2
    assert "absent.zip: No such file" in result.stderr
