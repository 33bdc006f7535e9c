"""A bill is attested beside the emissions: every step follows from what it names, and no price changes a tonne."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.trade.assessment import UnassessableError
from apps.trade.audit import bills, container, envelope
from apps.trade.audit.bills import bill_trace
from apps.trade.audit.bundle import RESULT, TRACE, content_of, make
from apps.trade.audit.evidence import Evidence
from apps.trade.audit.verifier import verify
from apps.trade.disclosures import EXAMPLES, Disclosure, read_disclosures
from apps.trade.rule_packs import load_exact
from tests.strategies import trade_disclosures

from .conftest import KEY, by_default, disclosed, repacked
from .test_bundle import ROW, refusal, released
from .test_trace import GOODS, LAST_DIGITS, Values, at, ordered, same
from .test_trace import ORACLE as EMISSIONS

PRICES = "certificate_prices.csv"


def sefa(step: Values) -> Decimal:
    own, activity, *pairs = ordered(step)
    return own + sum((a / activity * b for a, b in zip(pairs[::2], pairs[1::2], strict=True)), Decimal(0))


def certificates(step: Values) -> Decimal:
    quantity, see, free, *paid = ordered(step)
    return max(Decimal(0), quantity * (see - free) - sum(paid, Decimal(0)))


ORACLE: dict[str, Callable[[Values], Decimal]] = {
    **EMISSIONS,
    "benchmark-scaled": lambda step: ordered(step)[0] * ordered(step)[1] / 10000 * ordered(step)[2],
    "nothing-free": lambda _: Decimal(0),
    "activity-clinker": lambda step: ordered(step)[0] * ordered(step)[1],
    "free-allocation": sefa,
    "free-allocation-per-nitrogen": lambda step: ordered(step)[0] / ordered(step)[1],
    "carbon-price-paid": lambda step: ordered(step)[0] / ordered(step)[1],
    "certificates": certificates,
    "cost": lambda step: ordered(step)[0] * ordered(step)[1],
}


def steps_of(evidence: Evidence) -> list[Values]:
    assert evidence.bill is not None
    return [json.loads(line) for line in bill_trace(evidence, evidence.bill).lines()]


def check(evidence: Evidence) -> list[Values]:
    """Every step follows from its operands, and every operand is where it says."""
    steps = steps_of(evidence)
    result = json.loads(content_of(evidence).parts[RESULT])
    with localcontext(Context(prec=60)):
        for step in steps:
            again, stated = ORACLE[step["formula"]](step), Decimal(step["output"]["value"])
            assert abs(again - stated) <= LAST_DIGITS * (1 + abs(stated)), step
            for operand in step["inputs"]:
                assert is_there(operand, step, steps, evidence, result), operand
    return steps


def is_there(operand: Values, step: Values, steps: list[Values], evidence: Evidence, result: Values) -> bool:
    place, _, pointer = operand["from"].partition("#")
    if place.startswith("step:"):
        number = int(place.removeprefix("step:"))
        return number < step["step"] and bool(steps[number]["output"]["value"] == operand["value"])
    if place == RESULT:
        return bool(at(result, pointer) == operand["value"])
    if place in evidence.inputs():
        return same(at(json.loads(evidence.inputs()[place]), pointer), operand["value"])
    if place.endswith(".csv"):
        rows = csv.reader(io.StringIO(evidence.files[place].decode()))
        return any(row[: len(pointer.split(","))] == pointer.split(",") for row in rows)
    return at(load_exact(evidence.files[place].decode()), pointer) is not None


@pytest.mark.parametrize(("disclosure", "cn_code"), GOODS, ids=lambda each: each if isinstance(each, str) else "")
def test_every_step_of_a_producers_bill_follows_from_its_inputs(disclosure: Disclosure, cn_code: str) -> None:
    evidence = disclosed(disclosure, cn_code=cn_code, import_quarter=1)
    steps = check(evidence)
    assert evidence.bill is not None
    if evidence.bill.cost_eur is not None:
        assert Decimal(steps[-1]["output"]["value"]) == evidence.bill.cost_eur


@settings(max_examples=20, deadline=None)
@given(disclosure=trade_disclosures(), cn_code=st.sampled_from(["72189911", "73041100", "25232900"]))
def test_every_step_of_any_bill_follows_from_its_inputs(disclosure: Disclosure, cn_code: str) -> None:
    check(disclosed(disclosure, cn_code=cn_code, import_quarter=2))


@pytest.mark.parametrize("country", ["VN", "KR", "DE"])
def test_bills_by_default_and_of_zero_rated_origin_follow_from_their_inputs(country: str) -> None:
    assert check(by_default(country=country, import_quarter=1))[-1]["formula"] == "cost"


def test_both_ways_of_a_released_row_are_in_the_trace_with_the_carbon_price_that_was_paid() -> None:
    row = replace(ROW, free_allocation_t_per_t=Decimal("1.2"))
    evidence = replace(released(import_quarter=1, carbon_price_paid_eur="100"), rows=(row,))
    steps = check(evidence)
    about = {step["of"]: step for step in steps if step["formula"] == "certificates"}
    assert evidence.bill is not None
    assert evidence.bill.other is not None
    assert Decimal(about["bill, disclosure"]["output"]["value"]) == evidence.bill.used.certificates
    assert Decimal(about["bill, default"]["output"]["value"]) == evidence.bill.other.certificates
    assert steps[0]["formula"] == "carbon-price-paid"
    held = verify(make(evidence, KEY), KEY.public_key())
    assert held.bill is not None
    assert Decimal(json.loads(held.bill)["cost_eur"]) == evidence.bill.cost_eur


def test_an_unknown_free_allocation_claims_no_certificates() -> None:
    steps = check(released())
    assert [step["of"] for step in steps if step["formula"] == "certificates"] == ["bill, default"]
    bill = verify(make(released(), KEY)).bill
    assert bill is not None
    assert json.loads(bill)["used"]["certificates"] is None


def priced(evidence: Evidence, eur: bytes) -> Evidence:
    files = {**evidence.files, PRICES: evidence.files[PRICES].replace(b"75.36", eur)}
    return replace(evidence, files=files)


def test_another_price_changes_the_bill_and_not_one_byte_of_the_attested_emissions() -> None:
    before = by_default(import_quarter=1)
    after = priced(before, b"80.00")
    old, new = content_of(before), content_of(after)
    assert old.statements[envelope.PART] == new.statements[envelope.PART]
    assert old.parts[RESULT] == new.parts[RESULT]
    assert old.parts[TRACE] == new.parts[TRACE]
    assert old.statements[bills.BILL_ENVELOPE] != new.statements[bills.BILL_ENVELOPE]
    assert verify(make(after, KEY)).rules_in_force is False


def test_a_bill_that_the_signer_made_up_is_refused_by_its_name() -> None:
    whole = make(by_default(import_quarter=1), KEY)
    forged = container.read(whole)[bills.BILL].replace(b'"certificate_eur":"75.36"', b'"certificate_eur":"7.536"')
    assert forged != container.read(whole)[bills.BILL]
    assert refusal(repacked(whole, {bills.BILL: forged})).part == bills.BILL


def test_the_first_wrong_step_of_a_bill_is_named() -> None:
    whole = make(by_default(import_quarter=1), KEY)
    lines = container.read(whole)[bills.BILL_TRACE].replace(b'"9750"', b'"9500"')
    error = refusal(repacked(whole, {bills.BILL_TRACE: lines}))
    assert error.part == bills.BILL_TRACE
    assert "step 0 is not what inputs and rules give" in error.detail


def test_a_bill_of_another_assessment_does_not_fit() -> None:
    whole, other = (make(by_default(country=country, import_quarter=1), KEY) for country in ("VN", "KR"))
    parts = {name: container.read(other)[name] for name in (bills.BILL, bills.BILL_TRACE, bills.BILL_ENVELOPE)}
    assert refusal(repacked(whole, dict(parts))).part in {bills.BILL, bills.BILL_TRACE, "statement"}


def test_an_unpublished_price_is_no_bundle() -> None:
    with pytest.raises(UnassessableError, match="no certificate price is published for 2026-Q4"):
        make(by_default(import_quarter=4), KEY)


def test_a_method_without_certificates_has_no_bill() -> None:
    transitional = disclosed(read_disclosures(EXAMPLES)[0].model_copy(update={"period": 2025}), import_year=2025)
    evidence = replace(transitional, consignment=transitional.consignment.model_copy(update={"cn_code": "25232900"}))
    whole = make(evidence, KEY)
    assert verify(whole).bill is None
    assert bills.BILL not in container.read(whole)
