"""What tests of more than one behaviour start from."""

from datetime import datetime, timedelta

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
