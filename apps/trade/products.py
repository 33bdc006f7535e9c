"""What one production process states of itself: sources, electricity, heat, precursors, co-products, and its goods.

Amounts that the installation meters as a whole too are corrected to its meter before anything is computed from them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from apps.trade import emissions
from apps.trade.attribution import AttributionError, Output, attributed_activity_t, reconciled, reconciliation_factor
from apps.trade.emission_sources import Electricity, Heat, Name, Source, WasteGas
from apps.trade.goods import CnCode, Country, NotNegative, Positive, Signed, Strict, Year
from apps.trade.precursors import Bought, Made, Process
from apps.trade.rule_packs import CBAM

ELECTRICITY = "electricity"
# Of the kinds of source that have a metered amount, the field that holds it.
AMOUNTS = {"mass_balance": "amount_t", "combustion": "amount_t", "process": "amount_t", "nitrous_oxide": "n2o_t"}
Scaled = TypeVar("Scaled", bound=Strict)


class BoughtPrecursor(Strict):
    """A precursor from elsewhere, with what its supplier, or a default value, says that it embeds.

    `verified_for` is the year that the verification report of its supplier covers; a default value needs none.
    `free_allocation_t_per_t` is its supplier's verified SEFA per tonne; without it the benchmark of column B counts.
    `label` is the method that its numbers follow; it must be the good's own.
    """

    kind: Literal["bought"]
    name: Name
    cn_code: CnCode
    amount_t: NotNegative
    direct_t_per_t: NotNegative
    electricity_mwh_per_t: NotNegative
    factor_t_per_mwh: NotNegative
    origin: Country | None = None
    is_default: bool = False
    verified_for: Year | None = None
    free_allocation_t_per_t: NotNegative | None = None
    label: Name = CBAM

    def rule_input(self) -> Bought:
        """The precursor as the rules take it."""
        return Bought(
            name=self.name,
            cn_code=self.cn_code,
            origin=self.origin,
            mass_t=self.amount_t,
            direct_t_per_t=self.direct_t_per_t,
            indirect_t_per_t=emissions.electricity_t(self.electricity_mwh_per_t, self.factor_t_per_mwh),
            is_default=self.is_default,
        )


class MadePrecursor(Strict):
    """A precursor that another product of the same disclosure is."""

    kind: Literal["made"]
    product: Name
    amount_t: NotNegative


class CoProduct(Strict):
    """Another substance that leaves the same process, as chlorine does beside hydrogen; its molar mass where known."""

    name: Name
    mass_t: Positive
    molar_mass_g_per_mol: Positive | None = None

    def output(self) -> Output:
        """The substance as the rules take it."""
        return Output(mass_t=self.mass_t, molar_mass_g_per_mol=self.molar_mass_g_per_mol)


class InstallationTotal(Strict):
    """What the installation's own meter says of something that its processes meter too.

    `data` is the name of a source, the same in every product that has it, or `electricity` for what is consumed.
    """

    data: Name
    total: Signed


class Product(Strict):
    """One production process and the goods that leave it.

    `benchmark_route` is the letter of the route in the table of free-allocation benchmarks, empty where a good has one.
    `co_products` are of chemicals and fertilisers alone; emissions and precursors are shared with them by moles.
    """

    name: Name
    cn_codes: Annotated[tuple[CnCode, ...], Field(min_length=1, max_length=200)]
    activity_t: Positive
    clinker_t_per_t: Annotated[Positive, Field(le=1)] | None = None
    nitrogen_t_per_t: Annotated[Positive, Field(le=1)] | None = None
    benchmark_route: Annotated[str, Field(pattern=r"^[A-L]?$")] = ""
    molar_mass_g_per_mol: Positive | None = None
    co_products: Annotated[tuple[CoProduct, ...], Field(max_length=20)] = ()
    sources: Annotated[tuple[Source, ...], Field(min_length=1, max_length=1000)]
    electricity: Electricity
    waste_gas: WasteGas = WasteGas()
    heat: Heat | None = None
    precursors: Annotated[
        tuple[Annotated[BoughtPrecursor | MadePrecursor, Field(discriminator="kind")], ...], Field(max_length=1000)
    ] = ()

    def rule_input(self) -> Process:
        """The process as the precursor rules take it; the caller sets the legal arithmetic."""
        power = self.electricity
        corrections = [self.waste_gas.correction_t()]
        corrections.append(-emissions.electricity_t(power.exported_mwh, power.exported_factor_t_per_mwh))
        if self.heat is not None:
            corrections.append(self.heat.correction_t())
        return Process(
            name=self.name,
            cn_code=self.cn_codes[0],
            activity_t=self.attributed_activity_t(),
            direct_t=emissions.attributed_direct_t((source.co2e_t() for source in self.sources), corrections),
            indirect_t=emissions.electricity_t(power.consumed_mwh, power.factor_t_per_mwh),
            bought=tuple(each.rule_input() for each in self.precursors if isinstance(each, BoughtPrecursor)),
            made=self.made(),
        )

    def attributed_activity_t(self) -> Decimal:
        """The tonnes that emissions and precursors are divided by: more than the activity where there are co-products.

        The caller sets the legal arithmetic.
        """
        if not self.co_products:
            return self.activity_t
        own = Output(mass_t=self.activity_t, molar_mass_g_per_mol=self.molar_mass_g_per_mol)
        others = [
            Output(mass_t=each.mass_t, molar_mass_g_per_mol=each.molar_mass_g_per_mol) for each in self.co_products
        ]
        return attributed_activity_t(own, others)

    def made(self) -> tuple[Made, ...]:
        """The precursors that other products of the same disclosure are."""
        return tuple(
            Made(process=each.product, mass_t=each.amount_t)
            for each in self.precursors
            if isinstance(each, MadePrecursor)
        )


@dataclass(frozen=True, kw_only=True)
class Metered:
    """An amount that a process meters and its installation meters too: where it stands in the disclosure."""

    product: str
    pointer: str
    amount: Decimal


def metered(products: Sequence[Product], data: str) -> list[Metered]:
    """What every process states of something, in order."""
    return [
        Metered(product=product.name, pointer=f"/products/{number}/{path}", amount=amount)
        for number, product in enumerate(products)
        for path, amount in _amounts(product, data)
    ]


def _amounts(product: Product, data: str) -> Iterator[tuple[str, Decimal]]:
    if data == ELECTRICITY:
        yield "electricity/consumed_mwh", product.electricity.consumed_mwh
    for index, source in enumerate(product.sources):
        if source.name == data and source.kind in AMOUNTS:
            name = AMOUNTS[source.kind]
            yield f"sources/{index}/{name}", getattr(source, name)


def factors(products: Sequence[Product], totals: Sequence[InstallationTotal]) -> dict[str, Decimal]:
    """By which factor the amounts of each metered thing are corrected to the installation's meter.

    The caller sets the legal arithmetic.

    Raises:
        ValueError: no product has such a source, its amounts cannot be fitted, or a total occurs twice.

    """
    found: dict[str, Decimal] = {}
    for each in totals:
        parts = [held.amount for held in metered(products, each.data)]
        if not parts:
            raise ValueError(f"installation_totals: {each.data}: no product has a source of this name; correct it")
        if each.data in found:
            raise ValueError(f"installation_totals: {each.data} occurs twice; remove one")
        try:
            found[each.data] = reconciliation_factor(each.total, parts)
        except AttributionError as error:
            raise ValueError(f"installation_totals: {each.data}: {error}; correct total or amounts") from error
    return found


def reconciled_products(products: Sequence[Product], totals: Sequence[InstallationTotal]) -> tuple[Product, ...]:
    """The products with their amounts as they count (equations 41 and 42). Raises as `factors`."""
    by_data = factors(products, totals)
    return tuple(_reconciled(product, by_data) for product in products) if by_data else tuple(products)


def _reconciled(product: Product, by_data: Mapping[str, Decimal]) -> Product:
    sources = tuple(
        _scaled(source, AMOUNTS[source.kind], by_data[source.name])
        if source.name in by_data and source.kind in AMOUNTS
        else source
        for source in product.sources
    )
    power = product.electricity
    if ELECTRICITY in by_data:
        power = _scaled(power, "consumed_mwh", by_data[ELECTRICITY])
    return product.model_copy(update={"sources": sources, "electricity": power})


def _scaled(model: Scaled, name: str, factor: Decimal) -> Scaled:
    return model.model_copy(update={name: reconciled(getattr(model, name), factor)})
