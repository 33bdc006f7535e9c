"""What the dashboard is told when it starts: where the reader's kubeconfig and the measurements are."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class SettingsError(ValueError):
    """The dashboard was started without what it needs; the message names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Paths of files; `probe_file` None means that nobody measures."""

    kubeconfig: Path
    probe_file: Path | None


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read `--kubeconfig PATH` or KUBECONFIG, and COMMONWEAL_PROBE_FILE.

    Raises:
        SettingsError: no kubeconfig is named, or several are.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--kubeconfig")
    given, _ = parser.parse_known_args(arguments)
    kubeconfig = given.kubeconfig or environment.get("KUBECONFIG")
    if not kubeconfig:
        raise SettingsError("KUBECONFIG: is not set; name the reader's kubeconfig, or give -- --kubeconfig PATH")
    if ":" in kubeconfig:
        raise SettingsError(f"KUBECONFIG: {kubeconfig} names several files; name the reader's alone")
    probe_file = environment.get("COMMONWEAL_PROBE_FILE")
    return Settings(kubeconfig=Path(kubeconfig), probe_file=Path(probe_file) if probe_file else None)
