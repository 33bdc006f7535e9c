"""Which footprints a client is offered: made from released disclosures and the register, filtered, page by page.

Pure. A specific embedded emission is not a product carbon footprint: its boundary ends at the installation's fuels,
electricity and listed precursors. What lies beyond comes from the register, by name, and the footprint says both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import localcontext
from typing import Annotated, Any
from uuid import UUID, uuid5

from pydantic import AwareDatetime, ConfigDict, Field

from apps.trade.assessment import Disclosed
from apps.trade.emissions import LEGAL, ONE
from apps.trade.pact.footprint import SPEC_VERSION, Camel, CarbonFootprint, ProductFootprint
from apps.trade.pact.identities import VALID_YEARS, years_after
from apps.trade.pact.register import Addendum, Client, Product, Register, Tier
from apps.trade.rule_packs import RulePack
from apps.trade.views import plain
from commonweal.transparency import canonical_json

NAMESPACE = UUID("5f2d6c1e-7a43-5b0e-9a6e-0d1f6f1b7c58")  # of the ids of our footprints; drawn once
ADDENDUM_SCHEMA = "https://commonweal.dev/schemas/pact-addendum-1.json"
# What lets one infer how a plant works is for the full tier alone.
FULL_ONLY: dict[str, Any] = {"comment": True, "pcf": {"allocation_rules_description", "dqi"}}


class Criteria(Camel):
    """The filters of a list and of a request: several values of one are alternatives, different ones all hold."""

    model_config = ConfigDict(extra="forbid")
    product_id: tuple[str, ...] = ()
    company_id: tuple[str, ...] = ()
    geography: tuple[str, ...] = ()
    classification: tuple[str, ...] = ()
    valid_on: AwareDatetime | None = None
    valid_after: AwareDatetime | None = None
    valid_before: AwareDatetime | None = None
    status: str | None = None

    def match(self, footprint: ProductFootprint) -> bool:
        """Whether a footprint is one of those asked for; text matches without regard to case."""
        pcf = footprint.pcf
        places = (pcf.geography_country, pcf.geography_region_or_subregion, pcf.geography_country_subdivision)
        start, end = footprint.validity()
        return all(
            (
                _any(self.product_id, footprint.product_ids),
                _any(self.company_id, footprint.company_ids),
                _any(self.geography, [place for place in places if place is not None]),
                _any(self.classification, footprint.product_classifications or ()),
                self.valid_on is None or start <= self.valid_on <= end,
                self.valid_after is None or start > self.valid_after,
                self.valid_before is None or end < self.valid_before,
                self.status is None or self.status.casefold() == footprint.status.casefold(),
            )
        )


class Page(Camel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=0, le=10_000)] = 1000
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A footprint, the tier that it takes to see it, and what single clients alone may know."""

    footprint: ProductFootprint
    tier: Tier
    addenda: Mapping[str, Addendum] = field(default_factory=dict)

    def visible(self, client: Client) -> bool:
        """Whether a client may see it: by its tier, or by an addendum of its own."""
        return client.tier.may_see(self.tier) or client.client_id in self.addenda

    def shown(self, client: Client) -> dict[str, Any]:
        """The footprint as JSON, with what a client may see of it; its addendum as a data model extension."""
        hidden = None if client.tier.may_see(Tier.FULL) else FULL_ONLY
        told = self.footprint.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=hidden)
        addendum = self.addenda.get(client.client_id)
        if addendum is None:
            return told
        data = addendum.model_dump(mode="json", by_alias=True)
        return {**told, "extensions": [{"specVersion": "1.0.0", "dataSchema": ADDENDUM_SCHEMA, "data": data}]}


