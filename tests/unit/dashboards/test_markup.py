"""Words from the hub or a pilot never become markup, and a table can be read without seeing it."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.equity_statement import LogPosition
from dashboards import markup
from dashboards.figures import Chart, Column, Figure, Position, count
from tests.unit.dashboards.objects import NOON

ALLOWED = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "a", "p", "span", "br"}


class Reader(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


def figure(words: str, number: int = 5, chart: Chart | None = None) -> Figure:
    return Figure(
        key="members",
        title="Members",
        sentence="Who takes part.",
        columns=(
            Column(key="name", heading="Member"),
            Column(key="objects", heading="Objects", show=count, numeric=True),
            Column(key="address", heading="Address", link=True),
            Column(key="hidden", heading="Hidden", shown=False),
        ),
        rows=({"name": words, "objects": number, "address": words, "hidden": words},),
        position=Position(as_of=NOON, log=LogPosition(tree_size=7, root_sha256="c" * 64)),
        chart=chart,
    )


@given(words=st.text() | st.sampled_from(["<img src=//evil.example>", "<script>alert(1)</script>", "\"'><b>"]))
def test_no_word_becomes_a_tag(words: str) -> None:
    shown = figure(words)
    html = markup.table(shown) + markup.note(shown) + markup.foot(shown, "overview", {"period": words}, old=True)
    assert set(read(html).tags) <= ALLOWED


@given(words=st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_words_are_shown_as_they_are(words: str) -> None:
    assert words in "".join(read(markup.table(figure(words))).text)


@given(words=st.sampled_from(["javascript:alert(1)", "data:text/html,x", "//evil.example", "unknown"]))
def test_only_an_address_of_the_web_becomes_a_link(words: str) -> None:
    assert read(markup.table(figure(words))).links == []


def test_an_address_of_the_web_is_a_link() -> None:
    assert read(markup.table(figure("https://pilot.example/?a=1&b=2"))).links == ["https://pilot.example/?a=1&b=2"]


def test_a_table_has_a_caption_headings_and_can_be_reached_by_keyboard() -> None:
    html = markup.table(figure("ca"))
    assert "<caption>Members. Who takes part.</caption>" in html
    assert 'scope="col"' in html
    assert 'scope="row"' in html
    assert 'tabindex="0" role="region" aria-label="Table: Members"' in html


def test_a_column_for_downloads_is_not_on_the_page() -> None:
    assert "Hidden" not in markup.table(figure("ca"))


def test_a_chart_that_is_labelled_in_full_folds_its_table() -> None:
    assert markup.table(figure("ca", chart=Chart.SHARES)).startswith("<details><summary>Show as table</summary>")


def test_a_figure_links_to_itself_and_to_its_downloads() -> None:
    foot = markup.foot(figure("ca"), "equity", {"period": "p-1"}, old=False)
    assert read(foot).links == [
        "/equity?period=p-1#members",
        "/data/equity/members.csv?period=p-1",
        "/data/equity/members.json?period=p-1",
    ]


def test_old_figures_are_marked_old() -> None:
    assert "OLD: the hub does not answer." in markup.foot(figure("ca"), "overview", {}, old=True)
