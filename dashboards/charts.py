"""Draws the figures that have a chart, as Vega-Lite specifications.

Colour never stands alone: every mark has a label, a dash or a sign. The colours differ in lightness, and stand out at
3:1 or more from the light and from the dark background.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from commonweal.apportion import WHOLE_BP
from dashboards.figures import PERCENT_SIGN, UNKNOWN, Cell, Chart, Figure, Row, percent

BLUE, ORANGE, GREY = "#2F7FC1", "#C96A12", "#84888E"
MEMBERS = (BLUE, ORANGE, "#5F9E3A", "#B765A8", GREY)
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4))
BAR_PIXELS = 22
ROW_PIXELS = 40
AXES_PIXELS = 76
HISTORY_PIXELS = 400
DAY_MILLISECONDS = 86_400_000
TYPE = {
    "axis": {"labelFontSize": 13, "titleFontSize": 13, "labelPadding": 8, "titlePadding": 10, "titleFontWeight": 400},
    "axisX": {"tickCount": 6, "domain": False, "ticks": False, "gridOpacity": 0.6},
    "axisY": {"domain": False, "ticks": False, "gridOpacity": 0.6},
    "axisBand": {"grid": False},
    "legend": {"labelFontSize": 13, "symbolSize": 140},
    "view": {"stroke": None},
}

Spec = dict[str, Any]
Values = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A Vega-Lite specification, and the words that replace it where it cannot be seen."""

    spec: Spec
    alternative: str


def draw(figure: Figure) -> Drawing | None:
    """Draw the figure's chart; None where it has none or there is nothing to draw."""
    if figure.chart is None or not figure.rows:
        return None
    spec, said = _DRAWERS[figure.chart](figure.rows)
    return Drawing(
        spec={**spec, "config": TYPE},
        alternative=f"{figure.title}. {figure.sentence} {said} The table below has the values.",
    )


def _readiness(rows: Sequence[Row]) -> tuple[Spec, str]:
    states = (("ready", "✓ Ready"), ("not_ready", "✗ Not ready"), ("unknown", "? Unknown"))
    values: Values = [
        {"kind": row["kind"], "state": name, "order": order, "objects": row[key]}
        for row in rows
        for order, (key, name) in enumerate(states)
        if row[key]
    ]
    spec = {
        "height": _height(len(rows)),
        "data": {"values": values},
        "mark": {"type": "bar", "size": BAR_PIXELS},
        "encoding": {
            "y": _names("kind", [row["kind"] for row in rows]),
            "x": {
                "field": "objects",
                "type": "quantitative",
                "title": "objects",
                "axis": {"tickMinStep": 1, "format": "d"},
            },
            "color": _colours("state", [name for _, name in states]),
            "order": {"field": "order", "type": "ordinal"},
        },
    }
    return spec, _said(f"{value['kind']}: {value['objects']} {value['state'][2:].lower()}" for value in values)


def _allowance(rows: Sequence[Row]) -> tuple[Spec, str]:
    values: Values = [
        {
            "promise": f"{row['pilot']}, {row['promise']}: {_used(row['allowance_used_bp'])}",
            "used": _per_cent(row["allowance_used_bp"]) or 0,
            "verdict": row["verdict"],
        }
        for row in rows
    ]
    reach = max(110.0, *(value["used"] * 1.05 for value in values))
    across = {
        "field": "used",
        "type": "quantitative",
        "title": "per cent of the allowance",
        "scale": {"domain": [0, reach]},
    }
    spec = {
        "height": _height(len(values)),
        "data": {"values": values},
        "layer": [
            {
                "mark": {"type": "bar", "size": BAR_PIXELS},
                "encoding": {
                    "y": _names("promise", [value["promise"] for value in values]),
                    "x": across,
                    "color": _colours("verdict", ["✓ kept", "✗ broken", "? unknown"]),
                },
            },
            {
                "mark": {"type": "rule", "color": GREY, "strokeDash": [4, 3], "aria": False},
                "encoding": {"x": {"datum": 100}},
            },
        ],
    }
    said = _said(value["promise"] for value in values)
    return spec, f"{said} The dashed line at 100 is the limit."


def _embedded(rows: Sequence[Row]) -> tuple[Spec, str]:
    values = [part for row in rows for part in _parts(row)]
    spec = {
        "height": _height(len(rows)),
        "data": {"values": values},
        "mark": {"type": "bar", "size": BAR_PIXELS},
        "encoding": {
            "y": _names("good", [row["good"] for row in rows]),
            "x": {"field": "tonnes", "type": "quantitative", "title": "tonnes CO₂e per tonne"},
            "color": _colours("part", ["direct", "indirect", "total, not split"]),
            "order": {"field": "order", "type": "ordinal"},
        },
    }
    return spec, _said(f"{value['good']}: {value['tonnes']:.4f} {value['part']}" for value in values)


