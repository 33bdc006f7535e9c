"""OpenDP's samplers from the library as our images hold it, which is cut behind what a process maps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import opendp
import pytest

from infra.images import elf

ORIGINAL = Path(opendp.__file__).parent / "lib"
SAMPLES = """
import opendp.prelude as dp
from opendp._lib import lib
dp.enable_features("contrib")
space = dp.atom_domain(T=int), dp.absolute_distance(T=int)
drawn = [dp.m.make_laplace(*space, scale=3.0)(7) for _ in range(50)]
drawn += [dp.m.make_gaussian(*space, scale=3.0)(7) for _ in range(50)]
assert len(set(drawn)) > 5, drawn
print(lib._name)
"""


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    (library,) = ORIGINAL.glob("*.so")
    copy = Path(shutil.copy(library, tmp_path))
    assert elf.cut(copy) > 100_000_000
    return copy


def test_samplers_run_from_the_library_that_was_cut(cut: Path) -> None:
    environment = {**os.environ, "OPENDP_LIB_DIR": str(cut.parent)}
    done = subprocess.run(
        [sys.executable, "-c", SAMPLES], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(cut)
