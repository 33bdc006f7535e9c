"""What no meter reads counts when others approved it and the clock has run out, and nothing of it counts twice."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.contributions import (
    Around,
    Brought,
    Claim,
    Decided,
    Interval,
    Past,
    bring,
    creditable_loads,
    decide,
    fault,
    standing,
    uncounted,
)
from commonweal.green import MJ_PER_WH, Load
from commonweal.kinds.contribution import ContributionReason
from commonweal.ledger import Unit
from tests.unit.contributions.samples import AROUND, MINUTE, NOON, RULES, at, certificate, claim, kept, work


def counted(*claims: Claim, past: Past | None = None, loads: Sequence[Load] = ()) -> Brought:
    return bring([Decided(claim=each, counts=True) for each in claims], past or Past(), loads, NOON)


def amounts(brought: Brought) -> dict[tuple[str, Unit], int]:
    sums: Counter[tuple[str, Unit]] = Counter()
    for each in brought.transfers:
        sums[each.credit.split("/")[1], each.unit] += each.amount
    return dict(sums)


def load(wh: int, member: str = "ca", hour: datetime = NOON) -> Load:
    return Load(member=member, zone="CA-QC", hour=hour, mj=wh * MJ_PER_WH)


# -- when it counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "seconds", "reason", "words"),
    [
        ({}, 0, ContributionReason.APPROVED, "the first statement that ends after 2026-11-24 12:01:00Z"),
        ({"yes": ("ke",)}, 0, ContributionReason.AWAITING_APPROVAL, "1 more approvals of other members"),
        ({"yes": ("ke", "ca")}, 0, ContributionReason.AWAITING_APPROVAL, "1 more approvals"),
        ({"yes": ("ke", "nobody")}, 0, ContributionReason.AWAITING_APPROVAL, "1 more approvals"),
        ({"yes": ("ke",)}, 120, ContributionReason.LAPSED, "was due 2026-11-24 12:02:00Z"),
        (
            {"no": ("uy",)},
            60,
            ContributionReason.DISPUTED,
            "uy objects: never seen; until 2026-11-24 12:02",
        ),
        ({"no": ("uy",)}, 120, ContributionReason.LAPSED, "1 more approvals"),
        ({"no": ("kr",)}, 60, ContributionReason.DISPUTED, "kr objects: never seen; until .*: 2 more"),
    ],
)
def test_a_claim_stands_where_others_put_it(
    changes: dict[str, Any], seconds: int, reason: ContributionReason, words: str
) -> None:
    stands = standing(claim(work=[work()], **changes), AROUND, RULES, NOON, NOON + timedelta(seconds=seconds))
    assert stands.reason is reason
    assert re.search(words, stands.message)


def test_more_approvals_than_objections_ask_for_end_a_dispute_by_its_clock() -> None:
    disputed = claim(work=[work()], yes=("ke", "kr", "br"), no=("uy",))
    around = Around(members=AROUND.members | {"br"})
    assert standing(disputed, around, RULES, NOON, NOON + MINUTE).reason is ContributionReason.DISPUTED
    assert standing(disputed, around, RULES, NOON, NOON + 2 * MINUTE).final(NOON + 2 * MINUTE)
    assert [each.counts for each in decide([(disputed, NOON)], around, RULES, NOON + 2 * MINUTE)] == [True]


def test_of_kept_data_one_who_may_ask_it_must_approve() -> None:
    stands = standing(claim(data=[kept()], yes=("ke", "uy")), AROUND, RULES, NOON, NOON)
    assert stands.reason is ContributionReason.AWAITING_APPROVAL
    assert "the approval of one who may ask trade.customs_rows: kr" in stands.message
    assert standing(claim(data=[kept()]), AROUND, RULES, NOON, NOON).reason is ContributionReason.APPROVED


def test_before_its_clock_has_run_out_nothing_is_decided() -> None:
    pending = [(claim(work=[work()]), NOON)]
    assert decide(pending, AROUND, RULES, NOON + timedelta(seconds=59)) == ()
    assert [each.counts for each in decide(pending, AROUND, RULES, NOON + MINUTE)] == [True]


def test_what_nobody_approved_is_closed_uncounted() -> None:
    [decided] = decide([(claim(work=[work()], yes=()), NOON)], AROUND, RULES, NOON + 2 * MINUTE)
    assert not decided.counts
    assert bring([decided], Past(), [], NOON).transfers == ()


def test_a_fault_may_be_mended_until_the_disputes_clock_has_run_out() -> None:
    wrong = [(claim(certificates=[certificate(zone="KR")]), NOON)]
    assert decide(wrong, AROUND, RULES, NOON + MINUTE) == ()
    assert [each.counts for each in decide(wrong, AROUND, RULES, NOON + 2 * MINUTE)] == [False]


def test_of_two_claims_of_one_certificate_the_first_has_it() -> None:
    first = claim(certificates=[certificate()])
    second = claim(certificates=[certificate(wh=2000)], uid="uid-2")
    decided = decide([(first, NOON), (second, NOON)], AROUND, RULES, NOON + 2 * MINUTE)
    assert [(each.claim, each.counts) for each in decided] == [(first, True), (second, False)]


def test_one_record_in_two_objects_is_one_claim() -> None:
    twins = [(claim(work=[work()]), NOON), (claim(work=[work()], uid="uid-2"), NOON)]
    assert len(decide(twins, AROUND, RULES, NOON + MINUTE)) == 1


def test_a_claims_name_is_what_was_claimed_and_not_who_approved_it() -> None:
    assert claim(work=[work()]).id == claim(work=[work()], yes=()).id
    assert claim(work=[work()]).id != claim(work=[work(0, 601)]).id
    assert claim(work=[work()]).id != claim(work=[work()], member="kr").id


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"certificates": [certificate(hour=NOON + MINUTE)]},
            "hour: 2026-11-24T12:01:00+00:00 is not the",
        ),
        ({"certificates": [certificate(hour=NOON + timedelta(hours=1))]}, "hour: 2026-11-24T13:00:00Z has not begun"),
        ({"certificates": [certificate(zone="KR")]}, "zone: KR, but ca pledges in CA-QC"),
        ({"certificates": [certificate(source="biomass")]}, "source: biomass is not free of carbon"),
        ({"certificates": [certificate(), certificate()]}, "certificates[1].id: r/gc-1 is here twice"),
        ({"work": [work(), work(600, 600)]}, "spec.record.work[1].end: 2026-11-24T11:10:00Z is not after"),
        ({"work": [work(0, 3661)]}, "end: 2026-11-24T12:01:01Z is not over"),
        ({"work": [work(begin=at(0) + timedelta(milliseconds=1))]}, "begin: 2026-11-24T11:00:00.001000+00:00 is not a"),
        ({"data": [kept(dataset="other")]}, "dataset: no rows of trade.other lie at ca"),
    ],
)
def test_what_cannot_be_is_refused_by_field_and_rule(record: dict[str, Any], words: str) -> None:
    assert words in fault(claim(**record), AROUND, NOON)


def test_data_that_nobody_else_may_ask_for_earns_nothing() -> None:
    alone = Around(members=AROUND.members, holders=AROUND.holders)
    assert "it earns once another member has a live grant" in fault(claim(data=[kept()]), alone, NOON)


def test_a_certificate_that_is_counted_backs_no_second_claim() -> None:
    taken = Around(members=AROUND.members, zones=AROUND.zones, taken={"r/gc-1": "another"})
    assert "id: r/gc-1 is counted already" in fault(claim(certificates=[certificate()]), taken, NOON)


def test_what_is_right_has_no_fault() -> None:
    whole = claim(certificates=[certificate(), certificate("gc-2")], work=[work()], data=[kept()])
    assert fault(whole, AROUND, NOON) == ""


# -- how much ----------------------------------------------------------------------------------------------------------


def test_work_counts_in_seconds_and_data_in_rows_times_seconds() -> None:
    both = counted(claim(work=[work(), work(600, 900), work(person="p-2")], data=[kept(0, 60)]))
    assert amounts(both) == {("ca", Unit.WORK_SECONDS): 1500, ("ca", Unit.ROW_SECONDS): 60_000}


def test_certificates_cover_what_the_same_member_drew_in_the_same_zone_and_hour() -> None:
    two = [load(600), load(900, hour=NOON - timedelta(hours=1)), load(500, member="kr")]
    brought = counted(claim(certificates=[certificate()]), loads=two)
    assert amounts(brought) == {("ca", Unit.GREEN_MJ): 600 * MJ_PER_WH}
    assert brought.certificates[0][0].wh == 1000


def test_equal_loads_of_two_statements_are_two() -> None:
    brought = counted(claim(certificates=[certificate()]), past=Past(loads=(load(300),)), loads=[load(300)])
    assert amounts(brought) == {("ca", Unit.GREEN_MJ): 600 * MJ_PER_WH}


def test_a_statement_with_a_simulated_certificate_says_so() -> None:
    assert counted(claim(certificates=[certificate(simulated=True)])).simulated
    assert not counted(claim(certificates=[certificate()])).simulated


def test_an_overlap_of_one_dataset_counts_the_fewest_rows_of_a_statement() -> None:
    lines = [kept(0, 100, rows=10), kept(50, 150, rows=4)]
    assert amounts(counted(claim(data=lines))) == {("ca", Unit.ROW_SECONDS): 50 * 10 + 100 * 4}
    assert amounts(counted(claim(data=lines[::-1]))) == {("ca", Unit.ROW_SECONDS): 50 * 10 + 100 * 4}


spans = st.tuples(st.integers(0, 3500), st.integers(1, 100)).map(lambda it: (it[0], it[0] + it[1]))
people = st.sampled_from(["p-1", "p-2"])
owners = st.sampled_from(["ca", "kr"])
told = st.lists(st.tuples(owners, st.lists(st.tuples(people, spans), min_size=1, max_size=4)), max_size=5)
Told = list[tuple[str, list[tuple[str, tuple[int, int]]]]]


def claims_of(history: Told) -> list[Claim]:
    return [
        claim(member=member, uid=str(number), work=[work(*span, person=person) for person, span in lines])
        for number, (member, lines) in enumerate(history)
    ]


def union_s(history: Told) -> int:
    return len({(person, second) for _, lines in history for person, span in lines for second in range(*span)})


def in_steps(claims: Iterable[Claim]) -> dict[tuple[str, Unit], int]:
    """Each claim counted by a statement of its own."""
    sums: Counter[tuple[str, Unit]] = Counter()
    seconds: dict[str, list[Interval]] = {}
    for each in claims:
        brought = counted(each, past=Past(seconds=seconds))
        sums.update(amounts(brought))
        for subject, span in brought.seconds:
            seconds.setdefault(subject, []).append(span)
    return dict(sums)


def total(sums: Mapping[tuple[str, Unit], int]) -> int:
    return sum(sums.values())


@given(told, st.data())
def test_of_a_person_every_second_counts_once_however_it_is_told(history: Told, data: st.DataObject) -> None:
    claims = claims_of(history)
    shuffled = data.draw(st.permutations([*claims, *claims]))
    assert total(amounts(counted(*claims))) == union_s(history)
    assert amounts(counted(*shuffled)) == amounts(counted(*claims))
    assert total(in_steps(shuffled)) == union_s(history)


@given(told)
def test_leaving_a_claim_out_never_raises_what_its_member_has(history: Told) -> None:
    claims = claims_of(history)
    whole = amounts(counted(*claims))
    for each in claims:
        rest = amounts(counted(*(one for one in claims if one is not each)))
        key = each.member, Unit.WORK_SECONDS
        assert rest.get(key, 0) <= whole.get(key, 0)


@given(spans, st.data())
def test_a_span_told_as_two_counts_as_one(span: tuple[int, int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(*span))
    halves = [work(begin, end) for begin, end in ((span[0], cut), (cut, span[1])) if begin < end]
    assert amounts(counted(claim(work=halves))) == amounts(counted(claim(work=[work(*span)])))


@given(st.lists(spans, max_size=6), spans)
def test_what_is_uncounted_and_what_is_counted_make_up_the_span(before: list[tuple[int, int]], it: Any) -> None:  # noqa: ANN401 - drawn
    parts = uncounted((at(it[0]), at(it[1])), [(at(begin), at(end)) for begin, end in before])
    left = {second for begin, end in parts for second in range((begin - at(0)).seconds, (end - at(0)).seconds)}
    assert left == set(range(*it)) - {second for span in before for second in range(*span)}


@given(st.dictionaries(st.sampled_from(["CA-QC", "CA-ON"]), st.integers(0, 10**12), min_size=1), st.integers(0, 10**12))
def test_what_may_earn_is_cut_down_to_the_bound_and_never_beyond_what_was_read(
    energies: dict[str, int], most_mj: int
) -> None:
    loads = creditable_loads("ca", {(zone, NOON): mj for zone, mj in energies.items()}, most_mj)
    assert sum(each.mj for each in loads) == min(most_mj, sum(energies.values()))
    assert all(0 < each.mj <= energies[each.zone] for each in loads)
