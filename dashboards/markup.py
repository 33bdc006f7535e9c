"""Writes figures as HTML tables: a caption, headings that a screen reader can follow, figures aligned by digit.

Pure. Every word that comes from the hub or a pilot is escaped here.
"""

from html import escape
from urllib.parse import urlencode

from dashboards.figures import Chart, Column, Figure, Row

# The toolbar over charts would say a chart's whole alternative four times; the links below a figure do its work.
STYLE = """<style>
[data-testid="stMainBlockContainer"] {max-width: 62rem}
[data-testid="stElementToolbar"] {display: none}
.cw-brand {font-size: .9rem; opacity: .78; margin: 0}
.cw-answer {font-size: 1.35rem; line-height: 1.5; max-width: 46rem; margin: 0 0 1.5rem}
.cw-note {font-size: .95rem; max-width: 46rem; margin: 0 0 .5rem}
.cw-label {display: inline-block; border: 1.5px solid currentColor; border-radius: 4px; padding: 0 .45rem;
  font-weight: 600; margin-right: .45rem}
.cw-scroll {overflow-x: auto}
.cw-scroll:focus-visible {outline: 2px solid currentColor; outline-offset: 2px}
.cw-table {border-collapse: collapse; font-size: .92rem; min-width: 60%}
.cw-table caption {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)}
.cw-table th, .cw-table td {text-align: left; vertical-align: top; padding: .45rem 1.2rem .45rem 0; border: 0;
  white-space: nowrap;
  border-bottom: 1px solid rgba(128, 132, 140, .35)}
.cw-table thead th {font-weight: 600; border-bottom-color: rgba(128, 132, 140, .8)}
.cw-table tbody th {font-weight: 400}
.cw-table .cw-number {text-align: right; font-variant-numeric: tabular-nums}
.cw-table .cw-words {white-space: normal; min-width: 13rem; max-width: 30rem}
.cw-foot {font-size: .85rem; opacity: .82; margin: .6rem 0 2.6rem}
.cw-foot a {margin-right: .9rem}
.cw-foot a, .cw-table a {color: inherit; text-decoration: underline}
details > summary {cursor: pointer; font-size: .92rem; width: fit-content; margin-bottom: .4rem}
.cw-old {font-weight: 700}
</style>"""
WORDS = 36  # characters from which a cell is prose and may wrap


def table(figure: Figure) -> str:
    """Return the figure's table, or the sentence that says why it is empty."""
    if not figure.rows:
        return f'<p class="cw-note">{escape(figure.empty)}</p>'
    columns = tuple(column for column in figure.columns if column.shown)
    head = "".join(f'<th scope="col"{_class(column, "")}>{escape(column.heading)}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in figure.rows)
    whole = (
        f'<div class="cw-scroll" tabindex="0" role="region" aria-label="Table: {escape(figure.title)}">'
        f'<table class="cw-table"><caption>{escape(figure.title)}. {escape(figure.sentence)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    # A chart that is labelled in full does not need its table open; one keystroke shows it.
    folded = figure.chart in {Chart.READINESS, Chart.SHARES, Chart.HISTORY}
    return f"<details><summary>Show as table</summary>{whole}</details>" if folded else whole


def _cells(columns: tuple[Column, ...], row: Row) -> str:
    cells = []
    for place, column in enumerate(columns):
        shown = column.show(row[column.key])
        tag = '<th scope="row"' if place == 0 else "<td"
        inside = _link(shown) if column.link else escape(shown)
        cells.append(f"{tag}{_class(column, shown)}>{inside}</{'th' if place == 0 else 'td'}>")
    return "".join(cells)


def _class(column: Column, shown: str) -> str:
    if column.numeric:
        return ' class="cw-number"'
    return ' class="cw-words"' if len(shown) > WORDS else ""


def _link(address: str) -> str:
    """Return a link to an address of the web; anything else stays text."""
    safe = escape(address)
    return f'<a href="{safe}">{safe}</a>' if address.startswith(("https://", "http://")) else safe


def note(figure: Figure) -> str:
    """Return what the figure shows, and in what it is not the real thing."""
    labels = "".join(
        f'<p class="cw-note"><span class="cw-label">{escape(label)}</span>{escape(label.meaning)}.</p>'
        for label in figure.labels
    )
    return f'<p class="cw-note">{escape(figure.sentence)}</p>{labels}'


def foot(figure: Figure, page: str, parameters: dict[str, str], *, old: bool) -> str:
    """Return as-of and log position, the link to this figure, and its downloads."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    path = "/" if page == "overview" else f"/{page}"
    data = f"/data/{page}/{figure.key}"
    log = figure.position.log
    title = f' title="root {log.root_sha256}"' if log else ""
    mark = '<span class="cw-old">OLD: the hub does not answer.</span> ' if old else ""
    name = escape(figure.title)
    links = (
        (f"{path}{query}#{figure.key}", "Link", f"Link to {name}", ""),
        (f"{data}.csv{query}", "CSV", f"Download {name} as CSV", " download"),
        (f"{data}.json{query}", "JSON", f"Download {name} as JSON", " download"),
    )
    anchors = "".join(
        f'<a href="{escape(href)}" target="_self" aria-label="{label}"{more}>{word}</a>'
        for href, word, label, more in links
    )
    return f'<p class="cw-foot"{title}>{mark}{escape(figure.position.sentence())}<br>{anchors}</p>'


def paragraph(css_class: str, words: str) -> str:
    """Return a paragraph of plain words."""
    return f'<p class="{css_class}">{escape(words)}</p>'
