"""The five pages. Each builds one view and shows it; the address bar says all that the page depends on."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from commonweal.kinds.equity_statement import EquityStatement
from dashboards import layout
from dashboards.figures import instant
from dashboards.sources import seen_hub, view_of
from dashboards.views.equity import LATEST, chosen

# A file of ours: a named Material icon would be fetched from a font host.
ICON = Path(__file__).with_name("icon.svg")
RENEW_SECONDS = 10
CHOICE = "chosen-period"
CHOICES = 500  # periods to choose from; older ones are reached by their link


def overview() -> None:
    """Show whether the consortium is in working order."""
    _renewing(lambda: _show("overview", {}))


def service_levels() -> None:
    """Show whether the pilots keep their promises."""
    _renewing(lambda: _show("service-levels", {}))


def trade() -> None:
    """Show what a tonne of steel embeds."""
    _renewing(lambda: _show("trade", {}))


def public() -> None:
    """Show who may ask what of whose data, and what was asked."""
    _renewing(lambda: _show("public", {}))


def equity() -> None:
    """Show who owns which share, after the latest period or the one chosen."""
    _renewing(_show_equity)


def _show_equity() -> None:
    seen = seen_hub()
    statements = seen.snapshot.statements if seen.snapshot else ()
    asked = st.query_params.get("period", LATEST)
    statement = chosen(statements, asked)
    # Links name the period that is shown, so that they show the same tomorrow.
    _show("equity", {"period": statement.metadata.name if statement else asked})
    if statements:
        _choose(statements, asked)


def _choose(statements: tuple[EquityStatement, ...], asked: str) -> None:
    """Let the reader choose a period; the choice goes into the address, by the name of its statement."""
    recent = [one.metadata.name for one in reversed(statements[-CHOICES:])]
    older = [asked] if asked not in {LATEST, *recent} and chosen(statements, asked) else []
    names = [LATEST, *recent, *older]
    ends = {one.metadata.name: one.spec.period_end for one in statements}
    st.selectbox(
        "Accounting period",
        names,
        index=names.index(asked) if asked in names else 0,
        format_func=lambda name: "Latest closed period" if name == LATEST else f"Until {instant(ends[name])}",
        key=CHOICE,
        on_change=_put_into_address,
        width=340,
    )


def _put_into_address() -> None:
    st.query_params["period"] = st.session_state[CHOICE]


def _show(name: str, parameters: dict[str, str]) -> None:
    seen = seen_hub()
    layout.masthead(seen)
    layout.page(view_of(name, parameters), name, parameters, old=seen.problem is not None)


def _renewing(show: Callable[[], None]) -> None:
    """Show now, and again every RENEW_SECONDS unless the reader has stopped it."""
    st.fragment(show, run_every=RENEW_SECONDS if st.session_state.get("live", True) else None)()
    st.toggle("Keep this page up to date", value=True, key="live", help=f"Renews every {RENEW_SECONDS} seconds.")


def main() -> None:
    """Route to a page."""
    st.set_page_config(page_title="Commonweal", page_icon=ICON, layout="centered")
    pages = [
        st.Page(overview, title="Overview", default=True, help="Whether everything promised is in place."),
        st.Page(service_levels, title="Service levels", url_path="service-levels", help="Promises and measurements."),
        st.Page(trade, title="Trade", url_path="trade", help="What a tonne of steel embeds."),
        st.Page(public, title="Data", url_path="public", help="Who may ask what of whose data, and what was asked."),
        st.Page(equity, title="Equity", url_path="equity", help="Shares, and how to compute them again."),
    ]
    st.navigation(pages, position="top").run()


main()
