"""How noise is added: OpenDP draws it from the machine's own randomness and says what it costs.

The values are whole numbers of a grid that does not depend on the rows, so that no float's low bits give a value away
(Mironov 2012). Called once for the sum over all members, never by a member for its part.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import opendp.prelude as dp

from commonweal.kinds.federation import Mechanism, NoiseRules
from commonweal.privacy import scale_squared

dp.enable_features("contrib")

_OUTSIDE = 0.05  # the stated width holds 19 noises of 20


class NoiseError(Exception):
    """No noise can be drawn, so nothing may leave."""


@dataclass(frozen=True, kw_only=True)
class Noisy:
    """Values with noise, and the width within which 95 % of all noises stay, both on the grid."""

    values: tuple[int, ...]
    within: float


def add(values: Sequence[int], rules: NoiseRules, sensitivity: int, loss: Fraction) -> Noisy:
    """Add noise to one value of every group at once.

    Args:
        values: 64-bit integers, one for each group.
        rules: the trust's.
        sensitivity: the most that one unit moves them all together.
        loss: what they may lose; epsilon or rho, by the mechanism.

    Raises:
        NoiseError: a value does not fit, or no scale keeps the loss.
    """
    gaussian = rules.mechanism is Mechanism.DISCRETE_GAUSSIAN
    scale = math.sqrt(scale_squared(rules, sensitivity, loss))
    try:
        for _ in range(8):
            measurement = _measurement(scale, gaussian=gaussian)
            lost: Callable[[float], float] = measurement.map
            spent = lost(float(sensitivity) if gaussian else sensitivity)
            if spent <= loss:
                break
            scale *= 1 + 2**-50  # the square root was rounded down
        else:
            raise NoiseError(f"scale {scale}: costs more than {float(loss)} by OpenDP's account")
        return Noisy(values=tuple(measurement(list(values))), within=_width(scale, gaussian=gaussian))
    except (dp.OpenDPException, ValueError, OverflowError) as error:
        raise NoiseError(f"noise: {error}") from error


def _width(scale: float, *, gaussian: bool) -> float:
    """OpenDP's own width of discrete Gaussian noise counts its way outwards, which takes minutes for wide noise."""
    if gaussian:
        return scale * NormalDist().inv_cdf(1 - _OUTSIDE / 2) + 1
    return float(dp.discrete_laplacian_scale_to_accuracy(scale, _OUTSIDE))


def _measurement(scale: float, *, gaussian: bool) -> dp.Measurement:
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    if gaussian:
        return dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale)
    return dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale)
