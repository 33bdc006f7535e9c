"""Shares are shown as the statement has them, with the log position that proves them."""

from hypothesis import given
from hypothesis import strategies as st

from commonweal.apportion import WHOLE_BP
from dashboards.figures import Label, Standing
from dashboards.views import equity
from tests.unit.dashboards import objects
from tests.unit.dashboards.objects import condition, contribution, statement
from tests.unit.dashboards.snapshots import snapshot

DIFFERS = condition(status="False", reason="Differs", message="ca: 4000 in the statement, 3999 computed again.")


def test_the_latest_statement_answers() -> None:
    view = equity.view(snapshot())
    assert view.standing is Standing.GOOD
    assert view.answer.startswith("After the period that ended at 2026-11-24 11:03:00 UTC, Canada (ca) holds ")
    assert view.answer.endswith("These shares come from simulated meters.")


def test_a_named_period_answers_for_itself() -> None:
    view = equity.view(snapshot(), "period-0000")
    figure = view.figure("equity-shares")
    assert figure is not None
    assert figure.position.log is not None
    assert figure.position.log.tree_size == 3


def test_a_period_that_does_not_exist_is_unknown() -> None:
    view = equity.view(snapshot(), "period-9999")
    assert view.standing is Standing.UNKNOWN
    assert view.answer == "Unknown: there is no statement named period-9999; choose another period."


def test_before_the_first_period_shares_are_unknown() -> None:
    view = equity.view(snapshot(equitystatements=[]))
    assert (view.standing, view.figures) == (Standing.UNKNOWN, ())


def test_statements_that_cannot_be_read_are_not_taken_for_none() -> None:
    view = equity.view(snapshot(equitystatements=[], unreadable=("EquityStatement/p: spec.log: Field required",)))
    assert view.answer == "Unknown: 1 statements cannot be read by this version of the dashboard; upgrade it."


def test_a_statement_that_the_hub_computes_differently_is_not_to_be_relied_on() -> None:
    view = equity.view(snapshot(equitystatements=[statement(0, said=DIFFERS)]))
    assert view.standing is Standing.BAD
    assert "Do not rely on them" in view.answer


def test_the_command_that_computes_it_again_is_shown() -> None:
    check = equity.view(snapshot()).check
    assert check is not None
    assert check.command == "commonweal equity explain ca"


def test_the_history_ends_with_the_chosen_period() -> None:
    figure = equity.view(snapshot(), "period-0001").figure("equity-history")
    assert figure is not None
    assert len({row["period_end"] for row in figure.rows}) == 2


def test_a_long_history_is_cut_to_what_a_chart_can_show() -> None:
    many = [statement(number) for number in range(equity.HISTORY_PERIODS + 5)]
    figure = equity.view(snapshot(equitystatements=many)).figure("equity-history")
    assert figure is not None
    assert len({row["period_end"] for row in figure.rows}) == equity.HISTORY_PERIODS


def test_simulated_meters_label_every_figure() -> None:
    simulated = snapshot(contributions=[contribution("review", "ke", simulated=True)])
    assert all(figure.labels == (Label.SIMULATED,) for figure in equity.view(simulated).figures)


def test_what_is_claimed_says_where_it_stands_and_open_claims_come_first() -> None:
    counted = condition(status="True", reason="Counted", message="Counted from period-0001 on; what counts is final")
    disputed = condition(status="False", reason="Disputed", message="kr objects: never seen; until 2026-12-01")
    claims = [contribution("a", "ca", counted), contribution("b", "kr", disputed)]
    figure = equity.view(snapshot(contributions=claims)).figure("equity-claims")
    assert figure is not None
    assert [(row["member"], row["claim"], row["standing"], row["work"]) for row in figure.rows] == [
        ("Korea (kr)", "b", "Disputed", 1),
        ("Canada (ca)", "a", "Counted", 1),
    ]
    assert figure.labels == ()
    assert equity.view(snapshot(contributions=[])).figure("equity-claims") is None


@given(weights=st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any))
def test_shares_shown_sum_to_the_whole_largest_first(weights: list[int]) -> None:
    one = statement(0, dict(zip(objects.MEMBERS, weights, strict=True)))
    figure = equity.view(snapshot(equitystatements=[one])).figure("equity-shares")
    assert figure is not None
    shares = [int(str(row["equity_bp"])) for row in figure.rows]
    assert sum(shares) == WHOLE_BP
    assert shares == sorted(shares, reverse=True)
