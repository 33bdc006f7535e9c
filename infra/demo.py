"""`make demo`: the whole consortium on one machine, by the commands that its people would type.

Every step shows the command it runs. Each is safe to repeat, so a failed or killed demo is simply run again.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from commonweal.kinds import PooledCluster
from commonweal.kinds.member import Engine
from commonweal.membership import member_of
from infra import beside_hub, demo_contributions
from infra.images import site_image
from infra.local.access import ClusterAccess
from infra.local.engines import build, kubernetes, network_policy, object_store
from infra.local.machine import REPOSITORY, LocalError, Places, default_places
from infra.local.progress import step
from infra.local.providers import provider
from infra.local.supervisor import Supervisor
from infra.sites.args import MemberSiteArgs, SiteError
from infra.sites.policy import charter_arguments, read_charter
from infra.sites.programs import built, language_host, yaml_host
from infra.sites.provision import provision

HUB = "ch"
EXAMPLES = REPOSITORY / "examples"
POD_USER = 65532
READY_S = 300
GATE_FAILED = 1  # the load test's status where the pilot broke its promise: the dashboard shows that, too
GATEWAY = ("-n", "commonweal-data", "deploy/gateway", "-c", "gateway", "--", "python3", "-m")


@dataclass(frozen=True, kw_only=True)
class DemoMember:
    """A member of the demo: who it is, and the rows it holds; what it pledges stands in examples/20-pledges.yaml."""

    name: str
    display_name: str
    country: str
    dataset: str
    generator: tuple[str, ...]


MEMBERS = (
    DemoMember(
        name="ca",
        display_name="Canada",
        country="CA",
        dataset="customs_rows",
        generator=("apps.trade.customs", "--member", "ca"),
    ),
    DemoMember(
        name="kr",
        display_name="Republic of Korea",
        country="KR",
        dataset="facility_disclosures",
        generator=("apps.trade.disclosures",),
    ),
    DemoMember(
        name="ke",
        display_name="Kenya",
        country="KE",
        dataset="customs_rows",
        generator=("apps.trade.customs", "--member", "ke"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The demo in `places`; its verbs are methods."""

    places: Places

    def up(self) -> None:
        """Bring everything up, apply the examples, ask one question, print what came of it."""
        clusters = provider("local")
        images, reached = clusters.up(), clusters.clusters()
        built()
        self._commonweal("setup")
        supervisor = Supervisor(self.places.run)
        address = str(urlsplit(reached[HUB].server).hostname)
        operator = beside_hub.hub_operator(self.places, self._kubeconfig(f"{HUB}-hub-operator"), address)
        dashboard = beside_hub.dashboard(self.places, self._kubeconfig(f"{HUB}-reader"))
        with step("hub operator, front door and dashboard") as say:
            supervisor.start([operator, beside_hub.front_door(self.places), dashboard], say)
        self._kubectl("apply", "--server-side", "-f", str(EXAMPLES / "10-charter.yaml"))
        for member in MEMBERS:
            self._advertise_gpus(member)
            self._join(member, reached[member.name], images)
            self._give_signing_key(member)
        self._wait("members", "member", *(member.name for member in MEMBERS))
        examples = str(by_digest(EXAMPLES, self.places.state / "examples", images["site"]))
        self._kubectl("apply", "--server-side", "-f", examples)
        with step("each member's certificates, and its yes to what the others bring"):
            demo_contributions.bring(self._kubectl, _pledges(), self.places.state / "certificates")
        with step("rows into each member's tables"), ThreadPoolExecutor() as pool:
            list(pool.map(self._load_rows, MEMBERS))
        self._wait("every object of examples/", "-f", examples)
        self._until(
            "the first accounting period closes",
            lambda: self._kubectl("get", "equitystatements", "-o", "name", show=False),
        )
        self._wait("equity", "equitystatements", "--all")
        self._measure()
        self.status()

    def engines(self) -> None:
        """Build every engine into the cache, and nothing else: tests do so before any of them is timed."""
        for program in (kubernetes(), network_policy(), object_store(), language_host(), yaml_host()):
            build(program, self.places.cache)
        built()

    def down(self) -> None:
        """Take everything down and leave the machine as it was."""
        provider("local").down()

    def status(self) -> None:
        """One screen about the consortium, one consignment, and where to look further."""
        self._commonweal("status")
        pilot = self._trade()
        question = shlex.split("--cn 72081000 --country KR --installation EC-EXAMPLE-2 --mass-kg 25000 --year 2026")
        run([sys.executable, "-m", "apps.trade", "assess", *question, "--address", pilot])
        print(f"\nDashboard  http://127.0.0.1:{beside_hub.DASHBOARD_PORT}")
        print(f"Trade      {pilot}")
        print(f"kubectl    export KUBECONFIG={self._kubeconfig(HUB)} PATH={self.places.state / 'bin'}:$PATH")

    def _join(self, member: DemoMember, reached: ClusterAccess, images: Mapping[str, str]) -> None:
        """Invitation, site and acceptance; a member that has joined keeps its identity and needs no invitation."""
        invitation = self.places.state / "invitations" / f"{member.name}.json"
        if self._member(member, '{.status.conditions[?(@.type=="Joined")].status}') != "True":
            invitation.parent.mkdir(mode=0o700, exist_ok=True)
            invitation.unlink(missing_ok=True)
            self._commonweal("invite", member.name, "--out", str(invitation))
        with step(f"pulumi up: the site of {member.name}") as say:
            done = provision(
                self._site(member, reached, images),
                reached.kubeconfig,
                invitation=invitation if invitation.exists() else None,
                state=self.places.state,
                say=say,
            )
            say(f"{done.changed} resources changed")
        self._accept(member)

    def _advertise_gpus(self, member: DemoMember) -> None:
        """Let the node offer the pledged GPUs, as a device plugin would; a label says that they are simulated."""
        count = str(_pledges()[member.name].spec.pledge.gpus)
        where = ["--kubeconfig", str(self._kubeconfig(member.name))]
        kubectl = str(self.places.state / "bin" / "kubectl")
        run([kubectl, *where, "label", "node", member.name, "commonweal.dev/gpus=simulated", "--overwrite"], show=False)
        patch = json.dumps({"status": {"capacity": {"nvidia.com/gpu": count}}})
        run([kubectl, *where, "patch", "node", member.name, "--subresource=status", "-p", patch], show=False)

    def _accept(self, member: DemoMember) -> None:
        """Accept once the member's agent has asked; its pod may still be starting."""
        self._until(f"{member.name} asks to join", lambda: self._member(member, "{.metadata.name}"))
        self._commonweal("accept", member.name)

    def _give_signing_key(self, member: DemoMember) -> None:
        """The member makes the key that trade pilots sign audit bundles with in its cluster; the hub never sees it."""
        words = ["--pilot", "trade", "--secret", "trade-signing", "--signing-key", "key.pem"]
        where = ["--kubeconfig", str(self._kubeconfig(member.name))]
        run([sys.executable, "-m", "infra.sites.pilot_secret", *words, *where], capture=True)

    def _member(self, member: DemoMember, path: str) -> str:
        """A field of the Member on the hub, empty where there is none."""
        return self._kubectl("get", "member", member.name, "--ignore-not-found", "-o", f"jsonpath={path}", show=False)

    def _site(self, member: DemoMember, reached: ClusterAccess, images: Mapping[str, str]) -> MemberSiteArgs:
        if reached.node_address is None:
            raise LocalError(f"{member.name} has no node to run pods on; a member needs one")
        pledged = _pledges()[member.name].spec
        pledge = pledged.pledge
        charter = read_charter(EXAMPLES / "10-charter.yaml")
        return MemberSiteArgs(
            member=member.name,
            display_name=member.display_name,
            country=member.country,
            image=images["site"],
            trino_image=images["trino"],
            engine=Engine.TRINO,
            node_address=reached.node_address,
            pledge_cpu_millis=pledge.cpu_millis,
            pledge_memory_mib=pledge.memory_mib,
            pledge_gpus=pledge.gpus,
            simulated_gpus=pledge.gpus,
            meter_period_s=charter.spec.accounting.period_seconds,
            data_host_path=self._owned_by_pods(member, "data"),
            meter_host_path=self._owned_by_pods(member, "meter"),
            grid_zone=pledged.location.grid_zone,
            **charter_arguments(charter),
        )

    def _owned_by_pods(self, member: DemoMember, what: str) -> str:
        folder = self.places.state / what / member.name
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, POD_USER, POD_USER)
        return str(folder)

    def _measure(self) -> None:
        """A few seconds of load on the trade pilot, so that its service level is a measurement and not a promise."""
        load = ["--arrivals-per-s", "5", "--seconds", "10", "--service-class", str(EXAMPLES / "10-charter.yaml")]
        load += ["--pilot", str(EXAMPLES / "50-trade-pilot.yaml"), "--host", self._trade()]
        locust = [sys.executable, "-m", "locust", "-f", str(REPOSITORY / "loadtests" / "trade" / "profile.py")]
        with step("service level of the trade pilot, 10 s of load"):
            command = [*locust, "--headless", "--users", "1", *load]
            measured = [*command, "--probe-file", str(beside_hub.probe_file(self.places))]
            done = subprocess.run(measured, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode not in {0, GATE_FAILED}:
            raise LocalError(f"the load test did not run: {done.stderr.strip().splitlines()[-1:]}")

    def _trade(self) -> str:
        return self._kubectl("get", "pilotapp", "trade", "-o", "jsonpath={.status.address}", show=False).strip()

    def _load_rows(self, member: DemoMember) -> None:
        """The member makes its rows and takes them into its table, inside its own cluster."""
        file = f"/tmp/{member.dataset}.parquet"  # noqa: S108 - the pod's own emptyDir
        exec_ = ["--kubeconfig", str(self._kubeconfig(member.name)), "exec", *GATEWAY]
        kubectl = str(self.places.state / "bin" / "kubectl")
        run([kubectl, *exec_, *member.generator, "--out", file], show=False)
        ingest = ["data_trusts.ingest", "--trust", "trade", "--dataset", member.dataset, "--file", file]
        run([kubectl, *exec_, *ingest], show=False)

    def _wait(self, what: str, *objects: str) -> None:
        with step(f"{what} Ready"):
            self._kubectl("wait", "--for=condition=Ready", f"--timeout={READY_S}s", *objects, show=False)

    def _until(self, what: str, seen: Callable[[], str]) -> None:
        """Wait until there is something to see."""
        deadline = time.monotonic() + READY_S
        with step(what):
            while not seen():
                if time.monotonic() > deadline:
                    raise LocalError(f"not within {READY_S} s: {what}; see {self.places.logs} and `commonweal status`")
                time.sleep(0.5)

    def _kubeconfig(self, name: str) -> Path:
        return self.places.kubeconfigs / f"{name}.yaml"

    def _kubectl(self, *arguments: str, show: bool = True) -> str:
        command = [str(self.places.state / "bin" / "kubectl"), "--kubeconfig", str(self._kubeconfig(HUB)), *arguments]
        return run(command, show=show, capture=True)

    def _commonweal(self, *arguments: str) -> None:
        command = str(Path(sys.executable).with_name("commonweal"))
        run([command, *arguments], environment={"KUBECONFIG": str(self._kubeconfig(HUB))})


def run(
    command: Sequence[str], *, show: bool = True, capture: bool = False, environment: dict[str, str] | None = None
) -> str:
    """Run a command; `show` prints it first, as a person would type it; `capture` returns its output.

    Raises:
        LocalError: it failed; the message holds its last words.
    """
    if show:
        print(f"$ {typed(command)}", flush=True)
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE if capture or not show else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode:
        said = ((done.stderr or "") + (done.stdout or "")).strip().splitlines()
        reason = f": {said[-1]}" if said else ""
        raise LocalError(f"`{typed(command)}` failed{reason}; mend it and run `make demo` again")
    return done.stdout or ""


def by_digest(examples: Path, folder: Path, image: str) -> Path:
    """Write the examples into `folder` with our image by its digest, in place of the tag that a repository can hold."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in examples.glob("*.yaml"):
        (folder / path.name).write_text(path.read_text().replace(site_image.RELEASE, image))
    return folder


def typed(command: Sequence[str]) -> str:
    """The command as a person would type it: programs by name, the kubeconfig left to the environment."""
    words = [Path(command[0]).name, *command[1:]]
    if "--kubeconfig" in words:
        at = words.index("--kubeconfig")
        del words[at : at + 2]
    return shlex.join(words)


def _pledges() -> dict[str, PooledCluster]:
    bodies = yaml.safe_load_all((EXAMPLES / "20-pledges.yaml").read_text())
    named = ((member_of(body["metadata"]["namespace"]), body) for body in bodies)
    return {member: PooledCluster.read(body) for member, body in named if member is not None}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; an error is one sentence and status 1."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("verb", choices=["up", "down", "status", "engines"])
    verb = parser.parse_args(argv).verb
    # As Ctrl-C does: whoever ends the demo ends the pulumi run below it too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        getattr(Demo(places=default_places()), verb)()
    except (LocalError, SiteError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
