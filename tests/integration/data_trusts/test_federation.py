"""One question to four real gateways: exact sums, small groups left out, noise once, budgets, members that drop out."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest

from data_trusts.client import Refused, TrustClient, Unreachable
from data_trusts.federate import main
from data_trusts.federated_client import FederatedResult, federated
from tests.integration.data_trusts.conftest import Issuer
from tests.integration.data_trusts.federation import ROWS, Consortium, consortium
from tests.unit.federation.samples import LAPLACE, SOURCES

FLOWS: dict[str, dict[str, list[object]]] = {"flow": {"values": [1, 2]}}
COUNT = "SELECT count(*) AS n, sum(quantity_in_kg) AS kg FROM customs_rows"


@pytest.fixture(scope="module")
def exact(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with consortium(tmp_path_factory.mktemp("exact"), issuer) as running:
        yield running


@pytest.fixture(scope="module")
def noisy(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with consortium(tmp_path_factory.mktemp("noisy"), issuer, LAPLACE) as running:
        yield running


async def ask(client: TrustClient, sql: str, **more: Any) -> FederatedResult:  # noqa: ANN401 -- of `federated`
    async with client:
        return await federated(client, "trade", "customs_rows", sql, **{"members": SOURCES, **more})


def pooled() -> dict[int, list[int]]:
    """Row numbers of all members by flow, as `customs_file` makes them."""
    numbers = [number for rows in ROWS.values() for number in range(rows)]
    return {1: [number for number in numbers if number], 2: [number for number in numbers if not number]}


async def test_without_noise_federated_equals_pooled(exact: Consortium) -> None:
    sql = (
        "SELECT flow, count(*) AS n, sum(quantity_in_kg) AS kg, avg(share) AS share, sum(distance_km) AS km"
        " FROM customs_rows GROUP BY flow"
    )
    result = await ask(exact.client(), sql, groups=FLOWS)
    assert result.members == SOURCES
    assert [column.type for column in result.columns] == ["int", "long", "long", "decimal(38,18)", "double", "long"]
    assert [record["flow"] for record in result.records()] == [1, 2]
    for record in result.records():
        numbers = pooled()[record["flow"]]
        assert (record["n"], record["group_rows"]) == (len(numbers), len(numbers))
        assert record["kg"] == sum(1000 + number for number in numbers)
        assert abs(Fraction(record["share"]) - Fraction(sum(numbers), 8 * len(numbers))) <= Fraction(1, 10**18)
        assert record["km"] == pytest.approx(sum(numbers) / 4, rel=1e-9)
    assert (result.charged, result.left_out, result.within) == (0, 0, (None,) * 6)
    assert result.licence == "CC-BY-4.0 AND ODbL-1.0", "of all members whose rows are in the sum"


async def test_every_entry_of_a_round_names_one_agreement_at_all_members(exact: Consortium) -> None:
    await ask(exact.client(pilot="named"), "SELECT count(*) AS n FROM customs_rows", members=SOURCES)
    found = [line for member in SOURCES for line in exact.audit(member) if "grant_hash" in line]
    ours = {line["request"] for line in found if line.get("grant") == "named"}
    told = [(line["kind"], line["grant_hash"]) for line in found if line["request"] in ours]
    assert {kind for kind, _ in told} == {"asked", "answered", "released"}
    [agreement] = {name for _, name in told}
    assert len(str(agreement)) == 64
    lines = [line for member in SOURCES for line in exact.audit(member)]
    assert len(found) == sum("request" in line for line in lines)


async def test_a_histogram_is_the_sum_of_all_members_histograms(exact: Consortium) -> None:
    days = {"day": {"edges": ["2026-01-01", "2026-01-02", "2026-01-04"]}}
    sql = "SELECT day, count(*) AS n FROM customs_rows WHERE flow = 1 GROUP BY day"
    result = await ask(exact.client(pilot="histogram"), sql, groups=days)
    first = sum(number % 3 == 0 for number in pooled()[1])
    rest = len(pooled()[1]) - first
    assert result.rows == (("[2026-01-01, 2026-01-02)", first, first), ("[2026-01-02, 2026-01-04)", rest, rest))


async def test_a_group_too_small_together_is_left_out_and_one_large_together_is_not(exact: Consortium) -> None:
    """Each member has one row of flow 2, and none may release it alone."""
    sql = "SELECT flow, product_nc, count(*) AS n FROM customs_rows WHERE flow = 2 GROUP BY flow, product_nc"
    groups = {"flow": {"values": [2]}, "product_nc": {"values": ["7200", "7201", "9999"]}}
    result = await ask(exact.client(pilot="small"), sql, groups=groups)
    assert (result.rows, result.left_out) == (((2, "7200", 4, 4),), 2)


async def test_a_question_that_takes_few_rows_away_is_refused(exact: Consortium) -> None:
    whole = "SELECT sum(distance_km) AS km FROM customs_rows WHERE flow IN (1, 2)"
    almost = "SELECT sum(distance_km) AS km FROM customs_rows WHERE cleared_at < TIMESTAMP '2026-01-01 19:00:00+00:00'"
    await ask(exact.client(pilot="tracker"), whole)
    with pytest.raises(Refused, match="may differ by fewer than 3 rows") as refused:
        await ask(exact.client(pilot="tracker"), almost)
    assert (refused.value.member, refused.value.rule) == ("ke", "Differencing")
    assert exact.gateways["ke"].audit()[-1]["rule"] == "Differencing"


class Meddling(TrustClient):
    """A client that carries the messages of a round as `meddle` says: it may lose or change them."""

    member = ""
    step = ""
    changes: Mapping[str, object] | None = None
    _lost = False

    async def post(self, member: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        here = member == self.member and path.endswith(self.step)
        if here and self.changes is None:
            self._lost = True
        if self._lost and member == self.member:
            raise Unreachable(member, "the line is cut")
        return await super().post(member, path, {**body, **(self.changes or {})} if here else body)


class Doubling(TrustClient):
    """A client that asks for the release twice at once, and keeps what came of it."""

    async def post(self, member: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        if not path.endswith("release"):
            return await super().post(member, path, body)
        once = super().post
        answers = await asyncio.gather(*(once(member, path, body) for _ in range(4)), return_exceptions=True)
        released = [answer for answer in answers if isinstance(answer, dict)]
        assert len(released) == 1, answers
        assert {each.rule for each in answers if isinstance(each, Refused)} == {"Round"}
        return released[0]


def meddling(
    world: Consortium, pilot: str, member: str, step: str, changes: Mapping[str, object] | None = None
) -> TrustClient:
    client = world.client(pilot=pilot, kind=Meddling)
    assert isinstance(client, Meddling)
    client.member, client.step, client.changes = member, step, changes
    return client


@pytest.mark.parametrize("step", ["open", "deal", "answer", "reveal"])
async def test_a_member_that_drops_out_leaves_an_exact_sum_of_those_that_answered(exact: Consortium, step: str) -> None:
    result = await ask(meddling(exact, step, "uy", step), COUNT)
    answered = [member for member in SOURCES if member != "uy" or step == "reveal"]
    numbers = [number for member in answered for number in range(ROWS[member])]
    assert result.members == tuple(answered)
    assert result.rows == ((len(numbers), sum(1000 + number for number in numbers), len(numbers)),)


async def test_the_part_of_a_member_cannot_be_had_by_letting_it_drop_out(exact: Consortium) -> None:
    await ask(exact.client(pilot="reveal"), COUNT)
    with pytest.raises(Refused, match="would be the part of uy alone"):
        await ask(meddling(exact, "reveal", "uy", "answer"), COUNT)


async def test_whoever_carries_the_messages_cannot_put_in_keys_of_its_own(exact: Consortium) -> None:
    forged = {"content": "A" * 128, "signature": "AAAA"}
    keys = dict.fromkeys(SOURCES, forged)
    with pytest.raises(Refused, match="not signed by its gateway for this question"):
        await ask(meddling(exact, "meddler", "ca", "deal", {"keys": keys}), COUNT)


async def test_members_that_were_told_different_questions_do_not_answer(exact: Consortium) -> None:
    other = {"sql": "SELECT count(*) AS n, sum(quantity_in_kg) AS kg FROM customs_rows WHERE flow = 2"}
    with pytest.raises(Refused, match=r"the keys of .. are not signed by its gateway"):
        await ask(meddling(exact, "meddler", "ca", "open", other), COUNT)


async def test_a_member_does_not_reveal_for_another_set_than_the_combiner_sees(exact: Consortium) -> None:
    with pytest.raises(Refused, match="sealed message"):
        await ask(meddling(exact, "meddler", "uy", "reveal", {"answered": ["ca", "ke", "kr"]}), COUNT)


async def test_too_few_members_are_said_to_be_too_few(exact: Consortium) -> None:
    with pytest.raises(Unreachable, match="2 of 3 needed answered"):
        await ask(exact.client("ca", "ke", pilot="few"), COUNT)
    with pytest.raises(Refused, match="2 is fewer than the 3 that a release stands on"):
        await ask(exact.client(pilot="few"), COUNT, members=["ca", "ke"])
    with pytest.raises(Refused, match="ke is missing, and the round needs it"):
        await ask(exact.client(pilot="few"), COUNT, members=["ca", "kr", "uy"])


def test_a_step_out_of_turn_is_refused_by_its_rule(exact: Consortium) -> None:
    headers = {"authorization": f"Bearer {exact.token('steel-pilot')}"}
    with exact.gateways["ca"].connect() as connection:
        answer = connection.post("/v1/federated/reveal", json={"round": "0" * 32, "answered": []}, headers=headers)
        assert (answer.status_code, answer.json()["rule"]) == (409, "Round")
        assert "there is no such round here" in answer.json()["reason"]
        answer = connection.post("/v1/federated/guess", json={}, headers=headers)
        assert answer.status_code == httpx.codes.NOT_FOUND


async def test_noise_is_added_once_and_every_member_charges_until_the_budget_is_spent(noisy: Consortium) -> None:
    sql = "SELECT sum(quantity_in_kg) AS kg, avg(share) AS share FROM customs_rows WHERE flow = 1"
    for _ in range(3):
        result = await ask(noisy.client(), sql, micro_epsilon=300_000)
        [record] = result.records()
        kg_within = result.within[0] or 0
        # A clamped sum of at most 2,000 kg a row, a third of 0.3 epsilon: scale 20,000, and 3 of it hold 95 %.
        assert kg_within == pytest.approx(3 * 20_000, rel=0.01)
        assert abs(record["kg"] - sum(1000 + number for number in pooled()[1])) < 10 * kg_within
        assert (result.charged, result.charged_unit) == (300_000, "micro_epsilon")
    with pytest.raises(Refused, match="costs 300000 micro_epsilon, and 100000 of 1000000 are left") as refused:
        await ask(noisy.client(), sql, micro_epsilon=300_000)
    assert refused.value.rule == "PrivacyBudget"
    assert [line["charged"] for line in noisy.gateways["ca"].audit() if line["kind"] == "answered"] == [300_000] * 3


async def test_one_round_is_released_once_however_often_it_is_asked_for(noisy: Consortium) -> None:
    result = await ask(noisy.client(pilot="answer", kind=Doubling), COUNT, micro_epsilon=900_000)
    assert result.charged == 900_000


async def test_a_price_is_named_where_there_is_noise_and_only_there(exact: Consortium, noisy: Consortium) -> None:
    with pytest.raises(Refused, match="adds noise, so an answer has a price"):
        await ask(noisy.client(pilot="few"), COUNT)
    with pytest.raises(Refused, match="adds no noise, so nothing is charged"):
        await ask(exact.client(pilot="few"), COUNT, micro_epsilon=1)


def test_the_command_prints_the_answer_and_says_by_its_exit_code_what_happened(
    exact: Consortium, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateways, token = tmp_path / "gateways.json", tmp_path / "token"
    gateways.write_text(json.dumps([asdict(each.address) for each in exact.gateways.values()]))
    token.write_text(exact.token("command"))
    common = ["--gateways", str(gateways), "--token-file", str(token), "--trust", "trade", "--dataset", "customs_rows"]
    common += ["--grant", "command", "--purpose", "trade-embedded-emissions", "--values", "flow=1"]
    sql = "SELECT flow, count(*) AS n FROM customs_rows GROUP BY flow"
    assert main([*common, "--sql", sql]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [[1, 33, 33]]
    assert main([*common, "--sql", "DROP TABLE customs_rows"]) == 3
    assert "refused by ca: Grammar" in capsys.readouterr().err
    assert main([*common, "--sql", sql, "--members", "ca", "ke", "ch"]) == 3
    assert "ch is no source" in capsys.readouterr().err
