"""Meters around the devices: a node's or a facility's register is a file that counts microjoules, as hwmon has them.

Such a meter bounds what the devices inside it may claim, and earns nothing. The file must not wrap: hwmon's
`energyN_input` counts in 64 bits; RAPL's `energy_uj` wraps within the hour and must not be named.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from commonweal.metering import Scope
from infra.nvml_exporter.driver import Device

SCOPES = {"NODE-": Scope.NODE, "FACILITY-": Scope.FACILITY}


def named_files(text: str) -> dict[str, Path]:
    """Read `NODE-name=/path FACILITY-name=/path`.

    Raises:
        ValueError: names the part that is not a meter and its file.
    """
    files: dict[str, Path] = {}
    for part in text.split():
        meter, equals, path = part.partition("=")
        if not (equals and path.startswith("/") and meter.startswith(tuple(SCOPES))) or meter in files:
            raise ValueError(f"COMMONWEAL_ENERGY_FILES: {part!r} is not one meter and its file; write NODE-name=/path")
        files[meter] = Path(path)
    return files


def read_files(files: Mapping[str, Path], clock_ms: Callable[[], int]) -> tuple[Device, ...]:
    """Look at every file once; one that cannot be read, or holds no whole number, is a reason and no number."""
    return tuple(_read(meter, path, clock_ms) for meter, path in sorted(files.items()))


def _read(meter: str, path: Path, clock_ms: Callable[[], int]) -> Device:
    scope = next(scope for prefix, scope in SCOPES.items() if meter.startswith(prefix))
    try:
        register_mj, failures = int(path.read_text()) // 1000, {}
    except OSError:
        register_mj, failures = None, {"energy": "file-not-readable"}
    except ValueError:
        register_mj, failures = None, {"energy": "file-without-a-number"}
    return Device(
        index=-1, at_ms=clock_ms(), uuid=meter, name=meter, scope=scope, register_mj=register_mj, failures=failures
    )