class Catalogue:
    """Every footprint of one state of register and disclosures, newest period of a product first."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._offers = {str(offer.footprint.id): offer for offer in offers}

    def get(self, footprint_id: str) -> Offer | None:
        """One footprint, whatever the tier."""
        return self._offers.get(footprint_id.lower())

    def matching(self, criteria: Criteria, client: Client) -> list[Offer]:
        """What a client may see of what is asked for."""
        return [offer for offer in self._offers.values() if offer.visible(client) and criteria.match(offer.footprint)]


def build(register: Register, rows: Iterable[Disclosed], packs: Sequence[RulePack]) -> Catalogue:
    """Footprints of every registered product that was disclosed, under the method that shows all emissions."""
    shown = {pack.id for pack in packs if pack.indirect_counts == "all"}
    by_good: dict[tuple[str, str], dict[str, Disclosed]] = {}
    for row in rows:
        if row.rule_pack in shown:
            by_good.setdefault((row.installation_id, row.cn_code), {})[row.period] = row
    return Catalogue(
        offer
        for product in register.products
        for offer in _of_product(product, by_good.get((product.installation_id, product.cn_code), {}))
    )


def _of_product(product: Product, by_period: dict[str, Disclosed]) -> list[Offer]:
    """Newest first; all but the newest are deprecated, and each names those before it."""
    offers: list[Offer] = []
    for position, period in enumerate(sorted(by_period)):
        status = "Active" if position == len(by_period) - 1 else "Deprecated"
        earlier = tuple(offer.footprint.id for offer in reversed(offers))
        footprint = _footprint(product, by_period[period], status, earlier)
        addenda = {each.client_id: each for each in product.addenda}
        offers.append(Offer(footprint=footprint, tier=product.tier, addenda=addenda))
    return offers[::-1]


def _footprint(product: Product, row: Disclosed, status: str, earlier: tuple[UUID, ...]) -> ProductFootprint:
    pcf = _carbon(product, row)
    content: dict[str, Any] = {
        "spec_version": SPEC_VERSION,
        "preceding_pf_ids": earlier or None,
        "created": product.created,
        "status": status,
        "validity_period_start": pcf.reference_period_end,
        "validity_period_end": years_after(pcf.reference_period_end, VALID_YEARS),
        "company_name": product.company_name,
        "company_ids": product.company_ids,
        "product_description": product.product_description,
        "product_ids": product.product_ids,
        "product_classifications": (f"urn:pact:productclassification:cn:{row.cn_code}",),
        "product_name_company": product.product_name_company,
        "comment": (
            f"Disclosed for {row.period} ({row.rule_pack}): direct "
            f"{plain(row.see_direct_t_per_t)}, indirect {plain(row.see_indirect_t_per_t)} kg CO2e/kg, share of default "
            f"values {plain(row.default_share)}, evidence sha256 {row.evidence_sha256}. Beyond their boundary, as "
            f"registered: {plain(product.beyond_see)} kg CO2e/kg."
        ),
        "pcf": pcf,
    }
    unnamed = ProductFootprint.model_validate({"id": UUID(int=0), **content})
    # The id follows from the content, so that every replica gives the same one and a change gives another; the status
    # changes when a newer period comes, and the footprint is still the same.
    written = unnamed.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"id", "status"})
    return unnamed.model_copy(update={"id": uuid5(NAMESPACE, canonical_json(written).decode())})


def _carbon(product: Product, row: Disclosed) -> CarbonFootprint:
    year = int(row.period)
    with localcontext(LEGAL):
        fossil = row.see_direct_t_per_t + row.see_indirect_t_per_t + product.beyond_see  # t/t is kg/kg
    return CarbonFootprint(
        declared_unit_of_measurement="kilogram",
        declared_unit_amount=ONE,
        product_mass_per_declared_unit=ONE,
        reference_period_start=datetime(year, 1, 1, tzinfo=UTC),
        reference_period_end=datetime(year + 1, 1, 1, tzinfo=UTC),
        geography_country=row.country,
        boundary_processes_description=product.boundary_processes_description,
        pcf_excluding_biogenic_uptake=fossil,
        pcf_including_biogenic_uptake=fossil,
        fossil_carbon_content=product.fossil_carbon_content,
        fossil_ghg_emissions=fossil,
        packaging_emissions_included=product.packaging_emissions_included,
        ipcc_characterization_factors=product.ipcc_characterization_factors,
        cross_sectoral_standards=product.cross_sectoral_standards,
        exempted_emissions_percent=product.exempted_emissions_percent,
        allocation_rules_description=product.allocation_rules_description,
        primary_data_share=product.primary_data_share,
        dqi=product.dqi,
    )


def _any(asked: Sequence[str], stated: Sequence[str]) -> bool:
    if not asked:
        return True
    known = {value.casefold() for value in stated}
    return any(value.casefold() in known for value in asked)
