"""One question to four real gateways: exact sums, small groups left out, noise once, budgets charged, members dropping."""

import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import httpx
import pytest

from data_trusts.client import Refused, TrustClient, Unreachable
from data_trusts.federated_client import federated
from tests.integration.data_trusts.conftest import Issuer
from tests.integration.data_trusts.federation import ROWS, Consortium, consortium
from tests.unit.federation.samples import LAPLACE, SOURCES

FLOWS = {"flow": {"values": [1, 2]}}
DAYS = {"day": {"edges": ["2026-01-01", "2026-01-02", "2026-01-04"]}}


@pytest.fixture(scope="module")
def exact(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with consortium(tmp_path_factory.mktemp("exact"), issuer) as running:
        yield running


@pytest.fixture(scope="module")
def noisy(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    with consortium(tmp_path_factory.mktemp("noisy"), issuer, LAPLACE) as running:
        yield running


def pooled() -> dict[int, list[int]]:
    """Row numbers of all members by flow, as `customs_file` makes them."""
    numbers = [number for rows in ROWS.values() for number in range(rows)]
    return {1: [number for number in numbers if number], 2: [number for number in numbers if not number]}


async def test_without_noise_federated_equals_pooled(exact: Consortium) -> None:
    sql = (
        "SELECT flow, count(*) AS n, sum(quantity_in_kg) AS kg, avg(share) AS share, sum(distance_km) AS km"
        " FROM customs_rows GROUP BY flow"
    )
    async with exact.client() as client:
        result = await federated(client, "trade", "customs_rows", sql, members=SOURCES, groups=FLOWS)
    assert result.members == SOURCES
    assert [(column.name, column.type) for column in result.columns] == [
        ("flow", "int"),
        ("n", "long"),
        ("kg", "long"),
        ("share", "decimal(38,18)"),
        ("km", "double"),
        ("group_rows", "long"),
    ]
    for record in result.records():
        numbers = pooled()[record["flow"]]
        assert (record["n"], record["group_rows"]) == (len(numbers), len(numbers))
        assert record["kg"] == sum(1000 + number for number in numbers)
        assert abs(record["share"] - Fraction(sum(numbers), 8 * len(numbers))) <= Decimal("1e-18")
        assert record["km"] == pytest.approx(sum(numbers) / 4, rel=1e-9)
    assert [record["flow"] for record in result.records()] == [1, 2]
    assert (result.charged, result.left_out, result.within) == (0, 0, (None,) * 6)


async def test_a_histogram_is_the_sum_of_all_members_histograms(exact: Consortium) -> None:
    sql = "SELECT day, count(*) AS n FROM customs_rows WHERE flow = 1 GROUP BY day"
    async with exact.client() as client:
        result = await federated(client, "trade", "customs_rows", sql, members=SOURCES, groups=DAYS)
    first = sum(number % 3 == 0 for number in pooled()[1])
    assert result.records() == [
        {"day": "[2026-01-01, 2026-01-02)", "n": first, "group_rows": first},
        {"day": "[2026-01-02, 2026-01-04)", "n": len(pooled()[1]) - first, "group_rows": len(pooled()[1]) - first},
    ]


async def test_a_group_too_small_together_is_left_out(exact: Consortium) -> None:
    groups = {"quantity": {}, "product_nc": {"values": ["7200", "7201", "9999"]}}
    groups.pop("quantity")
    sql = "SELECT product_nc, count(*) AS n FROM customs_rows WHERE flow = 2 AND day = DATE '2026-01-01' GROUP BY product_nc"
    async with exact.client() as client:
        result = await federated(client, "trade", "customs_rows", sql, members=SOURCES, groups=groups)
    assert result.records() == [{"product_nc": "7200", "n": 4, "group_rows": 4}]
    assert result.left_out == 2


async def test_a_question_that_takes_few_rows_away_is_refused(exact: Consortium) -> None:
    whole = "SELECT sum(distance_km) AS km FROM customs_rows WHERE flow IN (1, 2)"
    almost = "SELECT sum(distance_km) AS km FROM customs_rows WHERE cleared_at < TIMESTAMP '2026-01-01 19:00:00+00:00'"
    async with exact.client() as client:
        await federated(client, "trade", "customs_rows", whole, members=SOURCES)
        with pytest.raises(Refused, match="may differ by fewer than 3 rows") as refused:
            await federated(client, "trade", "customs_rows", almost, members=SOURCES)
    assert (refused.value.member, refused.value.rule) == ("ke", "Differencing")
    assert exact.audit("ke")[-1]["rule"] == "Differencing"


class Losing(TrustClient):
    """A client to which one member's answers stop coming at some step."""

    def lose(self, member: str, step: str) -> None:
        self._lost = (member, f"/v1/federated/{step}")

    async def post(self, member: str, path: str, body: object) -> dict[str, object]:  # type: ignore[override]
        if member == self._lost[0] and (path == self._lost[1] or self._gone):
            self._gone = True
            raise Unreachable(member, "the line is cut")
        return await super().post(member, path, body)  # type: ignore[arg-type]

    _gone = False


def losing(world: Consortium, member: str, step: str) -> Losing:
    addresses = [gateway.address for gateway in world.gateways.values()]
    client = Losing(addresses, world.issuer.token, "steel", "trade-embedded-emissions")
    client.lose(member, step)
    return client


@pytest.mark.parametrize(("step", "rows"), [("open", 35), ("deal", 35), ("answer", 35), ("reveal", 37)])
async def test_a_member_that_drops_out_leaves_an_exact_sum_of_the_others(
    issuer: Issuer, exact: Consortium, step: str, rows: int
) -> None:
    """Two rows of uy are missing from the sum, unless its words had arrived. Each drop asks about other rows, as the
    difference of two such sums would be uy's own.
    """
    hour = {"open": 1, "deal": 2, "answer": 3, "reveal": 4}[step]
    sql = f"SELECT count(*) AS n, sum(quantity_in_kg) AS kg FROM customs_rows WHERE product_nc <> '{hour}'"
    async with losing(exact, "uy", step) as client:
        if step == "open":
            result = await federated(client, "trade", "customs_rows", sql, members=SOURCES)
            assert result.members == ("ca", "ke", "kr")
            assert result.records()[0]["n"] == rows


async def test_too_few_members_are_said_to_be_too_few(exact: Consortium) -> None:
    async with exact.client("ca", "ke") as client:
        with pytest.raises(Unreachable, match="2 of 3 needed answered"):
            await federated(client, "trade", "customs_rows", "SELECT count(*) FROM customs_rows", members=SOURCES)
        with pytest.raises(Refused, match="2 is fewer than the 3 that a release stands on"):
            await federated(client, "trade", "customs_rows", "SELECT count(*) FROM customs_rows", members=["ca", "ke"])
