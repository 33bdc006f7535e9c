"""Starts processes in the order of their needs, knows them again after a restart of its own, and stops them.

It is a library, not a daemon: what it starts lives on, and the next call adopts it by its PID file. A process whose
specification has changed is replaced.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from infra.local.machine import LocalError
from infra.local.probes import Probe, port_holder
from infra.local.processes import (
    MARKER,
    Identity,
    Record,
    end,
    group_members,
    identify,
    is_alive,
    marked,
    read_record,
    write_record,
)

PROBE_EVERY_S = 0.1
GRACE_S = 10.0
TAIL_LINES = 8
KEPT_LOG_BYTES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Process:
    """What to run and what it needs.

    Attributes:
        name: Unique; also the name of its log and PID file.
        argv: The program and its arguments.
        log: Where both its outputs go, appended.
        env: Variables on top of the supervisor's own environment.
        depends_on: Names of processes that must be ready first.
        ready: Returns None when ready, otherwise why not; without it a process is ready once it runs.
        ready_within_s: How long readiness may take.
        listens: Addresses and ports that must be free, or held by this very process.
        wrapper: Put before argv, as `nsenter ... --`; not part of what the process is.
        grace_s: Between SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    ready: Probe | None = None
    ready_within_s: float = 60.0
    listens: tuple[tuple[str, int], ...] = ()
    wrapper: Callable[[], tuple[str, ...]] = tuple
    grace_s: float = GRACE_S

    def spec_hash(self) -> str:
        """Hash of what decides how the process behaves."""
        return hashlib.sha256(repr((self.argv, sorted(self.env.items()))).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class State:
    """One row of a status table: `pid` is None where the process does not run."""

    name: str
    pid: int | None


def start_order(processes: Iterable[Process]) -> list[list[Process]]:
    """Waves of processes: each wave needs only earlier ones.

    Raises:
        LocalError: A dependency is unknown, or there is a circle.
    """
    by_name = {process.name: process for process in processes}
    for process in by_name.values():
        if unknown := [name for name in process.depends_on if name not in by_name]:
            raise LocalError(f"process {process.name} depends on {unknown[0]}, which is not defined; define it first")
    sorter = TopologicalSorter({name: process.depends_on for name, process in by_name.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise LocalError(f"processes depend on each other in a circle: {' -> '.join(error.args[1])}") from error
    waves = []
    while sorter.is_active():
        names = sorted(sorter.get_ready())
        waves.append([by_name[name] for name in names])
        sorter.done(*names)
    return waves


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, as one line."""
    if not log.exists():
        return f"{log} does not exist"
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - 16_384))
        return " | ".join(handle.read().decode(errors="replace").splitlines()[-lines:])


@dataclass(frozen=True)
class Supervisor:
    """Starts and stops processes whose PID files lie in `run`."""

    run: Path

    def start(self, processes: Collection[Process], say: Callable[[str], None] = lambda _: None) -> None:
        """Start what does not run yet, each once what it depends on is ready; return when all are ready.

        Raises:
            LocalError: One ended or was not ready in time (with the end of its log), or its port is taken. What did
                start keeps running, so that the next call goes on from there.
        """
        waves = start_order(processes)
        ready = 0
        for wave in waves:
            adopted = [self._ensure_running(process) for process in wave]
            with ThreadPoolExecutor(max_workers=len(wave)) as pool:
                for process, _ in zip(wave, pool.map(self._wait_ready, wave, adopted), strict=True):
                    ready += 1
                    say(f"{process.name} ready, {ready} of {len(processes)}")

    def start_one(self, process: Process) -> None:
        """Start one process whose needs are known to run, and wait until it is ready."""
        self._wait_ready(process, adopted=self._ensure_running(process))

    def stop(self, processes: Collection[Process]) -> None:
        """Stop in reverse order, each wave at once.

        Raises:
            LocalError: One outlived SIGKILL.
        """
        for wave in reversed(start_order(processes)):
            with ThreadPoolExecutor(max_workers=len(wave)) as pool:
                list(pool.map(self.stop_one, wave))

    def stop_one(self, process: Process) -> None:
        """Stop one process and the members of its group; nothing else needs to be defined."""
        path = self.pid_file(process.name)
        record = read_record(path)
        if record is not None and (left := end(self._family(process.name, record.identity), process.grace_s)):
            raise LocalError(f"{process.name} (process {left[0].pid}) outlives SIGKILL; the kernel holds it: reboot")
        path.unlink(missing_ok=True)

    def stop_everything(self, grace_s: float = GRACE_S) -> None:
        """Stop every process that carries our marker, whether or not a PID file knows it.

        Raises:
            LocalError: One outlived SIGKILL.
        """
        if left := end(marked(str(self.run)), grace_s):
            raise LocalError(f"process {left[0].pid} outlives SIGKILL; the kernel holds it: reboot")
        for path in self.run.glob("*.pid"):
            path.unlink(missing_ok=True)

    def states(self, processes: Iterable[Process]) -> list[State]:
        """Which of these run."""
        return [State(name=process.name, pid=self.pid_of(process.name)) for process in processes]

    def pid_of(self, name: str) -> int | None:
        """The number of a process that runs, or None."""
        record = read_record(self.pid_file(name))
        return record.identity.pid if record is not None and is_alive(record.identity) else None

    def pid_file(self, name: str) -> Path:
        """Where a process is recorded."""
        return self.run / f"{name}.pid"

    def marker(self, name: str) -> str:
        """What the process and its children carry in their environment."""
        return f"{self.run}/{name}"

    def _family(self, name: str, leader: Identity) -> list[Identity]:
        members = group_members(leader.pid, self.marker(name))
        return members if leader in members or not is_alive(leader) else [leader, *members]

    def _ensure_running(self, process: Process) -> bool:
        """Whether it ran already and was adopted; otherwise it was launched now."""
        record = read_record(self.pid_file(process.name))
        if record is not None and is_alive(record.identity) and record.spec_hash == process.spec_hash():
            return True
        self.stop_one(process)
        self._check_ports(process)
        _launch(process, self.marker(process.name), self.pid_file(process.name))
        return False

    def _check_ports(self, process: Process) -> None:
        for host, port in process.listens:
            holder = port_holder(host, port)
            if holder is not None:
                who = f"process {holder}" if holder else "a process we may not see"
                raise LocalError(f"{process.name} needs {host}:{port}, which {who} holds; end it and run again")

    def _wait_ready(self, process: Process, adopted: bool) -> None:
        deadline = time.monotonic() + process.ready_within_s
        reason = "it was not asked yet"
        while time.monotonic() < deadline:
            alive = self.pid_of(process.name) is not None
            if not alive and adopted:
                adopted = self._ensure_running(process)  # it was about to end when we met it
            elif not alive:
                raise LocalError(f"{process.name} ended at once; the end of {process.log}: {tail(process.log)}")
            answer = process.ready() if process.ready else None
            if answer is None:
                return
            reason = answer
            time.sleep(PROBE_EVERY_S)
        raise LocalError(
            f"{process.name} was not ready after {process.ready_within_s:.0f} s ({reason}); "
            f"the end of {process.log}: {tail(process.log)}"
        )


def _launch(process: Process, marker: str, pid_file: Path) -> None:
    process.log.parent.mkdir(parents=True, exist_ok=True)
    if process.log.exists() and process.log.stat().st_size > KEPT_LOG_BYTES:
        process.log.rename(process.log.with_suffix(".old"))
    argv = [*process.wrapper(), *process.argv]
    environment = {**os.environ, **process.env, MARKER: marker}
    with process.log.open("ab") as log:
        try:
            child = subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        except FileNotFoundError as error:
            raise LocalError(f"{process.name}: {argv[0]} is not installed; install it and run again") from error
    identity = identify(child.pid)
    if identity is None:
        raise LocalError(f"{process.name} ended at once; the end of {process.log}: {tail(process.log)}")
    write_record(pid_file, Record(identity=identity, spec_hash=process.spec_hash()))
