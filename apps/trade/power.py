"""Which understatement a comparison of sources would find: as numbers, and as a curve that can be published."""

from collections.abc import Iterable, Iterator

from apps.trade.fusion import detection_power

SIGNIFICANCES = (0.05, 0.01)
WIDTH, HEIGHT, MARGIN = 560, 320, 48
COLOURS = ("#1b6ca8", "#b5482f")


def curve(gap_sd: float, shares: Iterable[float]) -> Iterator[tuple[float, tuple[float, ...]]]:
    """For each understated share its probability of being found, at every significance of SIGNIFICANCES."""
    for share in shares:
        yield share, tuple(detection_power(share, gap_sd, significance) for significance in SIGNIFICANCES)


def drawn(gap_sd: float) -> str:
    """The curve as a picture in SVG, from 0 to 60 % understated."""
    points = list(curve(gap_sd, [step / 100 for step in range(61)]))
    lines = [
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
        + " ".join(f"{_x(share):.1f},{_y(powers[index]):.1f}" for share, powers in points)
        + '"/>'
        for index, colour in enumerate(COLOURS)
    ]
    legend = [
        f'<text x="{WIDTH - 150}" y="{MARGIN + 18 * index}" fill="{colour}">test at {significance:.0%}</text>'
        for index, (significance, colour) in enumerate(zip(SIGNIFICANCES, COLOURS, strict=True))
    ]
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    title = f"Probability that an understatement is found; the gap's logarithm has sd {gap_sd}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, f"<title>{title}</title>", *_axes(), *lines, *legend, "</svg>", ""])


def _axes() -> list[str]:
    ticks = [
        f'<text x="{_x(share):.0f}" y="{HEIGHT - 28}" text-anchor="middle">{share:.0%}</text>' for share in TICKS_X
    ]
    ticks += [
        f'<text x="{MARGIN - 8}" y="{_y(power) + 4:.0f}" text-anchor="end">{power:.1f}</text>' for power in TICKS_Y
    ]
    grid = [
        f'<line x1="{MARGIN}" x2="{WIDTH - 16}" y1="{_y(power):.1f}" y2="{_y(power):.1f}" stroke="#ddd"/>'
        for power in TICKS_Y
    ]
    return [*grid, *ticks, f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">understated by</text>']


TICKS_X = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
TICKS_Y = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _x(share: float) -> float:
    return MARGIN + share / 0.6 * (WIDTH - MARGIN - 16)


def _y(power: float) -> float:
    return HEIGHT - MARGIN - power * (HEIGHT - 2 * MARGIN)
