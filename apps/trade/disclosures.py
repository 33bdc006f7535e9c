"""What one installation discloses: its processes stay here, only specific emissions per tonne become rows.

Run at the member that holds the process data (`python -m apps.trade.disclosures --out file.parquet`); the rows go into
its table facility_disclosures. `evidence_sha256` commits to the inputs, so that a verifier on site can compare.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from apps.trade.emissions import LEGAL, ONE
from apps.trade.files import whole
from apps.trade.free_allocation import Allocation, Benchmarks, Input, Producer, allocations
from apps.trade.goods import Country, InstallationId, Strict, Year
from apps.trade.precursors import Embedded, Process, Scope, embedded, embeds_nothing
from apps.trade.products import BoughtPrecursor, InstallationTotal, Product, reconciled_products
from apps.trade.rule_packs import RulePack, all_packs, benchmarks_of, load_exact, packs_of_good
from commonweal.transparency import canonical_json

EXAMPLES = Path(__file__).parent / "facilities" / "cbam_examples.yaml"
STORED = Decimal("1e-18")  # the scale of the table's DECIMAL(38, 18) columns
COUNT_ALL = Scope(indirect_counts=lambda _: True, zero_rated=lambda _: False, scrap=lambda _: False)


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
    free_allocation_t_per_t: Decimal | None
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
    installation_totals: Annotated[tuple[InstallationTotal, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> "Disclosure":
        names = [product.name for product in self.products]
        codes = [code for product in self.products for code in product.cn_codes]
        for kind, values in (("product", names), ("cn_code", codes)):
            repeated = sorted({value for value in values if values.count(value) > 1})
            if repeated:
                raise ValueError(f"products: {kind} {repeated[0]} occurs twice; join the two or rename one")
        embedded(self.processes(), COUNT_ALL)
        return self

    def processes(self) -> dict[str, Process]:
        """Every product as the precursor rules take it, by name."""
        with localcontext(LEGAL):
            return {product.name: product.rule_input() for product in self.counted_products()}

    def counted_products(self) -> tuple[Product, ...]:
        """Every product with its amounts as they count; the caller sets the legal arithmetic.

        Raises:
            ValueError: a total of the installation fits no amounts.

        """
        return reconciled_products(self.products, self.installation_totals)

    def canonical(self) -> bytes:
        """Every input in the one form that is hashed; `parse_canonical` reads it back."""
        return canonical_json(self.model_dump(mode="json"))

    def evidence_sha256(self) -> str:
        """SHA-256 of the canonical form of every input."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def to_rows(
        self, packs: Sequence[RulePack], benchmarks: Callable[[str], Benchmarks | None] = benchmarks_of
    ) -> list[DisclosureRow]:
        """One row per good and rule pack that may count it; process data does not appear in them.

        Raises:
            ValueError: a pack counts per tonne of clinker or nitrogen and the product does not say how much it
                contains, or a precursor's numbers follow another method than the good's.

        """
        evidence = self.evidence_sha256()
        processes = self.processes()
        return [
            self._row(
                product=product,
                code=code,
                pack=pack,
                see=_of_good(processes, product, code, pack),
                benchmarks=benchmarks(pack.id),
                evidence=evidence,
            )
            for pack in packs
            for product in self.products
            for code in product.cn_codes
            if pack in packs_of_good(code, packs)
            and self._may_count(product, pack, packs)
            and _may_share(product, code, pack, packs)
        ]

    def _row(
        self,
        *,
        product: Product,
        code: str,
        pack: RulePack,
        see: Embedded,
        benchmarks: Benchmarks | None,
        evidence: str,
    ) -> DisclosureRow:
        allocation = self.allocation(product, code, pack, benchmarks) if benchmarks is not None else None
        sefa = allocation.sefa_t_per_t if allocation is not None else None
        return DisclosureRow(
            installation_id=self.installation_id,
            country=self.country,
            cn_code=code,
            period=str(self.period),
            see_direct_t_per_t=_stored(see.direct_t_per_t),
            see_indirect_t_per_t=_stored(see.indirect_t_per_t),
            default_share=_stored(see.default_share),
            free_allocation_t_per_t=_stored(sefa) if sefa is not None else None,
            activity_t=_stored(product.activity_t),
            rule_pack=pack.id,
            evidence_sha256=evidence,
        )

    def allocation(self, product: Product, cn_code: str, pack: RulePack, benchmarks: Benchmarks) -> Allocation:
        """Free allocation of one good of a product, per functional unit of the pack, or why it is not known."""
        with localcontext(LEGAL):
            producers = producers_of(self.products, product, cn_code, pack)
            found = allocations(producers, benchmarks, self.period)[product.name]
            if found.sefa_t_per_t is None or product.nitrogen_t_per_t is None or pack.contained(cn_code) != "nitrogen":
                return found
            return replace(found, sefa_t_per_t=found.sefa_t_per_t / product.nitrogen_t_per_t)

    def _may_count(self, product: Product, pack: RulePack, packs: Sequence[RulePack]) -> bool:
        """True; a precursor of another method, or one that nobody verified where that is asked for, is refused."""
        codes = {each.name: each.cn_codes[0] for each in self.products}
        for each in product.precursors:
            if isinstance(each, BoughtPrecursor):
                name, labels = each.name, {each.label}
                self._refuse_unverified(product, each, pack)
            else:
                name, labels = each.product, {other.label for other in packs_of_good(codes[each.product], packs)}
            if pack.label not in labels:
                raise ValueError(
                    f"product {product.name}: precursor {name} follows '{', '.join(sorted(labels))}' and the product "
                    f"'{pack.label}'; give the precursor's numbers under the product's own method and label"
                )
        return True

    def _refuse_unverified(self, product: Product, bought: BoughtPrecursor, pack: RulePack) -> None:
        counts = not (bought.is_default or embeds_nothing(bought.cn_code, bought.origin, pack.scope()))
        if pack.verified_precursors and counts and bought.verified_for != self.period:
            raise ValueError(
                f"product {product.name}: precursor {bought.name} has no verification report for {self.period}, which "
                f"{pack.id} asks for; give verified_for, or the default value with is_default: true"
            )


