"""A chart can be read without colour, without sight, and in both themes."""

import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import dashboards
from dashboards.charts import BLUE, DASHES, GREY, MEMBERS, ORANGE, draw
from dashboards.figures import Figure
from dashboards.probes import Measured
from dashboards.views import equity, overview, service_levels
from tests.unit.dashboards.snapshots import snapshot

CONFIG = tomllib.loads((Path(dashboards.__file__).parent / ".streamlit" / "config.toml").read_text())
BACKGROUNDS = [CONFIG["theme"][theme]["backgroundColor"] for theme in ("light", "dark")]


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio, WCAG 2.2."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("colour", sorted({BLUE, ORANGE, GREY, *MEMBERS}))
def test_every_mark_stands_out_from_every_background(colour: str, background: str) -> None:
    assert contrast(colour, background) >= 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("colour", ["textColor", "linkColor", "primaryColor"])
def test_words_stand_out_from_the_background(theme: str, colour: str) -> None:
    assert contrast(CONFIG["theme"][theme][colour], CONFIG["theme"][theme]["backgroundColor"]) >= 4.5


def test_members_differ_by_dash_where_they_differ_by_colour() -> None:
    assert len(set(DASHES)) == len(DASHES) >= len(MEMBERS)


def figures() -> list[Figure]:
    views = (overview.view(snapshot()), service_levels.view(snapshot(), Measured()), equity.view(snapshot()))
    return [figure for view in views for figure in view.figures if figure.chart]


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: str(figure.key))
def test_a_chart_has_words_that_replace_it(figure: Figure) -> None:
    drawing = draw(figure)
    assert drawing is not None
    assert figure.title in drawing.alternative
    assert "The table below has the values." in drawing.alternative


def test_the_words_of_the_shares_name_every_member_and_share() -> None:
    figure = equity.view(snapshot()).figure("equity-shares")
    assert figure is not None
    drawing = draw(figure)
    assert drawing is not None
    assert all(str(row["member"]) in drawing.alternative for row in figure.rows)


def test_an_unmeasured_promise_draws_no_bar_and_says_unknown() -> None:
    figure = service_levels.view(snapshot(), Measured()).figure("promises")
    assert figure is not None
    drawing = draw(figure)
    assert drawing is not None
    assert all(value["used"] == 0 for value in drawing.spec["data"]["values"])
    assert drawing.alternative.count("unknown") == 3


def test_a_figure_without_rows_has_no_chart() -> None:
    empty = equity.view(snapshot(equitystatements=[])).figure("equity-history")
    assert empty is None or draw(empty) is None


def test_history_runs_forward() -> None:
    figure = equity.view(snapshot()).figure("equity-history")
    assert figure is not None
    drawing = draw(figure)
    assert drawing is not None
    instants = [value["at"] for value in drawing.spec["data"]["values"]]
    assert all(earlier <= later for earlier, later in pairwise(instants))


def test_nothing_is_reported_to_anyone() -> None:
    assert CONFIG["browser"]["gatherUsageStats"] is False
