from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.sites.args import SiteError, site_args
from infra.sites.objects import cores, memory
from infra.sites.program import CONFIG_KEYS, checked
from tests.unit.sites.plans import CONFIG

GOOD: dict[str, Any] = {
    "member": "ca",
    "display_name": "Canada",
    "country": "CA",
    "image": "localhost/commonweal/site:abc",
    "node_address": "10.77.0.11",
    "engine": "duckdb",
    "pledge_cpu_millis": "2000",
    "pledge_memory_mib": 4096,
    "pledge_gpus": 0,
    "data_host_path": "/srv/data",
}
UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1}


def test_text_from_a_configuration_becomes_the_right_types() -> None:
    args = site_args(GOOD)
    assert args.pledge_cpu_millis == 2000
    assert args.gateway_url == "https://10.77.0.11:30443"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"pledge_gpus": -1}, "pledge_gpus: .*, not -1"),
        ({"pledge_cpu_millis": "two"}, "pledge_cpu_millis: .*, not 'two'"),
        ({"image": "localhost/commonweal/site"}, "image: .*"),
        ({"engine": "sparksql"}, "engine: .*'trino' or 'duckdb'"),
        ({"gateway_node_port": 443}, "gateway_node_port: .*30000"),
        ({"country": "Canada"}, "country: "),
        ({"wishes": "many"}, "wishes: "),
        ({"simulated_gpus": 17}, "simulated_gpus: .*16"),
        ({"data_host_path": None}, "data_host_path, data_claim_mib: give one of the two"),
        ({"data_claim_mib": 1024}, "data_host_path, data_claim_mib: give one of the two"),
        ({"grid_zone": "QC/North"}, "grid_zone: "),
        ({"allowed_countries": "CA,Korea"}, "allowed_countries.1: .*, not 'Korea'"),
        ({"overhead_cpu_millis": "500"}, "overhead_cpu_millis, overhead_memory_mib: give both"),
        ({"engine": "trino"}, "trino_image: .*needs one"),
        ({"trino_image": "localhost/commonweal/trino:1"}, "trino_image: .*leave it out"),
    ],
)
def test_bad_input_is_refused_and_the_message_names_the_field(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(SiteError, match=names):
        site_args({**GOOD, **changes})


def test_lists_of_the_charter_are_read_from_commas_and_emptiness_is_not_absence() -> None:
    args = site_args({**GOOD, "allowed_countries": "CA,KR", "allowed_images": "", "overhead_cpu_millis": ""})
    assert args.allowed_countries == ("CA", "KR")
    assert args.allowed_images == ()
    assert site_args(GOOD).allowed_images is None
    assert args.overhead_cpu_millis is None


def test_every_missing_argument_is_named_at_once() -> None:
    with pytest.raises(SiteError, match=r"image: .*; node_address: .*; display_name: .*; country: "):
        site_args({"member": "ca"})


def test_arguments_are_checked_again_when_they_are_replaced() -> None:
    with pytest.raises(ValueError, match="give one of the two"):
        replace(site_args(GOOD), data_claim_mib=1024)


def test_an_unknown_configuration_key_is_refused_with_those_there_are(tmp_path: Path) -> None:
    config = {**CONFIG, "dataClaimMib": "1024", "kubeconfig": str(tmp_path), "replicas": "2"}
    with pytest.raises(SiteError, match=r"replicas: unknown; a site takes allowedCountries, .*, waitForPods"):
        checked("ca", config)


def test_a_site_without_a_kubeconfig_is_refused() -> None:
    with pytest.raises(SiteError, match="kubeconfig: missing"):
        checked("ca", {**CONFIG, "dataClaimMib": "1024"})


def test_the_committed_project_and_the_program_speak_of_the_same_keys() -> None:
    assert {"image", "nodeAddress", "pledgeGpus", "kubeconfig", "hubInvitationFile"} <= set(CONFIG_KEYS)
    assert "member" not in CONFIG_KEYS


@given(mib=st.integers(0, 2**40))
def test_memory_is_written_exactly(mib: int) -> None:
    text = memory(mib)
    unit = text.lstrip("0123456789")
    assert int(text.removesuffix(unit)) * UNITS[unit] == mib * 2**20


@given(millis=st.integers(0, 10**9))
def test_cores_are_written_exactly(millis: int) -> None:
    text = cores(millis)
    value = Decimal(text[:-1]) if text.endswith("m") else Decimal(text) * 1000
    assert value == millis


STORE = {
    "warehouse": "s3://rows/member/ca",
    "store_endpoint": "https://store.example",
    "store_region": "eu-north-1",
    "store_secret": "store",
}


@pytest.mark.parametrize("missing", STORE)
def test_a_bucket_comes_with_its_store_and_credentials_or_not_at_all(missing: str) -> None:
    with pytest.raises(SiteError, match=r"^warehouse, store_endpoint, .*: give all four, or none"):
        site_args({**GOOD, **STORE, missing: ""})


@pytest.mark.parametrize(
    ("endpoint", "port"), [("https://store.example", 443), ("http://10.0.0.1", 80), ("http://10.0.0.1:9000", 9000)]
)
def test_the_stores_port_is_that_of_its_address(endpoint: str, port: int) -> None:
    assert site_args({**GOOD, **STORE, "store_endpoint": endpoint}).store_port == port
    assert site_args(GOOD).store_port is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("warehouse", "s3://rows"),
        ("warehouse", "s3://rows/../x"),
        ("store_endpoint", "store.example:9000"),
        ("store_endpoint", "https://key:secret@store.example"),
        ("store_endpoint", "https://store.example/path"),
    ],
)
def test_an_address_of_another_form_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(SiteError, match=f"^{name}: "):
        site_args({**GOOD, **STORE, name: value})
