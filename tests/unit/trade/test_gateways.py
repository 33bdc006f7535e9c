"""The mounted files say whom to ask; what they lack is named."""

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from apps.trade.gateways import MountedDirectory
from apps.trade.questions import CUSTOMS, DISCLOSURES
from apps.trade.settings import Settings, SettingsError, from_environment
from apps.trade.sources import UnreachableError


def grants(**changes: object) -> dict[str, Any]:
    """A file as the hub writes it."""
    grant = {
        "name": "trade-emissions",
        "trust": "trade",
        "purpose": "trade-embedded-emissions",
        "datasets": [{"name": DISCLOSURES, "members": ["kr"]}, {"name": CUSTOMS, "members": ["ca", "ke"]}],
    }
    gateways = [{"member": name, "url": "https://127.0.0.1:9", "ca_pem": certificate()} for name in ("ca", "kr", "ke")]
    return {"grants": [grant], "gateways": gateways, **changes}


@cache
def certificate() -> str:
    """A certificate that no server here can show."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    builder = x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2036, 1, 1))  # noqa: DTZ001 - X.509 is UTC
    return builder.sign(key, None).public_bytes(Encoding.PEM).decode()


def mounted(folder: Path, content: dict[str, Any] | str) -> MountedDirectory:
    """A directory over files in `folder`."""
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "grants.json").write_text(text)
    (folder / "token").write_text("a.b.c\n")
    return MountedDirectory(Settings(grants=folder / "grants.json", token=folder / "token"))


def test_each_dataset_has_its_members_under_the_grant(tmp_path: Path) -> None:
    directory = mounted(tmp_path, grants())
    assert [(each.member, each.grant, each.trust) for each in directory.sources(CUSTOMS)] == [
        ("ca", "trade-emissions", "trade"),
        ("ke", "trade-emissions", "trade"),
    ]
    assert [each.member for each in directory.sources(DISCLOSURES)] == ["kr"]


def test_clients_are_kept_while_the_file_is_the_same_and_replaced_when_it_changes(tmp_path: Path) -> None:
    directory = mounted(tmp_path, grants())
    before = directory.sources(DISCLOSURES)
    assert directory.sources(DISCLOSURES) is before
    changed = tmp_path / "new.json"
    changed.write_text(json.dumps(grants(grants=[])))
    changed.replace(tmp_path / "grants.json")
    with pytest.raises(SettingsError, match="no grant covers facility_disclosures"):
        directory.sources(DISCLOSURES)


def test_a_file_that_goes_away_takes_the_grant_with_it(tmp_path: Path) -> None:
    directory = mounted(tmp_path, grants())
    directory.sources(DISCLOSURES)
    (tmp_path / "grants.json").unlink()
    with pytest.raises(SettingsError, match="COMMONWEAL_GRANTS"):
        directory.sources(DISCLOSURES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "the hub writes this file"),
        ({"grants": []}, "gateways"),
        (grants(gateways=[]), "no gateway of kr"),
        (grants(gateways=[{"member": "kr", "url": "https://127.0.0.1:9", "ca_pem": "no"}]), "gateway of kr"),
    ],
)
def test_a_wrong_file_is_named_with_the_cause(tmp_path: Path, content: dict[str, Any] | str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        mounted(tmp_path, content).sources(DISCLOSURES)


async def test_a_gateway_that_does_not_answer_is_unreachable_by_name(tmp_path: Path) -> None:
    (source,) = mounted(tmp_path, grants()).sources(DISCLOSURES)
    with pytest.raises(UnreachableError, match=r"^kr gave no answer"):
        await source.asker.aggregate("trade", DISCLOSURES, "SELECT 1")


def test_a_missing_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="token: cannot be read"):
        Settings(grants=tmp_path, token=tmp_path / "token").read_token()


def test_the_environment_names_the_files() -> None:
    assert from_environment({}).grants == Path("/etc/commonweal/grants.json")
    assert from_environment({"COMMONWEAL_TOKEN": "/t"}).token == Path("/t")
