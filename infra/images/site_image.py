"""The image that runs everything of ours at a member: agent, gateway, exporter and pilots; `-m operators.agent`."""

from pathlib import Path

from commonweal import __version__
from infra.images import oci, python_image, workshop
from infra.local.machine import REPOSITORY, run

NAME = "localhost/commonweal/site"
RELEASE = f"{NAME}:{__version__}"
GROUPS = ("operators", "data-trusts", "nvml-exporter", "cli")
PACKAGES = ("commonweal", "operators", "data_trusts", "apps", "infra/nvml_exporter")
NVML_FOLDER = "opt/simulated-nvml"
NVML_SOURCE = REPOSITORY / "infra" / "nvml_exporter" / "simulated"


def build(cache: Path) -> oci.Image:
    """The image of the tree as it is now."""
    simulated = simulated_nvml(cache)
    between = (simulated,) if simulated else ()
    return python_image.build(cache, NAME, groups=GROUPS, packages=PACKAGES, between=between)


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

    key = workshop.key_of_files(python_image.sources_of(NVML_SOURCE), NVML_SOURCE)
    return oci.read_layer(workshop.make_once(cache / "images" / f"nvml-{key}", make) / "layer.tar")
