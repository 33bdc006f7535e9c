"""Each rule about a site refuses its bad example in the same words: in `check`, Pulumi's engine and the API server."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.local.control_plane import local_clusters
from infra.local.engines import build, kubernetes
from infra.sites.programs import built, language_host
from loadtests.bars import Measurement
from loadtests.wire import Kubectl, WireError

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
ORACLE = ROOT / "tests" / "oracles" / "site_policy_examples.yaml"
SITES = ROOT / "infra" / "sites"
MEMBER = "ca"
LIMIT_S = 60
DENIED = "denied request: "
COMMON = {
    "display-name": "Bar of the rules",
    "engine": "duckdb",
    "image": "localhost/commonweal/site:abc",
    "node-address": "10.77.0.11",
    "data-host-path": "/srv/data",
    "wait-for-pods": "false",
}
PROGRAM = """\
import pulumi
import pulumi_kubernetes as kubernetes
from infra.sites.program import main
main()
kubeconfig = pulumi.Config("member-site").require("kubeconfig")
options = pulumi.ResourceOptions(provider=kubernetes.Provider("mine", kubeconfig=kubeconfig))
kubernetes.yaml.v2.ConfigFile("mine", file="mine.yaml", skip_await=True, opts=options)
"""
Examples = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A member's cluster, a folder to work in, and the flags of its site."""

    folder: Path
    kubectl: Kubectl
    flags: Mapping[str, str]

    def sites(self, verb: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m infra.sites`."""
        words = [word for name, value in self.flags.items() for word in (f"--{name}", value)]
        state = ["--member", MEMBER, "--state", str(self.folder / "state")]
        return run([sys.executable, "-m", "infra.sites", verb, *state, *words, *more], cwd=ROOT)


def measure() -> list[Measurement]:
    """Ask all three places about every example; a verdict differs if it is missing or in other words."""
    oracle = yaml.safe_load(ORACLE.read_text("utf-8"))
    examples: Examples = oracle["examples"]
    with tempfile.TemporaryDirectory() as folder, local_clusters([MEMBER], state_dir=Path(folder) / "c") as clusters:
        kubeconfig = clusters[MEMBER].kubeconfig
        bench = Bench(
            folder=Path(folder),
            kubectl=Kubectl(binary=build(kubernetes()).parent / "kubectl", kubeconfig=kubeconfig),
            flags={**COMMON, **oracle["site"], "kubeconfig": str(kubeconfig)},
        )
        by_check = [checked(bench, example["bad"]) for example in examples]
        by_engine = previewed(bench, examples)
        with standing(bench):
            by_server = [refused(bench, example["bad"]) for example in examples if example.get("admission", True)]
    wanted = [example["says"] for example in examples]
    admitted = [example["says"] for example in examples if example.get("admission", True)]
    pairs = [*zip(wanted, by_check, strict=True), *((says, says if says in by_engine else "") for says in wanted)]
    pairs += zip(admitted, by_server, strict=True)
    different = sum(says != said for says, said in pairs)
    rules = len({example["rule"] for example in examples})
    note = f"{len(pairs)} verdicts on {len(examples)} bad examples of {rules} rules"
    return [Measurement(name="site-policy", value=different, unit="verdicts-that-differ", bound=0, note=note)]


def run(command: Sequence[str], **more: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401  # subprocess.run's
    """Run a command and keep what it says."""
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def checked(bench: Bench, bad: Mapping[str, Any]) -> str:
    """What `check` says of one object."""
    file = bench.folder / "bad.yaml"
    file.write_text(yaml.safe_dump(bad))
    return bench.sites("check", "--file", str(file)).stdout.strip()


def previewed(bench: Bench, examples: Examples) -> set[str]:
    """Every line of a preview by Pulumi's engine of a program that declares all bad examples beside the site.

    Raises:
        WireError: the engine did not come as far as the policy pack.
    """
    project = bench.folder / "project"
    project.mkdir()
    pack = SITES / "policy_pack" / "commonweal-sites"
    (project / "Pulumi.yaml").write_text((SITES / "Pulumi.yaml").read_text())
    (project / "program.py").write_text(PROGRAM)
    (project / "mine.yaml").write_text(yaml.safe_dump_all([example["bad"] for example in examples]))
    engines = [str(path.parent) for path in (*built(), build(language_host()))]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([*engines, os.environ["PATH"]]),
        "PULUMI_BACKEND_URL": f"file://{project}",
        "PULUMI_CONFIG_PASSPHRASE": "of the bar alone",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(project / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PYTHONPATH": str(ROOT),
        "VIRTUAL_ENV": sys.prefix,
    }
    config = [word for name, value in bench.flags.items() for word in ("--plaintext", f"{camel(name)}={value}")]
    for words in (["stack", "init", MEMBER], ["config", "set-all", *config]):
        run(["pulumi", *words, "--non-interactive"], cwd=project, env=environment)
    done = run(["pulumi", "preview", "--policy-pack", str(pack), "--non-interactive"], cwd=project, env=environment)
    lines = {line.strip() for line in done.stdout.splitlines()}
    if not any("commonweal-sites" in line for line in lines):
        raise WireError(f"pulumi preview ran no policy pack: {done.stdout[-500:]} {done.stderr[-500:]}")
    return lines


def camel(name: str) -> str:
    """A flag's name as its configuration key: node-address is nodeAddress."""
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)


@contextmanager
def standing(bench: Bench) -> Iterator[None]:
    """The site, with its policies in the API server, while the block runs."""
    done = bench.sites("up")
    if done.returncode:
        raise WireError(f"the site does not stand: {done.stderr.strip().splitlines()[-1]}")
    try:
        yield
    finally:
        run(
            [sys.executable, "-m", "infra.sites", "destroy", "--member", MEMBER, "--state", str(bench.folder / "state")]
        )


def refused(bench: Bench, bad: Mapping[str, Any]) -> str:
    """What the API server says of one object; its policies are in force a moment after they are stored."""
    deadline = time.monotonic() + LIMIT_S
    asked = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    while time.monotonic() < deadline:
        try:
            bench.kubectl(*asked, stdin=yaml.safe_dump(bad))
        except WireError as error:
            return str(error).rpartition(DENIED)[2]
        time.sleep(0.2)
    return ""
