"""What comes in with precursors, and which of it counts."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.precursors import Bought, Made, PrecursorError, Process, Scope, embedded
from apps.trade.rule_packs import all_packs

EVERYTHING = Scope(indirect_counts=lambda _: True, zero_rated=lambda _: False, scrap=lambda _: False)
DEFINITIVE = next(pack for pack in all_packs() if pack.id == "eu-2025-2547").scope()
TONNES = st.decimals(0, 10**7, places=3)
ONE = Decimal(1)


bought = partial(
    replace,
    Bought(
        name="scrap",
        cn_code="72071111",
        origin="KR",
        mass_t=ONE,
        direct_t_per_t=Decimal(2),
        indirect_t_per_t=Decimal(3),
    ),
)
process = partial(replace, Process(name="steel", cn_code="72081000", activity_t=ONE, direct_t=ONE, indirect_t=ONE))


def named(*processes: Process) -> Mapping[str, Process]:
    return {each.name: each for each in processes}


BOUGHT = st.builds(
    bought,
    mass_t=TONNES,
    direct_t_per_t=st.decimals(0, 50, places=6),
    indirect_t_per_t=st.decimals(0, 50, places=6),
    is_default=st.booleans(),
)


@given(inputs=st.lists(BOUGHT, max_size=6), factor=st.integers(1, 1000))
def test_scaling_every_mass_leaves_the_tonne_as_it_was(inputs: list[Bought], factor: int) -> None:
    small = process(bought=tuple(inputs))
    large = replace(
        small,
        activity_t=small.activity_t * factor,
        direct_t=small.direct_t * factor,
        indirect_t=small.indirect_t * factor,
        bought=tuple(replace(each, mass_t=each.mass_t * factor) for each in inputs),
    )
    assert embedded(named(small), EVERYTHING) == embedded(named(large), EVERYTHING)


@given(inputs=st.lists(BOUGHT, max_size=6), data=st.data())
def test_the_order_of_precursors_does_not_matter(inputs: list[Bought], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(inputs))
    assert embedded(named(process(bought=tuple(inputs))), EVERYTHING) == embedded(
        named(process(bought=tuple(shuffled))), EVERYTHING
    )


@given(inputs=st.lists(BOUGHT, max_size=4), nothing=BOUGHT)
def test_an_input_without_mass_changes_nothing(inputs: list[Bought], nothing: Bought) -> None:
    with_nothing = process(bought=(*inputs, replace(nothing, mass_t=Decimal(0))))
    assert embedded(named(with_nothing), EVERYTHING) == embedded(named(process(bought=tuple(inputs))), EVERYTHING)


@given(inputs=st.lists(BOUGHT, min_size=1, max_size=6))
def test_the_default_share_is_the_defaults_part_of_direct_emissions(inputs: list[Bought]) -> None:
    see = embedded(named(process(bought=tuple(inputs))), EVERYTHING)["steel"]
    from_defaults = sum((each.mass_t * each.direct_t_per_t for each in inputs if each.is_default), Decimal(0))
    assert see.default_direct_t_per_t == from_defaults
    assert 0 <= see.default_share <= 1


def test_nothing_embedded_has_no_default_share() -> None:
    assert embedded(named(process(direct_t=Decimal(0))), EVERYTHING)["steel"].default_share == 0


def test_defaults_travel_through_a_precursor_made_on_site() -> None:
    slab = process(name="slab", bought=(bought(is_default=True),))
    pipes = process(name="pipes", direct_t=Decimal(3), made=(Made(process="slab", mass_t=ONE),))
    see = embedded(named(pipes, slab), EVERYTHING)["pipes"]
    assert see.direct_t_per_t == 6
    assert see.indirect_t_per_t == 5
    assert round(see.default_share, 20) == round(Decimal(2) / 6, 20)


def test_defaults_of_several_precursors_made_on_site_add_up() -> None:
    slab = process(name="slab", bought=(bought(is_default=True),))
    made = (Made(process="slab", mass_t=ONE), Made(process="slab", mass_t=Decimal(2)))
    see = embedded(named(process(name="pipes", made=made, bought=(bought(is_default=True),)), slab), EVERYTHING)[
        "pipes"
    ]
    assert see.default_direct_t_per_t == Decimal(8)


def test_quotients_keep_more_digits_than_pythons_default() -> None:
    third = embedded(named(process(activity_t=Decimal(3))), EVERYTHING)["steel"].direct_t_per_t
    assert len(third.as_tuple().digits) == 60


def test_a_circle_of_precursors_is_refused_by_name() -> None:
    slab = process(name="slab", made=(Made(process="pipes", mass_t=ONE),))
    pipes = process(name="pipes", made=(Made(process="slab", mass_t=ONE),))
    with pytest.raises(PrecursorError, match=r"(slab <- pipes <- slab|pipes <- slab <- pipes).*remove one"):
        embedded(named(slab, pipes), EVERYTHING)


def test_a_product_that_feeds_itself_is_refused() -> None:
    with pytest.raises(PrecursorError, match="steel <- steel"):
        embedded(named(process(made=(Made(process="steel", mass_t=ONE),))), EVERYTHING)


def test_an_unknown_precursor_is_refused_by_name() -> None:
    with pytest.raises(
        PrecursorError,
        match=r"^product steel: precursor slab is not a product of this disclosure; add the product or enter the "
        r"precursor as bought$",
    ):
        embedded(named(process(made=(Made(process="slab", mass_t=ONE),))), EVERYTHING)


def test_a_long_chain_needs_no_deep_stack() -> None:
    chain = [process(name="0")]
    chain += [process(name=str(n), made=(Made(process=str(n - 1), mass_t=ONE),)) for n in range(1, 3000)]
    assert embedded(named(*chain), EVERYTHING)["2999"].direct_t_per_t == 3000


def test_a_precursor_of_eu_or_efta_origin_embeds_nothing() -> None:
    from_norway = process(bought=(bought(origin="NO"),))
    assert embedded(named(from_norway), DEFINITIVE) == embedded(named(process()), DEFINITIVE)


def test_a_precursor_of_unknown_origin_is_not_zero_rated() -> None:
    assert embedded(named(process(bought=(bought(origin=None),))), DEFINITIVE)["steel"].direct_t_per_t == 3


def test_annex_ii_steel_keeps_the_indirect_emissions_of_ferro_silicon() -> None:
    see = embedded(named(process(bought=(bought(cn_code="72022100"),))), DEFINITIVE)["steel"]
    assert see.direct_t_per_t == 3
    assert see.indirect_t_per_t == 3


def test_a_good_outside_annex_ii_drops_the_indirect_emissions_of_an_annex_ii_precursor() -> None:
    cement = process(cn_code="25231000", bought=(bought(cn_code="72081000"),))
    assert embedded(named(cement), DEFINITIVE)["steel"].indirect_t_per_t == 1


def test_the_transitional_method_shows_every_indirect_emission() -> None:
    assert embedded(named(process(bought=(bought(),))), EVERYTHING)["steel"].indirect_t_per_t == 4