def _parts(row: Row) -> Values:
    """Return what is known of one tonne by part; the total alone where the parts are not known."""
    known = [("direct", row["see_direct_t_per_t"]), ("indirect", row["see_indirect_t_per_t"])]
    if row["see_direct_t_per_t"] is None:
        known = [("total, not split", row["see_counted_t_per_t"])]
    return [
        {"good": row["good"], "part": part, "order": order, "tonnes": float(tonnes)}
        for order, (part, tonnes) in enumerate(known)
        if isinstance(tonnes, Decimal)
    ]


def _shares(rows: Sequence[Row]) -> tuple[Spec, str]:
    values: Values = [
        {"member": f"{row['member']}: {percent(row['equity_bp'])}{PERCENT_SIGN}", "share": _per_cent(row["equity_bp"])}
        for row in rows
    ]
    across = {
        "field": "share",
        "type": "quantitative",
        "title": "per cent of equity",
        "scale": {"domain": [0, 100]},
    }
    spec = {
        "height": _height(len(values)) - ROW_PIXELS // 2,
        "data": {"values": values},
        "mark": {"type": "bar", "size": BAR_PIXELS, "color": BLUE},
        "encoding": {"y": _names("member", [value["member"] for value in values]), "x": across},
    }
    return spec, _said(value["member"] for value in values)


def _history(rows: Sequence[Row]) -> tuple[Spec, str]:
    members = sorted({str(row["member"]) for row in rows})
    values: Values = [
        {"at": _milliseconds(row["period_end"]), "member": row["member"], "share": _per_cent(row["equity_bp"])}
        for row in rows
    ]
    dashes = [list(dash) for dash in _cycle(DASHES, len(members))]
    spec = {
        "height": HISTORY_PIXELS,
        "data": {"values": values},
        "mark": {"type": "line", "strokeWidth": 2.5, "point": len(values) <= 2 * len(members)},
        "encoding": {
            "x": {
                "field": "at",
                "type": "temporal",
                "title": "end of period (UTC)",
                "scale": {"type": "utc"},
                "axis": {"format": "%H:%M" if _within_a_day(values) else "%d %b"},
            },
            "y": {
                "field": "share",
                "type": "quantitative",
                "title": "per cent of equity",
                "scale": {"zero": False},
            },
            "color": _colours("member", members, _cycle(MEMBERS, len(members)))
            | {"legend": {"orient": "top", "symbolType": "stroke", "symbolSize": 500, "labelLimit": 260, "columns": 1}},
            "strokeDash": {
                "field": "member",
                "type": "nominal",
                "title": None,
                "scale": {"domain": members, "range": dashes},
            },
        },
    }
    last = {value["member"]: value["share"] for value in values}
    return spec, _said(f"{member} ends at {last[member]:.2f} per cent" for member in members)


def _within_a_day(values: Values) -> bool:
    instants = [value["at"] for value in values if value["at"] is not None]
    return not instants or max(instants) - min(instants) <= DAY_MILLISECONDS


def _names(name: str, order: Sequence[object]) -> Spec:
    """Return a vertical axis of names in the order of the rows; long names are cut, the table has them whole."""
    return {"field": name, "type": "nominal", "title": None, "sort": list(order), "axis": {"labelLimit": 300}}


def _colours(name: str, domain: list[str], colours: Sequence[str] = (BLUE, ORANGE, GREY)) -> Spec:
    return {
        "field": name,
        "type": "nominal",
        "title": None,
        "scale": {"domain": domain, "range": list(colours)},
        "legend": {"orient": "top", "title": None},
    }


def _used(basis_points: Cell) -> str:
    return UNKNOWN if basis_points is None else f"{percent(basis_points)}{PERCENT_SIGN}"


def _said(parts: Iterable[str]) -> str:
    return f"{'; '.join(parts) or 'Nothing is known'}."


def _cycle(items: Sequence[Any], length: int) -> list[Any]:
    return [items[index % len(items)] for index in range(length)]


def _per_cent(basis_points: object) -> float | None:
    """Return basis points as a length to draw; the numbers that are read are written from the integers."""
    return basis_points / (WHOLE_BP // 100) if isinstance(basis_points, int) else None


def _milliseconds(at: object) -> int | None:
    return int(at.timestamp() * 1000) if isinstance(at, datetime) else None


def _height(rows: int) -> int:
    return rows * ROW_PIXELS + AXES_PIXELS


_DRAWERS: dict[Chart, Callable[[Sequence[Row]], tuple[Spec, str]]] = {
    Chart.READINESS: _readiness,
    Chart.ALLOWANCE: _allowance,
    Chart.EMBEDDED: _embedded,
    Chart.SHARES: _shares,
    Chart.HISTORY: _history,
}
