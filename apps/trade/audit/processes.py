"""The steps from a producer's fuels, materials and precursors to the two numbers that it releases of a good."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from apps.trade import emissions
from apps.trade.assessment import Disclosed
from apps.trade.audit import formulas
from apps.trade.audit.evidence import DISCLOSURE
from apps.trade.audit.formulas import Formula
from apps.trade.audit.steps import Operand, Trace
from apps.trade.disclosures import Disclosure, embedded_as, per_unit
from apps.trade.emissions import LEGAL
from apps.trade.precursors import Embedded, Process, of_bought
from apps.trade.products import AMOUNTS, ELECTRICITY, BoughtPrecursor, MadePrecursor, Product, metered
from apps.trade.rule_packs import RulePack

# Per kind of source: its equation, and its fields with their units.
SOURCES: dict[str, tuple[Formula, dict[str, str]]] = {
    "mass_balance": (formulas.MASS_BALANCE, {"amount_t": "t", "carbon_t_per_t": "t C/t", "biomass_share": "1"}),
    "combustion": (
        formulas.COMBUSTION,
        {
            "amount_t": "t",
            "ncv_gj_per_t": "GJ/t",
            "factor_t_per_tj": "t CO2/TJ",
            "oxidation": "1",
            "biomass_share": "1",
        },
    ),
    "process": (formulas.PROCESS, {"amount_t": "t", "factor_t_per_t": "t CO2/t", "conversion": "1"}),
    "nitrous_oxide": (formulas.NITROUS_OXIDE, {"n2o_t": "t", "abated_share": "1"}),
    "perfluorocarbons": (
        formulas.PERFLUOROCARBONS,
        {
            "aluminium_t": "t",
            "anode_effect_minutes": "min/cell-day",
            "slope_kg_per_t_minute": "kg CF4/(t min)",
            "c2f6_per_cf4": "t/t",
            "collection_efficiency": "1",
        },
    ),
    "measured": (formulas.MEASURED, {"co2e": "t CO2e"}),
}


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The operands that stand for what a product embeds in the steps of the goods that it becomes."""

    direct: Operand
    indirect: Operand
    default_direct: Operand


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What every step of one good shares; `outputs` grows as products are done, precursors first.

    `products` are those of the disclosure with their amounts as they count.
    """

    trace: Trace
    pack: RulePack
    found: Mapping[str, Embedded]
    outputs: dict[str, Outputs]
    disclosure: Disclosure
    products: Mapping[str, Product]


def released(trace: Trace, disclosure: Disclosure, row: Disclosed, pack: RulePack) -> tuple[Operand, Operand]:
    """Add the steps that lead to a released row; returns its direct and its indirect SEE as operands."""
    products = {product.name: (index, product) for index, product in enumerate(disclosure.products)}
    made = next(product for product in disclosure.products if row.cn_code in product.cn_codes)
    wanted = needed(disclosure, made)
    with localcontext(LEGAL):
        processes = disclosure.processes()
        found = embedded_as(processes, made, row.cn_code, pack)
        counted = {product.name: product for product in disclosure.counted_products()}
        walk = Walk(trace=trace, pack=pack, found=found, outputs={}, disclosure=disclosure, products=counted)
        for name in found:
            if name in wanted:
                code = row.cn_code if name == made.name else processes[name].cn_code
                walk.outputs[name] = _product(walk, processes[name], *products[name], code)
        see = _per_unit(walk, made, products[made.name][0], row.cn_code)
        _default_share(walk, made, row)
    direct = trace.add(made.name, formulas.STORED, [see.direct.named("direct SEE")], row.see_direct_t_per_t)
    indirect = trace.add(made.name, formulas.STORED, [see.indirect.named("indirect SEE")], row.see_indirect_t_per_t)
    return direct, indirect


def needed(disclosure: Disclosure, made: Product) -> set[str]:
    """The product and everything of the same disclosure that goes into it."""
    by_name = {product.name: product for product in disclosure.products}
    found: set[str] = set()
    waiting = [made.name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [each.product for each in by_name[name].precursors if isinstance(each, MadePrecursor)]
    return found


def _product(walk: Walk, process: Process, index: int, product: Product, cn_code: str) -> Outputs:
    base = f"{DISCLOSURE}#/products/{index}"
    direct = walk.trace.add(product.name, formulas.DIRECT, _emissions(walk, product, base), process.direct_t)
    power = product.electricity
    consumed_mwh = field(base, "electricity/consumed_mwh", "MWh", power.consumed_mwh)
    consumed = [
        _as_counted(walk, product, ELECTRICITY, consumed_mwh, walk.products[product.name].electricity.consumed_mwh),
        field(base, "electricity/factor_t_per_mwh", "t CO2/MWh", power.factor_t_per_mwh),
    ]
    indirect = walk.trace.add(product.name, formulas.INDIRECT, consumed, process.indirect_t)
    parts = [_precursor(walk, each, f"{base}/precursors/{i}") for i, each in enumerate(product.precursors)]
    counts = Operand(
        name="counts indirect",
        unit="yes or no",
        value="yes" if walk.pack.counts_indirect(cn_code) else "no",
        source=f"{walk.pack.id}.yaml#/annex_ii",
    )
    activity = activity_of(walk.trace, product, base)
    see = walk.found[product.name]

    def step(formula: Formula, first: list[Operand], chosen: Callable[[Outputs], Operand], output: Decimal) -> Operand:
        masses = [part for mass, outputs in parts for part in (mass, chosen(outputs).named(f"SEE of {mass.name}"))]
        return walk.trace.add(product.name, formula, [*first, activity, *masses], output)

    return Outputs(
        direct=step(formulas.SEE_DIRECT, [direct], lambda each: each.direct, see.direct_t_per_t),
        indirect=step(formulas.SEE_INDIRECT, [indirect, counts], lambda each: each.indirect, see.indirect_t_per_t),
        default_direct=step(formulas.DEFAULT_DIRECT, [], lambda each: each.default_direct, see.default_direct_t_per_t),
    )


def activity_of(trace: Trace, product: Product, base: str) -> Operand:
    """The activity of a product; with co-products the step that shares with them."""
    activity = field(base, "activity_t", "t", product.activity_t)
    if not product.co_products:
        return activity
    masses = [activity.named("mass"), *_each(product, base, "mass_t", "t")]
    if product.molar_mass_g_per_mol is None or any(each.molar_mass_g_per_mol is None for each in product.co_products):
        return trace.add(product.name, formulas.SHARED_BY_MASS, masses, product.attributed_activity_t())
    name, unit = "molar_mass_g_per_mol", "g/mol"
    molar = [field(base, name, unit, product.molar_mass_g_per_mol), *_each(product, base, name, unit)]
    operands = [each for pair in zip(masses, molar, strict=True) for each in pair]
    return trace.add(product.name, formulas.SHARED_BY_MOLES, operands, product.attributed_activity_t())


def _each(product: Product, base: str, name: str, unit: str) -> list[Operand]:
    """A field of every co-product."""
    return [
        field(f"{base}/co_products/{index}", name, unit, getattr(each, name))
        for index, each in enumerate(product.co_products)
    ]


def _as_counted(walk: Walk, product: Product, data: str, stated: Operand, counted: Decimal) -> Operand:
    """An amount as stated, or as counted where a step of its own corrects it to the installation's meter."""
    totals = walk.disclosure.installation_totals
    index = next((i for i, each in enumerate(totals) if each.data == data), None)
    if index is None:
        return stated
    total = field(f"{DISCLOSURE}#/installation_totals/{index}", "total", stated.unit, totals[index].total)
    parts = [
        Operand(name=f"of {each.product}", unit=stated.unit, value=each.amount, source=f"{DISCLOSURE}#{each.pointer}")
        for each in metered(walk.disclosure.products, data)
    ]
    return walk.trace.add(product.name, formulas.RECONCILED, [stated, total, *parts], counted).named(stated.name)


