"""`make demo` from a clean clone with every cache empty, on this machine, in under 30 minutes."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from loadtests.bars import Measurement

NEEDS_DEMO = False


def measure() -> list[Measurement]:
    """A clone in a new folder, with a home and caches of its own; Debian's packages stay as they are installed."""
    subprocess.run(["make", "down"], check=True, capture_output=True)
    with tempfile.TemporaryDirectory(prefix="commonweal-cold-", dir="/var/tmp") as folder:
        tree, caches = Path(folder) / "tree", Path(folder) / "caches"
        subprocess.run(["git", "clone", "--quiet", ".", str(tree)], check=True)
        emptied = {
            "COMMONWEAL_CACHE": caches / "commonweal",
            "XDG_CACHE_HOME": caches,
            "UV_CACHE_DIR": caches / "uv",
            "PIP_CACHE_DIR": caches / "pip",
            "GOCACHE": caches / "go-build",
            "GOMODCACHE": caches / "go-mod",
            "MAVEN_ARGS": f"-Dmaven.repo.local={caches / 'maven'}",
        }
        environment = {**os.environ, **{name: str(value) for name, value in emptied.items()}}
        started = time.monotonic()
        try:
            subprocess.run(["make", "demo"], cwd=tree, env=environment, check=True)
            minutes = (time.monotonic() - started) / 60
        finally:
            subprocess.run(["make", "down"], cwd=tree, env=environment, check=True, capture_output=True)
            # Go makes its module cache read-only.
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    return [Measurement(name="demo-cold", value=minutes, unit="min", bound=30)]
