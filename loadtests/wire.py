"""How bars speak to the system: kubectl for what a person would type, its proxy where a bar counts requests."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

STATE = Path(os.environ.get("COMMONWEAL_STATE", "/var/lib/commonweal"))
GROUP = "/apis/commonweal.dev/v1alpha1"


class WireError(Exception):
    """A command of a bar failed; the message holds its own words."""


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    binary: Path
    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return its output.

        Raises:
            WireError: it failed.
        """
        command = [str(self.binary), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WireError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        """The object or list that a command prints with `-o json`."""
        parsed: dict[str, Any] = json.loads(self(*arguments, "-o", "json"))
        return parsed

    @contextmanager
    def proxy(self) -> Iterator[httpx.Client]:
        """An HTTP client of this API server through `kubectl proxy` on a free port of loopback."""
        command = [str(self.binary), "--kubeconfig", str(self.kubeconfig), "proxy", "--port=0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline() if process.stdout else "")
                if found is None:
                    raise WireError(f"kubectl proxy for {self.kubeconfig} says no address; is the API server up?")
                with httpx.Client(base_url=f"http://{found.group()}", timeout=60) as client:
                    yield client
            finally:
                process.terminate()


def demo_cluster(name: str) -> Kubectl:
    """A kubectl for one cluster of the running demo.

    Raises:
        WireError: there is no such cluster.
    """
    kubeconfig = STATE / "kubeconfig" / f"{name}.yaml"
    if not kubeconfig.exists():
        raise WireError(f"{kubeconfig} does not exist; run `make demo` first")
    return Kubectl(binary=STATE / "bin" / "kubectl", kubeconfig=kubeconfig)


def commonweal(hub: Kubectl, *arguments: str) -> None:
    """Run our own command line against a hub.

    Raises:
        WireError: it failed.
    """
    command = [str(Path(sys.executable).with_name("commonweal")), *arguments]
    environment = {**os.environ, "KUBECONFIG": str(hub.kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WireError(f"commonweal {' '.join(arguments)}: {done.stderr.strip()}")


def condition(body: dict[str, Any], kind: str = "Ready") -> dict[str, Any] | None:
    """One condition of an object, None where it has none of that type."""
    conditions = body.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), None)


def is_ready(body: dict[str, Any]) -> bool:
    """Whether Ready is True for the generation that stands."""
    ready = condition(body)
    return (
        ready is not None
        and ready["status"] == "True"
        and ready.get("observedGeneration", 0) >= body["metadata"].get("generation", 0)
    )
