"""How busy each part of a board was between two looks, by NVML's GPM: Hopper and newer, and MIG slices too.

Process samples are not told under MIG; here each slice's share of busy multiprocessors is. A sample holds driver
memory until it is freed, so every part keeps one, and frees the one before.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pynvml

from infra.nvml_exporter.errors import reason_of

WHOLE = None  # the part that is a board which is not cut


class Activity:
    """The last sample of each part of one board; for one thread."""

    def __init__(self) -> None:
        self._last: dict[int | None, Any] = {}
        self._offered: bool | None = None

    def look(self, nvml: Any, parts: Iterable[int | None], failures: dict[str, str]) -> Mapping[int | None, int]:  # noqa: ANN401  # NVML's opaque handle
        """Return each part's busy multiprocessors since the last look, in parts per million; a part is a GPU instance.

        Nothing where the board does not offer it, and of a part that is seen for the first time.
        """
        parts = tuple(parts)
        if self._offered is None:
            self._offered = _offers(nvml)
        busy: dict[int | None, int] = {}
        try:
            for part in parts if self._offered else ():
                before, now = self._last.get(part), _sample(nvml, part)
                self._last[part] = now
                if before is not None:
                    with _freed(before):
                        busy[part] = _busy_ppm(before, now)
        except pynvml.NVMLError as error:
            failures["activity"] = reason_of(error)
            return {}
        for gone in self._last.keys() - set(parts):
            pynvml.nvmlGpmSampleFree(self._last.pop(gone))
        return busy


def _offers(nvml: Any) -> bool:  # noqa: ANN401  # opaque, as above
    try:
        return bool(pynvml.nvmlGpmQueryDeviceSupport(nvml).isSupportedDevice)
    except pynvml.NVMLError:
        return False  # an older driver; whoever has none of it misses nothing


def _sample(nvml: Any, part: int | None) -> Any:  # noqa: ANN401  # opaque, as above
    sample = pynvml.nvmlGpmSampleAlloc()
    try:
        if part is WHOLE:
            return pynvml.nvmlGpmSampleGet(nvml, sample)
        return pynvml.nvmlGpmMigSampleGet(nvml, part, sample)
    except pynvml.NVMLError:
        pynvml.nvmlGpmSampleFree(sample)
        raise


@contextmanager
def _freed(sample: Any) -> Iterator[None]:  # noqa: ANN401  # opaque, as above
    try:
        yield
    finally:
        pynvml.nvmlGpmSampleFree(sample)


def _busy_ppm(before: Any, now: Any) -> int:  # noqa: ANN401  # opaque, as above
    """NVML tells per cent in floating point; from here on it is whole parts per million."""
    question = pynvml.c_nvmlGpmMetricsGet_t()
    question.version, question.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, 1
    question.sample1, question.sample2 = before, now
    question.metrics[0].metricId = pynvml.NVML_GPM_METRIC_SM_UTIL
    answer = pynvml.nvmlGpmMetricsGet(question).metrics[0]
    if answer.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(answer.nvmlReturn)
    return max(0, min(10**6, round(float(answer.value) * 10_000)))
