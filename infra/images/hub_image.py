"""The image that runs everything of ours at the hub: operator, doorkeeper and dashboard; `-m operators.hub`."""

from pathlib import Path

from infra.images import oci, python_image

NAME = "localhost/commonweal/hub"
GROUPS = ("operators", "cli", "dashboards")
# Of data trusts only the files of a Merkle log, which the hub's log has too.
PACKAGES = ("commonweal", "operators", "dashboards", "data_trusts/__init__.py", "data_trusts/tlog.py")


def build(cache: Path) -> oci.Image:
    """The image of the tree as it is now."""
    return python_image.build(cache, NAME, groups=GROUPS, packages=PACKAGES)
