"""NVML's errors as words: what could not be read has a reason under its quantity, and is never a number."""

from collections.abc import Iterator
from contextlib import contextmanager

import pynvml

_REASONS: dict[int, str] = {
    value: name.removeprefix("NVML_ERROR_").lower().replace("_", "-")
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_ERROR_")
}


def reason_of(error: pynvml.NVMLError) -> str:
    """Return NVML's own name of an error, as in `gpu-is-lost`."""
    code: int = error.value
    return _REASONS.get(code, f"nvml-{code}")


@contextmanager
def failing(failures: dict[str, str], quantity: str) -> Iterator[None]:
    """Keep an NVML error as the reason why a quantity is absent."""
    try:
        yield
    except pynvml.NVMLError as error:
        failures[quantity] = reason_of(error)
