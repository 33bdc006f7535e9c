"""Who decides on a grant: trustees without a conflict of interest, by the deed's share."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from commonweal.agreements import Electorate, electorate

TRUSTEES = ("ca", "ch", "ke", "kr", "nz", "uy")


@st.composite
def deeds(draw: st.DrawFn) -> tuple[tuple[str, ...], int]:
    trustees = TRUSTEES[: draw(st.integers(1, len(TRUSTEES)))]
    return trustees, draw(st.integers(1, len(trustees)))


recusals = st.sets(st.sampled_from((*TRUSTEES, "nobody")))


@given(deed=deeds(), recused=recusals)
def test_a_recused_trustee_counts_neither_among_voters_nor_among_those_needed(
    deed: tuple[tuple[str, ...], int], recused: set[str]
) -> None:
    trustees, quorum = deed
    found = electorate(trustees, quorum, recused)
    voters = set(trustees) - recused
    if found is not None:
        assert found.voters == voters
        assert Fraction(found.needed, len(voters)) >= Fraction(quorum, len(trustees))
        assert found.needed <= max(len(voters), 1)
        assert found.needed - 1 < max(Fraction(quorum * len(voters), len(trustees)), Fraction(2))


@given(deed=deeds())
def test_without_recusal_the_deeds_own_quorum_is_needed(deed: tuple[tuple[str, ...], int]) -> None:
    trustees, quorum = deed
    assert electorate(trustees, quorum, ()) == Electorate(voters=frozenset(trustees), needed=quorum)


@given(deed=deeds(), recused=recusals)
def test_one_voice_never_decides_where_the_deed_wants_several(
    deed: tuple[tuple[str, ...], int], recused: set[str]
) -> None:
    trustees, quorum = deed
    found = electorate(trustees, quorum, recused)
    left = len(set(trustees) - recused)
    assert (found is None) == (left < min(quorum, 2))
    assert found is None or quorum == 1 or found.needed >= 2


@given(deed=deeds(), recused=recusals, other=st.sampled_from(TRUSTEES))
def test_another_recusal_never_asks_for_more_voices(
    deed: tuple[tuple[str, ...], int], recused: set[str], other: str
) -> None:
    before, after = electorate(*deed, recused), electorate(*deed, recused | {other})
    assert before is None or after is None or after.needed <= before.needed


def test_two_of_three_become_two_of_two_and_then_too_few() -> None:
    assert electorate(("ca", "ke", "kr"), 2, {"kr"}) == Electorate(voters=frozenset({"ca", "ke"}), needed=2)
    assert electorate(("ca", "ke", "kr"), 2, {"kr", "ke"}) is None
    assert electorate(("ca", "ke", "kr"), 1, {"ca", "ke", "kr"}) is None
