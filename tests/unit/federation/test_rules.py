import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.federation import RoundRefusedError, context_of, enough, label, needed_of, points, refuse_members
from commonweal.grants import Federation
from tests.unit.federation.samples import LAPLACE, SOURCES, dataset


def federation() -> Federation:
    found = dataset().federation
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (("ca", "ke", "ke", "kr"), "a member stands twice"),
        (("ca", "ke", "fr"), "fr is no source; sources are ca, ke, kr, uy"),
        (("ca", "ke"), "2 is fewer than the 3 that a release stands on"),
        (("ca", "kr", "uy"), "ke is missing"),
        (("ke", "kr", "uy"), "ca is missing"),
    ],
)
def test_members_that_cannot_answer_together_are_refused(members: tuple[str, ...], reason: str) -> None:
    refused = refuse_members(members, "ca", federation())
    assert refused is not None
    assert refused.rule == "Members"
    assert reason in refused.reason


@pytest.mark.parametrize("members", [SOURCES, ("ca", "ke", "kr")])
def test_sources_with_the_combiner_among_them_may_answer(members: tuple[str, ...]) -> None:
    assert refuse_members(members, "ca", federation()) is None
    assert needed_of(len(members), federation()) == 3


def test_members_agree_only_on_the_same_question_asker_and_rules() -> None:
    plain, noisy = dataset(), dataset(LAPLACE)
    contexts = {
        context_of(of, rules, question, asker)
        for of, rules in ((plain, federation()), (noisy, noisy.federation or federation()))
        for question in ({"sql": "a"}, {"sql": "b"})
        for asker in ("steel-pilot", "other")
    }
    assert len(contexts) == 8


@given(st.sets(st.sampled_from(["ca", "ke", "kr", "uy", "fr"])), st.integers(1, 4))
def test_enough_are_those_who_took_part_and_no_fewer_than_needed(named: set[str], needed: int) -> None:
    if named <= set(SOURCES) and len(named) >= needed:
        assert enough(named, SOURCES, needed, "answered") == tuple(sorted(named))
    else:
        with pytest.raises(RoundRefusedError, match=r"took no part|needed members answered"):
            enough(named, SOURCES, needed, "answered")


def test_no_two_messages_of_a_round_have_one_label() -> None:
    kinds = [
        label(b"c" * 32, kind, sender, receiver, about)
        for kind in ("share", "vector", "reveal")
        for sender in SOURCES
        for receiver in SOURCES
        for about in ((), ("ca",), ("ca", "ke"))
    ]
    assert len(set(kinds)) == len(kinds)


def test_members_shares_lie_on_different_points_above_zero() -> None:
    assert points(reversed(SOURCES)) == {"ca": 1, "ke": 2, "kr": 3, "uy": 4}
