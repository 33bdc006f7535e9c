"""Keys, certificates and kubeconfig files."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.local import pki

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def authority(folder: Path) -> pki.Authority:
    made = pki.Authority(folder)
    made.ensure("test", NOON)
    return made


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_client_certificate_names_user_and_groups_and_is_signed_by_its_cluster(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    certificate = load(ours.client("commonweal:reader", ["a", "b"], NOON).certificate)
    names = certificate.subject
    assert [each.value for each in names.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["commonweal:reader"]
    assert [each.value for each in names.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["a", "b"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(load(ours.pair.certificate))


def test_a_second_call_changes_no_identity(tmp_path: Path) -> None:
    first = authority(tmp_path).client("user", [], NOON).certificate.read_bytes()
    assert authority(tmp_path).client("user", [], NOON + timedelta(days=1)).certificate.read_bytes() == first


def test_a_certificate_past_half_of_its_life_is_replaced(tmp_path: Path) -> None:
    first = authority(tmp_path).client("user", [], NOON).certificate.read_bytes()
    later = NOON + pki.LEAF_LIFE * 3 / 4
    assert authority(tmp_path).client("user", [], later).certificate.read_bytes() != first


def test_a_serving_certificate_for_other_hosts_is_replaced(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    ours.serving("server", ["127.0.0.1"], NOON)
    pair = ours.serving("server", ["127.0.0.1", "kubernetes"], NOON)
    names = load(pair.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_private_keys_and_kubeconfigs_are_for_their_owner_only(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    pair = ours.client("user", [], NOON)
    private, _ = pki.ensure_token_keys(tmp_path)
    config = pki.write_kubeconfig(
        tmp_path / "config", cluster="ca", server="https://x:1", ca=ours.pair.certificate, user="user", pair=pair
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in (ours.pair.key, pair.key, private, config)} == {0o600}


def test_a_kubeconfig_needs_no_other_file(tmp_path: Path) -> None:
    ours = authority(tmp_path)
    pair = ours.client("user", [], NOON)
    path = tmp_path / "config"
    pki.write_kubeconfig(path, cluster="ca", server="https://x:1", ca=ours.pair.certificate, user="user", pair=pair)
    config = yaml.safe_load(path.read_text())
    assert set(config["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert config["current-context"] == "ca"


def test_two_clusters_trust_no_common_root(tmp_path: Path) -> None:
    one, other = authority(tmp_path / "one"), authority(tmp_path / "other")
    assert load(one.pair.certificate).public_key() != load(other.pair.certificate).public_key()
