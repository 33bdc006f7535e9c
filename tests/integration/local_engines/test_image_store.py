"""Our images in a real containerd, which finds an image by name alone."""

import os
import shutil
from pathlib import Path

import pytest

from infra.images import oci, pause_image
from infra.local import image_store

READY = os.geteuid() == 0 and shutil.which("containerd") is not None
pytestmark = pytest.mark.skipif(not READY, reason="needs root and containerd; apt-get install containerd")


def test_an_image_is_found_by_its_tag_and_by_its_digest_and_is_brought_in_once(tmp_path: Path) -> None:
    image = pause_image.build(tmp_path / "cache")
    with image_store.opened(tmp_path / "store") as store:
        assert store.load([image]) == [image.reference]
        assert {image.reference, image.pinned} <= store.references()
        assert store.load([image]) == []
        assert oci.digest_of(image.manifest()) in image.pinned
