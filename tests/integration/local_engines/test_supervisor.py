"""Real processes: started in order, known again, and stopped with all that they started."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.machine import LocalError
from infra.local.probes import Probe, file_ready, port_holder, tcp_ready
from infra.local.processes import Identity, Record, identify, marked, read_record, write_record
from infra.local.supervisor import GRACE_S, Process, Supervisor

LISTEN = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
# A child in a group of its own, as a shim of containerd is; its number goes into a file.
WITH_CHILD = (
    "import subprocess,sys,time; c=subprocess.Popen(['sleep','600'], process_group=0); "
    "open(sys.argv[1],'w').write(str(c.pid)); time.sleep(600)"
)
STUBBORN = (
    "import signal,sys,time; signal.signal(15, signal.SIG_IGN); open(sys.argv[1],'w').write('on'); time.sleep(600)"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "run")
    yield made
    made.stop_everything(grace_s=0)


def python(
    name: str,
    script: str,
    *arguments: str,
    folder: Path,
    ready: Probe | None = None,
    ready_within_s: float = 60.0,
    listens: tuple[tuple[str, int], ...] = (),
    grace_s: float = GRACE_S,
) -> Process:
    return Process(
        name=name,
        argv=(sys.executable, "-c", script, *arguments),
        log=folder / f"{name}.log",
        ready=ready,
        ready_within_s=ready_within_s,
        listens=listens,
        grace_s=grace_s,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_second_start_adopts_what_runs(supervisor: Supervisor, tmp_path: Path) -> None:
    sleeper = python("sleeper", "import time; time.sleep(600)", folder=tmp_path)
    supervisor.start([sleeper])
    first = supervisor.pid_of("sleeper")
    Supervisor(supervisor.run).start([sleeper])
    assert supervisor.pid_of("sleeper") == first is not None


def test_a_changed_specification_replaces_the_process(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([python("sleeper", "import time; time.sleep(600)", folder=tmp_path)])
    first = supervisor.pid_of("sleeper")
    assert first is not None
    supervisor.start([python("sleeper", "import time; time.sleep(601)", folder=tmp_path)])
    assert supervisor.pid_of("sleeper") != first
    assert identify(first) is None


def test_a_killed_process_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    sleeper = python("sleeper", "import time; time.sleep(600)", folder=tmp_path)
    supervisor.start([sleeper])
    first = supervisor.pid_of("sleeper")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert supervisor.pid_of("sleeper") is None
    supervisor.start([sleeper])
    assert supervisor.pid_of("sleeper") is not None


def test_a_process_that_ends_at_once_is_reported_with_its_last_words(supervisor: Supervisor, tmp_path: Path) -> None:
    bad = python("bad", "raise SystemExit('no such flag')", folder=tmp_path, ready=file_ready(tmp_path / "never"))
    with pytest.raises(LocalError, match=r"bad ended at once; the end of .*bad.log: no such flag"):
        supervisor.start([bad])


def test_a_process_that_is_never_ready_is_reported_with_what_it_lacks(supervisor: Supervisor, tmp_path: Path) -> None:
    idle = python(
        "idle",
        "import time; time.sleep(600)",
        folder=tmp_path,
        ready=file_ready(tmp_path / "never"),
        ready_within_s=0.3,
    )
    with pytest.raises(LocalError, match=r"idle was not ready after 0 s \(.*never is not there yet\)"):
        supervisor.start([idle])


def test_a_port_in_use_is_refused_with_its_holder(supervisor: Supervisor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        wanting = python("wanting", LISTEN, str(port), folder=tmp_path, listens=(("127.0.0.1", port),))
        with pytest.raises(LocalError, match=f"needs 127.0.0.1:{port}, which process {os.getpid()} holds"):
            supervisor.start([wanting])
    assert supervisor.pid_of("wanting") is None


def test_a_listener_is_found_by_its_port(supervisor: Supervisor, tmp_path: Path) -> None:
    port = free_port()
    listener = python("listener", LISTEN, str(port), folder=tmp_path, ready=tcp_ready("127.0.0.1", port))
    supervisor.start([listener])
    assert port_holder("127.0.0.1", port) == supervisor.pid_of("listener")


def test_what_ignores_a_polite_end_is_ended_all_the_same(supervisor: Supervisor, tmp_path: Path) -> None:
    on = tmp_path / "on"
    stubborn = python("stubborn", STUBBORN, str(on), folder=tmp_path, ready=file_ready(on), grace_s=0.2)
    supervisor.start([stubborn])
    pid = supervisor.pid_of("stubborn")
    assert pid is not None
    supervisor.stop([stubborn])
    assert identify(pid) is None
    assert not supervisor.pid_file("stubborn").exists()


def test_stopping_one_process_spares_children_in_groups_of_their_own(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "child"
    parent = python("parent", WITH_CHILD, str(note), folder=tmp_path, ready=file_ready(note))
    supervisor.start([parent])
    child = int(note.read_text())
    supervisor.stop_one(parent)
    assert identify(child) is not None
    supervisor.stop_everything(grace_s=0)
    assert identify(child) is None


def test_a_process_whose_pid_file_is_lost_is_still_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([python("sleeper", "import time; time.sleep(600)", folder=tmp_path)])
    supervisor.pid_file("sleeper").unlink()
    assert len(marked(str(supervisor.run))) == 1
    supervisor.stop_everything(grace_s=0)
    assert marked(str(supervisor.run)) == []


def test_a_reused_process_number_is_never_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    sleeper = python("sleeper", "import time; time.sleep(600)", folder=tmp_path)
    other = Supervisor(tmp_path / "other")
    other.start([sleeper])
    pid = other.pid_of("sleeper")
    assert pid is not None
    stale = Identity(pid=pid, start_ticks=1, boot="an earlier boot")
    write_record(supervisor.pid_file("sleeper"), Record(identity=stale, spec_hash=sleeper.spec_hash()))
    supervisor.stop_one(sleeper)
    assert other.pid_of("sleeper") == pid
    assert read_record(supervisor.pid_file("sleeper")) is None
    other.stop_everything(grace_s=0)
