"""A share explained: recomputed from what was published, refused where it does not agree."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from commonweal.equity import Contribution, compute
from commonweal.kinds.consortium import Consortium
from commonweal.kinds.equity_statement import EquityStatement
from operators.cli.equity import Case, plain, steps
from operators.cli.terminal import CommandError
from operators.hub.periods import entry_of, formula, formula_sha256

CHARTER = Consortium.read(
    {
        "apiVersion": "commonweal.dev/v1alpha1",
        "kind": "Consortium",
        "metadata": {"name": "charter"},
        "spec": {
            "title": "Test",
            "equity": {
                "weights": {"computeBp": 6000, "energyBp": 3000, "talentBp": 1000},
                "basicShareBp": 1000,
                "capBp": 9000,
                "beyondPledgeBp": 5000,
                "energyCapMilliwatts": 700_000,
                "decayHalfLifePeriods": 100,
            },
            "serviceClasses": [{"name": "public", "availabilityBp": 9900, "latencyP95Ms": 500, "errorShareBp": 100}],
        },
    }
)
CONTRIBUTIONS = (
    Contribution(member="ca", pledged_gpu_seconds=7200, delivered_gpu_seconds=7200, energy_mj=9, green_energy_mj=9),
    Contribution(member="ke", pledged_gpu_seconds=7200, delivered_gpu_seconds=3600),
)


def case(change_bp: int = 0) -> Case:
    result = compute(formula(CHARTER.spec), CONTRIBUTIONS, {})
    entries = [entry_of(standing).wire() for standing in result.standings]
    entries[0]["equityBp"] += change_bp
    entries[1]["equityBp"] -= change_bp
    spec = {
        "periodStart": datetime(2026, 11, 24, 12, tzinfo=UTC),
        "periodEnd": datetime(2026, 11, 24, 13, tzinfo=UTC),
        "charterSha256": formula_sha256(CHARTER.spec),
        "simulated": True,
        "entries": entries,
        "log": {"treeSize": 1, "rootSha256": "0" * 64},
    }
    statement = EquityStatement.read({"kind": "EquityStatement", "metadata": {"name": "statement-1"}, "spec": spec})
    return Case(statement=statement, before={}, consortium=CHARTER)


def test_the_last_step_is_the_published_share() -> None:
    published = {one.member: one.equity_bp for one in case().statement.spec.entries}
    for member, share_bp in published.items():
        assert steps(case(), member, {})[-1].result == share_bp


def test_delivering_what_was_pledged_would_have_earned_more() -> None:
    before = steps(case(), "ke", {})[-1].result
    after = steps(case(), "ke", {"delivered_gpu_seconds": 7200})[-1].result
    assert after > before


def test_another_cap_would_have_been_another_share() -> None:
    assert steps(case(), "ca", {"charter.cap_bp": 5500})[-1].result == 5500
    assert steps(case(), "ca", {})[-1].result != 5500


def test_a_term_that_the_charter_does_not_have_is_named() -> None:
    with pytest.raises(CommandError, match=r"charter\.tax: no such term; choose one of basic_share_bp, beyond"):
        steps(case(), "ca", {"charter.tax": 1})
    with pytest.raises(CommandError, match="cap_bp: 0 is not between 1 and 10000"):
        steps(case(), "ca", {"charter.cap_bp": 0})


def test_a_statement_that_the_formula_does_not_give_is_refused() -> None:
    with pytest.raises(CommandError, match=r"the formula gives \d+ bp; ask the hub's administrators"):
        steps(case(change_bp=1), "ke", {})


def test_an_unknown_member_or_amount_is_named() -> None:
    with pytest.raises(CommandError, match="member: fr is not in the statement; its members are ca, ke"):
        steps(case(), "fr", {})
    with pytest.raises(CommandError, match="joules: no such amount"):
        steps(case(), "ke", {"joules": 1})


def test_fractions_stay_exact_in_json() -> None:
    values = [step["result"] for step in plain(steps(case(), "ke", {}))]
    assert all(isinstance(value, int) or Fraction(value) for value in values)
