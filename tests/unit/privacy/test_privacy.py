import math
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from commonweal.kinds.federation import MeasureBounds, Mechanism, NoiseRules
from commonweal.ledger import Post, Void
from commonweal.privacy import (
    BudgetError,
    Charge,
    LossUnit,
    PrivacyBooks,
    PrivacyError,
    account,
    budget,
    charge_of,
    cost,
    promised_micro_epsilon,
    scale_squared,
    share,
    visible,
)
from tests.strategies import NOON

STEEL = account("trade", "customs_rows", "steel-pilot", "trade-embedded-emissions")


def rules(mechanism: Mechanism = Mechanism.DISCRETE_LAPLACE, micro_epsilon: int = 1_000_000) -> NoiseRules:
    return NoiseRules(
        mechanism=mechanism,
        budget_micro_epsilon=micro_epsilon,
        delta_per_trillion=1_000_000 if mechanism is Mechanism.DISCRETE_GAUSSIAN else 0,
        unit="one consignment",
        rows_per_unit=2,
    )


GAUSSIAN = rules(Mechanism.DISCRETE_GAUSSIAN)


def charge(amount: int, number: int = 0, unit: LossUnit = LossUnit.MICRO_EPSILON, of: str = STEEL) -> Charge:
    at = NOON + timedelta(seconds=number)
    return Charge(account=of, unit=unit, amount=amount, at=at, evidence_sha256=f"{number:064x}")


def reserve(books: PrivacyBooks, wanted: Charge, under: NoiseRules) -> bool:
    try:
        books.check(wanted, under)
    except BudgetError:
        return False
    return books.record(wanted)


@given(
    st.lists(st.tuples(st.integers(1, 400_000), st.sampled_from(["post", "void", "nothing"])), max_size=30),
    st.integers(1, 2_000_000),
)
def test_no_history_spends_more_than_the_budget(asked: list[tuple[int, str]], whole: int) -> None:
    books, under = PrivacyBooks(), rules(micro_epsilon=whole)
    spent = pending = 0
    for number, (amount, end) in enumerate(asked):
        wanted = charge(amount, number)
        if reserve(books, wanted, under):
            assert spent + pending + amount <= whole
            if end == "post":
                books.record(Post(wanted.id))
                spent += amount
            elif end == "void":
                books.record(Void(wanted.id, "the engine failed"))
            else:
                pending += amount
        else:
            assert spent + pending + amount > whole
        assert books.used(STEEL, LossUnit.MICRO_EPSILON) == spent + pending
    assert PrivacyBooks(books).used(STEEL, LossUnit.MICRO_EPSILON) == spent + pending


def test_what_was_voided_can_be_spent_and_what_was_posted_cannot() -> None:
    books, first, second = PrivacyBooks(), charge(600_000, 1), charge(600_000, 2)
    assert reserve(books, first, rules())
    assert not reserve(books, second, rules())
    books.record(Void(first.id, "the engine failed"))
    assert reserve(books, second, rules())
    books.record(Post(second.id))
    with pytest.raises(BudgetError, match=r"costs 600000 micro_epsilon, and 400000 of 1000000 are left to trade/"):
        books.check(charge(600_000, 3), rules())


def test_accounts_do_not_share_a_budget() -> None:
    books = PrivacyBooks([charge(1_000_000, 1)])
    other = account("trade", "customs_rows", "steel-pilot", "public-statistics")
    assert reserve(books, charge(1_000_000, 2, of=other), rules())


def test_recording_twice_is_recording_once() -> None:
    one = charge(5)
    books = PrivacyBooks([one, Post(one.id)])
    assert not books.record(one)
    assert not books.record(Post(one.id))
    assert books.used(STEEL, LossUnit.MICRO_EPSILON) == 5
    assert books.pending() == ()


def test_a_charge_that_was_voided_cannot_be_reserved_again_for_nothing() -> None:
    one = charge(5)
    books = PrivacyBooks([one, Void(one.id, "the gateway stopped")])
    with pytest.raises(PrivacyError, match="a release is charged once"):
        books.check(one, rules())


