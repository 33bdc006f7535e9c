"""`python -m data_trusts.federate`: asks several members one question together and prints what they release.

    python -m data_trusts.federate --gateways gateways.json --token-file token --trust trade --dataset customs_rows \
        --grant steel --purpose trade-embedded-emissions --epsilon 0.5 --values flow=1,2 \
        --sql "SELECT flow, sum(quantity_in_kg) AS kg FROM customs_rows GROUP BY flow"

`gateways.json` is a list of `{"member", "url", "ca_pem"}`, as the hub gives it to a pilot. Exits 0 with JSON on
standard output, 2 where a file or an argument is wrong, 3 where a member refuses, 4 where too few answer.
"""

import argparse
import asyncio
import json
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path

from commonweal.privacy import MICRO
from data_trusts.client import Gateway, Refused, TrustClient, Unreachable
from data_trusts.federated_client import federated


class ArgumentError(Exception):
    """An argument or a file that cannot be used; the message names it."""


def micro_epsilon(text: str) -> int:
    """A price as people write it, in millionths.

    Raises:
        ArgumentError: not a decimal above 0 with at most six digits after the point.
    """
    try:
        value = Decimal(text) * MICRO
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value != int(value) or value < 1:
        raise ArgumentError(f"--epsilon {text}: give a number above 0 with at most six digits after the point")
    return int(value)


def groups_of(values: Sequence[str], edges: Sequence[str]) -> dict[str, dict[str, list[object]]]:
    """The groups that are wanted, from `column=a,b,c` each; what reads as JSON is taken as such, all else is text.

    Raises:
        ArgumentError: one without a column, or a column that stands twice.
    """
    groups: dict[str, dict[str, list[object]]] = {}
    for kind, arguments in (("values", values), ("edges", edges)):
        for argument in arguments:
            column, found, labels = argument.partition("=")
            if not found or not column or column in groups:
                raise ArgumentError(f"--{kind} {argument}: write each column once, as --{kind} flow=1,2")
            groups[column] = {kind: [_label(label) for label in labels.split(",")]}
    return groups


def _label(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, float) else value  # decimals travel as text


def gateways_of(path: Path) -> list[Gateway]:
    """The members' gateways.

    Raises:
        ArgumentError: the file cannot be read, or is not such a list.
    """
    try:
        return [Gateway(**each) for each in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise ArgumentError(f"--gateways {path}: {error}; give a list of member, url and ca_pem") from error


async def _ask(arguments: argparse.Namespace) -> str:
    gateways = gateways_of(arguments.gateways)
    groups = groups_of(arguments.values, arguments.edges)
    price = None if arguments.epsilon is None else micro_epsilon(arguments.epsilon)
    try:
        token = arguments.token_file.read_text().strip()
        client = TrustClient(gateways, lambda: token, arguments.grant, arguments.purpose, deadline_s=arguments.deadline)
    except (OSError, ssl.SSLError) as error:
        raise ArgumentError(f"--token-file, --gateways: {error}; give the pod's token and the hub's list") from error
    async with client:
        result = await federated(
            client,
            arguments.trust,
            arguments.dataset,
            arguments.sql,
            members=arguments.members or [gateway.member for gateway in gateways],
            groups=groups,
            micro_epsilon=price,
        )
    return json.dumps(asdict(result), default=str, indent=2)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_trusts.federate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--gateways", type=Path, required=True, help="JSON list of member, url and ca_pem")
    parser.add_argument("--token-file", type=Path, required=True, help="the pod's projected token")
    for name in ("trust", "dataset", "grant", "purpose", "sql"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--members", nargs="*", help="who shall answer; all gateways where it is left out")
    parser.add_argument("--values", action="append", default=[], metavar="COLUMN=A,B", help="groups by value")
    parser.add_argument("--edges", action="append", default=[], metavar="COLUMN=A,B,C", help="groups by range")
    parser.add_argument("--epsilon", help="the price, where the trust adds noise")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds for each step")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print, and say by the exit code what happened."""
    try:
        answer = asyncio.run(_ask(_arguments(argv)))
    except ArgumentError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Refused as refused:
        sys.stderr.write(f"refused by {refused}\n")
        return 3
    except Unreachable as unreachable:
        sys.stderr.write(f"no answer: {unreachable}\n")
        return 4
    sys.stdout.write(answer + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
