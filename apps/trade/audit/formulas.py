"""The equations that a trace may cite, one entry each: what it computes, in words, and where the law says so.

Equation numbers are those of Implementing Regulation (EU) 2025/2547; the transitional method of (EU) 2023/1773 has the
same forms. Where the project's handbook holds no number, `equation` is null rather than a guess.
"""

from dataclasses import dataclass

from apps.trade.rule_packs import Contained

METHOD = "32025R2547"
DEFAULTS = "32025R2621"
SCOPE = "32023R0956"


@dataclass(frozen=True, kw_only=True)
class Formula:
    """One equation: its id, the sentence that a person can recompute it by, the unit of its output, its citation."""

    id: str
    says: str
    unit: str
    celex: str = METHOD
    article: str | None = None
    annex: str | None = None
    equation: str | None = None


MASS_BALANCE = Formula(
    id="mass-balance",
    says="amount x carbon x (1 - biomass share) x 3.664",
    unit="t CO2e",
    annex="II",
)
COMBUSTION = Formula(
    id="combustion",
    says="amount x net calorific value / 1000 x emission factor x oxidation x (1 - biomass share)",
    unit="t CO2e",
    annex="II",
)
PROCESS = Formula(id="process-emission", says="amount x emission factor x conversion factor", unit="t CO2e", annex="II")
NITROUS_OXIDE = Formula(id="nitrous-oxide", says="mass x (1 - abated share) x 265", unit="t CO2e", annex="II")
PERFLUOROCARBONS = Formula(
    id="perfluorocarbons",
    says="CF4 = anode effect minutes x slope / 1000 x aluminium; CF4 x (6630 + F x 11100) / collection efficiency",
    unit="t CO2e",
    equation="20 to 23",
)
MEASURED = Formula(id="measured", says="as reported", unit="t CO2e", annex="II")
WASTE_GAS_IN = Formula(id="waste-gas-imported", says="energy x 56.1", unit="t CO2e", equation="53")
WASTE_GAS_OUT = Formula(id="waste-gas-exported", says="energy x 56.1 x 0.667", unit="t CO2e", equation="54")
HEAT = Formula(
    id="heat", says="emission factor x (energy imported - energy exported) / efficiency", unit="t CO2e", equation="44"
)
POWER_OUT = Formula(id="electricity-exported", says="energy x emission factor", unit="t CO2e", equation="55")
DIRECT = Formula(
    id="attributed-direct",
    says="sum of the sources + waste gas imported - waste gas exported + heat - electricity exported, at least 0",
    unit="t CO2e",
    equation="55",
)
INDIRECT = Formula(
    id="attributed-indirect", says="electricity consumed x emission factor", unit="t CO2e", equation="56"
)
PRECURSOR_POWER = Formula(
    id="precursor-electricity", says="electricity x emission factor", unit="t CO2e/t", equation="58"
)
PRECURSOR_DIRECT = Formula(
    id="precursor-direct",
    says="direct SEE; 0 of scrap and of zero-rated origins",
    unit="t CO2e/t",
    equation="59 to 60",
)
PRECURSOR_INDIRECT = Formula(
    id="precursor-indirect",
    says="indirect SEE where the precursor's own code counts it; 0 where not, of scrap and of zero-rated origins",
    unit="t CO2e/t",
    annex="I, 3.1",
)
PRECURSOR_DEFAULT = Formula(
    id="precursor-default-part",
    says="direct SEE of the precursor where it is a default value, else 0; 0 of scrap and of zero-rated origins",
    unit="t CO2e/t",
    annex="IV, 15(d)",
)
SEE_DIRECT = Formula(
    id="see-direct",
    says="(attributed direct + sum of precursor mass x direct SEE) / activity",
    unit="t CO2e/t",
    equation="57, 59 to 63",
)
SEE_INDIRECT = Formula(
    id="see-indirect",
    says="(attributed indirect where the good's code counts it + sum of precursor mass x indirect SEE) / activity",
    unit="t CO2e/t",
    equation="58, 59 to 63",
)
DEFAULT_DIRECT = Formula(
    id="default-direct",
    says="sum of precursor mass x default part / activity",
    unit="t CO2e/t",
    annex="IV, 15(d)",
)
DEFAULT_SHARE = Formula(
    id="default-share",
    says="default part / direct SEE, 0 where the SEE is 0; rounded half to even at 18 decimals",
    unit="1",
    annex="IV, 15(d)",
)
PER_CONTAINED: dict[Contained, Formula] = {
    "clinker": Formula(
        id="per-clinker", says="SEE / clinker content", unit="t CO2e/t of clinker contained", article="4"
    ),
    "nitrogen": Formula(
        id="per-nitrogen", says="SEE / nitrogen content", unit="t CO2e/t of nitrogen contained", article="4"
    ),
}
STORED = Formula(
    id="stored",
    says="rounded half to even at 18 decimals, the scale of the table facility_disclosures",
    unit="t CO2e/t",
)
QUANTITY = Formula(id="quantity", says="net mass / 1000", unit="t", article="4")
QUANTITY_CONTAINED: dict[Contained, Formula] = {
    "clinker": Formula(
        id="quantity-clinker", says="net mass / 1000 x clinker content", unit="t of clinker contained", article="4"
    ),
    "nitrogen": Formula(
        id="quantity-nitrogen", says="net mass / 1000 x nitrogen content", unit="t of nitrogen contained", article="4"
    ),
}
ZERO_RATED = Formula(
    id="zero-rated", says="0: the origin is one of those that the rule pack rates zero", unit="t CO2e/t", celex=SCOPE
)
DEFAULT_ROW = Formula(
    id="default-row",
    says="the total of the origin's row, or of the fallback's whole row where the origin has none",
    unit="t CO2e/t",
    celex=DEFAULTS,
    annex="I",
)
MARK_UP = Formula(
    id="mark-up", says="value x (10000 + mark-up in basis points) / 10000", unit="t CO2e/t", celex=DEFAULTS
)
COUNTED = Formula(id="see-counted", says="direct SEE + indirect SEE", unit="t CO2e/t", annex="I, 3.1")
TONNES = Formula(id="tonnes-counted", says="quantity x counted SEE", unit="t CO2e")

