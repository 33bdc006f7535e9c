"""What a person does in a dashboard, as functions of a page and an address; they hold for any running dashboard."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

QUESTIONS = {
    "": "Is the consortium in working order?",
    "service-levels": "Do the pilots keep their promises?",
    "trade": "What does a tonne of steel embed?",
    "equity": "Who owns which share of the consortium?",
    "public": "Who may ask what of whose data, and what was asked?",
}
WIDE = (1280, 900)
PHONE = (390, 844)
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
SLOW_MS = 60_000  # the first question to a pilot may wait for every member, on a machine that runs a whole consortium
expect.set_options(timeout=SLOW_MS)
# Streamlit looks for its own base path under a deep link first; the answer is 404, from this host.
BASE_PATH_PROBES = ("/_stcore/health", "/_stcore/host-config")


@dataclass
class Visit:
    """A page, and everything that it asked for or complained about."""

    page: Page
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, url: str, path: str = "") -> None:
        """Go to a page and wait until it has settled."""
        self.page.goto(f"{url}/{path}")
        self.page.wait_for_selector(SETTLED)
        expect(self.page.locator(".cw-answer")).to_be_visible()


@contextmanager
def visit(browser: Browser, url: str, size: tuple[int, int] = WIDE, scheme: str = "light") -> Iterator[Visit]:
    """Open an empty page that writes down every request to another host and every error."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    seen = Visit(page)
    host = urlsplit(url).netloc
    page.on("request", lambda request: seen.outside.append(request.url) if _is_outside(request.url, host) else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console", lambda message: seen.errors.append(message.text) if _matters(message.type, message.text) else None
    )
    page.on("response", lambda answer: seen.errors.append(answer.url) if _failed(answer.status, answer.url) else None)
    try:
        yield seen
    finally:
        context.close()


def _is_outside(address: str, host: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != host


def _matters(kind: str, words: str) -> bool:
    return kind == "error" and "Failed to load resource" not in words  # those come with their address as responses


def _failed(status: int, address: str) -> bool:
    return status >= 400 and not urlsplit(address).path.endswith(BASE_PATH_PROBES)


def answers_its_question(seen: Visit, url: str, path: str, query: str = "") -> str:
    """Open a page; return the sentence that answers its question."""
    seen.open(url, f"{path}{query}")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(QUESTIONS[path])
    return seen.page.locator(".cw-answer").inner_text()


def every_figure_has_its_papers(seen: Visit) -> int:
    """Check that each figure on the page has a heading, as-of, log position, link, CSV and JSON; return how many."""
    feet = seen.page.locator(".cw-foot")
    for index in range(feet.count()):
        words = feet.nth(index).inner_text()
        assert "As of " in words, words
        assert "log position" in words, words
        assert feet.nth(index).get_by_role("link").all_inner_texts() == ["Link", "CSV", "JSON"]
    return feet.count()


def every_chart_has_words(seen: Visit) -> None:
    """Check that each chart can be understood without being seen."""
    charts = seen.page.get_by_test_id("stVegaLiteChart")
    for index in range(charts.count()):
        # Vega sets the words when it has drawn.
        expect(charts.nth(index)).to_have_attribute("aria-label", re.compile(r"The table below has the values\.$"))


def download(seen: Visit, figure: str, kind: str) -> Path:
    """Download a figure by its link, as a person does; return the file."""
    title = seen.page.locator(f"#{figure}").inner_text()
    with seen.page.expect_download() as waiting:
        seen.page.get_by_role("link", name=f"Download {title} as {kind}", exact=True).click()
    return Path(waiting.value.path())


def csv_rows(path: Path) -> list[dict[str, str]]:
    """Read a downloaded CSV."""
    return list(csv.DictReader(io.StringIO(path.read_text())))


def json_rows(path: Path) -> list[dict[str, object]]:
    """Read the rows of a downloaded JSON."""
    rows: list[dict[str, object]] = json.loads(path.read_text())["rows"]
    return rows


def reaches_by_keyboard(seen: Visit, name: str, presses: int = 120) -> bool:
    """Press Tab until the element with this accessible name has the focus."""
    for _ in range(presses):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate("document.activeElement.getAttribute('aria-label')") == name:
            return True
    return False


def overflows(seen: Visit) -> bool:
    """Tell whether the page is wider than its window."""
    wider: bool = seen.page.get_by_test_id("stMain").evaluate("node => node.scrollWidth > node.clientWidth + 1")
    return wider
