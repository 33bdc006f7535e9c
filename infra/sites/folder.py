"""Where one site's stack lies, and that a run which was killed leaves nothing in the way of the next.

Layout of `<state>/sites/<member>` and `<state>/hub-sites/<hub>`: `backend` (Pulumi's file backend), `home` (its
PULUMI_HOME, with the CLI under bin), `work` (project and configuration), `passphrase` (0600), `lock` (held while a run
lives), `unfinished` (left by a killed run). Nothing in it is shared with another site.
"""

import json
import os
import secrets
import select
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import yaml

from infra.local.machine import LocalError, exclusive
from infra.local.processes import all_pids, variables
from infra.sites.programs import PROVIDER_VERSION

PASSPHRASE_BYTES = 32
OUTLIVES_S = 30.0
SKIP_CONFIRMATIONS = "PULUMI_SKIP_CONFIRMATIONS"


@dataclass(frozen=True, kw_only=True)
class SiteFolder:
    """The folder of one site's stack, which bears its name."""

    root: Path
    name: str
    project: str

    @property
    def home(self) -> Path:
        """PULUMI_HOME."""
        return self.root / "home"

    @property
    def work(self) -> Path:
        """Where the project and its configuration lie."""
        return self.root / "work"

    @property
    def passphrase(self) -> Path:
        """The file whose text encrypts the secrets of the state."""
        return self.root / "passphrase"

    @property
    def unfinished(self) -> Path:
        """The mark of a run that has not ended; who finds it without a lock finds a killed run's."""
        return self.root / "unfinished"

    @property
    def config_file(self) -> Path:
        """The stack's configuration, as Pulumi names it."""
        return self.work / f"Pulumi.{self.name}.yaml"

    def environment(self) -> dict[str, str]:
        """What Pulumi needs to know: this folder and no other, and that nothing is to be fetched or asked."""
        return {
            "PULUMI_BACKEND_URL": f"file://{self.root / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(self.home),
            SKIP_CONFIRMATIONS: "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def prepare(self, cli: Path, provider: Path) -> None:
        """Make the folder, or bring it up to date: the passphrase once, project file and link to the CLI each time."""
        for folder in (self.root, self.root / "backend", self.home / "bin", self.work):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.passphrase.exists():
            _write_whole(self.passphrase, secrets.token_urlsafe(PASSPHRASE_BYTES))
        plugin = {"name": "kubernetes", "path": str(provider.parent), "version": PROVIDER_VERSION}
        project = {"name": self.project, "runtime": "python", "plugins": {"providers": [plugin]}}
        _write_whole(self.work / "Pulumi.yaml", yaml.safe_dump(project))
        link = self.home / "bin" / "pulumi"
        link.unlink(missing_ok=True)
        link.symlink_to(cli)

    def config(self) -> dict[str, str]:
        """The stack's configuration as the last `configure` left it."""
        settings = self._settings().get("config", {})
        return {key.removeprefix(f"{self.project}:"): str(value) for key, value in settings.items()}

    def holds_resources(self) -> bool:
        """Whether the state knows of anything in a cluster; a checkpoint that cannot be read might."""
        for checkpoint in self._checkpoints():
            if not _is_json(checkpoint):
                return True
            latest = json.loads(checkpoint.read_text()).get("checkpoint", {}).get("latest") or {}
            if latest.get("resources") or latest.get("pending_operations"):
                return True
        return False

    def _checkpoints(self) -> Iterator[Path]:
        return (self.root / "backend").glob(".pulumi/stacks/**/*.json")

    def configure(self, values: Mapping[str, str]) -> None:
        """Replace the stack's configuration, and leave what else Pulumi keeps in that file, as its encryption salt."""
        config = {f"{self.project}:{key}": value for key, value in sorted(values.items())}
        _write_whole(self.config_file, yaml.safe_dump({**self._settings(), "config": config}))

    def _settings(self) -> dict[str, Any]:
        return (yaml.safe_load(self.config_file.read_text()) or {}) if self.config_file.exists() else {}

    def _restore_torn_checkpoint(self) -> None:
        """Put Pulumi's own backup in place of a checkpoint that a SIGKILL left empty or cut off.

        Without a backup it was the stack's first: it goes, and server-side apply takes up what that run created. What
        the file backend notes beside each file (`.attrs`) says nothing that is needed, and torn it hides the file.
        """
        for note in (self.root / "backend").rglob("*.attrs"):
            if not _is_json(note):
                note.unlink()
        for checkpoint in self._checkpoints():
            backup = checkpoint.with_name(f"{checkpoint.name}.bak")
            if _is_json(checkpoint):
                continue
            if _is_json(backup):
                _write_whole(checkpoint, backup.read_text())
            else:
                checkpoint.unlink()

    @contextmanager
    def run(self) -> Iterator[bool]:
        """Hold the folder for one run; yields whether the run before this one was killed, its leftovers ended.

        What the run writes, Pulumi's own files too, is its owner's alone.

        Raises:
            LocalError: Another run of the same site lives.
        """
        with _owners_alone(), self._held() as killed:
            yield killed

    @contextmanager
    def _held(self) -> Iterator[bool]:
        self.root.mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "lock", f"a run of pulumi for {self.name}"):
            killed = self.unfinished.exists()
            if killed:
                end_leftovers(self.home)
            self._restore_torn_checkpoint()
            self.unfinished.touch()
            try:
                yield killed
            except Exception:
                self.unfinished.unlink()  # it failed in good order: state written, Pulumi's lock given back
                raise
            self.unfinished.unlink()


@contextmanager
def _owners_alone() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def _write_whole(path: Path, text: str) -> None:
    """Write so that a reader sees the old text or the new, readable by the owner only."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    scratch.replace(path)


def end_leftovers(home: Path) -> list[int]:
    """Kill the processes that a killed run left behind, known by their PULUMI_HOME, and return their ids.

    They are waited for to their last thread: one that dies may still be writing the state that is read next, also when
    its first thread has ended and the process looks dead.

    Raises:
        LocalError: One outlived SIGKILL.
    """
    mark = f"PULUMI_HOME={home}".encode()
    found = [pid for pid in all_pids() if _has(pid, mark)]
    with ExitStack() as stack:
        handles = {pid: handle for pid in found if (handle := _handle(pid, stack)) is not None}
        for handle in handles.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        deadline = monotonic() + OUTLIVES_S
        for pid, handle in handles.items():
            # Readable once no thread is left (pidfd_open(2)).
            if not select.select([handle], [], [], max(0.0, deadline - monotonic()))[0]:
                raise LocalError(f"process {pid} outlives SIGKILL; the kernel holds it: reboot")
    return list(handles)


def _handle(pid: int, stack: ExitStack) -> int | None:
    """A handle of a process that stays its own when its number is given to another; None if it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, handle)
    return handle


def _has(pid: int, mark: bytes) -> bool:
    """Whether a thread of the process has the variable: where the first one has ended, only the others show it."""
    if pid == os.getpid():
        return False
    return any(mark in variables(task) for task in Path("/proc").glob(f"{pid}/task/*"))
