"""The steps to a specific embedded free allocation: from a default, or from a producer's own route and precursors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from apps.trade.assessment import Disclosed
from apps.trade.audit import formulas
from apps.trade.audit.evidence import DISCLOSURE
from apps.trade.audit.processes import activity_of, field, needed
from apps.trade.audit.steps import Operand, Trace
from apps.trade.disclosures import Disclosure, producers_of
from apps.trade.emissions import LEGAL, ZERO
from apps.trade.free_allocation import (
    Benchmark,
    Benchmarks,
    Column,
    Producer,
    allocations,
    factor_bp,
    highest_cumulated,
    own_process,
    scaled_t_per_t,
)
from apps.trade.precursors import embeds_nothing, precursors_first
from apps.trade.products import BoughtPrecursor, MadePrecursor, Product
from apps.trade.rule_packs import BenchmarksFile, RulePack


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What every step of one year shares: the trace, the pack's file of benchmarks, and the table read from it."""

    trace: Trace
    pack: RulePack
    file: BenchmarksFile
    table: Benchmarks
    year: int

    def scaled(self, of: str, column: Column, row: Benchmark, benchmark: Decimal) -> Operand:
        """Add the step that scales a row's benchmark of a column by the year's factors."""
        where = f"{self.file.file}#{row.cn_prefix},{row.good},{row.route}"
        base = f"{self.pack.id}.yaml#/free_allocation"
        rate_bp, correction = factor_bp(self.table, self.year), self.table.correction
        operands = [
            Operand(name=f"benchmark, column {column}", unit="t CO2e/t", value=benchmark, source=where),
            Operand(name="CBAM factor", unit="basis points", value=Decimal(rate_bp), source=f"{base}/cbam_factor_bp"),
            Operand(name="correction factor", unit="1", value=correction, source=f"{base}/correction"),
        ]
        return self.trace.add(of, formulas.BENCHMARK, operands, scaled_t_per_t(benchmark, rate_bp, correction))

    def by_default(self, of: str, cn_code: str) -> Operand:
        """The steps where nothing is known of the maker."""
        return self.scaled(of, Column.CUMULATED, *highest_cumulated(self.table, cn_code))


def disclosed_allocation(scales: Scales, disclosure: Disclosure, row: Disclosed, released: Decimal) -> Operand:
    """The steps from a producer's benchmarks and precursors to the allocation that it releases of a good."""
    products = {product.name: (index, product) for index, product in enumerate(disclosure.products)}
    made = next(product for product in disclosure.products if row.cn_code in product.cn_codes)
    wanted = needed(disclosure, made)
    outputs: dict[str, Operand] = {}
    with localcontext(LEGAL):
        producers = producers_of(disclosure.products, made, row.cn_code, scales.pack)
        found = allocations({name: producers[name] for name in producers if name in wanted}, scales.table, scales.year)
        for name in precursors_first({name: producers[name].made for name in found}):
            output = found[name].sefa_t_per_t
            if output is None:
                raise AssertionError(f"{name}: the released allocation is known and that of its precursor is not")
            outputs[name] = _produced(scales, producers[name], products[name], done=outputs, output=output)
        index = products[made.name][0]
        last = outputs[made.name]
        if made.nitrogen_t_per_t is not None and scales.pack.contained(row.cn_code) == "nitrogen":
            content = field(f"{DISCLOSURE}#/products/{index}", "nitrogen_t_per_t", "t/t", made.nitrogen_t_per_t)
            per_nitrogen = _number(last) / made.nitrogen_t_per_t
            last = scales.trace.add(made.name, formulas.SEFA_NITROGEN, [last, content], per_nitrogen)
    return scales.trace.add(made.name, formulas.STORED, [last.named("free allocation")], released)


def _number(operand: Operand) -> Decimal:
    if not isinstance(operand.value, Decimal):
        raise AssertionError(f"{operand.name} is no number")  # noqa: TRY004 - a step that we wrote wrongly
    return operand.value


def _produced(
    scales: Scales, producer: Producer, place: tuple[int, Product], *, done: Mapping[str, Operand], output: Decimal
) -> Operand:
    index, product = place
    base = f"{DISCLOSURE}#/products/{index}"
    benchmark = own_process(scales.table, producer.cn_code, producer.route)
    own = scales.scaled(product.name, Column.OWN_PROCESS, *benchmark)
    activity = activity_of(scales.trace, product, base)
    if product.clinker_t_per_t is not None and producer.activity_units != product.attributed_activity_t():
        content = field(base, "clinker_t_per_t", "t/t", product.clinker_t_per_t)
        units = producer.activity_units
        activity = scales.trace.add(product.name, formulas.ACTIVITY_CLINKER, [activity, content], units)
    operands = [own.named("own benchmark"), activity, *_parts(scales, product.precursors, done, base)]
    return scales.trace.add(product.name, formulas.SEFA, operands, output)


def _parts(
    scales: Scales,
    precursors: Sequence[BoughtPrecursor | MadePrecursor],
    done: Mapping[str, Operand],
    base: str,
) -> list[Operand]:
    """Amount and allocation of every precursor, one after the other."""
    parts: list[Operand] = []
    for number, each in enumerate(precursors):
        where = f"{base}/precursors/{number}"
        amount = field(where, "amount_t", "t", each.amount_t)
        if isinstance(each, MadePrecursor):
            parts += [amount.named(each.product), done[each.product].named(f"free allocation of {each.product}")]
        else:
            sefa = _bought(scales, each, where)
            parts += [amount.named(each.name), sefa.named(f"free allocation of {each.name}")]
    return parts


def _bought(scales: Scales, precursor: BoughtPrecursor, where: str) -> Operand:
    if embeds_nothing(precursor.cn_code, precursor.origin, scales.pack.scope()):
        origin = field(where, "origin", "country", precursor.origin or "not stated")
        code = field(where, "cn_code", "CN code", precursor.cn_code)
        return scales.trace.add(precursor.name, formulas.NOTHING_FREE, [code, origin], ZERO)
    if precursor.free_allocation_t_per_t is not None:
        return field(where, "free_allocation_t_per_t", "t CO2e/t", precursor.free_allocation_t_per_t)
    return scales.by_default(precursor.name, precursor.cn_code)
