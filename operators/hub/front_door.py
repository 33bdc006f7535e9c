"""The one address of every pilot: an haproxy configuration, written from PilotApp.status and reloaded when it changes.

haproxy itself runs beside whoever writes the file, in master-worker mode with `-f <folder>/haproxy.cfg
-p <folder>/haproxy.pid`; this module only writes the file and signals the master. A pod that goes away fails no
request: its server is checked twice a second, and a request that found no server is given to another one.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from commonweal.kinds.pilot_app import PilotApp
from operators.frame import Key, Plan, Store, Tools, Watch
from operators.hub.resources import PILOT_APPS
from operators.kube import Kube

ALL = Key("", "*")  # no object can have this name
ENDPOINT = re.compile(r"http://(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):(?P<port>[0-9]{1,5})/?")
VERSION = re.compile(r"text/plain string (?P<version>[0-9a-f]{16})\n")
STATUS_WITHIN_S = 2.0

HEAD = """\
# Written by the hub operator; changes are lost.
global
    maxconn 4096
    hard-stop-after 60s

defaults
    mode http
    maxconn 4000
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout queue 10s
    timeout http-request 10s
    timeout check 1s
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response response-timeout 503
    default-server check inter 500ms fastinter 250ms fall 2 rise 1
"""


@dataclass(frozen=True, kw_only=True)
class Door:
    """One pilot: the port it is served on, and where it runs."""

    app: str
    port: int
    servers: tuple[tuple[str, str], ...]  # name, host:port


@dataclass(frozen=True, kw_only=True)
class FrontDoor:
    """Where the file is, and which addresses are used. `first_port - 1` says that the front door itself is up.

    Pilots are announced under `host` and haproxy listens on `bind`, which differ where something stands between, as a
    load balancer. With a `certificate` (a PEM file, its key within it or beside it as `<file>.key`) doors speak HTTPS.
    """

    folder: Path
    host: str
    bind: str
    first_port: int
    certificate: Path | None = None

    @property
    def configuration(self) -> Path:
        """The file that haproxy reads."""
        return self.folder / "haproxy.cfg"

    @property
    def pid_file(self) -> Path:
        """Where haproxy's master writes its process id."""
        return self.folder / "haproxy.pid"

    def address(self, port: int) -> str:
        """The URL of a door."""
        return f"{'https' if self.certificate else 'http'}://{self.host}:{port}"

    def port_of(self, address: str | None) -> int | None:
        """The port of an address of ours, also from before doors had a certificate; None for every other."""
        if not address or not address.startswith((f"http://{self.host}:", f"https://{self.host}:")):
            return None
        port = urlsplit(address).port
        return port if port is not None and port >= self.first_port else None

    def free_port(self, taken: Iterable[int]) -> int:
        """The lowest port that no pilot has."""
        used = set(taken)
        return next(port for port in range(self.first_port, 65_536) if port not in used)

    def empty(self) -> str:
        """The configuration before any pilot; with it haproxy can already start."""
        return self.render(())

    def render(self, doors: Iterable[Door]) -> str:
        """The whole configuration; the same doors always give the same text. Its status page says which it is."""
        listens = "".join(self._section(door) for door in sorted(doors, key=lambda each: each.app))
        version = hashlib.sha256(listens.encode()).hexdigest()[:16]
        status = f"""
frontend front-door-status
    bind {self.bind}:{self.first_port - 1}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 200 content-type text/plain string {version}
"""
        return HEAD + status + listens

    def _section(self, door: Door) -> str:
        servers = "".join(f"    server {name} {address}\n" for name, address in door.servers)
        tls = f" ssl crt {self.certificate} alpn h2,http/1.1" if self.certificate else ""
        return f"""
listen pilot-{door.app}
    bind {self.bind}:{door.port}{tls}
    balance leastconn
    option httpchk GET /readyz
    http-check expect status 200
    http-request disable-l7-retry unless METH_GET or METH_HEAD
{servers}"""

    def write(self, text: str) -> bool:
        """Replace the file in one step if it differs; True if it did."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.configuration.read_text("utf-8") == text:
                return False
        fresh = self.configuration.with_suffix(".new")
        fresh.write_text(text, "utf-8")
        fresh.replace(self.configuration)
        return True

    def reload(self) -> None:
        """Have the master start new workers; no haproxy yet means that it will read the file when it starts."""
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError, ProcessLookupError):
            os.kill(int(self.pid_file.read_text("ascii").split()[0]), signal.SIGUSR2)

    async def catch_up(self, text: str) -> None:
        """Write the file, and reload where it changed or a change did not arrive."""
        if self.write(text) or await self.is_behind(text):
            self.reload()

    async def is_behind(self, text: str) -> bool:
        """Whether a haproxy serves another configuration than `text`; one that does not answer is not known to.

        A master that has just started may have read the file before it changed, and miss the signal that it did.
        """
        writer = None
        try:
            async with asyncio.timeout(STATUS_WITHIN_S):
                reader, writer = await asyncio.open_connection(self.bind, self.first_port - 1)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                answer = (await reader.read()).decode("ascii", "replace")
        except (OSError, TimeoutError):
            return False
        finally:
            if writer is not None:
                writer.close()
        served, wanted = answer.rpartition("\n")[2], VERSION.search(text)
        return bool(served) and wanted is not None and served != wanted["version"]


def door_of(app: PilotApp, front: FrontDoor) -> Door | None:
    """The door of a pilot; None while it has no address."""
    status = app.status
    port = front.port_of(status.address if status else None)
    if status is None or port is None:
        return None
    servers = [
        (f"{placement.member}-{index}", address)
        for placement in status.placements
        for index, address in enumerate(map(host_and_port, placement.endpoints))
        if address is not None
    ]
    return Door(app=app.metadata.name, port=port, servers=tuple(sorted(servers)))


def host_and_port(url: str) -> str | None:
    """`host:port` of an endpoint; None for what does not fit a configuration line, since members write endpoints."""
    found = ENDPOINT.fullmatch(url)
    return f"{found['host']}:{found['port']}" if found and 0 < int(found["port"]) < 65_536 else None


@dataclass(frozen=True, kw_only=True)
class Render:
    """Write the file, and reload if it changed."""

    front: FrontDoor
    text: str

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Do it."""
        await self.front.catch_up(self.text)


@dataclass(frozen=True)
class FrontDoorController:
    """Keeps the file as the pilots' statuses say."""

    front: FrontDoor
    name: str = "front-door"
    always: tuple[Key, ...] = (ALL,)
    watches: tuple[Watch, ...] = (Watch(resource=PILOT_APPS, keys=lambda _: (ALL,)),)

    async def observe(self, key: Key, tools: Tools) -> tuple[Door, ...]:  # noqa: ARG002 - there is one key
        """Every door."""
        apps = (PilotApp.read(body) for body in tools.store.list(PILOT_APPS))
        return tuple(door for app in apps if (door := door_of(app, self.front)))

    def plan(self, observed: tuple[Door, ...], now: datetime) -> Plan:  # noqa: ARG002 - does not depend on time
        """Write it down."""
        return Plan(writes=(Render(front=self.front, text=self.front.render(observed)),))
