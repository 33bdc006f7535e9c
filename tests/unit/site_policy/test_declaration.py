"""What a member's program declares, held against what the hub knows."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.consortium import SiteRules
from commonweal.kinds.member import Engine, Site, SiteDeclaration
from commonweal.kinds.meta import Resources
from commonweal.site_policy.declaration import contradictions

DIGEST = f"registry.example/site@sha256:{'0' * 64}"
CHARTER = SiteRules(countries=("CA", "KR"), grid_zones=("CA-QC",), image_sources=("localhost/commonweal",))
OPEN = SiteRules(countries=(), grid_zones=(), image_sources=())


@dataclass(frozen=True)
class Case:
    declared: SiteDeclaration
    seen: Site


def case(**changes: object) -> Case:
    declared: dict[str, Any] = {
        "country": "CA",
        "grid_zone": "CA-QC",
        "engine": Engine.TRINO,
        "gateway_url": "https://10.77.0.11:30443",
        "images": (DIGEST, "localhost/commonweal/trino:476"),
        "objects": 40,
        "digest": "0" * 64,
    }
    seen = Site(
        gateway_url="https://10.77.0.11:30443",
        issuer="https://ca",
        jwks="{}",
        engine=Engine.TRINO,
        node_address="10.77.0.11",
        allocatable=Resources(cpu_millis=1, memory_mib=1, gpus=0),
        agent_version="0.1.0",
        kubernetes_version="v1.37.2",
    )
    return Case(SiteDeclaration.model_validate({**declared, **changes}), seen)


def found(given_: Case, country: str = "CA", charter: SiteRules = CHARTER) -> tuple[str, ...]:
    return contradictions(given_.declared, given_.seen, country, charter)


def test_a_site_that_agrees_with_everybody_contradicts_nobody() -> None:
    assert found(case()) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid_zone": "KR"}, "gridZone: KR is none of the charter's (spec.sites.gridZones)"),
        ({"grid_zone": None}, "gridZone: nothing is none of the charter's (spec.sites.gridZones)"),
        (
            {"images": ("localhost/commonweal-evil/site:1",)},
            "images: localhost/commonweal-evil/site:1 is named neither by digest nor from the charter's "
            "spec.sites.imageSources",
        ),
        ({"engine": Engine.DUCKDB}, "engine: the declaration says duckdb and the agent trino"),
        (
            {"gateway_url": "https://elsewhere"},
            "gatewayUrl: the declaration says https://elsewhere and the agent https://10.77.0.11:30443",
        ),
    ],
)
def test_each_contradiction_is_one_sentence_that_names_the_field(changes: dict[str, Any], said: str) -> None:
    assert found(case(**changes)) == (said,)


def test_a_country_is_held_against_the_charter_and_against_the_member() -> None:
    assert found(case(country="US")) == (
        "country: US is none of the charter's (spec.sites.countries)",
        "country: the declaration says US and the Member CA",
    )
    assert found(case(), country="KR") == ("country: the declaration says CA and the Member KR",)


@given(st.sampled_from(["CA", "US", "KE"]), st.sampled_from([None, "CA-QC", "KE"]))
def test_a_charter_that_bounds_nothing_refuses_no_place(country: str, zone: str | None) -> None:
    assert found(case(country=country, grid_zone=zone, images=(DIGEST,)), country=country, charter=OPEN) == ()


def test_a_charter_without_sources_takes_images_by_digest_alone() -> None:
    assert found(case(images=(DIGEST,)), charter=OPEN) == ()
    assert len(found(case(), charter=OPEN)) == 1
