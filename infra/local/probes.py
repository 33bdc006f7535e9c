"""Is it ready? Each probe is a function that returns None when it is, and otherwise why not yet."""

import http.client
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

Probe = Callable[[], str | None]

ATTEMPT_S = 2.0


def http_ready(url: str, ca: Path | None = None, unix_socket: Path | None = None) -> Probe:
    """Ready when a GET of `url` answers 200; https checks against `ca`; `unix_socket` replaces the address."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port

    def connect() -> http.client.HTTPConnection:
        if unix_socket is not None:
            connection = http.client.HTTPConnection("localhost", timeout=ATTEMPT_S)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(ATTEMPT_S)
            connection.sock.connect(str(unix_socket))
            return connection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
            return http.client.HTTPSConnection(host, port, timeout=ATTEMPT_S, context=context)
        return http.client.HTTPConnection(host, port, timeout=ATTEMPT_S)

    def check() -> str | None:
        try:
            connection = connect()
            connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            return f"{url}: {error}"
        return None if status == http.HTTPStatus.OK else f"{url} answers {status}"

    return check


def tcp_ready(host: str, port: int) -> Probe:
    """Ready when a connection is accepted."""

    def check() -> str | None:
        try:
            socket.create_connection((host, port), timeout=ATTEMPT_S).close()
        except OSError as error:
            return f"{host}:{port}: {error}"
        return None

    return check


def socket_ready(path: Path) -> Probe:
    """Ready when a connection to a Unix socket is accepted."""

    def check() -> str | None:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError as error:
                return f"{path}: {error}"
        return None

    return check


def file_ready(path: Path) -> Probe:
    """Ready when the file is there and not empty."""

    def check() -> str | None:
        return None if path.exists() and path.stat().st_size > 0 else f"{path} is not there yet"

    return check


def port_holder(host: str, port: int) -> int | None:
    """The process that listens on a TCP port of `host` in this network namespace, or None where the port is free.

    A listener whose process we may not see counts as process 0.
    """
    inodes = _listening_inodes(host, port)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _holds(entry / "fd", wanted):
            return int(entry.name)
    return 0


def _holds(descriptors: Path, wanted: set[str]) -> bool:
    try:
        return any(os.readlink(descriptor) in wanted for descriptor in descriptors.iterdir())
    except OSError:
        return False


def _listening_inodes(host: str, port: int) -> set[str]:
    address = socket.inet_aton(host)[::-1].hex().upper()
    clashing = {f"{address}:{port:04X}", f"00000000:{port:04X}"}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = {row[9] for row in rows if row[1] in clashing and row[3] == "0A"}
    six = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    return found | {row[9] for row in six if row[1] == f"{'0' * 32}:{port:04X}" and row[3] == "0A"}
