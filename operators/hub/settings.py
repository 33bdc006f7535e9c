"""What the hub operator is told on its command line or by its environment, checked once at the start."""

import argparse
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PREFIX = "COMMONWEAL_HUB_"


@dataclass(frozen=True, kw_only=True)
class HubSettings:
    """Where the hub's API server is, where the books are kept, and which ports are used."""

    kubeconfig: Path | None
    state_dir: Path
    health_host: str
    health_port: int
    front_door_host: str
    front_door_bind: str
    front_door_first_port: int
    front_door_certificate: Path | None
    front_door_only: bool
    log_origin: str
    identity: str
    log_level: str


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> HubSettings:
    """Read the settings; every option can also be given as COMMONWEAL_HUB_<OPTION>.

    Raises:
        SystemExit: an option is wrong; argparse says which and how to put it right.
    """

    def default(name: str, fallback: str | None = None) -> str | None:
        return environment.get(PREFIX + name) or fallback

    parser = argparse.ArgumentParser(
        prog="python -m operators.hub",
        description="Reconciles the consortium's custom resources in the hub cluster.",
        epilog=f"Every option can be given as {PREFIX}<OPTION>, as {PREFIX}STATE_DIR.",
    )
    kubeconfig = default("KUBECONFIG", environment.get("KUBECONFIG") or None)
    parser.add_argument("--kubeconfig", type=Path, default=kubeconfig, help="the hub's kubeconfig; without: in-cluster")
    parser.add_argument(
        "--state-dir", type=Path, default=default("STATE_DIR"), help="folder of the log, the ledger and the front door"
    )
    parser.add_argument("--health-host", default=default("HEALTH_HOST", "127.0.0.1"), help="address of /healthz etc.")
    parser.add_argument(
        "--health-port", type=_port, default=default("HEALTH_PORT", "18070"), help="0 takes any free port"
    )
    parser.add_argument(
        "--front-door-host", default=default("FRONT_DOOR_HOST", "127.0.0.1"), help="address that pilots are served on"
    )
    parser.add_argument(
        "--front-door-first-port", type=_port, default=default("FRONT_DOOR_FIRST_PORT", "18080"),
        help="the first pilot's port; the next pilots take the ports above",
    )  # fmt: skip
    parser.add_argument(
        "--front-door-bind", default=default("FRONT_DOOR_BIND"),
        help="address that the front door listens on; by default the one that pilots are served on",
    )  # fmt: skip
    parser.add_argument(
        "--front-door-certificate", type=Path, default=default("FRONT_DOOR_CERTIFICATE"),
        help="PEM file with which the front door speaks HTTPS; without: HTTP",
    )  # fmt: skip
    parser.add_argument(
        "--front-door-only", action="store_true", default=default("FRONT_DOOR_ONLY") == "true",
        help="write the front door's configuration and nothing else; any number of these may run",
    )  # fmt: skip
    parser.add_argument(
        "--log-origin", default=default("LOG_ORIGIN", "commonweal.dev/hub"),
        help="name of the log in its signed checkpoints; witnesses know it by this and its key",
    )  # fmt: skip
    parser.add_argument(
        "--identity", default=default("IDENTITY", f"{socket.gethostname()}-{os.getpid()}"), help="name in the lease"
    )
    parser.add_argument("--log-level", default=default("LOG_LEVEL", "INFO"), choices=["DEBUG", "INFO", "WARNING"])
    parsed = parser.parse_args(arguments)
    if parsed.state_dir is None:
        parser.error("--state-dir is missing: name a folder that survives restarts")
    parsed.front_door_bind = parsed.front_door_bind or parsed.front_door_host
    return HubSettings(**vars(parsed))


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port; use 0 to 65535")
    return int(text)
