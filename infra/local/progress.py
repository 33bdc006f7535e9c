"""One line that says how long work has taken and how far it is, for work longer than a breath."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TextIO

from infra.local.machine import Say

REDRAW_S = 1.0
QUIET_REDRAW_S = 30.0  # a log file needs no line a second


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def step(title: str, stream: TextIO = sys.stderr) -> Iterator[Say]:
    """Show `title`, the time since the start and the last thing said, until the block ends.

    Yields a function that replaces the detail. On a terminal the line is redrawn in place; elsewhere it is repeated
    every 30 s, so that a log shows life without flooding.
    """
    started = monotonic()
    detail = ""
    finished = threading.Event()
    live = stream.isatty()

    def draw(end: str) -> None:
        text = f"{clock(monotonic() - started)} {title}{': ' if detail else ''}{detail}"
        stream.write(f"\r\x1b[K{text[:118]}{end}" if live else f"{text}\n")
        stream.flush()

    def keep_drawing() -> None:
        while not finished.wait(REDRAW_S if live else QUIET_REDRAW_S):
            draw("")

    def say(text: str) -> None:
        nonlocal detail
        detail = text

    painter = threading.Thread(target=keep_drawing, daemon=True)
    painter.start()
    outcome = "failed"
    try:
        yield say
        outcome = "done"
    finally:
        finished.set()
        painter.join()
        detail = outcome
        draw("\n")