def _emissions(walk: Walk, product: Product, base: str) -> list[Operand]:
    """The operands of equation 55, each with the step behind it."""
    operands, trace = [], walk.trace
    for index, (source, counted) in enumerate(zip(product.sources, walk.products[product.name].sources, strict=True)):
        formula, units = SOURCES[source.kind]
        where = f"{base}/sources/{index}"
        fields = [field(where, name, unit, getattr(source, name)) for name, unit in units.items()]
        amounts = [
            _as_counted(walk, product, source.name, each, getattr(counted, each.name))
            if each.name == AMOUNTS.get(source.kind)
            else each
            for each in fields
        ]
        operands.append(trace.add(product.name, formula, amounts, counted.co2e_t()).named(source.name))
    gas, power, heat = product.waste_gas, product.electricity, product.heat
    for formula, name, energy_tj, rule in (
        (formulas.WASTE_GAS_IN, "imported_tj", gas.imported_tj, emissions.waste_gas_imported_t),
        (formulas.WASTE_GAS_OUT, "exported_tj", gas.exported_tj, emissions.waste_gas_exported_t),
    ):
        energy = field(base, f"waste_gas/{name}", "TJ", energy_tj)
        operands.append(trace.add(product.name, formula, [energy], rule(energy_tj)))
    if heat is not None:
        units = {"factor_t_per_tj": "t CO2/TJ", "imported_tj": "TJ", "exported_tj": "TJ", "efficiency": "1"}
        fields = [field(f"{base}/heat", name, unit, getattr(heat, name)) for name, unit in units.items()]
        operands.append(trace.add(product.name, formulas.HEAT, fields, heat.correction_t()))
    exported = [
        field(base, "electricity/exported_mwh", "MWh", power.exported_mwh),
        field(base, "electricity/exported_factor_t_per_mwh", "t CO2/MWh", power.exported_factor_t_per_mwh),
    ]
    relief_t = emissions.electricity_t(power.exported_mwh, power.exported_factor_t_per_mwh)
    operands.append(trace.add(product.name, formulas.POWER_OUT, exported, relief_t))
    return operands


