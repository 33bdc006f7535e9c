"""Settings of the whole machine that a kubelet changes or that we raise: kept before, put back after."""

import json
from collections.abc import Iterable
from pathlib import Path

CHANGED_BY_KUBELET = (
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
)
# Each API server, containerd, kubelet and watching operator takes several; Linux starts with 128 for root as a whole.
RAISED = {"fs.inotify.max_user_instances": 2048, "fs.inotify.max_user_watches": 1_048_576}


def path_of(name: str) -> Path:
    """The file of a setting below /proc/sys."""
    return Path("/proc/sys") / name.replace(".", "/")


def read(names: Iterable[str] = (*CHANGED_BY_KUBELET, *RAISED)) -> dict[str, str]:
    """Values of those settings that this kernel has."""
    return {name: path_of(name).read_text().strip() for name in names if path_of(name).exists()}


def save(file: Path) -> None:
    """Keep the machine's values, unless they are kept already: a second `up` must not keep a kubelet's."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(read()))
        draft.rename(file)


def raise_limits() -> None:
    """Raise what many watchers on one machine need, after `save`; never lower it."""
    for name, value in RAISED.items():
        if int(path_of(name).read_text()) < value:
            path_of(name).write_text(str(value))


def restore(file: Path) -> None:
    """Put back what `save` kept, and forget it."""
    if file.exists():
        for name, value in json.loads(file.read_text()).items():
            if path_of(name).read_text().strip() != value:
                path_of(name).write_text(value)
        file.unlink()
