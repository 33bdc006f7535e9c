"""What tests of more than one behaviour start from."""

from datetime import datetime, timedelta
from fractions import Fraction

from hypothesis import strategies as st

from commonweal.attribution import UNATTRIBUTED, Interval, Look
from commonweal.metering import Measurement, Scope


def measurement(
    sequence: int,
    *,
    start: datetime,
    period: timedelta = timedelta(minutes=1),
    meter: str = "GPU-1",
    energy_mj: int = 6_000_000,
    estimated_mj: int = 0,
) -> Measurement:
    """One whole period of one simulated device; `metering.adopt` makes it a member's reading."""
    return Measurement(
        meter=meter,
        sequence=sequence,
        period_start=start,
        period_end=start + period,
        energy_mj=energy_mj,
        estimated_mj=estimated_mj,
        device_seconds=int(period.total_seconds()),
        gpu_count=1,
        scope=Scope.GPU,
        epoch=1,
        flags=(),
        simulated=True,
    )


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """What may be seen of a board: reservations up to the whole of it, any use, measured or not."""
    owners = draw(st.lists(st.sampled_from(["ns/a", "ns/b", "ns/c", "ns/d"]), unique=True))
    weights = [draw(st.integers(0, 7)) for _ in owners]
    whole = sum(weights) + draw(st.integers(0, 7)) or 1
    users = st.sampled_from(["ns/a", "ns/b", "ns/e", UNATTRIBUTED])
    return Look(
        reserved={owner: Fraction(weight, whole) for owner, weight in zip(owners, weights, strict=True)},
        busy=draw(st.none() | st.dictionaries(users, st.integers(0, 100))),
        running=draw(st.none() | st.frozensets(users)),
    )


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    """What a register may count between two samples; only a reset that was seen leaves something to estimate."""
    reset, seen = draw(st.booleans()), draw(st.booleans())
    return Interval(
        measured_mj=draw(st.integers(0, 10**9)),
        estimated_mj=draw(st.integers(0, 10**9)) if reset and seen else 0,
        length_ms=draw(st.integers(1, 100_000)),
        reset=reset,
        seen=seen,
    )
