"""A member's share as a list of steps: what went in, by which formula, and what came out of each.

Every step uses only lines above it, so that a person can redo it by hand. The rules themselves are in equity.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from commonweal.apportion import WHOLE_PPB, kept_ppb, part_bp
from commonweal.equity import (
    NEWCOMER,
    Category,
    Charter,
    Contribution,
    Held,
    Standing,
    Statement,
    capped,
    compute,
    effective_cap,
    equal_part,
    raw_shares,
    summed,
    vested,
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the calculation: what went in, by which formula, and what came out."""

    name: str
    formula: str
    inputs: Mapping[str, int | Fraction | str]
    result: int | Fraction


def explain(
    charter: Charter,
    contributions: Iterable[Contribution],
    previous: Mapping[str, Held] | None,
    member: str,
) -> list[Step]:
    """Return every step of one member's share, in an order in which each uses only the lines above it.

    A counterfactual is the same call with changed contributions (see `changed`).

    Raises:
        FormulaError: as `compute`, or the member is unknown.
    """
    statement = compute(charter, contributions, previous)
    standing = statement.of(member)
    before = (previous or {}).get(member, NEWCOMER)
    return [
        *_credit_steps(charter, standing),
        *(_stock_step(charter, category, standing, before) for category in Category),
        *(_vested_step(charter, category, standing, before) for category in Category if _vests(charter)),
        *_share_steps(statement, standing, previous or {}),
    ]


def _credit_steps(charter: Charter, standing: Standing) -> list[Step]:
    row, earned = standing.contribution, standing.credit
    counted = min(row.delivered_gpu_seconds, row.pledged_gpu_seconds) + part_bp(
        standing.beyond_gpu_seconds, charter.beyond_pledge_bp
    )
    return [
        Step(
            name="counted, GPU-seconds",
            formula="min(delivered, pledged) + floor(max(0, delivered - pledged) x beyond_pledge_bp / 10000)",
            inputs={
                "delivered": row.delivered_gpu_seconds,
                "pledged": row.pledged_gpu_seconds,
                "beyond_pledge_bp": charter.beyond_pledge_bp,
            },
            result=counted,
        ),
        Step(
            name="compute credit, GPU-seconds",
            formula="max(0, counted - self_used)",
            inputs={"counted": counted, "self_used": row.self_used_gpu_seconds},
            result=earned[Category.COMPUTE],
        ),
        Step(
            name="used, GPU-seconds",
            formula="self_used + used of others' machines, which is shown and never subtracted",
            inputs={
                "self_used": row.self_used_gpu_seconds,
                "used of others' machines": row.used_gpu_seconds - row.self_used_gpu_seconds,
            },
            result=row.used_gpu_seconds,
        ),
        Step(
            name="energy credit, mJ",
            formula="by zone and hour: min(certificates, metered within energy_cap_mw x compute credit)",
            inputs={"matched": row.green_energy_mj, "metered": row.energy_mj, "energy_cap_mw": charter.energy_cap_mw},
            result=earned[Category.ENERGY],
        ),
        Step(
            name="talent credit, seconds",
            formula="approved seconds",
            inputs={"approved seconds": row.talent_seconds},
            result=earned[Category.TALENT],
        ),
        Step(
            name="data credit, row-seconds",
            formula="approved row-seconds",
            inputs={"approved row-seconds": row.kept_row_seconds},
            result=earned[Category.DATA],
        ),
    ]


def _vests(charter: Charter) -> bool:
    return charter.vesting_half_life_periods is not None


def _kept_ppb(half_life_periods: int | None) -> int:
    return WHOLE_PPB if half_life_periods is None else kept_ppb(half_life_periods)


def _stock_step(charter: Charter, category: Category, standing: Standing, before: Held) -> Step:
    return Step(
        name=f"{category} stock",
        formula="floor(stock before x kept_ppb / 10^9) + credit",
        inputs={
            "stock before": before.stock[category],
            "kept_ppb": _kept_ppb(charter.decay_half_life_periods),
            "credit": standing.credit[category],
        },
        result=standing.held.stock[category],
    )


def _vested_step(charter: Charter, category: Category, standing: Standing, before: Held) -> Step:
    return Step(
        name=f"{category} vested",
        formula="stock - (floor(floor(unvested before x kept_ppb / 10^9) x unvested_ppb / 10^9) + credit)",
        inputs={
            "stock": standing.held.stock[category],
            "unvested before": before.unvested[category],
            "kept_ppb": _kept_ppb(charter.decay_half_life_periods),
            "unvested_ppb": _kept_ppb(charter.vesting_half_life_periods),
            "credit": standing.credit[category],
        },
        result=standing.held.vested[category],
    )


def _share_steps(statement: Statement, standing: Standing, previous: Mapping[str, Held]) -> list[Step]:
    charter, counted = statement.charter, vested(statement.held)
    totals, raw = summed(counted), raw_shares(charter, counted)
    after_cap = capped(raw, charter.cap_bp)
    equal = equal_part(charter, totals)
    parts: dict[str, int | Fraction | str] = {"equal part": equal, "members": len(counted)}
    for category in Category:
        parts[f"{category} weight_bp"] = charter.weights_bp[category]
        parts[f"{category} stock"] = standing.held.vested[category]
        parts[f"all {category} stocks"] = totals[category]
    return [
        Step(
            name="equal part",
            formula="basic + (1 - basic) x weights of categories that nobody has filled",
            inputs={"basic_share_bp": charter.basic_share_bp}
            | {f"{category} weight_bp": charter.weights_bp[category] for category in Category if not totals[category]},
            result=equal,
        ),
        Step(
            name="raw share",
            formula="equal part / members + (1 - basic) x sum(weight x stock / all stocks)",
            inputs=parts,
            result=raw[standing.member],
        ),
        Step(
            name="capped share",
            formula="min(cap, pro-rata share of what members at the cap leave)",
            inputs={"cap": effective_cap(charter.cap_bp, len(raw))} | {f"raw {m}": raw[m] for m in sorted(raw)},
            result=after_cap[standing.member],
        ),
        *_smoothing_step(charter, standing, after_cap[standing.member], previous),
        Step(
            name="share, basis points",
            formula="largest remainder of 10000 over all shares; equal remainders by name",
            inputs={f"exact {s.member}": s.exact_share for s in statement.standings},
            result=standing.share_bp,
        ),
    ]


def _smoothing_step(charter: Charter, standing: Standing, share: Fraction, previous: Mapping[str, Held]) -> list[Step]:
    if charter.smoothing_periods is None:
        return []
    inputs: dict[str, int | Fraction | str] = {"capped": share, "smoothing_periods": charter.smoothing_periods}
    for member in sorted(previous):
        inputs[f"last {member}, ppb"] = previous[member].share_ppb or 0
    return [
        Step(
            name="smoothed share",
            formula="capped + (last / all last - capped) x (1 - 1 / smoothing_periods), capped again",
            inputs=inputs,
            result=standing.exact_share,
        )
    ]
