"""Any dashboard, ours or the demo's: answers first, papers with every figure, nothing asked of another host."""

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.dashboards import journeys
from tests.e2e.dashboards.journeys import PHONE, QUESTIONS, WIDE, visit

PAGES = list(QUESTIONS)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light")])
def test_a_page_answers_its_question_and_asks_no_other_host(
    browser: Browser, dashboard_url: str, path: str, size: tuple[int, int], scheme: str
) -> None:
    with visit(browser, dashboard_url, size, scheme) as seen:
        answer = journeys.answers_its_question(seen, dashboard_url, path)
        assert answer
        journeys.every_chart_has_words(seen)
        assert not journeys.overflows(seen)
        assert (seen.outside, seen.errors) == ([], [])


@pytest.mark.parametrize("path", PAGES)
def test_every_figure_has_its_papers(browser: Browser, dashboard_url: str, path: str) -> None:
    with visit(browser, dashboard_url) as seen:
        journeys.answers_its_question(seen, dashboard_url, path)
        assert journeys.every_figure_has_its_papers(seen) > 0


def test_the_shares_downloaded_sum_to_the_whole_and_name_the_log(browser: Browser, dashboard_url: str) -> None:
    with visit(browser, dashboard_url) as seen:
        journeys.answers_its_question(seen, dashboard_url, "equity")
        rows = journeys.csv_rows(journeys.download(seen, "equity-shares", "CSV"))
        assert sum(int(row["equity_bp"]) for row in rows) == 10_000
        assert all(int(row["log_tree_size"]) > 0 and len(row["log_root_sha256"]) == 64 for row in rows)


def test_a_link_shows_the_same_period_again(browser: Browser, dashboard_url: str) -> None:
    with visit(browser, dashboard_url) as seen:
        first = journeys.answers_its_question(seen, dashboard_url, "equity")
        link = seen.page.get_by_role("link", name="Link to Share of equity, by member").get_attribute("href")
        assert link is not None
        assert "period=" in link
        query = link.removeprefix("/equity")
        assert journeys.answers_its_question(seen, dashboard_url, "equity", query) == first


def test_the_navigation_and_the_downloads_can_be_reached_by_keyboard(browser: Browser, dashboard_url: str) -> None:
    with visit(browser, dashboard_url) as seen:
        journeys.answers_its_question(seen, dashboard_url, "equity")
        assert journeys.reaches_by_keyboard(seen, "Download Share of equity, by member as CSV")


def test_pages_lead_to_each_other(browser: Browser, dashboard_url: str) -> None:
    with visit(browser, dashboard_url) as seen:
        seen.open(dashboard_url)
        seen.page.get_by_role("link", name="Equity", exact=True).click()
        expect(seen.page.get_by_role("heading", level=1)).to_have_text(QUESTIONS["equity"])
        assert seen.page.url.endswith("/equity")