def _may_share(product: Product, cn_code: str, pack: RulePack, packs: Sequence[RulePack]) -> bool:
    """Whether a pack says how emissions are shared with co-products; where none does, the product is refused."""
    if not product.co_products or cn_code.startswith(pack.molar_attribution):
        return True
    if not any(cn_code.startswith(other.molar_attribution) for other in packs_of_good(cn_code, packs)):
        raise ValueError(
            f"product {product.name}: co_products share by moles for chemicals and fertilisers alone, and {cn_code} "
            "is neither; leave them out, or make each a product of its own"
        )
    return False


def producers_of(products: Iterable[Product], product: Product, cn_code: str, pack: RulePack) -> dict[str, Producer]:
    """Every product as the rules of free allocation take it, with `product` counted as one of its goods."""
    producers = {each.name: _producer(each, each.cn_codes[0], pack) for each in products}
    return {**producers, product.name: _producer(product, cn_code, pack)}


def _producer(product: Product, cn_code: str, pack: RulePack) -> Producer:
    """A product as the rules of free allocation take it; the benchmark of cement is per tonne of clinker."""
    scope = pack.scope()
    clinker = product.clinker_t_per_t if pack.contained(cn_code) == "clinker" else None
    return Producer(
        name=product.name,
        cn_code=cn_code,
        route=product.benchmark_route,
        activity_units=product.attributed_activity_t() * (clinker or ONE),
        bought=tuple(
            Input(
                name=each.name,
                cn_code=each.cn_code,
                units=each.amount_t,
                sefa_t_per_t=each.free_allocation_t_per_t,
                is_zero=embeds_nothing(each.cn_code, each.origin, scope),
            )
            for each in product.precursors
            if isinstance(each, BoughtPrecursor)
        ),
        made=product.made(),
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
    """What a good embeds per functional unit of the pack: per tonne of the clinker or nitrogen in it (Article 4).

    Raises:
        ValueError: the pack counts per tonne of what is contained and the product does not say how much it contains.

    """
    contained = pack.contained(cn_code)
    if contained is None:
        return see
    content: Decimal | None = getattr(product, f"{contained}_t_per_t")
    if content is None:
        raise ValueError(
            f"product {product.name}: {contained}_t_per_t is missing; {pack.id} counts {cn_code} by {contained}"
        )
    with localcontext(LEGAL):
        return Embedded(
            direct_t_per_t=see.direct_t_per_t / content,
            indirect_t_per_t=see.indirect_t_per_t / content,
            default_direct_t_per_t=see.default_direct_t_per_t / content,
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

    decimals = {name for name, kind in DisclosureRow.__annotations__.items() if kind is not str}
    schema = pa.schema(
        [
            (name, pa.decimal128(38, 18) if name in decimals else pa.string())
            for name in DisclosureRow.__dataclass_fields__
        ]
    )
    with whole(out) as unfinished:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), unfinished)


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