RECONCILED = Formula(
    id="reconciled",
    says="amount x the installation's total / sum of the amounts of its processes",
    unit="as metered",
    annex="III, A.1",
    equation="41 to 42",
)
SHARED_BY_MOLES = Formula(
    id="shared-by-moles",
    says="molar mass x sum of mass / molar mass over the product and its co-products: what emissions are divided by",
    unit="t",
    annex="III, A.2.1",
    equation="43, 57",
)
SHARED_BY_MASS = Formula(
    id="shared-by-mass",
    says="sum of the masses of the product and its co-products, as a molar mass is not known",
    unit="t",
    annex="III, A.2.1",
)
ALLOCATION = "32025R2620"
BENCHMARK = Formula(
    id="benchmark-scaled",
    says="benchmark x CBAM factor in basis points / 10000 x correction factor",
    unit="t CO2e/t",
    celex=ALLOCATION,
)
NOTHING_FREE = Formula(
    id="nothing-free", says="0: what embeds nothing is allocated nothing", unit="t CO2e/t", celex=ALLOCATION
)
ACTIVITY_CLINKER = Formula(
    id="activity-clinker", says="activity x clinker content", unit="t of clinker contained", article="4"
)
SEFA = Formula(
    id="free-allocation",
    says="own benchmark, scaled + sum of precursor amount / activity x free allocation of the precursor",
    unit="t CO2e/t",
    celex=ALLOCATION,
)
SEFA_NITROGEN = Formula(
    id="free-allocation-per-nitrogen",
    says="free allocation / nitrogen content",
    unit="t CO2e/t of nitrogen contained",
    article="4",
)
PRICE_PAID = Formula(
    id="carbon-price-paid",
    says="carbon price paid / price of a certificate",
    unit="certificates",
    celex=SCOPE,
    article="9",
)
CERTIFICATES = Formula(
    id="certificates",
    says="quantity x (counted SEE - free allocation) - carbon price paid in certificates, at least 0",
    unit="certificates",
    celex=SCOPE,
    article="22",
)
COST = Formula(id="cost", says="certificates x price of a certificate", unit="EUR", celex=SCOPE, article="22")
