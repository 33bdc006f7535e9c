"""Images that run our own Python: the base, what we depend on, and last our own code.

A change of code makes and moves the last layer only. A container's arguments name a module.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.images import base_image, elf, oci, workshop
from infra.local.machine import REPOSITORY

INFRA = REPOSITORY / "infra" / "__init__.py"  # the parent of the one part of infra that pods run
HOME = "opt/commonweal"
LEFT_OUT = {"tests", "include", "__pycache__"}
WITH_SYMBOLS = "opendp/lib/*.so"  # 107 of its 275 MB; no other package ships symbols by the megabyte


def build(
    cache: Path, name: str, *, groups: Sequence[str], packages: Sequence[str], between: Sequence[oci.Layer] = ()
) -> oci.Image:
    """The image of the tree as it is now; layers whose content is in the cache are taken from there.

    It holds the dependency `groups` of the lock file and our `packages`, paths in the repository; the layers `between`
    lie under our code.
    """
    layers = (base_image.layer(cache), dependencies(cache, groups), *between, code(cache, packages))
    key = workshop.key_of(*(layer.digest for layer in layers))
    return oci.Image(
        reference=f"{name}:{key}",
        layers=layers,
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


def dependencies(cache: Path, groups: Sequence[str]) -> oci.Layer:
    """Site packages for `groups`, from the lock file, compiled."""
    pinned = workshop.requirements(*groups, with_project=True)
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

    cutting = Path(elf.__file__).read_text()
    made = workshop.make_once(cache / "images" / f"packages-{workshop.key_of(pinned, base.name, cutting)}", make)
    return oci.read_layer(made / "layer.tar")


def code(cache: Path, packages: Sequence[str]) -> oci.Layer:
    """Our own packages, compiled."""
    sources = [INFRA, *(path for package in packages for path in sources_of(REPOSITORY / package))]
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


def sources_of(folder: Path) -> list[Path]:
    """Every file of a package that is part of it; a file is itself."""
    found = (path for path in (folder, *folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in found if not path.name.startswith("."))


def _trim(packages: Path) -> None:
    """Leave out what only a compiler, a debugger or a test run would read."""
    for path in sorted(packages.glob("*/*")):
        if path.is_dir() and path.name in LEFT_OUT:
            shutil.rmtree(path)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for library in packages.glob(WITH_SYMBOLS):
        elf.cut(library)
