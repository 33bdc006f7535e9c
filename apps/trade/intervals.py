"""How wide the 90 % interval of a total is: what the goods may really embed, around what the law counts.

Pure, in floats: estimates. Consignments that rest on one value share its error, so a thousand of them are no surer than
one; different values err independently. The sum of such lognormal parts is taken as a shifted lognormal with the same
mean, variance and skewness: exact for one part, and for a certain part beside an uncertain one.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

from apps.trade.assessment import Assessment, Source

METHOD = "shifted-lognormal-1"
COVERAGE = 0.90
REACH = NormalDist().inv_cdf((1 + COVERAGE) / 2)
# Standard deviations of the logarithm; assumptions of the method, versioned with it.
DISCLOSED_SD = 0.05  # materiality of verification: 5 % of the total (2025/2546, Article 5)
OWN_COUNTRY_SD = 0.5  # steel by blast furnace, direct reduction and scrap lies between 2.3 and 0.7 t/t in one country
FALLBACK_SD = 0.8  # default values of one good lie between 0.14 and 8.23 t/t over some 120 countries


@dataclass(frozen=True, kw_only=True)
class Part:
    """Tonnes CO2e that rest on one value, above 0, and the standard deviation of that value's logarithm."""

    tonnes: float
    log_sd: float


def part_of(assessment: Assessment) -> Part:
    """The tonnes of an assessment, and how sure the value is that they rest on."""
    if assessment.source is not Source.DEFAULT:
        log_sd = DISCLOSED_SD
    else:
        log_sd = FALLBACK_SD if assessment.is_fallback else OWN_COUNTRY_SD
    return Part(tonnes=float(assessment.tonnes_counted), log_sd=log_sd)


def interval_t(parts: Iterable[Part]) -> tuple[float, float] | None:
    """Low and high tonnes of the central 90 %; None where nothing is counted, because then nothing is known either."""
    held = [part for part in parts if part.tonnes > 0]
    if not held:
        return None
    spreads = [math.expm1(part.log_sd**2) for part in held]
    means = [part.tonnes * math.sqrt(1 + spread) for part, spread in zip(held, spreads, strict=True)]
    variance = math.fsum(mean**2 * spread for mean, spread in zip(means, spreads, strict=True))
    third = math.fsum(mean**3 * spread**2 * (spread + 3) for mean, spread in zip(means, spreads, strict=True))
    # The shape x = sqrt(exp(sd^2) - 1) of a lognormal of this skewness solves x^3 + 3 x = skewness.
    shape = 2 * math.sinh(math.asinh(third / variance**1.5 / 2) / 3)
    log_sd, scale = math.sqrt(math.log1p(shape**2)), math.sqrt(variance) / shape
    shift, middle = math.fsum(means) - scale, scale / math.sqrt(1 + shape**2)
    return shift + middle * math.exp(-REACH * log_sd), shift + middle * math.exp(REACH * log_sd)
