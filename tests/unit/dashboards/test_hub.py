"""The hub is listed page by page, whole or not at all; what was seen last outlives a hub that is gone."""

from collections.abc import Callable

import httpx
import pytest

from dashboards.hub import HubError, Seen, Snapshot, take_snapshot
from tests.unit.dashboards.objects import NOON, Body, consortium, statement

PREFIX = "/apis/commonweal.dev/v1alpha1/"


def serve(objects: dict[str, list[Body]], page: int = 2) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        items = objects[request.url.path.removeprefix(PREFIX)]
        start = int(request.url.params.get("continue", "0"))
        size = page if "limit" in request.url.params else len(items)
        more = str(start + size) if start + size < len(items) else ""
        return httpx.Response(200, json={"items": items[start : start + size], "metadata": {"continue": more}})

    return answer


def taken(answer: Callable[[httpx.Request], httpx.Response]) -> Snapshot:
    with httpx.Client(base_url="https://hub.example", transport=httpx.MockTransport(answer)) as client:
        return take_snapshot(client, NOON)


def test_every_page_is_read() -> None:
    assert len(taken(serve(consortium(periods=7))).statements) == 7


def test_statements_are_in_order_of_time_whatever_their_names() -> None:
    objects = {**consortium(), "equitystatements": [statement(2), statement(0), statement(1)]}
    names = [one.metadata.name for one in taken(serve(objects)).statements]
    assert names == ["period-0000", "period-0001", "period-0002"]


def test_an_object_of_another_version_is_named_and_the_rest_is_read() -> None:
    objects = consortium()
    del objects["members"][0]["spec"]["country"]
    snapshot = taken(serve(objects))
    assert len(snapshot.members) == 2
    assert snapshot.unreadable == ("Member/ca: spec.country: Field required",)


def test_a_list_that_expires_half_way_is_read_again_in_one_piece() -> None:
    whole = serve(consortium())

    def expiring(request: httpx.Request) -> httpx.Response:
        return httpx.Response(410) if "continue" in request.url.params else whole(request)

    assert len(taken(expiring).members) == 3


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "get, list and watch"), (404, "apply the custom resource definitions"), (500, "API server's log")],
)
def test_a_refusal_names_the_kind_and_the_remedy(status: int, said: str) -> None:
    with pytest.raises(HubError, match=f"consortiums: the hub answered {status}; .*{said}"):
        taken(lambda _: httpx.Response(status))


@pytest.mark.parametrize("body", ["<html>", "[]", '{"items": {}}', '{"items": [], "metadata": 1}'])
def test_an_answer_that_is_no_list_is_refused(body: str) -> None:
    with pytest.raises(HubError, match="is not a list"):
        taken(lambda _: httpx.Response(200, text=body))


def test_a_hub_that_is_gone_is_an_error_and_not_an_empty_consortium() -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(HubError, match="connection refused; check that the hub runs"):
        taken(gone)


def test_what_was_seen_last_is_kept_with_the_reason() -> None:
    snapshot = taken(serve(consortium()))
    seen = Seen().renewed(snapshot).failed("members: connection refused; check that the hub runs")
    assert seen.snapshot is snapshot
    assert seen.problem is not None
    assert seen.renewed(snapshot).problem is None
