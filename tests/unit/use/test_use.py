"""Each side counts what it saw, and a missed look, a stepped clock or a restart makes it count less, never more."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from commonweal.ledger import Unit
from commonweal.use import MAX_GAP, MICRO, Job, Reserved, Tally, closed, looked, total, without_closed

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
JOB = Job(provider="kr", consumer="ca", name="trade")
PERIOD_S = 60
steps = st.lists(st.integers(1, 40_000), min_size=1, max_size=30)  # milliseconds between looks
holdings = st.integers(0, 4000)


def held(gpu_millis: int = 1000, cpu_millis: int = 500, job: Job = JOB) -> Reserved:
    return Reserved(job=job, gpu_millis=gpu_millis, cpu_millis=cpu_millis)


def seconds_after(at_s: float) -> datetime:
    return NOON + timedelta(seconds=at_s)


def watched(*looks: tuple[float, Reserved | None], tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    for at_s, what in looks:
        tally = looked(tally, [what] if what else [], seconds_after(at_s), period_s=PERIOD_S)
    return tally


def micro(tally: Tally, unit: Unit = Unit.GPU_SECONDS) -> int:
    return sum(one.micro_seconds for one in tally.counted if one.unit is unit)


def test_a_job_that_stands_ready_for_a_minute_used_its_reservation_for_a_minute() -> None:
    tally = watched(*((second, held()) for second in range(0, 61, 5)))
    assert [(usage.unit, usage.amount) for usage in closed(tally)] == [(Unit.CORE_SECONDS, 30), (Unit.GPU_SECONDS, 60)]


def test_an_open_period_is_not_signed_and_a_closed_one_is_signed_once() -> None:
    tally = watched(*((second, held()) for second in range(0, 91, 10)))
    assert {usage.period_start for usage in closed(tally)} == {NOON}
    assert closed(without_closed(tally)) == ()
    assert micro(without_closed(tally)) == 30 * MICRO


def test_a_look_is_split_at_the_end_of_a_period() -> None:
    tally = watched((55, held()), (65, held()))
    assert [one.micro_seconds for one in tally.counted if one.unit is Unit.GPU_SECONDS] == [5 * MICRO, 5 * MICRO]


def test_between_two_looks_the_lesser_counts() -> None:
    assert micro(watched((0, held(2000)), (10, held(1000)), (20, None), (30, held()))) == 10 * MICRO


def test_a_silence_that_is_too_long_is_not_use() -> None:
    longest = MAX_GAP.total_seconds()
    assert micro(watched((0, held()), (longest, held()))) == longest * MICRO
    assert micro(watched((0, held()), (longest + 0.001, held()))) == 0


def test_a_clock_that_steps_back_counts_nothing_twice() -> None:
    forth_and_back = watched((0, held()), (10, held()), (2, held()), (8, held()), (12, held()))
    assert micro(forth_and_back) == 12 * MICRO


def test_replicas_of_a_job_add_up() -> None:
    assert total([held(), held(500, 0)]) == (held(1500, 500),)


@given(steps, st.data())
def test_whatever_is_seen_no_job_uses_more_than_it_held_while_time_passed(gaps: list[int], data: st.DataObject) -> None:
    tally, at_s, most = Tally(), 0.0, 0
    for gap in gaps:
        at_s += gap / 1000
        now = data.draw(holdings)
        tally, most = watched((at_s, held(now)), tally=tally), max(most, now)
    assert 0 <= micro(tally) <= most * sum(gaps[1:])


@given(steps, holdings)
def test_looking_more_often_changes_nothing_of_a_steady_job(gaps: list[int], gpu_millis: int) -> None:
    ends = [sum(gaps[: count + 1]) / 1000 for count in range(len(gaps))]
    within = [gap for gap in gaps[1:] if gap <= MAX_GAP.total_seconds() * 1000]
    assert micro(watched(*((at, held(gpu_millis)) for at in ends))) == gpu_millis * sum(within)


@given(steps, st.integers(0, 29))
def test_a_restart_goes_on_where_the_tally_was_kept(gaps: list[int], crash: int) -> None:
    looks = [(sum(gaps[: count + 1]) / 1000, held()) for count in range(len(gaps))]
    kept = Tally.model_validate_json(watched(*looks[:crash]).model_dump_json())
    assert watched(*looks[crash:], tally=kept) == watched(*looks)
