"""The image that runs everything of ours at a member: agent, gateway, exporter and pilots.

Its layers are the base, what we depend on, the simulated NVML library, and last our own code, so that a change of code
makes and moves that last layer only. A container's arguments name a module: `args: ["-m", "operators.agent"]`.
"""

import shutil
import tempfile
from pathlib import Path

from commonweal import __version__
from infra.images import base_image, oci, workshop
from infra.local.machine import REPOSITORY, run

NAME = "localhost/commonweal/site"
RELEASE = f"{NAME}:{__version__}"
GROUPS = ("operators", "data-trusts", "nvml-exporter", "cli")
PACKAGES = ("commonweal", "operators", "data_trusts", "apps", "infra/nvml_exporter")
INFRA = REPOSITORY / "infra" / "__init__.py"  # the parent of the one part of infra that pods run
HOME = "opt/commonweal"
NVML_FOLDER = "opt/simulated-nvml"
NVML_SOURCE = REPOSITORY / "infra" / "nvml_exporter" / "simulated"
LEFT_OUT = {"tests", "include", "__pycache__"}


def build(cache: Path) -> oci.Image:
    """The image of the tree as it is now; layers whose content is in the cache are taken from there."""
    layers = [base_image.layer(cache), dependencies(cache)]
    if simulated := simulated_nvml(cache):
        layers.append(simulated)
    layers.append(code(cache))
    key = workshop.key_of(*(layer.digest for layer in layers))
    return oci.Image(
        reference=f"{NAME}:{key}",
        layers=tuple(layers),
        entrypoint=("python3",),
        env={
            "HOME": "/tmp",  # noqa: S108 - the container's own
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"/{HOME}/code:/{HOME}/site-packages",
            "PYTHONUNBUFFERED": "1",
        },
        user=workshop.UNPRIVILEGED,
    )


def dependencies(cache: Path) -> oci.Layer:
    """Site packages for the groups that pods need, from the lock file, compiled."""
    pinned = workshop.requirements(*GROUPS, with_project=True)
    base = base_image.folder(cache)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            root = Path(scratch) / "root"
            workshop.linked_copy(base / "root", root)
            packages = root / HOME / "site-packages"
            workshop.install_packages(pinned, packages)
            _trim(packages)
            workshop.compile_python(root, f"/{HOME}/site-packages")
            oci.pack(packages, folder / "layer.tar", under=f"{HOME}/site-packages")

    made = workshop.make_once(cache / "images" / f"packages-{workshop.key_of(pinned, base.name)}", make)
    return oci.read_layer(made / "layer.tar")


def code(cache: Path) -> oci.Layer:
    """Our own packages, compiled."""
    sources = [INFRA, *(path for package in PACKAGES for path in _sources(REPOSITORY / package))]
    base = base_image.folder(cache)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            root = Path(scratch) / "root"
            workshop.linked_copy(base / "root", root)
            for path in sources:
                target = root / HOME / "code" / path.relative_to(REPOSITORY)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            workshop.compile_python(root, f"/{HOME}/code")
            oci.pack(root / HOME / "code", folder / "layer.tar", under=f"{HOME}/code")

    key = workshop.key_of(workshop.key_of_files(sources, REPOSITORY), base.name)
    return oci.read_layer(workshop.make_once(cache / "images" / f"code-{key}", make) / "layer.tar")


def simulated_nvml(cache: Path) -> oci.Layer | None:
    """The simulated NVML library as `/opt/simulated-nvml/libnvidia-ml.so.1`, where the tree has its source.

    Raises:
        LocalError: The C compiler is missing or fails.
    """
    sources = sorted(NVML_SOURCE.glob("*.c"))
    if not sources:
        return None

    def make(folder: Path) -> None:
        out = folder / "files"
        out.mkdir()
        flags = ["-shared", "-fPIC", "-O2", "-Wl,-soname,libnvidia-ml.so.1"]
        run(["cc", *flags, "-o", out / "libnvidia-ml.so.1", *sources, "-lm", "-lpthread"])
        oci.pack(out, folder / "layer.tar", under=NVML_FOLDER)

    key = workshop.key_of_files(_sources(NVML_SOURCE), NVML_SOURCE)
    return oci.read_layer(workshop.make_once(cache / "images" / f"nvml-{key}", make) / "layer.tar")


def _sources(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in found if not path.name.startswith("."))


def _trim(packages: Path) -> None:
    """Leave out what only a compiler or a test run would read."""
    for path in sorted(packages.glob("*/*")):
        if path.is_dir() and path.name in LEFT_OUT:
            shutil.rmtree(path)
    shutil.rmtree(packages / "bin", ignore_errors=True)
