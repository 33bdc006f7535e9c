"""What tests of more than one behaviour start from."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from commonweal.equity import Category, Charter
from commonweal.ledger import POOL, Event, Post, Transfer, Unit, Void, delivered, used
from commonweal.metering import Measurement, Scope

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ACCOUNTS = (POOL, delivered("ca"), delivered("kr"), used("ca", "kr"))


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
def histories(draw: st.DrawFn) -> list[Event]:
    """Transfers of three hours, each pending, posted or voided."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 12))):
        debit, credit = draw(st.permutations(ACCOUNTS))[:2]
        made = Transfer(
            debit=debit,
            credit=credit,
            unit=draw(st.sampled_from(Unit)),
            amount=draw(st.integers(1, 10**15)),
            period_start=NOON + timedelta(hours=draw(st.integers(0, 2))),
            evidence_sha256=f"{number:064x}",
        )
        events.append(made)
        events += draw(st.sampled_from([[], [Post(made.id)], [Void(made.id, "disputed")]]))
    return events


def transfers(members: tuple[str, ...], *, size: int = 12) -> st.SearchStrategy[list[Transfer]]:
    """Different deliveries and uses that a hub could have posted for one of three hours."""

    def made(number: int, drawn: tuple[str, str, Unit, int, int]) -> Transfer:
        member, other, unit, amount, hour = drawn
        given = unit is not Unit.CORE_SECONDS and number % 3
        return Transfer(
            debit=POOL if given else used(member, other),
            credit=delivered(member) if given else POOL,
            unit=unit,
            amount=amount,
            period_start=NOON + timedelta(hours=hour),
            evidence_sha256=f"{number:064x}",
        )

    one = st.tuples(
        st.sampled_from(members),
        st.sampled_from(members),
        st.sampled_from(Unit),
        st.integers(1, 10**9),
        st.integers(0, 2),
    )
    return st.lists(one, max_size=size).map(lambda drawn: [made(*each) for each in enumerate(drawn)])


charters = st.builds(
    Charter,
    weights_bp=st.sampled_from(
        [
            {Category.COMPUTE: 6000, Category.ENERGY: 2000, Category.TALENT: 2000},
            {Category.COMPUTE: 10_000, Category.ENERGY: 0, Category.TALENT: 0},
        ]
    ),
    basic_share_bp=st.sampled_from([0, 500, 2000]),
    cap_bp=st.sampled_from([2500, 3400, 10_000]),
    beyond_pledge_bp=st.just(5000),
    energy_cap_mw=st.just(700_000),
    decay_half_life_periods=st.sampled_from([None, 1, 720]),
    vesting_half_life_periods=st.sampled_from([None, 1, 24]),
    smoothing_periods=st.sampled_from([None, 1, 12]),
)
