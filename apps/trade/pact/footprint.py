"""The data model of PACT v3 as pydantic: what a footprint must and may say. Amounts are kg CO2e per declared unit.

Unknown properties are left aside, since later revisions add some; wrong known ones are refused by name.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from apps.trade.pact import identities
from apps.trade.pact.decimals import Exact, NotNegative, NotPositive, Percent, Positive, Rating

SPEC_VERSION = "3.0.0"
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Urn = Annotated[str, Field(pattern=r"^[uU][rR][nN]:.+$", max_length=512)]
Urns = Annotated[tuple[Urn, ...], Field(min_length=1, max_length=100)]
Unit = Literal[
    "liter",
    "kilogram",
    "cubic meter",
    "kilowatt hour",
    "megajoule",
    "ton kilometer",
    "square meter",
    "piece",
    "hour",
    "megabit second",
]
Characterization = Annotated[str, Field(pattern=r"^AR[0-9]+$")]
Standards = Annotated[tuple[Text, ...], Field(min_length=1, max_length=20)]
Characterizations = Annotated[tuple[Characterization, ...], Field(min_length=1, max_length=10)]


class Camel(BaseModel):
    """Frozen; names of properties as the specification writes them, or as Python does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class DataQuality(Camel):
    """Ratings from 1 to 5 (the data model's page still says 3, the schema 5)."""

    technological_dqr: Annotated[Rating, Field(alias="technologicalDQR")]
    geographical_dqr: Annotated[Rating, Field(alias="geographicalDQR")]
    temporal_dqr: Annotated[Rating, Field(alias="temporalDQR")]


class Verification(Camel):
    """Who verified the footprint."""

    coverage: Literal["PCF calculation model", "PCF program", "product level"] | None = None
    provider_name: str | None = None
    completed_at: AwareDatetime | None = None
    standard_name: str | None = None
    comments: str | None = None


class CarbonFootprint(Camel):
    """The numbers of one footprint; they add up, or it is refused (identities.py)."""

    declared_unit_of_measurement: Unit
    declared_unit_amount: Positive
    product_mass_per_declared_unit: NotNegative
    reference_period_start: AwareDatetime
    reference_period_end: AwareDatetime
    geography_region_or_subregion: Text | None = None
    geography_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    geography_country_subdivision: Annotated[str, Field(pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$")] | None = None
    boundary_processes_description: str | None = None
    pcf_excluding_biogenic_uptake: Exact
    pcf_including_biogenic_uptake: Exact
    fossil_carbon_content: NotNegative
    biogenic_carbon_content: NotNegative | None = None
    recycled_carbon_content: NotNegative | None = None
    fossil_ghg_emissions: NotNegative
    land_use_change_ghg_emissions: NotNegative | None = None
    land_carbon_leakage: NotNegative | None = None
    land_management_fossil_ghg_emissions: NotNegative | None = None
    land_management_biogenic_co2_emissions: Annotated[
        NotNegative | None, Field(alias="landManagementBiogenicCO2Emissions")
    ] = None
    land_management_biogenic_co2_removals: Annotated[
        NotPositive | None, Field(alias="landManagementBiogenicCO2Removals")
    ] = None
    biogenic_co2_uptake: Annotated[NotPositive | None, Field(alias="biogenicCO2Uptake")] = None
    biogenic_non_co2_emissions: Annotated[NotNegative | None, Field(alias="biogenicNonCO2Emissions")] = None
    land_area_occupation: NotNegative | None = None
    aircraft_ghg_emissions: NotNegative | None = None
    packaging_emissions_included: bool | None = None
    packaging_ghg_emissions: NotNegative | None = None
    packaging_biogenic_carbon_content: NotNegative | None = None
    outbound_logistics_ghg_emissions: NotNegative | None = None
    technological_co2_capture_origin: Annotated[str | None, Field(alias="technologicalCO2CaptureOrigin")] = None
    technological_co2_removals: Annotated[NotNegative | None, Field(alias="technologicalCO2Removals")] = None
    ccs_technological_co2_capture_included: Annotated[
        bool | None, Field(alias="ccsTechnologicalCO2CaptureIncluded")
    ] = None
    ccs_technological_co2_capture: Annotated[NotPositive | None, Field(alias="ccsTechnologicalCO2Capture")] = None
    ipcc_characterization_factors: Characterizations
    cross_sectoral_standards: Standards
    exempted_emissions_percent: Percent
    exempted_emissions_description: str | None = None
    allocation_rules_description: str | None = None
    primary_data_share: Percent | None = None
    dqi: DataQuality | None = None
    verification: Verification | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> "CarbonFootprint":
        problems = list(identities.broken(self))
        if problems:
            raise ValueError(" | ".join(problems))
        return self


class ProductFootprint(Camel):
    """One immutable footprint of one product; a change makes another with another id."""

    id: UUID
    spec_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9]{8})?$")]
    preceding_pf_ids: Annotated[tuple[UUID, ...], Field(min_length=1)] | None = None
    created: AwareDatetime
    status: Literal["Active", "Deprecated"]
    validity_period_start: AwareDatetime | None = None
    validity_period_end: AwareDatetime | None = None
    company_name: Text
    company_ids: Urns
    product_description: str
    product_ids: Urns
    product_classifications: Urns | None = None
    product_name_company: Text
    comment: str | None = None
    pcf: CarbonFootprint

    @model_validator(mode="after")
    def _is_valid_for_a_while(self) -> "ProductFootprint":
        problems = list(identities.broken_validity(self))
        if problems:
            raise ValueError(" | ".join(problems))
        return self

    def validity(self) -> tuple[datetime, datetime]:
        """Start and end of validity; where none is stated, three years from the end of the reference period."""
        end_of_data = self.pcf.reference_period_end
        return (
            self.validity_period_start or end_of_data,
            self.validity_period_end or identities.years_after(end_of_data, identities.VALID_YEARS),
        )
