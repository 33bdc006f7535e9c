"""Images in the nodes: what a node has, and how it gets the rest without a registry."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.images import oci
from infra.local.machine import LocalError, run

IMPORT_LIMIT_S = 600


@dataclass(frozen=True)
class Store:
    """The images of one containerd, spoken to over its socket."""

    socket: Path

    def references(self) -> set[str]:
        """Names of the images that the node has."""
        return set(run([*self._ctr, "images", "list", "--quiet"]).split())

    def load(self, images: Sequence[oci.Image]) -> list[str]:
        """Bring in the images that are missing, each without the layers that the node has; return their names.

        Raises:
            LocalError: containerd refuses one.
        """
        present = self.references()
        missing = [image for image in images if not {image.reference, image.pinned} <= present]
        for image in missing:
            self._import(image, set(run([*self._ctr, "content", "list", "--quiet"]).split()))
        return [image.reference for image in missing]

    def name(self, reference: str, alias: str) -> None:
        """Let pods ask for the image `reference` as `alias` too, in place of what it named before."""
        run([*self._ctr, "images", "tag", "--force", reference, alias])

    @property
    def _ctr(self) -> list[str]:
        return ["ctr", f"--address={self.socket}", "--namespace=k8s.io"]

    def _import(self, image: oci.Image, without: set[str]) -> None:
        argv = [*self._ctr, "images", "import", "--snapshotter=overlayfs", "-"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("a pipe that was asked for is missing")
            try:
                oci.write_archive(image, process.stdin, without)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it ended early, and says why below
            said = process.stdout.read().decode(errors="replace").strip()
            if process.wait(IMPORT_LIMIT_S) != 0:
                raise LocalError(f"containerd at {self.socket} refuses {image.reference}: {said[-300:]}; run again")
