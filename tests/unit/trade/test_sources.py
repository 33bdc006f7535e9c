"""Answers are kept briefly: an absent member does not fail a request, a refusal is never outlived."""

import asyncio
from collections.abc import Sequence

import pytest

from apps.trade.questions import CUSTOMS, customs, disclosures
from apps.trade.sources import MAX_KEPT, Ages, Answers, RefusedError, UnreachableError

from .conftest import Pool, Released

AGES = Ages(fresh_s=5, patient_s=30, stale_s=900, wait_s=0.01)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Now."""
        return self.now_s


class SlowMember:
    """Answers once, then only when let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    async def aggregate(self, trust: str, dataset: str, sql: str) -> Sequence[Released]:
        """Wait, then answer with nothing."""
        assert (trust, bool(dataset), bool(sql)) == ("trade", True, True)
        self.asked += 1
        await self.gate.wait()
        return [Released("kr", (), [])]


async def settle() -> None:
    """Let background renewals run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_fresh_answer_is_not_asked_for_again(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    first = await answers.ask(disclosures())
    clock.now_s += 5
    assert await answers.ask(disclosures()) == first
    assert len(pool.members["kr"].asked) == 1


async def test_an_ageing_answer_is_served_and_renewed_behind_the_request(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    (first,) = await answers.ask(disclosures())
    clock.now_s += 6
    assert await answers.ask(disclosures()) == [first]
    await settle()
    (renewed,) = await answers.ask(disclosures())
    assert answers.age_s(renewed) == 0
    await answers.close()


async def test_an_absent_member_is_stood_in_for_by_its_last_answer_with_its_age(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    await answers.ask(disclosures())
    pool.members["kr"].absent = True
    clock.now_s += 600
    (kept,) = await answers.ask(disclosures())
    assert answers.age_s(kept) == 600


async def test_no_answer_stands_in_for_ever(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    await answers.ask(disclosures())
    pool.members["kr"].absent = True
    clock.now_s += 901
    with pytest.raises(UnreachableError, match="kr gave no answer"):
        await answers.ask(disclosures())


async def test_nothing_is_invented_for_a_member_that_never_answered(pool: Pool) -> None:
    pool.members["kr"].absent = True
    with pytest.raises(UnreachableError, match="kr"):
        await Answers(pool, Clock(), AGES).ask(disclosures())


async def test_a_refusal_drops_what_was_kept(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    await answers.ask(disclosures())
    pool.members["kr"].refuses = True
    clock.now_s += 6
    await answers.ask(disclosures())
    await settle()
    with pytest.raises(RefusedError, match="UnknownGrant"):
        await answers.ask(disclosures())
    pool.members["kr"].absent = True
    clock.now_s += 1
    with pytest.raises(UnreachableError):
        await answers.ask(disclosures())


async def test_a_member_that_failed_is_left_alone_for_a_second(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    pool.members["kr"].refuses = True
    for _ in range(10):
        with pytest.raises(RefusedError):
            await answers.ask(disclosures())
    assert len(pool.members["kr"].asked) == 1
    pool.members["kr"].refuses = False
    clock.now_s += 1
    assert len(await answers.ask(disclosures())) == 1


async def test_an_absent_member_is_asked_once_a_second_while_its_answer_stands_in(pool: Pool) -> None:
    clock = Clock()
    answers = Answers(pool, clock, AGES)
    await answers.ask(disclosures())
    pool.members["kr"].absent = True
    for age_s in (10, 60):
        clock.now_s = 1000.0 + age_s
        for _ in range(10):
            await answers.ask(disclosures())
            await settle()
    assert len(pool.members["kr"].asked) == 3


async def test_an_answer_under_another_grant_does_not_count(pool: Pool) -> None:
    answers = Answers(pool, Clock(), AGES)
    await answers.ask(disclosures())
    pool.grant = "another"
    (kept,) = await answers.ask(disclosures())
    assert kept.grant == "another"
    assert len(pool.members["kr"].asked) == 2


async def test_a_slow_member_holds_nobody_up_where_an_older_answer_serves(pool: Pool) -> None:
    clock, slow = Clock(), SlowMember()
    pool.instead["kr"] = slow
    answers = Answers(pool, clock, AGES)
    first = await answers.ask(disclosures())
    slow.gate.clear()
    clock.now_s += 60
    assert await answers.ask(disclosures()) == first
    await answers.close()


async def test_many_requests_cause_one_question(pool: Pool) -> None:
    slow = SlowMember()
    pool.instead["kr"] = slow
    slow.gate.clear()
    answers = Answers(pool, Clock(), AGES)
    waiting = [asyncio.create_task(answers.ask(disclosures())) for _ in range(20)]
    await settle()
    waiting[0].cancel()
    slow.gate.set()
    assert all(len(each) == 1 for each in await asyncio.gather(*waiting[1:]))
    assert slow.asked == 1


async def test_the_memory_is_bounded(pool: Pool) -> None:
    quick = SlowMember()
    pool.members["ca"] = quick  # type: ignore[assignment]  # any Asker will do
    pool.holders[CUSTOMS] = ("ca",)
    answers = Answers(pool, Clock(), AGES)
    years = range(2023, 2023 + MAX_KEPT + 1)
    for year in (*years, years[-1], years[0]):
        await answers.ask(customs(year))
    assert quick.asked == len(years) + 1
