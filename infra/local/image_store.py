"""One store of unpacked images in the cache; every node gets a copy in a second instead of an import in twenty.

The copy shares its files with the store by hard links. That is safe because containerd and overlayfs never write to
them: content is written once under its digest, a committed snapshot is only ever a lower layer, and removing a link
leaves the others. The two databases, which do change, are copied.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.images import oci, workshop
from infra.local.images import Store
from infra.local.machine import run
from infra.local.node import SOCKET_NAME, containerd_settings, to_toml
from infra.local.probes import socket_ready
from infra.local.supervisor import Process, Supervisor

DATABASES = ("io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db")


def ensure(cache: Path, images: Sequence[oci.Image]) -> Path:
    """The store that holds these images, made by a containerd of its own the first time.

    Stores of other images are removed; callers hold the machine's lock. A change of our code alone makes no new store:
    the last layer of an image does not count, nodes import it.
    """
    key = workshop.key_of(
        *(layer.digest for image in images for layer in image.layers[: max(1, len(image.layers) - 1)])
    )
    store = workshop.make_once(cache / "node-images" / key, lambda folder: _fill(folder, images))
    for other in store.parent.iterdir():
        if other != store:
            shutil.rmtree(other)  # two gigabytes each; nodes made from it keep what they linked
    return store / "containerd"


def _fill(folder: Path, images: Sequence[oci.Image]) -> None:
    with opened(folder) as store:
        store.load(images)


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """A containerd of its own over `folder`, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="commonweal-") as run_dir:
        place = Path(run_dir)
        config = place / "containerd.toml"
        config.write_text(to_toml(containerd_settings(folder, place)))
        containerd = Process(
            name="images",
            argv=("unshare", "--mount", "--propagation", "private", "containerd", f"--config={config}"),
            log=place / "containerd.log",
            ready=socket_ready(place / SOCKET_NAME),
        )
        supervisor = Supervisor(place)
        try:
            supervisor.start([containerd])
            yield Store(place / SOCKET_NAME)
        finally:
            supervisor.stop_everything()


def seed(store: Path, target: Path) -> bool:
    """Fill the empty folder `target` from the store; False where two file systems keep them from sharing files."""
    if target.exists() and any(target.iterdir()):
        return True
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.stat(store).st_dev != os.stat(target.parent).st_dev:
        return False
    draft = target.with_name(f"{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    run(["cp", "--archive", "--link", store, draft], timeout_s=300)
    for database in DATABASES:
        (draft / database).unlink()
        shutil.copy2(store / database, draft / database)
    if target.exists():
        target.rmdir()
    draft.rename(target)
    return True
