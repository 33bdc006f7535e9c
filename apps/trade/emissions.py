"""How much carbon dioxide one production process is charged with, before precursors.

Pure rules, one equation each. Equation numbers are those of Implementing Regulation (EU) 2025/2547 unless said;
the transitional method of (EU) 2023/1773 has the same forms. Every amount is a Decimal: these are legal values.
"""

from collections.abc import Iterable
from decimal import Context, Decimal

LEGAL = Context(prec=60)  # wide enough that sums and products of reported figures are exact; only divisions round
CO2_PER_CARBON = Decimal("3.664")  # the Regulation's figure; 44/12 would be 0.07 % off
NATURAL_GAS_T_PER_TJ = Decimal("56.1")
WASTE_GAS_EXPORT_CORRECTION = Decimal("0.667")  # what burning the same energy as natural gas would be worth
GJ_PER_TJ = Decimal(1000)
GWP_N2O = Decimal(265)
GWP_CF4 = Decimal(6630)
GWP_C2F6 = Decimal(11100)
ONE = Decimal(1)
ZERO = Decimal(0)


def mass_balance_co2_t(mass_t: Decimal, carbon_t_per_t: Decimal, biomass_share: Decimal = ZERO) -> Decimal:
    """Carbon that one material brings in (or, with a negative mass, carries out), as tonnes CO2."""
    return mass_t * carbon_t_per_t * (ONE - biomass_share) * CO2_PER_CARBON


def combustion_co2_t(
    mass_t: Decimal,
    ncv_gj_per_t: Decimal,
    factor_t_per_tj: Decimal,
    oxidation: Decimal = ONE,
    biomass_share: Decimal = ZERO,
) -> Decimal:
    """Tonnes CO2 of a fuel: mass x net calorific value x emission factor x oxidation x fossil share."""
    return mass_t * ncv_gj_per_t / GJ_PER_TJ * factor_t_per_tj * oxidation * (ONE - biomass_share)


def process_co2_t(amount_t: Decimal, factor_t_per_t: Decimal, conversion: Decimal = ONE) -> Decimal:
    """Tonnes CO2 that a material gives off in the process itself: amount x factor x conversion."""
    return amount_t * factor_t_per_t * conversion


def nitrous_oxide_co2e_t(n2o_t: Decimal, abated_share: Decimal = ZERO) -> Decimal:
    """Tonnes CO2e of nitrous oxide, as nitric acid plants give off: mass x (1 - abated) x 265 (Table 6, AR5)."""
    return n2o_t * (ONE - abated_share) * GWP_N2O


def perfluorocarbons_co2e_t(
    aluminium_t: Decimal,
    anode_effect_minutes: Decimal,
    slope_kg_per_t_minute: Decimal,
    c2f6_per_cf4: Decimal,
    collection_efficiency: Decimal,
) -> Decimal:
    """Tonnes CO2e of anode effects by the slope method (equations 20 to 23; warming potentials of AR5).

    `anode_effect_minutes` is frequency x duration per cell and day. The efficiency must be above zero.
    """
    cf4_t = anode_effect_minutes * slope_kg_per_t_minute / 1000 * aluminium_t
    return (cf4_t * GWP_CF4 + cf4_t * c2f6_per_cf4 * GWP_C2F6) / collection_efficiency


def waste_gas_imported_t(energy_tj: Decimal) -> Decimal:
    """Charge for waste gas taken in, as if it were natural gas (equation 53)."""
    return energy_tj * NATURAL_GAS_T_PER_TJ


def waste_gas_exported_t(energy_tj: Decimal) -> Decimal:
    """Relief for waste gas handed on to others (equation 54)."""
    return energy_tj * NATURAL_GAS_T_PER_TJ * WASTE_GAS_EXPORT_CORRECTION


def heat_t(energy_tj: Decimal, factor_t_per_tj: Decimal, efficiency: Decimal = ONE) -> Decimal:
    """Tonnes CO2 of measurable heat (equation 44). The efficiency must be above zero."""
    return factor_t_per_tj * energy_tj / efficiency


def electricity_t(energy_mwh: Decimal, factor_t_per_mwh: Decimal) -> Decimal:
    """Indirect emissions of electricity consumed, or relief for electricity produced (equation 56)."""
    return energy_mwh * factor_t_per_mwh


def attributed_direct_t(sources_t: Iterable[Decimal], corrections_t: Iterable[Decimal] = ()) -> Decimal:
    """Direct emissions attributed to a process, never below zero (equation 55).

    `corrections_t` are signed: imported heat and waste gas add, exported heat, waste gas and electricity subtract.
    """
    return max(ZERO, sum(sources_t, ZERO) + sum(corrections_t, ZERO))
