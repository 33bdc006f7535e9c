"""What a tonne embeds once everything that went into it is counted, through any number of precursors."""

from collections.abc import Callable, Mapping
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
    """Which emissions a rule pack counts: the indirect ones of which goods, and none of which origins."""

    indirect_counts: Callable[[str], bool]
    zero_rated: Callable[[str], bool]


def embedded(processes: Mapping[str, Process], scope: Scope) -> dict[str, Embedded]:
    """Specific embedded emissions of every process, precursors first (equations 57 to 63).

    Raises:
        PrecursorError: a precursor names no process, or the processes feed each other in a circle.

    """
    found: dict[str, Embedded] = {}
    with localcontext(LEGAL):
        for name in _precursors_first(processes):
            found[name] = _one(processes[name], found, scope)
    return found


def _precursors_first(processes: Mapping[str, Process]) -> list[str]:
    for process in processes.values():
        for made in process.made:
            if made.process not in processes:
                raise PrecursorError(
                    f"product {process.name}: precursor {made.process} is not a product of this disclosure; "
                    "add the product or enter the precursor as bought"
                )
    graph = {name: sorted({made.process for made in process.made}) for name, process in processes.items()}
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


def of_bought(bought: Bought, scope: Scope) -> Embedded:
    """What a tonne of a bought precursor adds: nothing from zero-rated origins, and only what its own code counts."""
    if bought.origin is not None and scope.zero_rated(bought.origin):
        return Embedded(direct_t_per_t=ZERO, indirect_t_per_t=ZERO)
    return Embedded(
        direct_t_per_t=bought.direct_t_per_t,
        indirect_t_per_t=bought.indirect_t_per_t if scope.indirect_counts(bought.cn_code) else ZERO,
        default_direct_t_per_t=bought.direct_t_per_t if bought.is_default else ZERO,
    )
