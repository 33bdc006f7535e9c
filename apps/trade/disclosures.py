"""What one installation discloses: its processes stay here, only specific emissions per tonne become rows.

Run at the member that holds the process data (`python -m apps.trade.disclosures --out file.parquet`); the rows go into
its table facility_disclosures. `evidence_sha256` commits to the inputs, so that a verifier on site can compare.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from apps.trade import emissions
from apps.trade.emissions import LEGAL, ONE, ZERO
from apps.trade.goods import CnCode, Country, InstallationId, NotNegative, Positive, Share, Signed, Strict, Year
from apps.trade.precursors import Bought, Embedded, Made, Process, Scope, embedded
from apps.trade.rule_packs import RulePack, all_packs, load_exact
from commonweal.transparency import canonical_json

EXAMPLES = Path(__file__).parent / "facilities" / "cbam_examples.yaml"
STORED = Decimal("1e-18")  # the scale of the table's DECIMAL(38, 18) columns
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
    MassBalance | Combustion | ProcessEmission | Perfluorocarbons | Measured, Field(discriminator="kind")
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


class BoughtPrecursor(Strict):
    """A precursor from elsewhere, with what its supplier, or a default value, says that it embeds."""

    kind: Literal["bought"]
    name: Name
    cn_code: CnCode
    amount_t: NotNegative
    direct_t_per_t: NotNegative
    electricity_mwh_per_t: NotNegative
    factor_t_per_mwh: NotNegative
    origin: Country | None = None
    is_default: bool = False

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


class Product(Strict):
    """One production process and the goods that leave it."""

    name: Name
    cn_codes: Annotated[tuple[CnCode, ...], Field(min_length=1, max_length=200)]
    activity_t: Positive
    clinker_t_per_t: Annotated[Positive, Field(le=1)] | None = None
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
            activity_t=self.activity_t,
            direct_t=emissions.attributed_direct_t((source.co2e_t() for source in self.sources), corrections),
            indirect_t=emissions.electricity_t(power.consumed_mwh, power.factor_t_per_mwh),
            bought=tuple(each.rule_input() for each in self.precursors if isinstance(each, BoughtPrecursor)),
            made=tuple(
                Made(process=each.product, mass_t=each.amount_t)
                for each in self.precursors
                if isinstance(each, MadePrecursor)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class DisclosureRow:
    """A row of facility_disclosures; numbers at the scale of DECIMAL(38, 18)."""

    installation_id: str
    country: str
    cn_code: str
    period: str
    see_direct_t_per_t: Decimal
    see_indirect_t_per_t: Decimal
    default_share: Decimal
    activity_t: Decimal
    rule_pack: str
    evidence_sha256: str


class Disclosure(Strict):
    """What one installation made in one calendar year, and from what."""

    installation_id: InstallationId
    country: Country
    period: Year
    provenance: Annotated[str, Field(min_length=1, max_length=512)]
    products: Annotated[tuple[Product, ...], Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _adds_up(self) -> "Disclosure":
        names = [product.name for product in self.products]
        codes = [code for product in self.products for code in product.cn_codes]
        for kind, values in (("product", names), ("cn_code", codes)):
            repeated = sorted({value for value in values if values.count(value) > 1})
            if repeated:
                raise ValueError(f"products: {kind} {repeated[0]} occurs twice; join the two or rename one")
        embedded(self.processes(), Scope(indirect_counts=lambda _: True, zero_rated=lambda _: False))
        return self

    def processes(self) -> dict[str, Process]:
        """Every product as the precursor rules take it, by name."""
        with localcontext(LEGAL):
            return {product.name: product.rule_input() for product in self.products}

    def canonical(self) -> bytes:
        """Every input in the one form that is hashed; `parse_canonical` reads it back."""
        return canonical_json(self.model_dump(mode="json"))

    def evidence_sha256(self) -> str:
        """SHA-256 of the canonical form of every input."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def to_rows(self, packs: Sequence[RulePack]) -> list[DisclosureRow]:
        """One row per good and rule pack; process data does not appear in them.

        Raises:
            ValueError: a pack counts per tonne of clinker and the product does not say how much it contains.

        """
        evidence = self.evidence_sha256()
        processes = self.processes()
        return [
            self._row(product, code, pack, _of_good(processes, product, code, pack), evidence)
            for pack in packs
            for product in self.products
            for code in product.cn_codes
        ]

    def _row(self, product: Product, code: str, pack: RulePack, see: Embedded, evidence: str) -> DisclosureRow:
        return DisclosureRow(
            installation_id=self.installation_id,
            country=self.country,
            cn_code=code,
            period=str(self.period),
            see_direct_t_per_t=_stored(see.direct_t_per_t),
            see_indirect_t_per_t=_stored(see.indirect_t_per_t),
            default_share=_stored(see.default_share),
            activity_t=_stored(product.activity_t),
            rule_pack=pack.id,
            evidence_sha256=evidence,
        )


