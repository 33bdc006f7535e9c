"""One disclosed consignment with its process data, one assessed by a default value, and the key that signs both."""

import io
import zipfile
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.trade.assessment import Consignment
from apps.trade.audit import container
from apps.trade.audit.bundle import make
from apps.trade.audit.evidence import Evidence, Release
from apps.trade.disclosures import EXAMPLES, Disclosure, read_disclosures
from apps.trade.rule_packs import pack_files

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def consignment(**changes: object) -> Consignment:
    base = {"cn_code": "72081000", "country": "KR", "net_mass_kg": "25000", "import_year": 2026}
    return Consignment.model_validate({**base, **changes})


def disclosed(disclosure: Disclosure, **changes: object) -> Evidence:
    """Evidence of one good of a disclosure, at the producer."""
    asked = consignment(installation_id=disclosure.installation_id, clinker_t_per_t="0.9", **changes)
    return Evidence(asked, pack_files(), Release(grant=None, members_asked=("kr",)), disclosure=disclosure)


def by_default(**changes: object) -> Evidence:
    return Evidence(consignment(**changes), pack_files(), Release(grant=None))


def repacked(content: bytes, changed: Mapping[str, bytes | None]) -> bytes:
    """The bundle with some parts replaced or, where None, left out; the archive itself stays sound."""
    parts: dict[str, bytes | None] = {**container.read(content), **changed}
    return container.write({name: part for name, part in parts.items() if part is not None})


def flipped(content: bytes, position: int) -> bytes:
    """One byte changed."""
    return content[:position] + bytes([content[position] ^ 0x01]) + content[position + 1 :]


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def steel() -> Disclosure:
    """The Commission's example 2."""
    return next(each for each in read_disclosures(EXAMPLES) if each.installation_id == "EC-EXAMPLE-2")


@pytest.fixture(scope="session")
def steel_bundle(steel: Disclosure) -> bytes:
    """A bundle with process data."""
    return make(disclosed(steel), KEY)


@pytest.fixture(scope="session")
def default_bundle() -> bytes:
    """A bundle that rests on a default value."""
    return make(by_default(country="VN"), KEY)
