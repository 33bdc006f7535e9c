"""Where declarations, disclosures and statistics cannot all be true: reasons to ask again, never findings.

Pure. Imports that we see are a part of what a plant sold, so more of them than it made is a contradiction, while fewer
say nothing. Two countries never report one flow alike, so a gap is judged by how wide the gaps of all the others are,
and requests are controlled over all flows together.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist

from apps.trade.disclosures import Disclosure
from apps.trade.emissions import ZERO
from apps.trade.fusion import review_requests

FEWEST_FLOWS = 20  # below, how wide gaps usually are is not known
NORMAL_MAD = NormalDist().inv_cdf(0.75)  # median absolute deviation of a normal with sd 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """Something to ask about: which rule, about whom or what, and the contradiction in one sentence."""

    rule: str
    about: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One good in one period from `exporter` to `importer`, as each of the two reports it, in kilograms."""

    exporter: str
    importer: str
    cmd_code: str
    period: str
    exported_kg: float
    imported_kg: float

    @property
    def name(self) -> str:
        """The flow in words."""
        return f"{self.cmd_code} from {self.exporter} to {self.importer} in {self.period}"


class TooFewFlowsError(ValueError):
    """Too few flows to know how wide gaps usually are."""


def beyond_production(
    consigned_t: Mapping[tuple[str, str, str], Decimal],
    produced_t: Mapping[tuple[str, str, str], Decimal],
    opening_stock_t: Mapping[tuple[str, str, str], Decimal],
) -> list[Request]:
    """Mass balance: consignments of an installation, good and year are at most what it made and had in stock.

    Keys are installation, CN code, year. What was not disclosed is not judged here.
    """
    requests = []
    for key, tonnes in sorted(consigned_t.items()):
        available_t = produced_t.get(key, ZERO) + opening_stock_t.get(key, ZERO)
        if key in produced_t and tonnes > available_t:
            says = f"{tonnes} t were declared of {key[1]} in {key[2]}, and {available_t} t were made or in stock"
            requests.append(Request(rule="mass-balance", about=key[0], says=says))
    return requests


def counted_twice(declarations: Mapping[str, Sequence[str]]) -> list[Request]:
    """Double counting: one consignment is declared once. Values are the declarants of each consignment."""
    return [
        Request(
            rule="double-count",
            about=consignment,
            says=f"declared {len(declarants)} times, by {', '.join(sorted(set(declarants)))}",
        )
        for consignment, declarants in sorted(declarations.items())
        if len(declarants) > 1
    ]


def passed_on_more_than_made(disclosure: Disclosure) -> list[Request]:
    """Mass balance within an installation: its processes use of a product at most what it made of it."""
    used_t: dict[str, Decimal] = {}
    for product in disclosure.products:
        for made in product.made():
            used_t[made.process] = used_t.get(made.process, ZERO) + made.mass_t
    return [
        Request(
            rule="internal-balance",
            about=disclosure.installation_id,
            says=f"{used_t[product.name]} t of {product.name} go into other products, {product.activity_t} t were made",
        )
        for product in disclosure.products
        if used_t.get(product.name, ZERO) > product.activity_t
    ]


def mirror_gaps(flows: Iterable[Flow], false_discovery_share: float) -> list[Request]:
    """Mirror trade: flows whose two reports differ by more than is usual among all flows.

    The usual gap and its width are the median and the median absolute deviation of the logarithms, which a few wrong
    reports do not move.

    Raises:
        TooFewFlowsError: there are fewer than FEWEST_FLOWS.
        FusionError: the share is not between 0 and 1.

    """
    gaps = {flow: math.log(flow.exported_kg / flow.imported_kg) for flow in flows}
    if len(gaps) < FEWEST_FLOWS:
        raise TooFewFlowsError(f"{len(gaps)} flows have both reports; give {FEWEST_FLOWS} at least")
    usual = statistics.median(gaps.values())
    width = statistics.median(abs(gap - usual) for gap in gaps.values()) / NORMAL_MAD
    p_values = {flow.name: _p_value(gap - usual, width) for flow, gap in gaps.items()}
    asked = review_requests(p_values, false_discovery_share)
    return [
        Request(
            rule="mirror-trade",
            about=flow.name,
            says=(
                f"{flow.exported_kg:.0f} kg left and {flow.imported_kg:.0f} kg arrived; "
                f"usual is {math.exp(usual):.2f} to 1"
            ),
        )
        for flow in sorted(gaps, key=lambda each: each.name)
        if flow.name in asked
    ]


def _p_value(gap: float, width: float) -> float:
    """Two-sided; where all other gaps are equal, any other one is beyond chance."""
    if width == 0:
        return 1.0 if gap == 0 else 0.0
    return 2 * NormalDist().cdf(-abs(gap) / width)