def embedded_as(
    processes: Mapping[str, Process], product: Product, cn_code: str, pack: RulePack
) -> dict[str, Embedded]:
    """What every process embeds per tonne, with `product` counted as one of its goods.

    Annex II may split the goods of one process, so the good's own code decides.
    """
    own = {**processes, product.name: replace(processes[product.name], cn_code=cn_code)}
    return embedded(own, pack.scope())


def _of_good(processes: Mapping[str, Process], product: Product, cn_code: str, pack: RulePack) -> Embedded:
    """What one good of a product embeds, per functional unit of the pack."""
    return per_unit(embedded_as(processes, product, cn_code, pack)[product.name], product, cn_code, pack)


def per_unit(see: Embedded, product: Product, cn_code: str, pack: RulePack) -> Embedded:
    """What a good embeds per functional unit of the pack: of cement, per tonne of the clinker in it (Article 4).

    Raises:
        ValueError: the pack counts per tonne of clinker and the product does not say how much it contains.

    """
    if not pack.is_per_tonne_of_clinker(cn_code):
        return see
    if product.clinker_t_per_t is None:
        raise ValueError(f"product {product.name}: clinker_t_per_t is missing; {pack.id} counts {cn_code} by clinker")
    with localcontext(LEGAL):
        return Embedded(
            direct_t_per_t=see.direct_t_per_t / product.clinker_t_per_t,
            indirect_t_per_t=see.indirect_t_per_t / product.clinker_t_per_t,
            default_direct_t_per_t=see.default_direct_t_per_t / product.clinker_t_per_t,
        )


def parse_canonical(content: bytes) -> Disclosure:
    """Read the canonical form back.

    Raises:
        ValidationError: a field is wrong.

    """
    return Disclosure.model_validate_json(content, by_alias=True, by_name=True)


def _stored(value: Decimal) -> Decimal:
    with localcontext(LEGAL):
        return value.quantize(STORED, rounding=ROUND_HALF_EVEN)


def read_disclosures(path: Path) -> list[Disclosure]:
    """Read a YAML list of disclosures, numbers exactly as written.

    Raises:
        ValueError: a field is wrong (pydantic's ValidationError names it) or the file is not such a list.

    """
    return TypeAdapter(list[Disclosure]).validate_python(load_exact(path.read_text("utf-8")))


def rows_of(disclosures: Iterable[Disclosure], packs: Sequence[RulePack]) -> list[DisclosureRow]:
    """Rows of several installations, in order."""
    return [row for disclosure in disclosures for row in disclosure.to_rows(packs)]


def write_parquet(rows: Sequence[DisclosureRow], out: Path) -> None:
    """Write rows with the types of the table facility_disclosures."""
    # Only members write tables; the service that only asks should not load Arrow.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    decimals = {"see_direct_t_per_t", "see_indirect_t_per_t", "default_share", "activity_t"}
    schema = pa.schema(
        [
            (name, pa.decimal128(38, 18) if name in decimals else pa.string())
            for name in DisclosureRow.__dataclass_fields__
        ]
    )
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute the rows of a file of disclosures and write them as Parquet."""
    parser = argparse.ArgumentParser(prog="python -m apps.trade.disclosures", description=main.__doc__)
    parser.add_argument("--disclosures", type=Path, default=EXAMPLES, help="YAML list (the Commission's examples)")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args(arguments)
    try:
        rows = rows_of(read_disclosures(options.disclosures), all_packs())
        write_parquet(rows, options.out)
    except (OSError, ValidationError, ValueError) as error:
        parser.exit(1, f"{options.disclosures}: {error}\n")
    sys.stdout.write(f"{options.out}: {len(rows)} rows of facility_disclosures\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
