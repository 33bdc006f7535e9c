"""How configuration keys are called on the command line, and what its help says of them."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.alias_generators import to_snake

from infra.sites.args import descriptions
from infra.sites.pinned import KUBECONFIG
from infra.sites.program import INVITATION

OF_FILES = {
    KUBECONFIG: "The file that leads to the site's cluster.",
    INVITATION: "The file with the hub's invitation; it serves once.",
}


def flag(key: str) -> str:
    """The command-line flag of a configuration key: `nodeAddress` is --node-address."""
    return "--invitation" if key == INVITATION else f"--{to_snake(key).replace('_', '-')}"


def helps(args: type[Any], keys: Mapping[str, str]) -> dict[str, str]:
    """What the help says of each key: its meaning, and what holds when it is left out."""
    means, known = descriptions(args), TypeAdapter(args).json_schema()["properties"]
    said = dict(OF_FILES)
    for key, name in keys.items():
        default = known[name].get("default")
        held = f" By default {str(default).lower() if isinstance(default, bool) else default}." if default else ""
        said[key] = f"{means[name]}{held}"
    return said
