"""When requests are due, whatever the server does: the arrivals of an open model."""

import random
from collections.abc import Iterator
from enum import StrEnum


class Model(StrEnum):
    """How arrivals are spaced."""

    CONSTANT = "constant"
    POISSON = "poisson"


def due_times_s(model: Model, rate_per_s: float, duration_s: float, seed: int) -> Iterator[float]:
    """Seconds after the start at which requests are due, ascending and before `duration_s`.

    Raises:
        ValueError: rate or duration is not above zero.

    """
    if rate_per_s <= 0 or duration_s <= 0:
        raise ValueError(f"rate {rate_per_s}/s over {duration_s} s: both must be above 0")
    if model is Model.CONSTANT:
        # Multiplied, not summed: a thousand additions of 0.01 drift.
        yield from (number / rate_per_s for number in range(int(rate_per_s * duration_s)))
        return
    numbers = random.Random(seed)
    due_s = numbers.expovariate(rate_per_s)
    while due_s < duration_s:
        yield due_s
        due_s += numbers.expovariate(rate_per_s)
