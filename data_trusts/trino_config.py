"""Writes the configuration of a member's Trino server: `python -m data_trusts.trino_config --out DIR`.

The defaults are the paths of our image, which brings its own JVM arguments; a server that is started without the image
reads them as `java @DIR/jvm.config`. Where the warehouse is a bucket, `-Dcatalog.config-dir=DIR/catalog-s3` has the
server read the catalog's other form, whose address and credentials are the gateway's variables. Standard library only,
so that an image builder can run it anywhere.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

_TEMPLATES = Path(__file__).parent / "trino"
_CATALOG = "commonweal.properties"


@dataclass(frozen=True, kw_only=True)
class TrinoPaths:
    """Where the server finds what it needs, as it sees the paths itself."""

    etc: str = "/etc/trino"
    home: str = "/opt/trino"
    data: str = "/var/lib/commonweal-data"
    archive: str = "/opt/trino/trino.jsa"
    port: int = 8080
    policy_port: int = 8181


def render(paths: TrinoPaths) -> dict[str, str]:
    """The files below `paths.etc` by their relative path."""
    values = {name: str(value) for name, value in asdict(paths).items()}
    files = {
        str(template.relative_to(_TEMPLATES)): Template(template.read_text()).substitute(values)
        for template in sorted(_TEMPLATES.rglob("*"))
        if template.is_file()
    }
    own, opening = files[f"catalog/{_CATALOG}"], files.pop("s3.properties")
    bucket = own.replace(f"=file://{paths.data}/warehouse\n", "=${ENV:COMMONWEAL_WAREHOUSE}\n")
    return {**files, f"catalog-s3/{_CATALOG}": f"{bucket}{opening}"}


def write(paths: TrinoPaths, out: Path) -> None:
    """Write the files below `out`, which the server will see as `paths.etc`."""
    for name, content in render(paths).items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


def main() -> None:
    """Write the files with the paths of the image, or with those given."""
    parser = argparse.ArgumentParser(prog="python -m data_trusts.trino_config", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, as config.properties and others")
    for name, default in asdict(TrinoPaths()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default {default}")
    values = vars(parser.parse_args())
    write(TrinoPaths(**{name: values[name] for name in asdict(TrinoPaths())}), values["out"])


if __name__ == "__main__":
    main()
