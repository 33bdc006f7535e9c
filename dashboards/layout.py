"""Lays a view out on a page: question, answer, figures. Knows Streamlit and no rule."""

import streamlit as st

from dashboards import charts, markup
from dashboards.figures import Figure, View, instant
from dashboards.hub import Seen


def masthead(seen: Seen) -> None:
    """Name the consortium, and say so where the hub does not answer."""
    st.html(markup.STYLE)
    charter = seen.snapshot.charter if seen.snapshot else None
    st.html(markup.paragraph("cw-brand", f"Commonweal · {charter.spec.title if charter else 'no charter seen yet'}"))
    if seen.snapshot and seen.snapshot.unreadable:
        number = len(seen.snapshot.unreadable)
        st.warning(f"{number} objects cannot be read by this version; the overview names them.", icon=":material/help:")
    if seen.problem is None:
        return
    if seen.snapshot is None:
        st.error("The hub could not be read.", icon=":material/cloud_off:")
    else:
        since = instant(seen.snapshot.taken_at)
        st.warning(f"The hub does not answer. What follows is old: as of {since}.", icon=":material/cloud_off:")
    # Not Markdown: the words may come from elsewhere.
    st.html(markup.paragraph("cw-note", f"Reason: {seen.problem}"))


def page(view: View, name: str, parameters: dict[str, str], *, old: bool) -> None:
    """Show a whole page."""
    st.title(view.question, anchor=False)
    st.html(markup.paragraph("cw-answer", view.answer))
    for shown in view.figures:
        figure(shown, name, parameters, old=old)
    if view.check:
        st.header("Check it yourself", anchor="check")
        st.html(markup.paragraph("cw-note", view.check.does))
        st.code(view.check.command, language="bash", wrap_lines=True)


def figure(shown: Figure, name: str, parameters: dict[str, str], *, old: bool) -> None:
    """Show one figure: chart, table, as-of and log position, link and downloads."""
    st.header(shown.title, anchor=shown.key)
    st.html(markup.note(shown))
    drawing = charts.draw(shown)
    if drawing is not None:
        # Streamlit's own chart theme writes labels at 3.7:1; without it they take the colour of the text.
        st.vega_lite_chart(
            spec=drawing.spec, width="stretch", alt=drawing.alternative, key=f"chart-{shown.key}", theme=None
        )
    st.html(markup.table(shown))
    st.html(markup.foot(shown, name, parameters, old=old))
