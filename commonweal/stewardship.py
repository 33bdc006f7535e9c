"""Looking after data that others use: rows kept as promised, for as long as another member might ask for them.

A dataset that only its own steward may ask earns nothing, and neither does an hour in which it was stale or did not
answer. What counts is rows times seconds, so that one dataset told as two halves, or two as one, counts the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

SECOND = timedelta(seconds=1)


class StewardshipError(ValueError):
    """A record that cannot be; the message names the field and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A span in which a dataset answered and was as fresh as its trust promises, and who held a live grant in it."""

    steward: str
    dataset: str
    rows: int
    begin: datetime
    end: datetime
    granted_to: frozenset[str]

    def __post_init__(self) -> None:
        """Refuse what no dataset is.

        Raises:
            StewardshipError: rows below 0, or an end that is not after its begin.
        """
        if self.rows < 0:
            raise StewardshipError(f"{self.dataset}.rows: {self.rows} is below 0")
        if self.end <= self.begin:
            raise StewardshipError(f"{self.dataset}.end: {self.end:%FT%TZ} is not after {self.begin:%FT%TZ}")


def row_seconds(kept: Iterable[Kept], period: tuple[datetime, datetime]) -> Mapping[str, int]:
    """Each steward's row-seconds of a period, of datasets that another member was granted.

    Of two records of one dataset and second the fewer rows count: an overlap is never added.
    """
    spans: defaultdict[tuple[str, str], list[Kept]] = defaultdict(list)
    for one in kept:
        if one.granted_to - {one.steward}:
            spans[one.steward, one.dataset].append(one)
    sums: defaultdict[str, int] = defaultdict(int)
    for (steward, _), records in spans.items():
        sums[steward] += _fewest(records, period)
    return dict(sums)


def _fewest(records: list[Kept], period: tuple[datetime, datetime]) -> int:
    """Integrate, over the period, the fewest rows that any record of the moment states."""
    edges = sorted({max(period[0], min(period[1], at)) for one in records for at in (one.begin, one.end)})
    total = 0
    for begin, end in pairwise(edges):
        rows = [one.rows for one in records if one.begin <= begin and end <= one.end]
        total += min(rows, default=0) * ((end - begin) // SECOND)
    return total
