"""Each step follows from what it names, by equations typed here a second time; each operand is where it says it is."""

import json
from collections import Counter
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.trade.audit.evidence import Evidence
from apps.trade.audit.steps import trace_root
from apps.trade.audit.trace import trace_of
from apps.trade.disclosures import EXAMPLES, Disclosure, read_disclosures
from apps.trade.rule_packs import load_exact
from commonweal.transparency import inclusion_proof, leaf_hash, verify_inclusion
from tests.strategies import trade_disclosures

from .conftest import by_default, disclosed

Values = dict[str, Any]
LAST_DIGITS = Decimal("1e-48")  # the rules keep 60 digits; a sum in another order differs in the last of them
EIGHTEEN = Decimal("1e-18")
SCRAP = {"72044900"}
WORDS = {"country", "CN code", "yes or no", "words"}  # units of what is no number
OUTSIDE_ANNEX_II = {"72022100", "25231000", *SCRAP}  # of the precursors that the examples and the strategy use
GOODS = [(d, cn) for d in read_disclosures(EXAMPLES) for product in d.products for cn in product.cn_codes]


def ordered(step: Values) -> list[Decimal]:
    """The numbers among a step's inputs, in order."""
    return [Decimal(each["value"]) for each in step["inputs"] if each["unit"] not in WORDS]


def named(step: Values) -> Values:
    return {each["name"]: each["value"] for each in step["inputs"]}


def attributed(step: Values) -> Decimal:
    minus = {"waste-gas-exported", "electricity-exported"}
    signed = (Decimal(i["value"]) * (-1 if i["name"] in minus else 1) for i in step["inputs"])
    return max(Decimal(0), sum(signed, Decimal(0)))


def see(step: Values) -> Decimal:
    own, activity, *pairs = ordered(step)
    if named(step).get("counts indirect") == "no":
        own = Decimal(0)
    return (own + sum(a * b for a, b in zip(pairs[::2], pairs[1::2], strict=True))) / activity


def default_part(step: Values) -> Decimal:
    activity, *pairs = ordered(step)
    return sum((a * b for a, b in zip(pairs[::2], pairs[1::2], strict=True)), Decimal(0)) / activity


def zero_unless(step: Values, *, counts: bool) -> Decimal:
    embeds_nothing = named(step)["origin"] == "DE" or named(step)["cn_code"] in SCRAP
    return ordered(step)[0] if counts and not embeds_nothing else Decimal(0)


def pfc(n: list[Decimal]) -> Decimal:
    cf4_t = n[0] * n[1] * n[2] / 1000
    return (cf4_t * 6630 + cf4_t * n[3] * 11100) / n[4]


def by_moles(n: list[Decimal]) -> Decimal:
    return n[1] * sum((mass / molar for mass, molar in zip(n[::2], n[1::2], strict=True)), Decimal(0))


def share(part: Decimal, whole: Decimal) -> Decimal:
    return (part / whole if whole else Decimal(0)).quantize(EIGHTEEN, ROUND_HALF_EVEN)


def of_numbers(rule: Callable[[list[Decimal]], Decimal]) -> Callable[[Values], Decimal]:
    return lambda step: rule(ordered(step))


ORACLE: dict[str, Callable[[Values], Decimal]] = {
    "mass-balance": of_numbers(lambda n: n[0] * n[1] * (1 - n[2]) * Decimal("3.664")),
    "combustion": of_numbers(lambda n: n[0] * n[1] / 1000 * n[2] * n[3] * (1 - n[4])),
    "process-emission": of_numbers(lambda n: n[0] * n[1] * n[2]),
    "nitrous-oxide": of_numbers(lambda n: n[0] * (1 - n[1]) * 265),
    "perfluorocarbons": of_numbers(pfc),
    "measured": of_numbers(lambda n: n[0]),
    "waste-gas-imported": of_numbers(lambda n: n[0] * Decimal("56.1")),
    "waste-gas-exported": of_numbers(lambda n: n[0] * Decimal("56.1") * Decimal("0.667")),
    "heat": of_numbers(lambda n: n[0] * (n[1] - n[2]) / n[3]),
    "electricity-exported": of_numbers(lambda n: n[0] * n[1]),
    "attributed-direct": attributed,
    "attributed-indirect": of_numbers(lambda n: n[0] * n[1]),
    "precursor-electricity": of_numbers(lambda n: n[0] * n[1]),
    "precursor-direct": lambda step: zero_unless(step, counts=True),
    "precursor-indirect": lambda step: zero_unless(step, counts=named(step)["cn_code"] in OUTSIDE_ANNEX_II),
    "precursor-default-part": lambda step: zero_unless(step, counts=named(step)["is_default"] == "yes"),
    "see-direct": see,
    "see-indirect": see,
    "default-direct": default_part,
    "default-share": of_numbers(lambda n: share(n[0], n[1])),
    "per-clinker": of_numbers(lambda n: n[0] / n[1]),
    "stored": of_numbers(lambda n: n[0].quantize(EIGHTEEN, ROUND_HALF_EVEN)),
    "quantity": of_numbers(lambda n: n[0] / 1000),
    "quantity-clinker": of_numbers(lambda n: n[0] / 1000 * n[1]),
    "reconciled": of_numbers(lambda n: n[0] * n[1] / sum(n[2:], Decimal(0))),
    "shared-by-moles": of_numbers(by_moles),
    "shared-by-mass": of_numbers(lambda n: sum(n, Decimal(0))),
    "zero-rated": lambda _: Decimal(0),
    "default-row": of_numbers(lambda n: n[0]),
    "mark-up": of_numbers(lambda n: n[0] * (10000 + n[1]) / 10000),
    "see-counted": of_numbers(lambda n: n[0] + n[1]),
    "tonnes-counted": of_numbers(lambda n: n[0] * n[1]),
}


