"""`python -m infra.images NAME --out FILE`: one of our images as an OCI archive, for whatever pushes to a registry."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.images import front_door_image, hub_image, oci, site_image, trino_image
from infra.local.machine import LocalError, cache_dir

IMAGES: Mapping[str, Callable[[Path], oci.Image]] = {
    "front-door": front_door_image.build,
    "hub": hub_image.build,
    "site": site_image.build,
    "trino": trino_image.build,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m infra.images", description=__doc__)
    top.add_argument("name", choices=IMAGES)
    top.add_argument("--out", type=Path, required=True, help="the archive; it appears in one rename")
    return top


def export(image: oci.Image, out: Path) -> None:
    """Write the archive; it lists the image once, since tools that push take an archive of one."""
    draft = out.with_name(f"{out.name}.draft")
    with draft.open("wb") as file:
        oci.write_archive(image, file, names=(image.reference,))
    draft.rename(out)


def main(argv: Sequence[str] | None = None) -> int:
    """Build and write; the digest, which a registry keeps, goes to standard output."""
    given = parser().parse_args(argv)
    try:
        image = IMAGES[given.name](cache_dir())
        export(image, given.out)
    except (LocalError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{image.pinned.rpartition('@')[2]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
