"""What a production process burns, transforms and exchanges, as a disclosure states it: one model a kind of source.

Each gives its tonnes CO2e by the rule of emissions.py; which fields a kind has is read by the audit trace too.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from apps.trade import emissions
from apps.trade.emissions import ONE, ZERO
from apps.trade.goods import NotNegative, Positive, Share, Signed, Strict

Name = Annotated[str, Field(min_length=1, max_length=128)]


class MassBalance(Strict):
    """A material of a carbon balance; what leaves the process has a negative amount."""

    kind: Literal["mass_balance"]
    name: Name
    amount_t: Signed
    carbon_t_per_t: Share
    biomass_share: Share = ZERO

    def co2e_t(self) -> Decimal:
        """Tonnes CO2e of this material."""
        return emissions.mass_balance_co2_t(self.amount_t, self.carbon_t_per_t, self.biomass_share)


class Combustion(Strict):
    """A fuel burnt."""

    kind: Literal["combustion"]
    name: Name
    amount_t: NotNegative
    ncv_gj_per_t: NotNegative
    factor_t_per_tj: NotNegative
    oxidation: Share = ONE
    biomass_share: Share = ZERO

    def co2e_t(self) -> Decimal:
        """Tonnes CO2e of this fuel."""
        return emissions.combustion_co2_t(
            self.amount_t, self.ncv_gj_per_t, self.factor_t_per_tj, self.oxidation, self.biomass_share
        )


class ProcessEmission(Strict):
    """A material that gives off CO2 in the process."""

    kind: Literal["process"]
    name: Name
    amount_t: NotNegative
    factor_t_per_t: NotNegative
    conversion: Share = ONE

    def co2e_t(self) -> Decimal:
        """Tonnes CO2e of this material."""
        return emissions.process_co2_t(self.amount_t, self.factor_t_per_t, self.conversion)


class NitrousOxide(Strict):
    """Nitrous oxide before abatement, and the share of it that abatement destroys, as in nitric acid plants."""

    kind: Literal["nitrous_oxide"]
    name: Name
    n2o_t: NotNegative
    abated_share: Share = ZERO

    def co2e_t(self) -> Decimal:
        """Tonnes CO2e of what is left."""
        return emissions.nitrous_oxide_co2e_t(self.n2o_t, self.abated_share)


class Perfluorocarbons(Strict):
    """Anode effects of aluminium smelting, by the slope method."""

    kind: Literal["perfluorocarbons"]
    name: Name
    aluminium_t: NotNegative
    anode_effect_minutes: NotNegative
    slope_kg_per_t_minute: NotNegative
    c2f6_per_cf4: NotNegative
    collection_efficiency: Annotated[Positive, Field(le=1)]

    def co2e_t(self) -> Decimal:
        """Tonnes CO2e of the anode effects."""
        return emissions.perfluorocarbons_co2e_t(
            self.aluminium_t,
            self.anode_effect_minutes,
            self.slope_kg_per_t_minute,
            self.c2f6_per_cf4,
            self.collection_efficiency,
        )


class Measured(Strict):
    """Emissions already determined, by measurement or in a verified report."""

    kind: Literal["measured"]
    name: Name
    co2e: NotNegative = Field(alias="co2e_t")

    def co2e_t(self) -> Decimal:
        """Tonnes CO2e as reported."""
        return self.co2e


Source = Annotated[
    MassBalance | Combustion | ProcessEmission | NitrousOxide | Perfluorocarbons | Measured,
    Field(discriminator="kind"),
]


class WasteGas(Strict):
    """Waste gas taken in and handed on, by energy."""

    imported_tj: NotNegative = ZERO
    exported_tj: NotNegative = ZERO

    def correction_t(self) -> Decimal:
        """Signed tonnes CO2."""
        return emissions.waste_gas_imported_t(self.imported_tj) - emissions.waste_gas_exported_t(self.exported_tj)


class Heat(Strict):
    """Measurable heat taken in and handed on; the factor is that of its fuel mix."""

    factor_t_per_tj: NotNegative
    imported_tj: NotNegative = ZERO
    exported_tj: NotNegative = ZERO
    efficiency: Annotated[Positive, Field(le=1)] = ONE

    def correction_t(self) -> Decimal:
        """Signed tonnes CO2."""
        return emissions.heat_t(self.imported_tj - self.exported_tj, self.factor_t_per_tj, self.efficiency)


class Electricity(Strict):
    """Electricity consumed, and electricity produced and handed on."""

    factor_t_per_mwh: NotNegative
    consumed_mwh: NotNegative = ZERO
    exported_mwh: NotNegative = ZERO
    exported_factor_t_per_mwh: NotNegative = ZERO
