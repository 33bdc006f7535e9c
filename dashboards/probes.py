"""Reads measurements of service levels: JSON lines that a prober or a load test appends to one file.

One line is one measurement of one pilot over one window. A line that cannot be read is named, never skipped in silence.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from commonweal.kinds.meta import Count, Model, Name, Text


class Measurement(Model):
    """What one prober saw of one pilot from `start` to `end`; None is not measured, never zero."""

    pilot_app: Name
    start: AwareDatetime
    end: AwareDatetime
    source: Text
    requests: Count | None = None
    failed_requests: Count | None = None
    latency_p95_ms: Count | None = None
    unavailable_ms: Annotated[Count | None, Field(description="milliseconds of the window without an answer")] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end is not after start; give the window that was measured")
        if self.failed_requests is not None and self.failed_requests > (self.requests or 0):
            raise ValueError("failedRequests is above requests; count each request once")
        if self.unavailable_ms is not None and self.unavailable_ms > self.window_ms:
            raise ValueError("unavailableMs is longer than the window; give milliseconds within it")
        return self

    @property
    def window_ms(self) -> int:
        """Length of the window in milliseconds."""
        return int((self.end - self.start).total_seconds() * 1000)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All measurements of a file; `problems` says which lines, or the file itself, could not be read."""

    measurements: tuple[Measurement, ...] = ()
    problems: tuple[str, ...] = ()

    def latest(self, pilot: str) -> Measurement | None:
        """Return the measurement of a pilot that ended last."""
        own = [one for one in self.measurements if one.pilot_app == pilot]
        return max(own, key=_end, default=None)


def _end(one: Measurement) -> datetime:
    return one.end


def parse(lines: Iterable[str], name: str) -> Measured:
    """Read JSON lines; blank lines mean nothing."""
    good: list[Measurement] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            good.append(Measurement.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "line"
            problems.append(f"{name}, line {number}: {where}: {first['msg']}")
    return Measured(measurements=tuple(good), problems=tuple(problems))


def read(path: Path | None) -> Measured:
    """Read the file of measurements; None means that there is none, which is no problem."""
    if path is None:
        return Measured()
    try:
        return parse(path.read_text().splitlines(), path.name)
    except FileNotFoundError:
        return Measured()  # nothing has been measured yet
    except (OSError, UnicodeDecodeError) as error:
        return Measured(problems=(f"{path.name}: {error}; correct COMMONWEAL_PROBE_FILE",))
