"""A committed project under the CLI alone, as a platform team would use it: `pulumi up` and no program of ours."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.engines import GoProgram, build
from infra.sites.programs import built

SITES = Path(__file__).parents[3] / "infra" / "sites"


class Project:
    """A copy of a project's folder, with a backend of its own and the language host that it needs."""

    def __init__(self, folder: Path, source: Path, files: Sequence[str], host: GoProgram) -> None:
        self.work = folder / "a" / "project"  # as deep as in the tree, so that relative paths lead where they should
        self.work.mkdir(parents=True)
        for name in files:
            (self.work / name).symlink_to(source / name)
        (folder / "component_provider").symlink_to(SITES / "component_provider")
        self.environment = environment(folder, host)

    def pulumi(self, *words: str, fails: bool = False) -> str:
        """Run one command; returns what it said, also of a failure where one is expected."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.work, env=self.environment, capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{words[0]}: {done.stdout} {done.stderr}"
        return done.stdout + (done.stderr if fails else "")

    def configure(self, stack: str, values: Mapping[str, str]) -> None:
        self.pulumi("stack", "init", stack)
        words = [word for item in values.items() for word in ("--plaintext", "=".join(item))]
        self.pulumi("config", "set-all", *words)

    def up(self, *words: str) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *words)


def environment(folder: Path, host: GoProgram) -> Mapping[str, str]:
    engines = [str(path.parent) for path in (*built(), build(host))]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*engines, os.environ["PATH"]]),
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "VIRTUAL_ENV": str(SITES.parents[1] / ".venv"),
    }
