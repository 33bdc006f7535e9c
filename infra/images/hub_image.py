"""The image that runs everything of ours at the hub: operator, doorkeeper and dashboard; `-m operators.hub`."""

from pathlib import Path

from infra.images import oci, python_image

NAME = "localhost/commonweal/hub"
GROUPS = ("operators", "cli", "dashboards")
PACKAGES = ("commonweal", "operators", "data_trusts", "dashboards")


def build(cache: Path) -> oci.Image:
    """The image of the tree as it is now."""
    return python_image.build(cache, NAME, groups=GROUPS, packages=PACKAGES)
