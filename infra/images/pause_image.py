"""The image that holds a pod's namespaces, from 30 lines of C; the same program is the first process of a node."""

import hashlib
import tempfile
from pathlib import Path

from infra.images import oci
from infra.local.cache import named
from infra.local.machine import run

REFERENCE = "registry.k8s.io/pause:3.10"
SOURCE = Path(__file__).with_name("pause") / "pause.c"


def program(cache: Path) -> Path:
    """The compiled program, built once for its source.

    Raises:
        LocalError: There is no C compiler, or it fails.
    """
    folder = cache / "images" / f"pause-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            built = Path(scratch) / "pause"
            run(["cc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-o", built, SOURCE])
            out = Path(scratch) / "root"
            out.mkdir()
            built.rename(out / "pause")
            out.rename(folder)
    return named(folder) / "pause"


def build(cache: Path) -> oci.Image:
    """The image; runs as nobody, with one file in it."""
    folder = program(cache).parent
    layer_file = folder.with_suffix(".tar")
    layer = oci.read_layer(layer_file) if layer_file.exists() else oci.pack(folder, layer_file)
    return oci.Image(reference=REFERENCE, layers=(layer,), entrypoint=("/pause",), user="65535:65535")
