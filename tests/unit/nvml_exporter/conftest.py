"""The simulated NVML, built once, with a clock that a test moves by hand."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.nvml_exporter.driver import Driver, Poll

SOURCE = Path(__file__).parents[3] / "infra" / "nvml_exporter" / "simulated"


@dataclass(frozen=True)
class Bench:
    """A simulated machine: one script, one clock in milliseconds since 1970, which is also NVML's."""

    clock: Path
    driver: Driver

    def at(self, ms: int) -> Poll:
        self.clock.write_text(str(ms))
        return self.driver.poll()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    subprocess.run(["make", "-s", "-C", str(SOURCE), f"OUT={built}"], check=True)
    return built


@pytest.fixture
def bench(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    made: list[Driver] = []

    def make(script: str) -> Bench:
        for driver in made:
            driver.close()
        clock = tmp_path / "clock"
        clock.write_text("0")
        (tmp_path / "script").write_text(script)
        monkeypatch.setenv("SIMULATED_NVML_SCRIPT", str(tmp_path / "script"))
        monkeypatch.setenv("SIMULATED_NVML_CLOCK", str(clock))
        made.append(Driver(lambda: int(clock.read_text()), library))
        return Bench(clock, made[-1])

    yield make
    for driver in made:
        driver.close()
