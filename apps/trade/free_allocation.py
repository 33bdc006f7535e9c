"""How much of a tonne is free of certificates, as producers under the EU ETS get some of it free.

Pure rules of Implementing Regulation (EU) 2025/2620. Its equations are printed as images, so they are cited by what
they define. SEFA is the specific embedded free allocation, tonnes CO2e per functional unit. Column A of the benchmark
table is a good's own process alone; column B is everything up to it. The CBAM factor scales the benchmark and never
the bill: a bill scaled instead would charge a clean tonne too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from apps.trade.defaults import BASIS_POINTS, DASHES, NUMBER
from apps.trade.emissions import ZERO
from apps.trade.precursors import Made, precursors_first


class Column(StrEnum):
    """A column of the benchmark table."""

    OWN_PROCESS = "A"
    CUMULATED = "B"


class NoBenchmarkError(ValueError):
    """No free allocation can be given; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One good by one production route, tonnes CO2e per functional unit; None where the table gives no number."""

    cn_prefix: str
    good: str
    route: str
    own_process_t_per_t: Decimal | None
    cumulated_t_per_t: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Benchmarks:
    """The benchmarks of one release, the years that they hold for, and what scales them."""

    rows: Sequence[Benchmark]
    years: tuple[int, ...]
    cbam_factor_bp: Mapping[int, int]
    correction: Decimal


@dataclass(frozen=True, kw_only=True)
class Input:
    """A bought precursor: functional units of it, and its SEFA where its supplier had one verified.

    `is_zero` is for scrap and zero-rated origins: what embeds nothing is allocated nothing.
    """

    name: str
    cn_code: str
    units: Decimal
    sefa_t_per_t: Decimal | None = None
    is_zero: bool = False


@dataclass(frozen=True, kw_only=True)
class Producer:
    """One production process: its route in the benchmark table, functional units out, precursors in."""

    name: str
    cn_code: str
    route: str
    activity_units: Decimal
    bought: tuple[Input, ...] = ()
    made: tuple[Made, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """SEFA of a good, or None and why it is not known; never zero for unknown."""

    sefa_t_per_t: Decimal | None
    why: str


def read_benchmark(text: str) -> Decimal | None:
    """One cell of the benchmark table.

    Raises:
        ValueError: neither a number nor a dash.

    """
    stripped = text.strip()
    if stripped in DASHES:
        return None
    if not NUMBER.fullmatch(stripped):
        raise ValueError(f"{stripped!r} is neither a number from 0 up nor a dash; correct the cell")
    return Decimal(stripped)


def scaled_t_per_t(benchmark: Decimal, cbam_factor_bp: int, correction: Decimal) -> Decimal:
    """CBAM factor x cross-sectoral correction factor x benchmark."""
    return benchmark * Decimal(cbam_factor_bp) / BASIS_POINTS * correction


def complex_sefa_t_per_t(own_t_per_t: Decimal, precursors: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """SEFA of a complex good: its own process (column A, scaled) + sum of m_i x SEFA_i."""
    return own_t_per_t + sum((units * sefa for units, sefa in precursors), ZERO)


def default_sefa_t_per_t(table: Benchmarks, cn_code: str, year: int) -> Decimal:
    """SEFA where nothing is known of the maker: column B, and of several routes the highest (Annex, 5.1).

    Raises:
        NoBenchmarkError: the year or the good has no benchmark.

    """
    return _scaled(table, highest_cumulated(table, cn_code)[1], year)


def highest_cumulated(table: Benchmarks, cn_code: str) -> tuple[Benchmark, Decimal]:
    """The row of a good with the highest column B, and that number.

    Raises:
        NoBenchmarkError: the good has no benchmark of column B.

    """
    found = [(row, row.cumulated_t_per_t) for row in _of_heading(table, cn_code) if row.cumulated_t_per_t is not None]
    if not found:
        raise NoBenchmarkError(f"{cn_code} has no benchmark of column B in the table")
    return max(found, key=lambda each: each[1])


def own_sefa_t_per_t(table: Benchmarks, cn_code: str, route: str, year: int) -> Decimal:
    """SEFA of a process without its precursors: column A of its own route.

    Raises:
        NoBenchmarkError: the year, the good or the route has no benchmark.

    """
    return _scaled(table, own_process(table, cn_code, route)[1], year)


def own_process(table: Benchmarks, cn_code: str, route: str) -> tuple[Benchmark, Decimal]:
    """The row of a good's route, and its column A.

    Raises:
        NoBenchmarkError: the good or the route has no benchmark.

    """
    routes = {row.route: row for row in _of_heading(table, cn_code)}
    if route not in routes:
        raise NoBenchmarkError(f"{cn_code} has no benchmark for route ({route}); the table has {_named(routes)}")
    benchmark = routes[route].own_process_t_per_t
    if benchmark is None:
        raise NoBenchmarkError(f"{cn_code} by route ({route}) has no benchmark of column A in the table")
    return routes[route], benchmark


def allocations(producers: Mapping[str, Producer], table: Benchmarks, year: int) -> dict[str, Allocation]:
    """SEFA of every process, precursors first. A precursor that is not known makes what it goes into not known.

    Raises:
        PrecursorError: a precursor names no process, or the processes feed each other in a circle.

    """
    found: dict[str, Allocation] = {}
    for name in precursors_first({name: producer.made for name, producer in producers.items()}):
        found[name] = _allocation(producers[name], found, table, year)
    return found


def _allocation(producer: Producer, found: Mapping[str, Allocation], table: Benchmarks, year: int) -> Allocation:
    parts: list[tuple[Decimal, Decimal]] = []
    try:
        own = own_sefa_t_per_t(table, producer.cn_code, producer.route, year)
        parts += [(each.units / producer.activity_units, _bought(each, table, year)) for each in producer.bought]
    except NoBenchmarkError as error:
        return Allocation(sefa_t_per_t=None, why=error.reason)
    for made in producer.made:
        sefa = found[made.process].sefa_t_per_t
        if sefa is None:
            return Allocation(sefa_t_per_t=None, why=f"precursor {made.process}: {found[made.process].why}")
        parts.append((made.mass_t / producer.activity_units, sefa))
    why = f"column A of route ({producer.route}) and {len(parts)} precursors" if parts else "column A, no precursor"
    return Allocation(sefa_t_per_t=complex_sefa_t_per_t(own, parts), why=why)


def _bought(bought: Input, table: Benchmarks, year: int) -> Decimal:
    if bought.is_zero:
        return ZERO
    if bought.sefa_t_per_t is not None:
        return bought.sefa_t_per_t
    try:
        return default_sefa_t_per_t(table, bought.cn_code, year)
    except NoBenchmarkError as error:
        raise NoBenchmarkError(f"precursor {bought.name}: {error.reason}") from error


def _of_heading(table: Benchmarks, cn_code: str) -> list[Benchmark]:
    """The rows of the most specific heading that holds the code."""
    headings = [row.cn_prefix for row in table.rows if cn_code.startswith(row.cn_prefix)]
    if not headings:
        raise NoBenchmarkError(f"{cn_code} is not in the table of benchmarks")
    heading = max(headings, key=len)
    return [row for row in table.rows if row.cn_prefix == heading]


def factor_bp(table: Benchmarks, year: int) -> int:
    """CBAM factor of a year in basis points; 0 after the last year of the table.

    Raises:
        NoBenchmarkError: the year is before the first one, or its benchmarks are not in the table.

    """
    found = table.cbam_factor_bp.get(year, 0 if year > max(table.cbam_factor_bp) else None)
    if found is None:
        raise NoBenchmarkError(f"free allocation begins in {min(table.cbam_factor_bp)}, not in {year}")
    if found and year not in table.years:
        raise NoBenchmarkError(
            f"the benchmarks of {year} are not in the table, which holds {table.years[0]} to {table.years[-1]}"
        )
    return found


def _scaled(table: Benchmarks, benchmark: Decimal, year: int) -> Decimal:
    return scaled_t_per_t(benchmark, factor_bp(table, year), table.correction)


def _named(routes: Iterable[str]) -> str:
    return ", ".join(f"({route})" for route in sorted(routes))