def test_a_charge_survives_its_record() -> None:
    one = charge(5)
    assert charge_of(one.record()) == one
    for broken in (b"{}", one.record() + b" ", one.record().replace(b'"amount":5', b'"amount":-5')):
        with pytest.raises(PrivacyError, match=r"event:|amount:"):
            charge_of(broken)


def test_a_charge_ends_once() -> None:
    one = charge(5)
    books = PrivacyBooks([one, Post(one.id)])
    with pytest.raises(PrivacyError, match="has a post already"):
        books.record(Void(one.id, "second thoughts"))
    with pytest.raises(PrivacyError, match="no charge of these books"):
        books.record(Post("f" * 64))
    with pytest.raises(PrivacyError, match="amount: 0"):
        charge(0)


def test_a_changed_mechanism_does_not_renew_a_budget() -> None:
    books = PrivacyBooks([charge(5)])
    with pytest.raises(BudgetError, match="was charged in micro_epsilon before"):
        books.check(charge(5, 1, LossUnit.NANO_RHO), GAUSSIAN)


def test_laplace_costs_the_epsilon_itself() -> None:
    assert (budget(rules()), cost(rules(), 250_000)) == (1_000_000, 250_000)


def test_gaussian_costs_the_rho_that_promises_the_epsilon() -> None:
    """At delta 1e-6, ln(1/delta) is 13.8155; epsilon 1 is worth (sqrt(14.8155) - sqrt(13.8155))**2 = 0.01746 rho."""
    assert budget(GAUSSIAN) == pytest.approx(
        (math.sqrt(1 + math.log(1e6)) - math.sqrt(math.log(1e6))) ** 2 * 1e9, abs=1
    )
    assert budget(GAUSSIAN) + 1 == cost(GAUSSIAN, 1_000_000)


def test_questions_under_zcdp_cost_less_than_their_epsilons_add_up_to() -> None:
    affordable = budget(GAUSSIAN) // cost(GAUSSIAN, 100_000)
    assert affordable > 90
    assert budget(rules()) // cost(rules(), 100_000) == 10


@given(st.integers(1, 10**9), st.sampled_from([rules(), GAUSSIAN]))
def test_a_cost_promises_no_less_and_a_budget_no_more_than_its_epsilon(micro_epsilon: int, under: NoiseRules) -> None:
    assert promised_micro_epsilon(under, cost(under, micro_epsilon)) >= micro_epsilon
    whole = under.model_copy(update={"budget_micro_epsilon": micro_epsilon})
    assert promised_micro_epsilon(whole, budget(whole)) <= micro_epsilon


@given(st.integers(1, 10**9), st.integers(1, 50))
def test_the_shares_of_a_charge_are_never_more_than_the_charge(charged: int, values: int) -> None:
    assert share(rules(), charged, values) * values == Fraction(charged, 10**6)


def test_noise_has_the_scale_of_its_source() -> None:
    assert scale_squared(rules(), 3, Fraction(1, 2)) == 36  # b = l1 / epsilon = 6
    assert scale_squared(GAUSSIAN, 3, Fraction(1, 2)) == 9  # sigma**2 = l2**2 / (2 rho)


def test_groups_below_the_minimum_are_left_out() -> None:
    assert visible({0: 5, 1: 4, 2: -3, 3: 6}, 5) == (0, 3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"delta_per_trillion": 5}, "deltaPerTrillion"), ({"mechanism": "discrete-gaussian"}, "deltaPerTrillion")],
)
def test_a_delta_that_the_mechanism_does_not_spend_is_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        NoiseRules.model_validate({**rules().model_dump(), **changes})


def test_bounds_run_upwards() -> None:
    with pytest.raises(ValidationError, match="below minimum"):
        MeasureBounds(column="kg", minimum=1, maximum=0)
    assert MeasureBounds(column="kg", minimum=-9, maximum=3).magnitude == 9
