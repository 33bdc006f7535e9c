import math
import statistics
from fractions import Fraction

import pytest

from commonweal.kinds.federation import Mechanism, NoiseRules
from data_trusts.noise import NoiseError, add


def rules(mechanism: Mechanism) -> NoiseRules:
    return NoiseRules(
        mechanism=mechanism,
        budget_micro_epsilon=1_000_000,
        delta_per_trillion=1_000_000 if mechanism is Mechanism.DISCRETE_GAUSSIAN else 0,
        unit="one consignment",
        rows_per_unit=1,
    )


# Laplace of scale b has variance 2 b**2; for Gauss, 10**2 / (2 * 1/2) is 100.
@pytest.mark.parametrize(
    ("mechanism", "loss", "deviation"),
    [(Mechanism.DISCRETE_LAPLACE, Fraction(1), 10 * math.sqrt(2)), (Mechanism.DISCRETE_GAUSSIAN, Fraction(1, 2), 10)],
)
def test_noise_is_centred_and_as_wide_as_its_loss_buys(mechanism: Mechanism, loss: Fraction, deviation: float) -> None:
    """20,000 draws: means stray by 0.1 and deviations by 1 %, so six times that never fails by chance."""
    noisy = add([1000] * 20_000, rules(mechanism), 10, loss)
    noises = [value - 1000 for value in noisy.values]
    assert abs(statistics.fmean(noises)) < 0.6
    assert statistics.pstdev(noises) == pytest.approx(deviation, rel=0.1)
    assert sum(abs(noise) <= noisy.within for noise in noises) / 20_000 == pytest.approx(0.95, abs=0.02)


def test_two_draws_differ() -> None:
    one, two = (add([0] * 8, rules(Mechanism.DISCRETE_LAPLACE), 1000, Fraction(1, 10)).values for _ in range(2))
    assert one != two


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(NoiseError, match="noise:"):
        add([2**63], rules(Mechanism.DISCRETE_LAPLACE), 1, Fraction(1))


@pytest.mark.parametrize("mechanism", Mechanism)
@pytest.mark.parametrize("sensitivity", [1, 3, 10**9, 10**15])
def test_any_sensitivity_keeps_its_loss(mechanism: Mechanism, sensitivity: int) -> None:
    """`add` refuses where OpenDP's own account is above what was charged."""
    assert add([0], rules(mechanism), sensitivity, Fraction(1, 3)).within > sensitivity
