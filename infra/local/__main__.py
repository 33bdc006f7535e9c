"""`python -m infra.local`: bring the local consortium up, look at it, take it down."""

import argparse
import sys
from collections.abc import Callable, Sequence

from infra.local.access import Provider
from infra.local.consortium import LocalProvider
from infra.local.machine import LocalError, install_missing_packages
from infra.local.providers import provider


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    top.add_argument("--provider", default="local", choices=["local", "kind", "kubeconfig"])
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the clusters up; may be repeated")
    commands.add_parser("down", help="take them down and leave nothing behind; caches stay")
    commands.add_parser("status", help="processes and clusters; exits 1 where a process is down")
    commands.add_parser("images", help="build our images and bring them into the members")
    commands.add_parser("packages", help="install the Debian packages that the rest needs")
    for verb in ("stop", "start"):
        one = commands.add_parser(verb, help=f"{verb} one process, for drills")
        one.add_argument("process", help="a name that `status` shows, such as ca-api-server")
    return top


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _up(chosen: Provider) -> int:
    chosen.up()
    return _show_clusters(chosen)


def _down(chosen: Provider) -> int:
    chosen.down()
    return 0


def _status(chosen: Provider) -> int:
    states = chosen.states() if isinstance(chosen, LocalProvider) else []
    for state in states:
        _say(f"{state.name:<18} {'down' if state.pid is None else f'process {state.pid}'}")
    _show_clusters(chosen)
    return 1 if any(state.pid is None for state in states) else 0


def _images(chosen: Provider) -> int:
    for name, reference in chosen.load_images().items():
        _say(f"{name:<18} {reference}")
    return 0


def _packages(_: Provider) -> int:
    install_missing_packages(_say)
    return 0


def _show_clusters(chosen: Provider) -> int:
    for name, access in chosen.clusters().items():
        role = "hub" if access.is_hub else f"member, node {access.node_address}"
        _say(f"{name:<18} {access.server}  {access.kubeconfig}  {role}")
    return 0


def _one(chosen: Provider, verb: str, name: str) -> int:
    if not isinstance(chosen, LocalProvider):
        raise LocalError(f"{verb} works on processes of the local provider; use the tools of your clusters")
    supervisor, process = chosen.process(name)
    if verb == "stop":
        supervisor.stop_one(process)
    else:
        supervisor.start_one(process)
    return 0


COMMANDS: dict[str, Callable[[Provider], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "images": _images,
    "packages": _packages,
}


def main(arguments: Sequence[str]) -> int:
    """Run one command; a refusal is one line on the error output and exit status 1."""
    chosen = parser().parse_args(arguments)
    try:
        found = provider(chosen.provider)
        if chosen.command in COMMANDS:
            return COMMANDS[chosen.command](found)
        return _one(found, chosen.command, chosen.process)
    except LocalError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
