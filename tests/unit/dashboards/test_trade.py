"""The trade page repeats what the pilot said, labelled for what it is, and nothing where the pilot is silent."""

import json
from decimal import Decimal

import httpx
import pytest

from dashboards import pilots
from dashboards.figures import Label, Standing
from dashboards.views import trade
from tests.e2e.dashboards.fake_pilot import TOTALS, assessment
from tests.unit.dashboards import objects
from tests.unit.dashboards.objects import NOON
from tests.unit.dashboards.snapshots import snapshot


def asked(handler: httpx.MockTransport) -> pilots.Answers:
    with httpx.Client(base_url="http://pilot.example", transport=handler) as client:
        return pilots.ask(client, NOON)


def answers(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/v1/totals":
        return httpx.Response(200, json=TOTALS)
    return httpx.Response(200, json=assessment(json.loads(request.content)))


def refuses(_: httpx.Request) -> httpx.Response:
    problem = {"title": "A member refused the question", "detail": "kr: grant trade-emissions is revoked"}
    return httpx.Response(403, json=problem, headers={"content-type": pilots.PROBLEM})


def breaks(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_a_tonne_is_answered_in_the_first_sentence() -> None:
    view = trade.view(snapshot(), asked(httpx.MockTransport(answers)))
    assert view.standing is Standing.GOOD
    assert view.answer == (
        "One tonne of steel (CN 72081000, hot-rolled coil, blast furnace, KR) embeds 1.5391 t CO₂e direct and "
        "0.2036 t CO₂e indirect, disclosed at Korea (kr); the rules count 1.5391 t, and it may really be 1.4166 to "
        "1.6721 t (90 %)."
    )


def test_it_says_where_actual_data_does_not_pay_and_what_would_lower_the_number() -> None:
    figure = trade.view(snapshot(), asked(httpx.MockTransport(answers))).figures[1]
    first, *_, last = figure.rows
    assert figure.title == "Does actual data pay?"
    assert str(first["verdict"]).startswith("Actual data does not pay here: 1.2 certificates")
    assert (first["by_disclosure"], first["by_default"]) == (Decimal("1.2"), Decimal("0.994"))
    assert str(first["lowers"]).startswith("Declare by the default value")
    assert (last["by_disclosure"], last["by_default"]) == (None, Decimal("0.994"))


def test_a_pilot_without_intervals_and_bills_leaves_them_unknown() -> None:
    def older(request: httpx.Request) -> httpx.Response:
        said = answers(request).json()
        return httpx.Response(200, json={name: said[name] for name in said.keys() - {"interval", "bill"}})

    view = trade.view(snapshot(), asked(httpx.MockTransport(older)))
    assert view.answer.endswith("the rules count 1.5391 t.")
    assert view.figures[0].rows[0]["low_t_per_t"] is None
    assert view.figures[1].rows[0]["by_disclosure"] is None


def test_synthetic_rows_and_worked_examples_say_so() -> None:
    view = trade.view(snapshot(), asked(httpx.MockTransport(answers)))
    labels = {figure.key: figure.labels for figure in view.figures}
    assert labels == {
        "embedded-per-tonne": (Label.EXAMPLE,),
        "does-actual-data-pay": (Label.EXAMPLE,),
        "year-totals": (Label.SYNTHETIC,),
        "by-good-and-origin": (Label.SYNTHETIC,),
        "who-answered": (Label.SYNTHETIC,),
    }


def test_a_part_that_the_pilot_does_not_know_stays_unknown() -> None:
    figure = trade.view(snapshot(), asked(httpx.MockTransport(answers))).figures[0]
    assert figure.rows[-1]["see_indirect_t_per_t"] is None


def test_a_refusal_is_repeated_in_the_members_words() -> None:
    view = trade.view(snapshot(), asked(httpx.MockTransport(refuses)))
    assert view.standing is Standing.UNKNOWN
    assert view.answer == "Unknown: the pilot answered 403: kr: grant trade-emissions is revoked."
    assert all(row["see_counted_t_per_t"] is None for row in view.figures[0].rows)
    assert view.figures[1].rows[0]["verdict"] == "the pilot answered 403: kr: grant trade-emissions is revoked"
    assert view.figures[2].empty.endswith("revoked.")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (breaks, "the pilot does not answer (connection refused)"),
        (lambda _: httpx.Response(502, text="bad gateway"), "the pilot answered 502"),
        (lambda _: httpx.Response(200, json={"cn_code": "7208"}), "the pilot's answer cannot be read: country"),
        (lambda _: httpx.Response(200, text="<html>"), "the pilot's answer cannot be read: "),
    ],
)
def test_whatever_goes_wrong_becomes_unknown_with_a_reason(handler: httpx.MockTransport | object, said: str) -> None:
    assert callable(handler)
    view = trade.view(snapshot(), asked(httpx.MockTransport(handler)))
    assert view.standing is Standing.UNKNOWN
    assert said in view.answer


def test_without_an_address_the_pilot_is_not_asked() -> None:
    waiting = snapshot(pilotapps=[objects.pilot(address=None)])
    assert trade.address(waiting) is None
    assert trade.why_unasked(waiting).answer == "Unknown: the pilot trade has no address yet: All is well."


def test_without_a_pilot_the_page_says_so() -> None:
    assert trade.why_unasked(snapshot(pilotapps=[])).answer == "Unknown: no pilot named trade is applied yet"