def _precursor(walk: Walk, precursor: BoughtPrecursor | MadePrecursor, base: str) -> tuple[Operand, Outputs]:
    """The mass of a precursor, named as the precursor, and what a tonne of it embeds."""
    mass = field(base, "amount_t", "t", precursor.amount_t)
    if isinstance(precursor, MadePrecursor):
        return mass.named(precursor.product), walk.outputs[precursor.product]
    bought = precursor.rule_input()
    see = of_bought(bought, walk.pack.scope())
    reported = field(base, "direct_t_per_t", "t CO2e/t", precursor.direct_t_per_t)
    origin = field(base, "origin", "country", precursor.origin or "not stated")
    power = [
        field(base, "electricity_mwh_per_t", "MWh/t", precursor.electricity_mwh_per_t),
        field(base, "factor_t_per_mwh", "t CO2/MWh", precursor.factor_t_per_mwh),
    ]
    indirect = walk.trace.add(precursor.name, formulas.PRECURSOR_POWER, power, bought.indirect_t_per_t)
    code = field(base, "cn_code", "CN code", precursor.cn_code)
    default = field(base, "is_default", "yes or no", "yes" if precursor.is_default else "no")

    def step(formula: Formula, operands: list[Operand], output: Decimal) -> Operand:
        return walk.trace.add(precursor.name, formula, operands, output)

    outputs = Outputs(
        direct=step(formulas.PRECURSOR_DIRECT, [reported, code, origin], see.direct_t_per_t),
        indirect=step(formulas.PRECURSOR_INDIRECT, [indirect, code, origin], see.indirect_t_per_t),
        default_direct=step(formulas.PRECURSOR_DEFAULT, [reported, default, code, origin], see.default_direct_t_per_t),
    )
    return mass.named(precursor.name), outputs


def _per_unit(walk: Walk, product: Product, index: int, cn_code: str) -> Outputs:
    """SEE per functional unit of the pack: per tonne of the clinker or nitrogen in it (Article 4)."""
    see = walk.outputs[product.name]
    contained = walk.pack.contained(cn_code)
    if contained is None:
        return see
    name = f"{contained}_t_per_t"
    content = field(f"{DISCLOSURE}#/products/{index}", name, "t/t", getattr(product, name))
    unit = per_unit(walk.found[product.name], product, cn_code, walk.pack)

    def step(operand: Operand, output: Decimal) -> Operand:
        return walk.trace.add(product.name, formulas.PER_CONTAINED[contained], [operand, content], output)

    return Outputs(
        direct=step(see.direct, unit.direct_t_per_t),
        indirect=step(see.indirect, unit.indirect_t_per_t),
        default_direct=step(see.default_direct, unit.default_direct_t_per_t),
    )


def _default_share(walk: Walk, product: Product, row: Disclosed) -> None:
    see = walk.outputs[product.name]
    walk.trace.add(product.name, formulas.DEFAULT_SHARE, [see.default_direct, see.direct], row.default_share)


def field(base: str, path: str, unit: str, value: Decimal | str) -> Operand:
    """A field of an input as an operand, named by the last part of its path."""
    name = path.rsplit("/", 1)[-1]
    return Operand(name=name, unit=unit, value=value, source=f"{base}/{path}")