def steps_of(evidence: Evidence) -> list[Values]:
    return [json.loads(line) for line in trace_of(evidence).lines()]


def check(steps: list[Values]) -> None:
    with localcontext(Context(prec=60)):
        for step in steps:
            again, stated = ORACLE[step["formula"]](step), Decimal(step["output"]["value"])
            assert abs(again - stated) <= LAST_DIGITS * (1 + abs(stated)), step


@pytest.mark.parametrize(("disclosure", "cn_code"), GOODS, ids=lambda each: each if isinstance(each, str) else "")
def test_every_step_of_the_commissions_examples_follows_from_its_inputs(disclosure: Disclosure, cn_code: str) -> None:
    evidence = disclosed(disclosure, cn_code=cn_code)
    steps = steps_of(evidence)
    check(steps)
    assert Decimal(steps[-1]["output"]["value"]) == evidence.assessment.tonnes_counted


@settings(max_examples=30, deadline=None)
@given(disclosure=trade_disclosures(), cn_code=st.sampled_from(["72189911", "73041100", "25232900"]))
def test_every_step_of_any_disclosure_follows_from_its_inputs(disclosure: Disclosure, cn_code: str) -> None:
    check(steps_of(disclosed(disclosure, cn_code=cn_code)))


@pytest.mark.parametrize("country", ["VN", "TR", "KR", "DE"])
def test_default_and_zero_rated_steps_follow_from_their_inputs(country: str) -> None:
    check(steps_of(by_default(country=country)))


@settings(max_examples=12, deadline=None)
@given(disclosure=trade_disclosures(), cn_code=st.sampled_from(["72189911", "73041100", "25232900"]))
def test_every_operand_is_where_it_says(disclosure: Disclosure, cn_code: str) -> None:
    evidence = disclosed(disclosure, cn_code=cn_code)
    steps = steps_of(evidence)
    for step in steps:
        for operand in step["inputs"]:
            place, _, pointer = operand["from"].partition("#")
            if place.startswith("step:"):
                number = int(place.removeprefix("step:"))
                assert number < step["step"]
                assert steps[number]["output"]["value"] == operand["value"]
            elif place in evidence.inputs():
                found = at(json.loads(evidence.inputs()[place]), pointer)
                assert same(found, operand["value"]), operand
            else:
                assert at(load_exact(evidence.files[place].decode()), pointer)


def at(document: object, pointer: str) -> object:
    """RFC 6901, without its escapes."""
    for part in pointer.removeprefix("/").split("/"):
        if isinstance(document, list):
            document = document[int(part)]
        else:
            assert isinstance(document, dict)
            document = document[part]
    return document


def same(found: object, value: str) -> bool:
    if isinstance(found, bool):
        return value == ("yes" if found else "no")
    if found is None:
        return value == "not stated"
    return str(found) == value or Decimal(str(found)) == Decimal(value)


@pytest.mark.parametrize("molar", ["70.906", None])
def test_meters_and_co_products_are_steps_of_their_own(molar: str | None) -> None:
    chlorine = {"name": "chlorine", "mass_t": "350", "molar_mass_g_per_mol": molar}
    entries: Any = load_exact(EXAMPLES.read_text("utf-8"))
    data = next(each for each in entries if each["installation_id"] == "EC-EXAMPLE-7")
    product = {**data["products"][0], "molar_mass_g_per_mol": "2.016", "co_products": [chlorine]}
    totals = [{"data": product["sources"][0]["name"], "total": "190500"}, {"data": "electricity", "total": "32000"}]
    disclosure = Disclosure.model_validate({**data, "products": [product], "installation_totals": totals})
    evidence = disclosed(disclosure, cn_code=product["cn_codes"][0])
    steps = steps_of(evidence)
    check(steps)
    counts = Counter(step["formula"] for step in steps)
    assert counts["reconciled"] == 2
    assert counts["shared-by-moles" if molar else "shared-by-mass"] == 1
    assert Decimal(steps[-1]["output"]["value"]) == evidence.assessment.tonnes_counted


def test_only_what_goes_into_the_good_is_in_its_trace() -> None:
    disclosure = next(each for each in read_disclosures(EXAMPLES) if each.installation_id == "EC-EXAMPLE-3")
    assert "pipes" not in {step["of"] for step in steps_of(disclosed(disclosure, cn_code="72189911"))}
    assert {"pipes", "slab"} <= {step["of"] for step in steps_of(disclosed(disclosure, cn_code="73041100"))}


def test_each_step_is_a_leaf_that_can_be_proved_under_the_root(steel: Disclosure) -> None:
    lines = trace_of(disclosed(steel)).lines()
    hashes = [leaf_hash(line) for line in lines]
    root = bytes.fromhex(trace_root(lines))
    assert all(
        verify_inclusion(hashes[i], i, len(hashes), inclusion_proof(hashes, i), root) for i in range(len(hashes))
    )


def test_a_step_cites_the_act_and_its_equation(steel: Disclosure) -> None:
    step = next(each for each in steps_of(disclosed(steel)) if each["formula"] == "attributed-direct")
    assert step["citation"] == {"annex": None, "article": None, "celex": "32025R2547", "equation": "55"}
    assert step["output"]["unit"] == "t CO2e"
