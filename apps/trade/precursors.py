"""What a tonne embeds once everything that went into it is counted, through any number of precursors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from graphlib import CycleError, TopologicalSorter

from apps.trade.emissions import LEGAL, ZERO


class PrecursorError(ValueError):
    """A precursor that cannot be counted; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Specific embedded emissions, tonnes CO2e per tonne of the good; `default_direct` is the part from defaults."""

    direct_t_per_t: Decimal
    indirect_t_per_t: Decimal
    default_direct_t_per_t: Decimal = ZERO

    @property
    def default_share(self) -> Decimal:
        """Part of the direct emissions that rests on default values, 0 to 1 (2025/2547 Annex IV, 15(d))."""
        if self.direct_t_per_t == 0:
            return ZERO
        with localcontext(LEGAL):
            return self.default_direct_t_per_t / self.direct_t_per_t


@dataclass(frozen=True, kw_only=True)
class Bought:
    """A precursor from elsewhere, with what its supplier, or a default value, says that it embeds."""

    name: str
    cn_code: str
    origin: str | None
    mass_t: Decimal
    direct_t_per_t: Decimal
    indirect_t_per_t: Decimal
    is_default: bool = False


@dataclass(frozen=True, kw_only=True)
class Made:
    """A precursor from another process of the same disclosure."""

    process: str
    mass_t: Decimal


@dataclass(frozen=True, kw_only=True)
class Process:
    """One production process: what it is charged with, what leaves it, what went in."""

    name: str
    cn_code: str
    activity_t: Decimal
    direct_t: Decimal
    indirect_t: Decimal
    bought: tuple[Bought, ...] = ()
    made: tuple[Made, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which emissions a rule pack counts: the indirect ones of which goods, none of which origins or scrap."""

    indirect_counts: Callable[[str], bool]
    zero_rated: Callable[[str], bool]
    scrap: Callable[[str], bool]


def embedded(processes: Mapping[str, Process], scope: Scope) -> dict[str, Embedded]:
    """Specific embedded emissions of every process, precursors first (equations 57 to 63).

    Raises:
        PrecursorError: a precursor names no process, or the processes feed each other in a circle.

    """
    found: dict[str, Embedded] = {}
    with localcontext(LEGAL):
        for name in precursors_first({name: process.made for name, process in processes.items()}):
            found[name] = _one(processes[name], found, scope)
    return found


def precursors_first(made: Mapping[str, Iterable[Made]]) -> list[str]:
    """Names of processes in an order in which every precursor comes before what it goes into.

    Raises:
        PrecursorError: a precursor names no process, or the processes feed each other in a circle.

    """
    graph = {name: sorted({each.process for each in inputs}) for name, inputs in made.items()}
    for name, inputs in graph.items():
        for unknown in (each for each in inputs if each not in graph):
            raise PrecursorError(
                f"product {name}: precursor {unknown} is not a product of this disclosure; "
                "add the product or enter the precursor as bought"
            )
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        path = " <- ".join(cycle.args[1])
        raise PrecursorError(
            f"products {path}: each is a precursor of the next, in a circle; remove one of these precursors"
        ) from cycle


def _one(process: Process, found: Mapping[str, Embedded], scope: Scope) -> Embedded:
    direct_t = process.direct_t
    # Annex II decides by each good's own code: a precursor keeps its indirect emissions where the good loses its own.
    indirect_t = process.indirect_t if scope.indirect_counts(process.cn_code) else ZERO
    default_t = ZERO
    for bought in process.bought:
        see = of_bought(bought, scope)
        direct_t += bought.mass_t * see.direct_t_per_t
        indirect_t += bought.mass_t * see.indirect_t_per_t
        default_t += bought.mass_t * see.default_direct_t_per_t
    for made in process.made:
        see = found[made.process]
        direct_t += made.mass_t * see.direct_t_per_t
        indirect_t += made.mass_t * see.indirect_t_per_t
        default_t += made.mass_t * see.default_direct_t_per_t
    return Embedded(
        direct_t_per_t=direct_t / process.activity_t,
        indirect_t_per_t=indirect_t / process.activity_t,
        default_direct_t_per_t=default_t / process.activity_t,
    )


def embeds_nothing(cn_code: str, origin: str | None, scope: Scope) -> bool:
    """Scrap enters a process with nothing (2025/2547 Annex II, F), and so do goods of zero-rated origins."""
    return scope.scrap(cn_code) or (origin is not None and scope.zero_rated(origin))


def of_bought(bought: Bought, scope: Scope) -> Embedded:
    """What a tonne of a bought precursor adds: nothing where it embeds nothing, and only what its own code counts."""
    if embeds_nothing(bought.cn_code, bought.origin, scope):
        return Embedded(direct_t_per_t=ZERO, indirect_t_per_t=ZERO)
    return Embedded(
        direct_t_per_t=bought.direct_t_per_t,
        indirect_t_per_t=bought.indirect_t_per_t if scope.indirect_counts(bought.cn_code) else ZERO,
        default_direct_t_per_t=bought.direct_t_per_t if bought.is_default else ZERO,
    )
