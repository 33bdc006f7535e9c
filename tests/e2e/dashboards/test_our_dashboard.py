"""A dashboard over a hub that we can break: what is not known is shown as unknown, and what is old as old."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.dashboards import journeys
from tests.e2e.dashboards.conftest import Started
from tests.e2e.dashboards.journeys import visit
from tests.unit.dashboards import objects

SILENT = objects.condition(status="False", reason="AgentSilent", message="No heartbeat for 65 s; check the agent.")


@pytest.fixture
def fresh(started: Started) -> Iterator[Started]:
    """Return the started dashboard; its hub is as before when the test is over."""
    before = dict(started.hub.objects)
    yield started
    started.hub.objects.update(before)
    started.hub.down = False


def test_a_hub_that_is_gone_leaves_old_figures_marked_old(browser: Browser, fresh: Started) -> None:
    with visit(browser, fresh.url) as seen:
        seen.open(fresh.url)
        fresh.hub.down = True
        expect(seen.page.get_by_text("What follows is old")).to_be_visible()
        expect(seen.page.get_by_text("OLD: the hub does not answer.").first).to_be_visible()
        expect(seen.page.get_by_text("the hub answered 503")).to_be_visible()
        assert "Canada (ca)" in seen.page.locator("body").inner_text()
        fresh.hub.down = False
        expect(seen.page.get_by_text("What follows is old")).to_have_count(0)


def test_a_page_renews_itself_when_a_member_falls_silent(browser: Browser, fresh: Started) -> None:
    with visit(browser, fresh.url) as seen:
        assert journeys.answers_its_question(seen, fresh.url, "").startswith("Yes: ")
        fresh.hub.objects["members"] = [objects.member("ca"), objects.member("kr"), objects.member("ke", SILENT)]
        expect(seen.page.locator(".cw-answer")).to_contain_text("No: member ke is not ready: No heartbeat for 65 s")


def test_a_page_that_is_told_to_stay_stays(browser: Browser, fresh: Started) -> None:
    with visit(browser, fresh.url) as seen:
        seen.open(fresh.url)
        seen.page.get_by_text("Keep this page up to date").click()
        asked = len(fresh.hub.requests)
        seen.page.wait_for_timeout(12_000)
        assert len(fresh.hub.requests) - asked <= 9  # one refresh at most, for the click itself


def test_what_nobody_measured_is_unknown(browser: Browser, fresh: Started) -> None:
    with visit(browser, fresh.url) as seen:
        answer = journeys.answers_its_question(seen, fresh.url, "service-levels")
        assert answer == "Unknown: none of the 3 promises has been measured yet."
        rows = journeys.csv_rows(journeys.download(seen, "promises", "CSV"))
        assert {row["measured"] for row in rows} == {"unknown"}


def test_an_earlier_period_is_chosen_by_its_end(browser: Browser, fresh: Started) -> None:
    with visit(browser, fresh.url) as seen:
        journeys.answers_its_question(seen, fresh.url, "equity")
        box = seen.page.get_by_role("combobox", name="Accounting period")
        box.click()
        box.press_sequentially("11:05:00")
        seen.page.get_by_role("option", name="Until 2026-11-24 11:05:00 UTC").click()
        expect(seen.page.locator(".cw-answer")).to_contain_text("ended at 2026-11-24 11:05:00 UTC")
        expect(seen.page).to_have_url(re.compile("period=period-0004"))


def test_synthetic_numbers_say_so(browser: Browser, fresh: Started) -> None:
    with visit(browser, fresh.url) as seen:
        answer = journeys.answers_its_question(seen, fresh.url, "trade")
        assert "embeds 1.5391 t CO₂e direct and 0.2036 t CO₂e indirect" in answer
        labels = set(seen.page.locator(".cw-label").all_inner_texts())
        assert labels == {"Synthetic", "Worked example"}


def test_words_from_the_hub_stay_words(browser: Browser, fresh: Started) -> None:
    hostile = objects.member("ca")
    hostile["spec"]["displayName"] = "<img src=http://192.0.2.1/x onerror=alert(1)> ![x](http://192.0.2.1/y)"
    fresh.hub.objects["members"] = [hostile]
    httpx.get(f"{fresh.url}/data/overview/members.csv", trust_env=False)
    with visit(browser, fresh.url) as seen:
        seen.open(fresh.url)
        expect(seen.page.get_by_text("<img src=http://192.0.2.1/x").first).to_be_visible()
        assert (seen.outside, seen.errors) == ([], [])


@pytest.mark.parametrize("path", ["/data/equity/none.csv", "/data/none/equity-shares.csv", "/data/equity/shares.xls"])
def test_a_download_that_does_not_exist_names_what_does(fresh: Started, path: str) -> None:
    response = httpx.get(f"{fresh.url}{path}", trust_env=False)
    assert response.status_code == 404
    assert "give one of overview" in response.text or "its figures are equity-shares" in response.text


def test_the_browser_is_told_to_ask_no_other_host(fresh: Started) -> None:
    headers = httpx.get(fresh.url, trust_env=False).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_the_data_page_is_one_document_for_programs(fresh: Started) -> None:
    answer = httpx.get(f"{fresh.url}/public.json", trust_env=False)
    schema = httpx.get(f"{fresh.url}/public.schema.json", trust_env=False).json()
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == set(schema["properties"])
    assert [trust["name"] for trust in answer.json()["trusts"]] == ["trade"]
    assert {log["problem"] for log in answer.json()["logs"]} == {"the member has reported no gateway"}


def test_only_lists_are_asked_of_the_hub(fresh: Started) -> None:
    httpx.get(f"{fresh.url}/data/overview/members.csv", trust_env=False)
    assert fresh.hub.requests
    assert all(one.startswith("/apis/commonweal.dev/v1alpha1/") for one in fresh.hub.requests)
