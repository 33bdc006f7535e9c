"""Writes the configuration of a member's Trino server: `python -m data_trusts.trino_config --out DIR`.

The defaults are the paths of our image, which brings its own JVM arguments; a server that is started without the image
reads them as `java @DIR/jvm.config`. Where the warehouse is a bucket, `-Dcatalog.config-dir=DIR/catalog-s3` has the
server read the catalog's other form, whose address and credentials are the gateway's variables. With `--own-catalog`
the files name the catalog that the gateway's variables name in place of the data folder's; they hold no token and no
password, which the server reads from its own environment. Standard library only, so that an image builder can run it.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

_TEMPLATES = Path(__file__).parent / "trino"
_CATALOG = "commonweal.properties"
# As data_trusts/catalog.py reads them; a REST catalog may want a token, and to be told which warehouse.
_REST, _SQL = "COMMONWEAL_CATALOG_URI", "COMMONWEAL_CATALOG_SQL"
_REST_OPTIONS = {
    "COMMONWEAL_CATALOG_TOKEN": "iceberg.rest-catalog.security=OAUTH2\n"
    "iceberg.rest-catalog.oauth2.token-refresh-enabled=false\niceberg.rest-catalog.oauth2.token",
    "COMMONWEAL_CATALOG_WAREHOUSE": "iceberg.rest-catalog.warehouse",
}


class CatalogAddressError(Exception):
    """The environment names no catalog that a server could be told of; the message names the variable."""


@dataclass(frozen=True, kw_only=True)
class TrinoPaths:
    """Where the server finds what it needs, as it sees the paths itself."""

    etc: str = "/etc/trino"
    home: str = "/opt/trino"
    data: str = "/var/lib/commonweal-data"
    archive: str = "/opt/trino/trino.jsa"
    port: int = 8080
    policy_port: int = 8181


def render(paths: TrinoPaths, env: Mapping[str, str]) -> dict[str, str]:
    """The files below `paths.etc` by their relative path, with the catalog that `env` names.

    Raises:
        CatalogAddressError: it names none that can be used.
    """
    values = {name: str(value) for name, value in asdict(paths).items()}
    files = {
        str(template.relative_to(_TEMPLATES)): Template(template.read_text()).substitute(values)
        for template in sorted(_TEMPLATES.rglob("*"))
        if template.is_file()
    }
    opening, rest = files.pop("s3.properties"), files.pop("rest.properties")
    own = files[f"catalog/{_CATALOG}"]
    if env.get(_REST):
        own = rest + "".join(f"{line}=${{ENV:{name}}}\n" for name, line in _REST_OPTIONS.items() if env.get(name))
    elif env.get(_SQL):
        own = _in_database(own, paths, env[_SQL])
    bucket = own.replace(f"=file://{paths.data}/warehouse\n", "=${ENV:COMMONWEAL_WAREHOUSE}\n")
    return {**files, f"catalog/{_CATALOG}": own, f"catalog-s3/{_CATALOG}": f"{bucket}{opening}"}


def _in_database(own: str, paths: TrinoPaths, address: str) -> str:
    """The catalog's properties with PostgreSQL in place of the data folder's file."""
    named = urlsplit(address)
    if named.scheme != "postgresql" or not (named.hostname and named.username and named.path.strip("/")):
        raise CatalogAddressError(f"{_SQL}: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    place = named._replace(scheme="", netloc=named.netloc.rpartition("@")[2], fragment="").geturl()
    lines = own.replace("=org.sqlite.JDBC\n", "=org.postgresql.Driver\n").replace(
        f"=jdbc:sqlite:{paths.data}/catalog.db\n", f"=jdbc:postgresql:{place}\n"
    )
    password = "iceberg.jdbc-catalog.connection-password=${ENV:PGPASSWORD}\n" if named.password else ""
    return f"{lines}iceberg.jdbc-catalog.connection-user={unquote(named.username)}\n{password}"


def write(paths: TrinoPaths, out: Path, env: Mapping[str, str]) -> None:
    """Write the files below `out`, which the server will see as `paths.etc`."""
    for name, content in render(paths, env).items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


def main() -> int:
    """Write the files with the paths of the image, or with those given; 1 with one sentence where that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m data_trusts.trino_config", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, as config.properties and others")
    for name, default in asdict(TrinoPaths()).items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default {default}")
    parser.add_argument("--own-catalog", action="store_true", help=f"the one that {_REST} or {_SQL} names")
    values = vars(parser.parse_args())
    env = os.environ if values["own_catalog"] else {}
    if values["own_catalog"] and bool(env.get(_REST)) == bool(env.get(_SQL)):
        parser.error(f"--own-catalog: set {_REST} or {_SQL}, one of them; else leave it out")
    try:
        write(TrinoPaths(**{name: values[name] for name in asdict(TrinoPaths())}), values["out"], env)
    except (CatalogAddressError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
